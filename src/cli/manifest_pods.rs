//! The pods that a manifest stands for: bare ones, and templates as their controller would create them.

use crate::cluster::manifests::Document;
use serde_json::{Value, json};

/// A pod of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ManifestPod {
    /// `Deployment default/app`.
    pub(super) owner: String,
    /// Namespace, `default` where none is written.
    pub(super) namespace: String,
    /// The pod as it reaches the API server.
    pub(super) pod: Value,
}

/// The pod of an object, if it has one.
pub(super) fn pod_of(document: &Document) -> Option<ManifestPod> {
    let object = &document.value;
    let kind = object["kind"].as_str()?;
    let template = match kind {
        "Pod" => object.clone(),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job" => {
            from_template(object, &object["spec"]["template"])
        }
        "CronJob" => from_template(object, &object["spec"]["jobTemplate"]["spec"]["template"]),
        "PodTemplate" => from_template(object, &object["template"]),
        _ => return None,
    };
    let metadata = &object["metadata"];
    let namespace = metadata["namespace"].as_str().filter(|name| !name.is_empty()).unwrap_or("default").to_owned();
    let name = metadata["name"].as_str().or_else(|| metadata["generateName"].as_str()).unwrap_or("(no name)");
    Some(ManifestPod { owner: format!("{kind} {namespace}/{name}"), namespace, pod: template })
}

/// A controller's pod: the template's metadata and spec, and a generated name.
fn from_template(owner: &Value, template: &Value) -> Value {
    let mut metadata = template["metadata"].clone();
    if !metadata.is_object() {
        metadata = json!({});
    }
    metadata["generateName"] = json!(format!("{}-", owner["metadata"]["name"].as_str().unwrap_or_default()));
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(value: Value) -> Option<ManifestPod> {
        pod_of(&Document { origin: "x".to_owned(), value })
    }

    #[test]
    fn templates_become_pods_with_a_generated_name() {
        for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"] {
            let object = json!({"kind": kind, "metadata": {"name": "app", "namespace": "n"},
                "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}}});
            let found = pod(object).unwrap();
            assert_eq!((found.owner, found.namespace), (format!("{kind} n/app"), "n".to_owned()));
            assert_eq!(found.pod["metadata"], json!({"labels": {"a": "b"}, "generateName": "app-"}));
        }
        let object = json!({"kind": "CronJob", "metadata": {"name": "c"}, "spec": {"jobTemplate": {"spec": {"template": {"spec": {"x": 1}}}}}});
        assert_eq!(pod(object).unwrap().pod["spec"], json!({"x": 1}));
    }

    #[test]
    fn other_kinds_have_none() {
        assert_eq!(pod(json!({"kind": "Service"})), None);
        assert_eq!(pod(json!({"kind": "Pod", "metadata": {"name": "p"}})).unwrap().namespace, "default");
    }
}
