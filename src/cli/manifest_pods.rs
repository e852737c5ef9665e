//! The pods that a manifest stands for: bare ones, and templates as their controller would create
//! them.

use crate::cluster::manifests::{Document, dotted};
use crate::mutate::{CSI_DRIVER, USE_LABEL};
use crate::pod::{Controller, EXAMPLE_HASH, EXAMPLE_UID, HASH_LABEL, template_pointer};
use crate::reason;
use serde_json::{Value, json};

const ON_CHANGE: &str = "keysluice.dev/on-change";
/// The groups of the API that Kubernetes itself has; the first is `v1`.
const BUILT_IN_GROUPS: [&str; 24] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

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
            _ if !makes_no_pods(object) && may_make_pods(object) => {
                found.skipped.push(format!(
                    "{} {owner}{}: not looked at: it has no pod template with spec.containers; \
                     hint: {}",
                    reason::KS739,
                    place(document),
                    reason::KS739.fix
                ));
            }
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
        "{} {owner}{}: not looked at: no containers: this is part of a pod, a kustomize patch; \
         hint: run explain on what \
         kubectl kustomize DIR prints",
        reason::KS739,
        place(document)
    )
}

/// File and line, if they are known.
fn place(document: &Document) -> String {
    let location = &document.location;
    if location.is_empty() { String::new() } else { format!(" ({location})") }
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

/// Whether Kubernetes itself defines the kind, and makes no pods of it: a `NetworkPolicy`, a
/// ServiceAccount, a ConfigMap.
fn makes_no_pods(object: &Value) -> bool {
    let Some(version) = object["apiVersion"].as_str() else { return false };
    let group = version.split_once('/').map_or("", |(group, _)| group);
    BUILT_IN_GROUPS.contains(&group)
        && template_pointer(object["kind"].as_str().unwrap_or_default()).is_none()
}

/// Whether an operator may make pods of it that matter here: it names a ServiceAccount, our label
/// or the CSI driver. A selector names pods that something else makes.
fn may_make_pods(object: &Value) -> bool {
    match object {
        Value::Object(fields) => fields.iter().any(|(key, value)| match key.as_str() {
            key if is_selector(key) => false,
            "serviceAccountName" | "serviceAccount" => !value.is_null(),
            "driver" if value.is_string() => value == CSI_DRIVER,
            key => key == USE_LABEL || may_make_pods(value),
        }),
        Value::Array(items) => items.iter().any(may_make_pods),
        _ => false,
    }
}

/// `selector`, `podSelector`, `endpointSelector`, and what stands in one.
fn is_selector(key: &str) -> bool {
    key == "matchLabels" || key.ends_with("Selector") || key == "selector"
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
    if controller.has_hash && (metadata["labels"].is_object() || metadata["labels"].is_null()) {
        metadata["labels"][HASH_LABEL] = json!(EXAMPLE_HASH);
    }
    metadata["ownerReferences"] = json!([{"apiVersion": controller.api_version,
        "kind": controller.kind, "name": controller.name, "uid": EXAMPLE_UID,
        "controller": true}]);
}

#[cfg(test)]
#[path = "manifest_pods_tests.rs"]
mod tests;
