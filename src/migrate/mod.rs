//! Manifests of other injectors as those of Keysluice, and what a person must do. Objects in,
//! objects and a report out. Pure.
//!
//! Each source (`csi`, `pod_identity`, `akv2k8s`, `vault_agent`) changes the object that is wanted;
//! [`edited`] turns the difference into edits of lines, which leave the rest of a file alone.

mod akv2k8s;
mod akv2k8s_query;
mod csi;
mod edit;
mod guide;
mod names;
mod pod_identity;
mod report;
#[cfg(test)]
mod tests;
mod text;
mod vault_agent;

pub use report::{Item, Report, Section};
pub(crate) use text::prune;
pub use text::{FileError, edited};

use crate::mutate::{CLIENT_ID_ANNOTATION, USE_LABEL};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Namespace and name.
pub(crate) type Place = (String, String);

/// An object of the input.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// As it was read.
    pub value: Value,
    /// As it is to be.
    pub wanted: Value,
    /// Where its pod templates are, as JSON pointers; empty for a pod itself.
    pub pods: Vec<String>,
    /// Of an object that names none; empty where that is not known.
    pub namespace: String,
}

impl Object {
    /// An object and its pod templates.
    pub fn new(value: Value, pods: Vec<String>, namespace: &str) -> Self {
        Self { wanted: value.clone(), value, pods, namespace: namespace.to_owned() }
    }

    pub(crate) fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    pub(crate) fn place(&self) -> Place {
        let metadata = &self.value["metadata"];
        let namespace = metadata["namespace"].as_str().filter(|name| !name.is_empty());
        let name = metadata["name"].as_str().unwrap_or_default();
        (namespace.unwrap_or(&self.namespace).to_owned(), name.to_owned())
    }

    /// `Deployment app/web`
    pub(crate) fn owner(&self) -> String {
        format!("{} {}", self.kind(), written(&self.place()))
    }

    /// Whether it differs from what was read.
    pub fn is_changed(&self) -> bool {
        self.value != self.wanted
    }

    fn pod(&self, pointer: &str) -> &Value {
        self.wanted.pointer(pointer).unwrap_or(&Value::Null)
    }

    fn pod_mut(&mut self, pointer: &str) -> &mut Value {
        self.wanted.pointer_mut(pointer).expect("templates are found in the same object")
    }
}

/// An object that the input does not have.
#[derive(Debug, Clone, PartialEq)]
pub struct Addition {
    /// Why it is there.
    pub comment: String,
    /// The object.
    pub value: Value,
}

/// What the user says of objects that the input cannot tell.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Vault of objects that name none.
    pub vault: Option<String>,
    /// References by the paths of another store.
    pub paths: BTreeMap<String, String>,
}

/// Objects with what they are to be, what comes beside them, and the report.
#[derive(Debug, Default)]
pub struct Migration {
    /// In the order of the input.
    pub objects: Vec<Object>,
    /// New ones.
    pub additions: Vec<Addition>,
    /// What was done and what is left.
    pub report: Report,
    sources: BTreeSet<Source>,
    /// The first object of each kind, namespace and name.
    index: HashMap<(String, Place), usize>,
}

/// Where the input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    CsiDriver,
    PodIdentity,
    Akv2k8s,
    VaultAgent,
}

impl Migration {
    /// What becomes of these objects.
    pub fn of(objects: Vec<Object>, choices: &Choices) -> Self {
        let mut index = HashMap::new();
        for (number, object) in objects.iter().enumerate() {
            index.entry((object.kind().to_owned(), object.place())).or_insert(number);
        }
        let mut migration = Self { objects, index, ..Self::default() };
        pod_identity::rewrite(&mut migration);
        akv2k8s::rewrite(&mut migration);
        vault_agent::rewrite(&mut migration, choices);
        csi::rewrite(&mut migration);
        migration.objects.iter_mut().for_each(|object| text::prune(&mut object.wanted));
        migration
    }

