//! Annotations below `keysluice.dev/`: typed, unknown ones refused.

use super::limits::{MAX_ANNOTATIONS_BYTES, MAX_ID_BYTES};
use super::names::VARIABLES;
use super::refusal::{Cause, Refusal, cut};
use crate::pod::Pod;
use crate::provider_class::RefreshInterval;
use crate::quantity;
use crate::settings::{CsiVolumes, TokenLayout};
use crate::spelling;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a pod says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    /// `keysluice.dev/client-ids`: client id by container.
    pub client_ids: BTreeMap<String, String>,
    /// `keysluice.dev/tenant-ids`: tenant id by container.
    pub tenant_ids: BTreeMap<String, String>,
    /// `keysluice.dev/env-from-wins`: variables that are left to `envFrom`.
    pub env_from_wins: Vec<&'static str>,
    /// `keysluice.dev/token-layout`.
    pub token_layout: Option<TokenLayout>,
    /// `keysluice.dev/cpu-limit` of the sidecar.
    pub cpu_limit: Option<String>,
    /// `keysluice.dev/cpu-request` of the sidecar.
    pub cpu_request: Option<String>,
    /// `keysluice.dev/gate`.
    pub gate: Gate,
    /// `keysluice.dev/after`: the native sidecar behind which ours goes.
    pub after: Option<String>,
    /// `keysluice.dev/csi-volumes`.
    pub csi_volumes: Option<CsiVolumes>,
    /// `keysluice.dev/refresh-interval`, over the class's.
    pub refresh_interval: Option<Duration>,
    /// `keysluice.dev/on-missing`.
    pub on_missing: Option<OnMissing>,
    /// `keysluice.dev/size-limit`: bytes of each tmpfs.
    pub size_limit: Option<u64>,
}

/// What a start without all secrets does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMissing {
    /// Gives up at the bound of the gate, with the reason.
    Fail,
    /// Waits for as long as it takes.
    Wait,
}

/// How the application is held back until its secrets are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gate {
    /// A postStart hook: fastest, bounded.
    #[default]
    Hook,
    /// A startup probe: visible in the pod's events, for long waits.
    Probe,
    /// Not at all.
    None,
}

const PREFIX: &str = "keysluice.dev/";
/// One generation must fit beside another, and a tmpfs counts in pages.
const SMALLEST_VOLUME: u64 = 1 << 20;
/// What is in a tmpfs is memory of the node.
const LARGEST_VOLUME: u64 = 16 << 30;

/// Every annotation, with what it takes; `docs/annotations.md` is generated from it.
pub const KNOWN: &[(&str, &str, &str)] = &[
    (
        "keysluice.dev/after",
        "the name of a native sidecar",
        "puts the sidecar after that one instead of first",
    ),
    (
        "keysluice.dev/client-ids",
        "CONTAINER=CLIENT-ID, several separated by ;",
        "gives containers an identity of their own instead of the ServiceAccount's",
    ),
    (
        "keysluice.dev/cpu-limit",
        "a quantity such as 10m",
        "CPU limit of the sidecar (default none)",
    ),
    (
        "keysluice.dev/cpu-request",
        "a quantity such as 10m",
        "CPU that the sidecar requests (default 1m)",
    ),
    (
        "keysluice.dev/csi-volumes",
        "replace or leave",
        "serves this pod's Secrets Store CSI volumes, or leaves them to the driver",
    ),
    (
        "keysluice.dev/env-from-wins",
        "names of AZURE_ variables, separated by commas",
        "leaves these variables to a container's envFrom, which an injected variable would override",
    ),
    (
        "keysluice.dev/gate",
        "hook, probe or none",
        "how the application waits for its first secrets (default hook)",
    ),
    (
        "keysluice.dev/on-missing",
        "fail or wait",
        "whether a start without all secrets fails after 30 s (default, except with the gate none) \
         or waits; wait implies the probe gate",
    ),
    (
        "keysluice.dev/refresh-interval",
        "a duration such as 30s, 2m or 1h",
        "how often the sidecar asks the vault; overrides the class's refreshInterval",
    ),
    (
        "keysluice.dev/size-limit",
        "bytes such as 8Mi, at least 1Mi",
        "size of each volume's tmpfs; overrides the size calculated from the class (two \
         generations of 32Ki per file)",
    ),
    (
        "keysluice.dev/tenant-ids",
        "CONTAINER=TENANT-ID, several separated by ;",
        "gives containers a tenant of their own instead of the ServiceAccount's",
    ),
    (
        "keysluice.dev/token-layout",
        "v1.5, v1.6.0 or v1.6.1",
        "where the token goes in the containers: the path of that release of Azure Workload \
         Identity",
    ),
];

