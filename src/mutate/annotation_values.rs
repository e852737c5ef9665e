//! The values of annotations below `keysluice.dev/`.

use super::limits::MAX_ID_BYTES;
use super::names::VARIABLES;
use crate::provider_class::RefreshInterval;
use crate::quantity;
use crate::settings::CsiVolumes;
use keysluice_plan::is_object_name;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

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

/// One generation must fit beside another, and a tmpfs counts in pages.
const SMALLEST_VOLUME: u64 = 1 << 20;
/// What is in a tmpfs is memory of the node.
const LARGEST_VOLUME: u64 = 16 << 30;

/// Sets a field if there is a value for it.
pub(super) fn store<T>(field: &mut Option<T>, value: Option<T>) -> Option<()> {
    *field = Some(value?);
    Some(())
}

/// Of the sidecar; not above a limit that has been read.
pub(super) fn cpu_request(value: &str, limit: Option<&str>) -> Option<String> {
    let is_below = limit.is_none_or(|limit| quantity::nanos(value) <= quantity::nanos(limit));
    (quantity::is_cpu(value) && is_below).then(|| value.to_owned())
}

/// The same, not below a request that has been read.
pub(super) fn cpu_limit(value: &str, request: Option<&str>) -> Option<String> {
    let is_above = request.is_none_or(|request| quantity::nanos(value) >= quantity::nanos(request));
    (quantity::is_cpu_limit(value) && is_above).then(|| value.to_owned())
}

pub(super) fn csi_volumes(value: &str) -> Option<CsiVolumes> {
    value.parse().ok().filter(|choice| *choice != CsiVolumes::Auto)
}

pub(super) fn gate(value: &str) -> Option<Gate> {
    match value {
        "hook" => Some(Gate::Hook),
        "probe" => Some(Gate::Probe),
        "none" => Some(Gate::None),
        _ => None,
    }
}

pub(super) fn on_missing(value: &str) -> Option<OnMissing> {
    match value {
        "wait" => Some(OnMissing::Wait),
        "fail" => Some(OnMissing::Fail),
        _ => None,
    }
}

pub(super) fn interval(value: &str) -> Option<Duration> {
    value.parse::<RefreshInterval>().ok().map(RefreshInterval::duration)
}

pub(super) fn size(value: &str) -> Option<u64> {
    quantity::memory_bytes(value).filter(|bytes| (SMALLEST_VOLUME..=LARGEST_VOLUME).contains(bytes))
}

/// `app=ID; worker=ID`; each container once, with an id that can be one.
pub(super) fn by_container(value: &str) -> Option<BTreeMap<String, String>> {
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
pub(super) fn variables(value: &str) -> Option<Vec<&'static str>> {
    let mut names = Vec::new();
    for name in value.split(',').map(str::trim) {
        let known = VARIABLES.into_iter().find(|known| *known == name)?;
        if !names.contains(&known) {
            names.push(known);
        }
    }
    Some(names)
}

/// `db, tls`; names that Secrets can have.
pub(super) fn secrets(value: &str) -> Option<BTreeSet<String>> {
    value.split(',').map(str::trim).map(|name| is_object_name(name).then(|| name.into())).collect()
}