    /// Adds the steps to the report, with the hosts that sidecars must reach.
    pub fn guide(&mut self, hosts: &BTreeSet<String>, has_roles: bool) {
        self.report.guides = guide::steps(&self.sources, hosts, has_roles);
    }

    fn find(&self, kind: &str, place: &Place) -> Option<usize> {
        self.index.get(&(kind.to_owned(), place.clone())).copied()
    }

    /// Every pod template of the input: index of its object, and pointer.
    fn pods(&self) -> Vec<(usize, String)> {
        let objects = self.objects.iter().enumerate();
        objects
            .flat_map(|(index, object)| {
                object.pods.iter().map(move |pointer| (index, pointer.clone()))
            })
            .collect()
    }

    /// Gives a ServiceAccount the client id, in the input or as an object beside it. An account
    /// that has another one keeps it.
    fn identify(&mut self, place: &Place, client_id: &str) -> Result<(), String> {
        let known = self.find("ServiceAccount", place).map(|index| &mut self.objects[index].wanted);
        let mut added = self.additions.iter_mut().map(|addition| &mut addition.value);
        let account = known.or_else(|| {
            added.find(|value| {
                let namespace = text(&value["metadata"], "namespace");
                value["kind"] == "ServiceAccount"
                    && namespace == place.0
                    && value["metadata"]["name"] == *place.1
            })
        });
        let Some(account) = account else {
            let mut value = json!({"apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": place.1, "namespace": place.0,
                    "annotations": {CLIENT_ID_ANNOTATION: client_id}}});
            without_empty_namespace(&mut value);
            let comment = format!(
                "The ServiceAccount {} is not in the input; if it exists in the cluster, applying \
                 this adds the annotation.",
                written(place)
            );
            self.additions.push(Addition { comment, value });
            return Ok(());
        };
        let known = account["metadata"]["annotations"][CLIENT_ID_ANNOTATION].as_str();
        match known.filter(|known| !known.trim().is_empty()) {
            Some(known) if !known.trim().eq_ignore_ascii_case(client_id) => Err(known.to_owned()),
            Some(_) => Ok(()),
            None => {
                set(account, "annotations", CLIENT_ID_ANNOTATION, client_id);
                Ok(())
            }
        }
    }
}

/// Sets a label or an annotation. Metadata that is not an object, which no API server takes, goes.
pub(crate) fn set(object: &mut Value, field: &str, key: &str, value: &str) {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let metadata = &mut object["metadata"];
    if !metadata[field].is_object() {
        metadata[field] = json!({});
    }
    metadata[field][key] = json!(value);
}

/// The label that opts a pod in.
fn select(pod: &mut Value) {
    set(pod, "labels", USE_LABEL, "true");
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

/// A field whatever its case, as Go reads it.
fn any_case<'v>(object: &'v Value, field: &str) -> Option<&'v Value> {
    let fields: Option<&Map<String, Value>> = object.as_object();
    fields?.iter().find(|(key, _)| key.eq_ignore_ascii_case(field)).map(|(_, value)| value)
}

/// `app/web`, or `web` where the namespace is not known.
fn written((namespace, name): &Place) -> String {
    if namespace.is_empty() { name.clone() } else { format!("{namespace}/{name}") }
}

/// Leaves the namespace open, as the input does.
fn without_empty_namespace(object: &mut Value) {
    if text(&object["metadata"], "namespace").is_empty()
        && let Some(metadata) = object["metadata"].as_object_mut()
    {
        metadata.shift_remove("namespace");
    }
}

/// The pod's ServiceAccount, `default` where it names none.
fn account_of(pod: &Value) -> String {
    let names = ["serviceAccountName", "serviceAccount"].map(|field| text(&pod["spec"], field));
    names.into_iter().find(|name| !name.is_empty()).unwrap_or("default").to_owned()
}
