//! Labels and annotations that were meant to be those of Azure Workload Identity.

use crate::mutate::{CLIENT_ID_ANNOTATION, TENANT_ID_ANNOTATION, USE_LABEL};
use crate::spelling::nearest;
use serde_json::Value;

const MAX_EDITS: usize = 3;
/// What people write for `use`.
const SYNONYMS: [&str; 3] = [
    "azure.workload.identity/enabled",
    "azure.workload.identity/inject",
    "azure.workload.identity",
];

/// The label of a pod that was meant to be the one that selects it.
pub(super) fn label(pod: &Value) -> Option<&str> {
    let labels = pod["metadata"]["labels"].as_object()?;
    let mut keys = labels.keys().map(String::as_str);
    keys.find(|key| is_meant(key, USE_LABEL) || SYNONYMS.contains(key))
}

/// The annotation of a ServiceAccount that was meant to name a client or a tenant, and its right
/// name.
pub(super) fn annotation(account: &Value) -> Option<(&str, &'static str)> {
    let annotations = account["metadata"]["annotations"].as_object()?;
    let known = [CLIENT_ID_ANNOTATION, TENANT_ID_ANNOTATION];
    annotations.keys().find_map(|key| {
        let meant = known.into_iter().find(|known| is_meant(key, known))?;
        annotations.get(meant).is_none().then_some((key.as_str(), meant))
    })
}

fn is_meant(key: &str, known: &str) -> bool {
    key != known && nearest(key, &[known], MAX_EDITS).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn near_labels_are_found_and_others_are_not() {
        for (key, expected) in [
            ("azure.workload.identity/used", true),
            ("azure.workload.identiy/use", true),
            ("azure.workload.identity/Use", true),
            ("azure.workload.identity/enabled", true),
            ("azure.workload.identity/use", false),
            ("app", false),
        ] {
            let pod = json!({"metadata": {"labels": {key: "true"}}});
            assert_eq!(label(&pod).is_some(), expected, "{key}");
        }
    }

    #[test]
    fn near_annotations_are_found_unless_the_right_one_is_there_too() {
        let mut account =
            json!({"metadata": {"annotations": {"azure.workload.identity/client_id": "x"}}});
        assert_eq!(
            annotation(&account),
            Some(("azure.workload.identity/client_id", CLIENT_ID_ANNOTATION))
        );
        account["metadata"]["annotations"][CLIENT_ID_ANNOTATION] = json!("y");
        assert_eq!(annotation(&account), None);
    }
}
