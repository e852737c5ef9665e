//! The pods that a manifest stands for: bare ones, and templates as their controller would create
//! them.

use crate::cluster::manifests::{Document, dotted};
use crate::mutate::{CSI_DRIVER, USE_LABEL};
use crate::pod::{Controller, EXAMPLE_HASH, EXAMPLE_UID, HASH_LABEL, template_pointer};
use crate::reason;
use serde_json::{Value, json};

const ON_CHANGE: &str = "keysluice.dev/on-change";

/// A pod of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ManifestPod {
    /// `Deployment default/app`; with the template's path where an object has several.
    pub(super) owner: String,
    /// Namespace, `default` where none is written.
    pub(super) namespace: String,
    /// Whether the manifest names the namespace.
    pub(super) is_placed: bool,
    /// Where in the object the pod stands, as a JSON pointer; empty for a bare pod.
    pub(super) pointer: String,
    /// The pod as it reaches the API server.
    pub(super) pod: Value,
}

/// What an object comes to.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) pods: Vec<ManifestPod>,
    /// Why a pod, or what may hold one, is not looked at.
    pub(super) skipped: Vec<String>,
}

/// The pods of an object: itself, or every pod template in it, whatever the kind.
pub(super) fn pods_of(document: &Document) -> Found {
    let object = &document.value;
    let kind = object["kind"].as_str().unwrap_or_default();
    let mut found = Found::default();
    // Its schema may have the shape of a pod.
    if kind == "CustomResourceDefinition" {
        return found;
    }
    let metadata = &object["metadata"];
    let written = metadata["namespace"].as_str().filter(|name| !name.is_empty());
    let namespace = written.unwrap_or("default").to_owned();
    let name = metadata["name"]
        .as_str()
        .or_else(|| metadata["generateName"].as_str())
        .unwrap_or("(no name)");
    let owner = format!("{kind} {namespace}/{name}");
    if kind == "Pod" {
        // What is not selected is let through, whatever it lacks.
        let is_selected = object["metadata"]["labels"][USE_LABEL] == "true";
        // Containers of another type are refused as such.
        if !object["spec"]["containers"].is_null() || !is_selected {
            let (is_placed, pointer) = (written.is_some(), String::new());
            found.pods.push(ManifestPod {
                owner,
                namespace,
                is_placed,
                pointer,
                pod: object.clone(),
            });
        } else {
            found.skipped.push(part(&owner, document));
        }
        return found;
    }
    let mut templates = Vec::new();
    find_templates(object, &mut String::new(), &mut templates);
    if let (true, Some(pointer)) = (templates.is_empty(), template_pointer(kind)) {
        let template =
            object.pointer(pointer).filter(|template| !template["spec"]["containers"].is_null());
        templates.extend(template.map(|template| (pointer.to_owned(), template)));
    }
    if templates.is_empty() {
        match template_pointer(kind)
            .map(|_| object["spec"].is_null() && object["template"].is_null())
        {
            Some(false) => found.skipped.push(part(&owner, document)),
            _ if may_make_pods(object) => found.skipped.push(format!(
                "{} {owner} ({}): not looked at: it has no pod template with spec.containers; \
                 hint: {}",
                reason::KS739,
                document.location,
                reason::KS739.fix
            )),
            _ => {}
        }
    }
    let several = templates.len() > 1;
    for (pointer, template) in templates {
        let owner = if several { format!("{owner} ({})", dotted(&pointer)) } else { owner.clone() };
        let (namespace, is_placed) = (namespace.clone(), written.is_some());
        found.pods.push(ManifestPod {
            owner,
            namespace,
            is_placed,
            pointer,
            pod: from_template(object, template),
        });
    }
    found
}

/// A pod without containers.
fn part(owner: &str, document: &Document) -> String {
    format!(
        "{} {owner} ({}): not looked at: no containers: this is part of a pod, a kustomize patch; \
         hint: run explain on what \
         kubectl kustomize DIR prints",
        reason::KS739,
        document.location
    )
}

