//! Workloads that Reloader restarts by watching the CSI driver's objects, which the sidecar does
//! not write.

use super::manifest_pods::ManifestPod;
use crate::admission::Answer;
use crate::cluster::manifests::Document;
use crate::mutate::Note;
use crate::reason;

const ANNOTATIONS: [&str; 2] = [
    "secretproviderclass.reloader.stakater.com/reload",
    "secretproviderclass.reloader.stakater.com/auto",
];
const ON_CHANGE: &str = "keysluice.dev/on-change";

/// The warning for a pod whose volumes the sidecar serves, and that says nothing else about
/// changed files.
pub(super) fn warning(pod: &ManifestPod, document: &Document, answer: &Answer) -> Option<String> {
    let is_served = answer.notes.iter().any(|note| matches!(note, Note::Volume { .. }));
    let of_pod = &pod.pod["metadata"]["annotations"];
    if !is_served || of_pod[ON_CHANGE].is_string() {
        return None;
    }
    let of_owner = &document.value["metadata"]["annotations"];
    let key = ANNOTATIONS
        .iter()
        .find(|key| [of_pod, of_owner].iter().any(|annotations| is_on(&annotations[**key])))?;
    Some(format!(
        "{} annotation {key} has no effect: Reloader watches SecretProviderClassPodStatus, which \
         the sidecar does not write; hint: {}",
        reason::KS261,
        reason::KS261.fix
    ))
}

fn is_on(value: &serde_json::Value) -> bool {
    value.as_str().is_some_and(|value| !["", "false"].contains(&value))
}
