//! Annotations below `keysluice.dev/`: typed, unknown ones refused.

pub use super::annotation_table::{Annotation, KNOWN};
use super::annotation_values::{Gate, OnMissing};
use super::inline_annotations::{self, InlineAnnotations};
use super::limits::MAX_ANNOTATIONS_BYTES;
use super::on_change::OnChange;
use super::refusal::{Cause, Refusal, cut};
use super::served::SecretVolume;
use crate::pod::Pod;
pub(super) use crate::provider_class::Mode;
use crate::settings::{CsiVolumes, TokenLayout};
use crate::spelling;
use std::collections::{BTreeMap, BTreeSet};
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
    /// `keysluice.dev/mode`, over the classes'.
    pub mode: Option<Mode>,
    /// `keysluice.dev/on-missing`.
    pub on_missing: Option<OnMissing>,
    /// `keysluice.dev/size-limit`: bytes of each tmpfs.
    pub size_limit: Option<u64>,
    /// `keysluice.dev/adopt-secrets`: Secrets that are taken over from whoever made them.
    pub adopt_secrets: BTreeSet<String>,
    /// `keysluice.dev/keep-secrets`: Secrets that stay when their owners are gone.
    pub keep_secrets: BTreeSet<String>,
    /// `keysluice.dev/on-change` and what belongs to it.
    pub on_change: OnChange,
    /// What it says about files and variables without a class.
    pub inline: InlineAnnotations,
    /// `keysluice.dev/synced-secrets`, as an earlier run wrote it.
    pub synced_secrets: Option<String>,
    /// `keysluice.dev/reaction-right`, as an earlier run wrote it.
    pub reaction_right: Option<String>,
    /// `keysluice.dev/secrets-updated`, as a sidecar wrote it into the template.
    pub secrets_updated: Option<String>,
}

const PREFIX: &str = "keysluice.dev/";

const GATE: &str = "keysluice.dev/gate";
pub(super) const CSI_VOLUMES: &str = "keysluice.dev/csi-volumes";
pub(super) const ADOPT_SECRETS: &str = "keysluice.dev/adopt-secrets";
pub(super) const KEEP_SECRETS: &str = "keysluice.dev/keep-secrets";
pub(super) const ON_CHANGE: &str = "keysluice.dev/on-change";
pub(super) const ON_CHANGE_OF: &str = "keysluice.dev/on-change-of";
pub(super) const ON_CHANGE_SPREAD: &str = "keysluice.dev/on-change-spread";

impl Annotations {
    /// Reads and checks them.
    pub fn read(pod: &Pod<'_>) -> Result<Self, Refusal> {
        let mut read = Self::default();
        let (mut has_gate, mut bytes) = (false, 0);
        for (key, value) in pod.metadata.annotations.below(PREFIX) {
            let is_inline = inline_annotations::is_reference(key);
            let known = KNOWN.iter().find(|known| known.key == key);
            if known.is_none() && !is_inline {
                let cause = Cause::UnknownAnnotation { key: cut(key), nearest: nearest(key) };
                return Err(cause.into());
            }
            bytes += key.len() + value.len();
            if bytes > MAX_ANNOTATIONS_BYTES {
                let (of, limit) = (PREFIX, MAX_ANNOTATIONS_BYTES);
                return Err(Cause::AnnotationsSize { of, limit }.into());
            }
            if is_inline {
                read.inline.take(key, value);
                continue;
            }
            let Some(known) = known else { continue };
            has_gate |= key == GATE;
            (known.set)(&mut read, value).ok_or_else(|| Cause::AnnotationValue {
                key: known.key,
                value: cut(value),
                expected: known.takes,
            })?;
        }
        if !has_gate && read.waits() {
            read.gate = Gate::Probe;
        }
        if read.waits() && read.gate == Gate::Hook {
            // The kubelet deletes no pod while a postStart hook runs: an unbounded wait must not be
            // a hook.
            let value = "hook".to_owned();
            return Err(Cause::AnnotationValue {
                key: GATE,
                value,
                expected: "probe or none together with on-missing: wait",
            }
            .into());
        }
        Ok(read)
    }

    /// How the secrets come into these volumes: as the pod says, or as all their classes say.
    pub(super) fn mode(&self, volumes: &[SecretVolume<'_>]) -> Mode {
        let is_init = |volume: &SecretVolume<'_>| volume.plan.mode == Some(Mode::Init);
        let of_classes = if volumes.iter().all(is_init) { Mode::Init } else { Mode::Sidecar };
        self.mode.unwrap_or(of_classes)
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

/// The known annotation closest to `key`, if one is close enough to be meant.
fn nearest(key: &str) -> Option<&'static str> {
    let known: Vec<&'static str> = KNOWN.iter().map(|known| known.key).collect();
    inline_annotations::nearest(key).or_else(|| spelling::nearest(key, &known, 3))
}

#[cfg(test)]
#[path = "annotations_tests.rs"]
mod tests;
