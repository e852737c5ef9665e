//! A borrowed view of the raw pod: only what a decision needs is read, everything else is skipped
//! and survives untouched.
//!
//! To read a further field, add its line to the struct: doc comment, JSON key, name, type. Nothing
//! else knows the fields.

mod container;
mod node;
mod owner;
mod reference;
mod volume;
mod workload;

pub use container::*;
pub use node::*;
pub use owner::*;
pub use reference::*;
pub use volume::*;
pub use workload::*;

use crate::json::{self, Given, JsonError, view};
pub use crate::json::{Quantity, StringMap, Text};
use std::borrow::Cow;
use std::fmt;

view! {
    /// A pod, as far as we look.
    pub struct Pod<'a> {
        /// `Pod`; a request whose object has no kind is refused as the API machinery does.
        "kind" kind: Option<Text<'a>>,
        /// Name, labels, annotations.
        "metadata" metadata: Metadata<'a>,
        /// Containers and volumes.
        "spec" spec: Spec<'a>,
    }

    /// `metadata`.
    pub struct Metadata<'a> {
        /// Absent for pods made by a controller (then `generateName` is there).
        "name" name: Option<Text<'a>>,
        /// Prefix of the name to come.
        "generateName" generate_name: Option<Text<'a>>,
        /// Labels.
        "labels" labels: StringMap<'a>,
        /// Annotations.
        "annotations" annotations: StringMap<'a>,
        /// What controls the pod.
        "ownerReferences" owner_references: Option<Vec<OwnerReference<'a>>>,
    }

    /// `spec`.
    pub struct Spec<'a> {
        /// Empty means `default`.
        "serviceAccountName" service_account_name: Option<Text<'a>>,
        /// The older name of the same field; the API server copies one to the other.
        "serviceAccount" service_account: Option<Text<'a>>,
        /// What happens when a container ends; empty means `Always`.
        "restartPolicy" restart_policy: Option<Text<'a>>,
        /// Whether containers see each other's processes.
        "shareProcessNamespace" share_process_namespace: Option<bool>,
        /// Whether the network is the node's.
        "hostNetwork" host_network: Option<bool>,
        /// Operating system.
        "os" os: Os<'a>,
        /// Labels a node must have.
        "nodeSelector" node_selector: StringMap<'a>,
        /// Where else it may run.
        "affinity" affinity: Affinity<'a>,
        /// Taints of nodes that it may run on all the same.
        "tolerations" tolerations: Option<Vec<Toleration<'a>>>,
        /// What starts its containers.
        "runtimeClassName" runtime_class_name: Text<'a>,
        /// Secrets for pulling its images.
        "imagePullSecrets" image_pull_secrets: Option<Vec<SecretName<'a>>>,
        /// Requests and limits of the pod as a whole.
        "resources" resources: Resources<'a>,
        /// Init containers, native sidecars among them.
        "initContainers" init_containers: Option<Vec<Container<'a>>>,
        /// Containers.
        "containers" containers: Option<Vec<Container<'a>>>,
        /// Ephemeral containers, of a pod that runs.
        "ephemeralContainers" ephemeral_containers: Option<Vec<Container<'a>>>,
        /// Volumes.
        "volumes" volumes: Option<Vec<Volume<'a>>>,
        /// Users and groups for all containers.
        "securityContext" security_context: Given<SecurityContext<'a>>,
    }
}

/// JSON pointer of a container: `/spec/containers/0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer {
    /// `initContainers`, `containers` or `ephemeralContainers`.
    pub list: &'static str,
    /// Position in it.
    pub index: usize,
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("/spec/")?;
        f.write_str(self.list)?;
        write!(f, "/{}", self.index)
    }
}

impl json::Path for Pointer {
    fn append_to(&self, json: &mut Vec<u8>) {
        ("/spec/", self.list, "/", self.index).append_to(json);
    }
}

impl<'a> Pod<'a> {
    /// Reads a pod that is a document of its own.
    pub fn from_json(json: &'a [u8]) -> Result<Self, JsonError> {
        json::from_slice(json)
    }

    /// Name as Azure Workload Identity hashes it: the name, else the generated prefix marked as
    /// one.
    pub fn display_name(&self) -> Cow<'_, str> {
        match (self.metadata.name.as_deref(), self.metadata.generate_name.as_deref()) {
            (Some(name), _) if !name.is_empty() => Cow::Borrowed(name),
            (_, prefix) => Cow::Owned(format!("{} (prefix)", prefix.unwrap_or_default())),
        }
    }

    /// The ServiceAccount the pod runs as.
    pub fn service_account(&self) -> &str {
        let names = [&self.spec.service_account_name, &self.spec.service_account];
        names
            .into_iter()
            .flatten()
            .map(|name| &**name)
            .find(|name| !name.is_empty())
            .unwrap_or("default")
    }

    /// Init containers, none where the field is absent.
    pub fn init_containers(&self) -> &[Container<'a>] {
        self.spec.init_containers.as_deref().unwrap_or_default()
    }

    /// Containers, none where the field is absent.
    pub fn containers(&self) -> &[Container<'a>] {
        self.spec.containers.as_deref().unwrap_or_default()
    }

    /// Ephemeral containers, none where the field is absent.
    pub fn ephemeral_containers(&self) -> &[Container<'a>] {
        self.spec.ephemeral_containers.as_deref().unwrap_or_default()
    }

    /// Volumes, none where the field is absent.
    pub fn volumes(&self) -> &[Volume<'a>] {
        self.spec.volumes.as_deref().unwrap_or_default()
    }

    /// Both kinds of containers with the JSON pointer of each, init containers first.
    pub fn all_containers(&self) -> impl Iterator<Item = (Pointer, &Container<'a>)> {
        let init = self.init_containers().iter().enumerate();
        let main = self.containers().iter().enumerate();
        let init =
            init.map(|(index, container)| (Pointer { list: "initContainers", index }, container));
        init.chain(
            main.map(|(index, container)| (Pointer { list: "containers", index }, container)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_borrow_unless_they_are_escaped_and_nulls_read_as_absent() {
        let json = r#"{"kind":"Pod","metadata":{"name":"a\u0062","generateName":"p-","labels":null,
            "annotations":{"k":null,"x":"1","x":"2"}},
            "spec":{"containers":[{"name":"c","env":null,"resources":{"limits":{"cpu":1,
            "memory":"1Gi"}},"future":{"deep":[1,{}]}}],"volumes":null}}"#;
        let pod = Pod::from_json(json.as_bytes()).unwrap();
        assert_eq!(pod.display_name(), "ab");
        assert!(
            json.as_bytes().as_ptr_range().contains(&pod.kind.as_ref().unwrap().as_ptr()),
            "borrowed"
        );
        assert_eq!(pod.metadata.annotations.find("k"), Some(""));
        assert_eq!(pod.metadata.annotations.find("x"), Some("2"));
        assert!(
            pod.containers()[0].env.is_none()
                && pod.volumes().is_empty()
                && pod.init_containers().is_empty()
        );
        assert_eq!(&*pod.containers()[0].resources.limits.cpu.as_ref().unwrap().0, "1");
        assert_eq!(pod.service_account(), "default");
    }

    #[test]
    fn a_generated_name_is_marked_as_a_prefix() {
        let pod = Pod::from_json(br#"{"metadata":{"generateName":"nginx-7c5ddbdf54-"}}"#).unwrap();
        assert_eq!(pod.display_name(), "nginx-7c5ddbdf54- (prefix)");
    }
}