/// Every map whose `spec` has a list of containers. Within a template there is no other.
fn find_templates<'v>(
    value: &'v Value,
    pointer: &mut String,
    found: &mut Vec<(String, &'v Value)>,
) {
    if !pointer.is_empty() && value["spec"]["containers"].is_array() {
        found.push((pointer.clone(), value));
        return;
    }
    let length = pointer.len();
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                *pointer += &format!("/{}", key.replace('~', "~0").replace('/', "~1"));
                find_templates(value, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                *pointer += &format!("/{index}");
                find_templates(value, pointer, found);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}

/// Whether an operator may make pods of it that matter here: it names a ServiceAccount, our label
/// or the CSI driver.
fn may_make_pods(object: &Value) -> bool {
    match object {
        Value::Object(fields) => fields.iter().any(|(key, value)| match key.as_str() {
            "serviceAccountName" | "serviceAccount" => !value.is_null(),
            "driver" => value == CSI_DRIVER,
            key => key == USE_LABEL || may_make_pods(value),
        }),
        Value::Array(items) => items.iter().any(may_make_pods),
        _ => false,
    }
}

/// A controller's pod: the template's metadata and spec, and a generated name.
fn from_template(owner: &Value, template: &Value) -> Value {
    let mut metadata = template["metadata"].clone();
    if !metadata.is_object() {
        metadata = json!({});
    }
    let name = owner["metadata"]["name"].as_str().unwrap_or_default();
    metadata["generateName"] = json!(format!("{name}-"));
    // What follows is needed for these reactions alone.
    if ["evict", "rollout"].iter().any(|action| metadata["annotations"][ON_CHANGE] == *action) {
        add_controller(&mut metadata, owner, name);
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

/// What the controller adds.
fn add_controller(metadata: &mut Value, owner: &Value, name: &str) {
    let kind = owner["kind"].as_str().unwrap_or_default();
    let controller = Controller::of(owner["apiVersion"].as_str(), kind, name);
    if controller.has_hash {
        metadata["labels"][HASH_LABEL] = json!(EXAMPLE_HASH);
    }
    metadata["ownerReferences"] = json!([{"apiVersion": controller.api_version,
        "kind": controller.kind, "name": controller.name, "uid": EXAMPLE_UID,
        "controller": true}]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(value: Value) -> Found {
        pods_of(&Document { origin: "x.yaml".to_owned(), value, ..Document::default() })
    }

    #[test]
    fn templates_become_pods_with_a_generated_name() {
        for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Rollout"] {
            let object = json!({"kind": kind, "metadata": {"name": "app", "namespace": "n"},
                "spec": {"template": {"metadata": {"labels": {"a": "b"}},
                    "spec": {"containers": []}}}});
            let pod = found(object).pods.remove(0);
            assert_eq!((pod.owner, pod.namespace), (format!("{kind} n/app"), "n".to_owned()));
            assert_eq!(pod.pod["metadata"], json!({"labels": {"a": "b"}, "generateName": "app-"}));
        }
        let object = json!({"kind": "CronJob", "metadata": {"name": "c"},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}}}});
        assert_eq!(found(object).pods[0].pod["spec"], json!({"containers": []}));
    }

    #[test]
    fn kind_k_a_pod_template_is_found_wherever_it_stands() {
        let template = json!({"spec": {"containers": [{"name": "app"}]}});
        for (object, pointers) in [
            (
                json!({"kind": "ScaledJob", "spec": {"jobTargetRef": {"template": template}}}),
                &["/spec/jobTargetRef/template"][..],
            ),
            (
                json!({"kind": "AutoscalingRunnerSet", "spec": {"template": template}}),
                &["/spec/template"],
            ),
            (json!({"kind": "PodTemplate", "template": template}), &["/template"]),
            (
                json!({"kind": "RayCluster",
                    "spec": {"headGroupSpec": {"template": template},
                    "workerGroupSpecs": [{"template": template}]}}),
                &["/spec/headGroupSpec/template", "/spec/workerGroupSpecs/0/template"],
            ),
            (
                json!({"kind": "Workflow", "spec": {"podSpecs": {"a/b": template}}}),
                &["/spec/podSpecs/a~1b"],
            ),
            (json!({"kind": "CustomResourceDefinition", "spec": template}), &[]),
        ] {
            let pods = found(object.clone()).pods;
            let found: Vec<_> = pods.iter().map(|pod| pod.pointer.as_str()).collect();
            assert_eq!(found, pointers, "{object}");
            assert!(pods.iter().all(|pod| pod.owner.contains('(') || pods.len() == 1), "{object}");
        }
    }

    #[test]
    fn kind_k_what_has_no_template_is_named_if_it_may_make_pods() {
        for (object, named) in [
            (
                json!({"kind": "OpenTelemetryCollector",
                    "spec": {"serviceAccount": "web", "image": "otel"}}),
                true,
            ),
            (
                json!({"kind": "HelmRelease",
                    "spec": {"values": {"podLabels": {"azure.workload.identity/use": "true"}}}}),
                true,
            ),
            (json!({"kind": "Service", "spec": {"selector": {"app": "web"}}}), false),
            (json!({"kind": "ConfigMap", "data": {"a": "serviceAccountName"}}), false),
            (
                json!({"kind": "RoleBinding",
                    "subjects": [{"kind": "ServiceAccount", "name": "web"}]}),
                false,
            ),
        ] {
            let found = found(object.clone());
            assert!(found.pods.is_empty(), "{object}");
            assert_eq!(found.skipped.len(), usize::from(named), "{object}: {:?}", found.skipped);
            assert!(
                found
                    .skipped
                    .iter()
                    .all(|text| text.starts_with("KS739 ") && text.contains("not looked at"))
            );
        }
    }

    #[test]
    fn kind_f6_a_part_of_a_pod_is_said_to_be_one() {
        for object in [
            json!({"kind": "Deployment",
                "spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}),
            json!({"kind": "Deployment",
                "spec": {"template": {"spec": {"serviceAccountName": "web"}}}}),
            json!({"kind": "CronJob",
                "spec": {"jobTemplate": {"spec": {"template": {"spec": {}}}}}}),
            json!({"kind": "Pod", "metadata": {"labels": {"azure.workload.identity/use": "true"}},
                "spec": {}}),
            json!({"kind": "Pod", "metadata": {"labels": {"azure.workload.identity/use": "true"}}}),
        ] {
            let found = found(object.clone());
            assert!(
                found.pods.is_empty()
                    && found.skipped[0].contains("no containers: this is part of a pod"),
                "{object}"
            );
        }
    }

    #[test]
    fn other_kinds_have_none() {
        let none = found(json!({"kind": "Service"}));
        assert!(none.pods.is_empty() && none.skipped.is_empty());
        let pod =
            found(json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": []}}))
                .pods
                .remove(0);
        assert_eq!((pod.namespace.as_str(), pod.is_placed), ("default", false));
    }
}