impl Annotations {
    /// Reads and checks them.
    pub fn read(pod: &Pod<'_>) -> Result<Self, Refusal> {
        let mut read = Self::default();
        let (mut gate, mut bytes) = (None, 0);
        for (key, value) in pod.metadata.annotations.below(PREFIX) {
            let Some((known, expected, _)) = KNOWN.iter().find(|(known, ..)| *known == key) else {
                return Err(
                    Cause::UnknownAnnotation { key: cut(key), nearest: nearest(key) }.into()
                );
            };
            bytes += key.len() + value.len();
            if bytes > MAX_ANNOTATIONS_BYTES {
                return Err(
                    Cause::AnnotationsSize { of: PREFIX, limit: MAX_ANNOTATIONS_BYTES }.into()
                );
            }
            let bad = || {
                Refusal::from(Cause::AnnotationValue { key: known, value: cut(value), expected })
            };
            match &known[PREFIX.len()..] {
                "after" if !value.is_empty() => read.after = Some(value.to_owned()),
                "client-ids" => read.client_ids = by_container(value).ok_or_else(bad)?,
                "tenant-ids" => read.tenant_ids = by_container(value).ok_or_else(bad)?,
                "env-from-wins" => read.env_from_wins = variables(value).ok_or_else(bad)?,
                "token-layout" => read.token_layout = Some(value.parse().map_err(|_| bad())?),
                "cpu-limit" if quantity::is_cpu(value) => read.cpu_limit = Some(value.to_owned()),
                "cpu-request" if quantity::is_cpu(value) => {
                    read.cpu_request = Some(value.to_owned());
                }
                "csi-volumes" => match value.parse() {
                    Ok(CsiVolumes::Auto) | Err(_) => return Err(bad()),
                    Ok(choice) => read.csi_volumes = Some(choice),
                },
                "gate" => {
                    gate = Some(match value {
                        "hook" => Gate::Hook,
                        "probe" => Gate::Probe,
                        "none" => Gate::None,
                        _ => return Err(bad()),
                    });
                }
                "on-missing" => {
                    read.on_missing = match value {
                        "wait" => Some(OnMissing::Wait),
                        "fail" => Some(OnMissing::Fail),
                        _ => return Err(bad()),
                    }
                }
                "size-limit" => {
                    let bytes = quantity::memory_bytes(value)
                        .filter(|bytes| (SMALLEST_VOLUME..=LARGEST_VOLUME).contains(bytes));
                    read.size_limit = Some(bytes.ok_or_else(bad)?);
                }
                "refresh-interval" => {
                    read.refresh_interval =
                        Some(value.parse::<RefreshInterval>().map_err(|_| bad())?.duration());
                }
                _ => return Err(bad()),
            }
        }
        read.gate = gate.unwrap_or_else(|| if read.waits() { Gate::Probe } else { Gate::Hook });
        if read.waits() && read.gate == Gate::Hook {
            // The kubelet deletes no pod while a postStart hook runs: an unbounded wait must not be
            // a hook.
            let value = "hook".to_owned();
            return Err(Cause::AnnotationValue {
                key: "keysluice.dev/gate",
                value,
                expected: "probe or none together with on-missing: wait",
            }
            .into());
        }
        Ok(read)
    }

    /// Whether a start without all secrets waits for as long as it takes.
    pub fn waits(&self) -> bool {
        self.on_missing == Some(OnMissing::Wait)
    }

    /// Whether a start without all secrets ends at a bound: behind an open gate only where the pod
    /// says so.
    pub fn is_bounded(&self) -> bool {
        self.on_missing.map_or(self.gate != Gate::None, |on_missing| on_missing == OnMissing::Fail)
    }

    /// What the annotations give one container instead of the ServiceAccount's value of a variable.
    pub fn of_container(&self, container: &str, variable: &str) -> Option<&str> {
        let map = match variable {
            "AZURE_CLIENT_ID" => &self.client_ids,
            "AZURE_TENANT_ID" => &self.tenant_ids,
            _ => return None,
        };
        map.get(container).map(String::as_str)
    }
}

/// `app=ID; worker=ID`; each container once, with an id that can be one.
fn by_container(value: &str) -> Option<BTreeMap<String, String>> {
    let mut map = BTreeMap::new();
    for part in value.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (container, id) = part.split_once('=')?;
        let (container, id) = (container.trim(), id.trim());
        if container.is_empty() || id.is_empty() || id.len() > MAX_ID_BYTES {
            return None;
        }
        if map.insert(container.to_owned(), id.to_owned()).is_some() {
            return None;
        }
    }
    (!map.is_empty()).then_some(map)
}

/// `AZURE_CLIENT_ID, AZURE_TENANT_ID`; each counts once.
fn variables(value: &str) -> Option<Vec<&'static str>> {
    let mut names = Vec::new();
    for name in value.split(',').map(str::trim) {
        let known = VARIABLES.into_iter().find(|known| *known == name)?;
        if !names.contains(&known) {
            names.push(known);
        }
    }
    Some(names)
}

/// The known annotation closest to `key`, if one is close enough to be meant.
fn nearest(key: &str) -> Option<&'static str> {
    let known: Vec<&'static str> = KNOWN.iter().map(|(known, ..)| *known).collect();
    spelling::nearest(key, &known, 3)
}

#[cfg(test)]
#[path = "annotations_tests.rs"]
mod tests;
