//! Annotations of a workload that belong on its pod template: the pods do not get them.

use super::manifest_pods::ManifestPod;
use crate::cluster::manifests::Document;
use crate::mutate::misplaced_annotation;

/// The warning for the first of them.
pub(super) fn warning(pod: &ManifestPod, document: &Document) -> Option<String> {
    // A bare pod is its own object.
    if pod.pointer.is_empty() {
        return None;
    }
    let (of_owner, of_pod) = (&document.value["metadata"], &pod.pod["metadata"]);
    let keys = of_owner["annotations"].as_object()?.keys().map(String::as_str);
    let kind = document.value["kind"].as_str().unwrap_or("object");
    misplaced_annotation(kind, keys, |key| !of_pod["annotations"][key].is_null())
}

#[cfg(test)]
mod tests {
    use super::super::manifest_pods::pods_of;
    use super::*;
    use serde_json::{Value, json};

    fn warned(owner: &Value, pod: &Value) -> Option<String> {
        let value = json!({"kind": "Deployment", "metadata": owner,
            "spec": {"template": {"metadata": pod, "spec": {"containers": []}}}});
        let document = Document { value, ..Document::default() };
        warning(&pods_of(&document).pods[0], &document)
    }

    #[test]
    fn what_a_pod_does_not_get_is_named() {
        let annotation = json!({"annotations": {"keysluice.dev/file.a": "secrets/a", "x": "y"}});
        let none = json!({});
        for (owner, pod, expected) in [
            (
                &annotation,
                &none,
                Some("KS291 annotation keysluice.dev/file.a is on the Deployment"),
            ),
            (&annotation, &annotation, None),
            (&none, &annotation, None),
            (&none, &Value::Null, None),
        ] {
            let warning = warned(owner, pod);
            assert_eq!(warning.is_some(), expected.is_some(), "{owner} {pod}: {warning:?}");
            assert!(warning.unwrap_or_default().starts_with(expected.unwrap_or_default()));
        }
        let value = json!({"kind": "Pod", "metadata": annotation, "spec": {"containers": []}});
        let document = Document { value, ..Document::default() };
        assert_eq!(warning(&pods_of(&document).pods[0], &document), None);
    }
}
