//! A borrowed view of the raw pod: only what a decision needs is read, everything else is skipped
//! and survives untouched.
//!
//! To read a further field, add its line to the struct: doc comment, JSON key, name, type. Nothing
//! else knows the fields.

use crate::json::{self, JsonError, view};
pub use crate::json::{Present, Quantity, StringMap, Text};
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
    }

    /// `spec`.
    pub struct Spec<'a> {
        /// Empty means `default`.
        "serviceAccountName" service_account_name: Option<Text<'a>>,
        /// The older name of the same field; the API server copies one to the other.
        "serviceAccount" service_account: Option<Text<'a>>,
        /// Operating system.
        "os" os: Os<'a>,
        /// Labels a node must have.
        "nodeSelector" node_selector: StringMap<'a>,
        /// Where else it may run.
        "affinity" affinity: Affinity<'a>,
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
        "securityContext" security_context: SecurityContext<'a>,
    }

    /// `spec.os`.
    pub struct Os<'a> {
        /// `linux` or `windows`.
        "name" name: Text<'a>,
    }

    /// `spec.affinity`.
    pub struct Affinity<'a> {
        /// About nodes.
        "nodeAffinity" node: NodeAffinity<'a>,
    }

    /// `spec.affinity.nodeAffinity`.
    pub struct NodeAffinity<'a> {
        /// What a node must have.
        "requiredDuringSchedulingIgnoredDuringExecution" required: NodeSelector<'a>,
    }

    /// Terms of which a node must meet one.
    pub struct NodeSelector<'a> {
        /// The terms.
        "nodeSelectorTerms" terms: Option<Vec<NodeSelectorTerm<'a>>>,
    }

    /// Requirements that a node must meet together; a term without any meets no node.
    pub struct NodeSelectorTerm<'a> {
        /// About labels.
        "matchExpressions" expressions: Option<Vec<NodeRequirement<'a>>>,
        /// About fields: the node's name.
        "matchFields" fields: Option<Present>,
    }

    /// One requirement.
    pub struct NodeRequirement<'a> {
        /// Label.
        "key" key: Text<'a>,
        /// `In`, `NotIn`, `Exists`, …
        "operator" operator: Text<'a>,
        /// Values.
        "values" values: Option<Vec<Text<'a>>>,
    }

    /// A container or init container.
    pub struct Container<'a> {
        /// Name.
        "name" name: Text<'a>,
        /// `Always` makes an init container a native sidecar.
        "restartPolicy" restart_policy: Option<Text<'a>>,
        /// Environment; `None` where the field is absent or null.
        "env" env: Option<Vec<EnvVar<'a>>>,
        /// Sources of further variables, whose names nobody sees at admission.
        "envFrom" env_from: Option<Vec<EnvFrom<'a>>>,
        /// Mounts; `None` where the field is absent or null.
        "volumeMounts" volume_mounts: Option<Vec<VolumeMount<'a>>>,
        /// User and group of this container.
        "securityContext" security_context: SecurityContext<'a>,
        /// Requests and limits.
        "resources" resources: Resources<'a>,
    }

    /// One entry of `env`.
    pub struct EnvVar<'a> {
        /// Name.
        "name" name: Text<'a>,
        /// Literal value, possibly with `$(NAME)` references.
        "value" value: Option<Text<'a>>,
        /// Where the value comes from otherwise.
        "valueFrom" value_from: ValueFrom<'a>,
    }

    /// `valueFrom` of an entry of `env`.
    pub struct ValueFrom<'a> {
        /// A key of a Secret.
        "secretKeyRef" secret_key_ref: SecretName<'a>,
    }

    /// One entry of `envFrom`.
    pub struct EnvFrom<'a> {
        /// What the variables' names begin with.
        "prefix" prefix: Option<Text<'a>>,
        /// All keys of a ConfigMap.
        "configMapRef" config_map_ref: ConfigMapSource<'a>,
        /// All keys of a Secret.
        "secretRef" secret_ref: SecretName<'a>,
    }

    /// A reference to a Secret; the name is empty where there is none.
    pub struct SecretName<'a> {
        /// Its name.
        "name" name: Text<'a>,
        /// Whether the pod also starts without it.
        "optional" optional: Option<bool>,
    }

    /// One entry of `volumeMounts`.
    pub struct VolumeMount<'a> {
        /// Name of the volume.
        "name" name: Text<'a>,
        /// Where.
        "mountPath" mount_path: Text<'a>,
        /// Whether the container may not write.
        "readOnly" read_only: Option<bool>,
        /// A path within the volume.
        "subPath" sub_path: Option<Text<'a>>,
        /// The same with references to the environment.
        "subPathExpr" sub_path_expr: Option<Text<'a>>,
    }

    /// One volume; the sources we care about.
    pub struct Volume<'a> {
        /// Name.
        "name" name: Text<'a>,
        /// An inline CSI volume.
        "csi" csi: Option<Csi<'a>>,
        /// A Secret.
        "secret" secret: SecretVolumeSource<'a>,
        /// A projected volume.
        "projected" projected: Option<Projected<'a>>,
        /// A share of Azure Files, with its credentials in a Secret.
        "azureFile" azure_file: SecretVolumeSource<'a>,
    }

    /// An inline CSI volume.
    pub struct Csi<'a> {
        /// `secrets-store.csi.k8s.io` for those that concern us.
        "driver" driver: Text<'a>,
        /// Must be true for the Secrets Store CSI driver.
        "readOnly" read_only: Option<bool>,
        /// `secretProviderClass` and overrides of its parameters.
        "volumeAttributes" volume_attributes: StringMap<'a>,
        /// A Secret with service-principal credentials.
        "nodePublishSecretRef" node_publish_secret_ref: Option<SecretName<'a>>,
    }

    /// A volume with a Secret's keys.
    pub struct SecretVolumeSource<'a> {
        /// Name of the Secret; empty where there is none.
        "secretName" secret_name: Text<'a>,
        /// Whether the pod also starts without it.
        "optional" optional: Option<bool>,
    }

    /// A projected volume.
    pub struct Projected<'a> {
        /// Its sources.
        "sources" sources: Option<Vec<ProjectedSource<'a>>>,
    }

    /// One source of a projected volume.
    pub struct ProjectedSource<'a> {
        /// A ServiceAccount token.
        "serviceAccountToken" service_account_token: Option<ServiceAccountToken<'a>>,
        /// A ConfigMap.
        "configMap" config_map: Option<ConfigMapSource<'a>>,
        /// Keys of a Secret.
        "secret" secret: SecretName<'a>,
        /// A ClusterTrustBundle.
        "clusterTrustBundle" cluster_trust_bundle: Option<ClusterTrustBundleSource<'a>>,
    }

    /// A ConfigMap that is projected, or read into the environment.
    pub struct ConfigMapSource<'a> {
        /// Its name.
        "name" name: Text<'a>,
    }

    /// A projected ClusterTrustBundle.
    pub struct ClusterTrustBundleSource<'a> {
        /// Its signer.
        "signerName" signer_name: Text<'a>,
    }

    /// A projected ServiceAccount token.
    pub struct ServiceAccountToken<'a> {
        /// Audience.
        "audience" audience: Option<Text<'a>>,
        /// Lifetime in seconds.
        "expirationSeconds" expiration_seconds: Option<i64>,
        /// File below the volume.
        "path" path: Text<'a>,
    }

    /// The users and groups of a pod's or container's `securityContext`.
    #[derive(Clone)]
    pub struct SecurityContext<'a> {
        /// uid.
        "runAsUser" run_as_user: Option<i64>,
        /// gid.
        "runAsGroup" run_as_group: Option<i64>,
        /// Group of the pod's volumes (pod level only).
        "fsGroup" fs_group: Option<i64>,
        /// Further groups of all containers (pod level only).
        "supplementalGroups" supplemental_groups: Option<Vec<i64>>,
        /// What root may (container level only).
        "capabilities" capabilities: Capabilities<'a>,
        /// What counts on Windows alone.
        "windowsOptions" windows_options: WindowsOptions,
    }

    /// `windowsOptions` of a pod or container.
    #[derive(Clone)]
    pub struct WindowsOptions {
        /// A group-managed service account, by name.
        "gmsaCredentialSpecName" gmsa_credential_spec_name: Option<Present>,
        /// The same, written out.
        "gmsaCredentialSpec" gmsa_credential_spec: Option<Present>,
        /// User.
        "runAsUserName" run_as_user_name: Option<Present>,
        /// Whether it runs as a process of the node.
        "hostProcess" host_process: Option<bool>,
    }

    /// Capabilities beside the container runtime's defaults.
    #[derive(Clone)]
    pub struct Capabilities<'a> {
        /// Given.
        "add" add: Option<Vec<Text<'a>>>,
        /// Taken; `ALL` takes every one.
        "drop" drop: Option<Vec<Text<'a>>>,
    }

    /// Requests and limits.
    pub struct Resources<'a> {
        /// Limits.
        "limits" limits: Amounts<'a>,
        /// Requests.
        "requests" requests: Amounts<'a>,
    }

    /// Quantities of the two resources that decide the quality of service; a quantity may be a JSON
    /// string or number.
    pub struct Amounts<'a> {
        /// CPU.
        "cpu" cpu: Option<Quantity<'a>>,
        /// Memory.
        "memory" memory: Option<Quantity<'a>>,
    }
}

/// JSON pointer of a container: `/spec/containers/0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl Resources<'_> {
    /// Whether CPU is requested or limited.
    pub fn has_cpu(&self) -> bool {
        self.limits.cpu.is_some() || self.requests.cpu.is_some()
    }

    /// Whether memory is requested or limited.
    pub fn has_memory(&self) -> bool {
        self.limits.memory.is_some() || self.requests.memory.is_some()
    }
}

impl EnvFrom<'_> {
    /// Name of the ConfigMap or Secret.
    pub fn name(&self) -> &str {
        let (config_map, secret) = (&*self.config_map_ref.name, &*self.secret_ref.name);
        if config_map.is_empty() { secret } else { config_map }
    }
}

impl Container<'_> {
    /// Whether an init container is a native sidecar.
    pub fn is_native_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }

    /// Whether variables come from elsewhere.
    pub fn has_env_from(&self) -> bool {
        self.env_from.as_ref().is_some_and(|sources| !sources.is_empty())
    }

    /// Mounts, none where the field is absent.
    pub fn mounts(&self) -> &[VolumeMount<'_>] {
        self.volume_mounts.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_borrow_unless_they_are_escaped_and_nulls_read_as_absent() {
        let json = r#"{"kind":"Pod","metadata":{"name":"a\u0062","generateName":"p-","labels":null,"annotations":{"k":null,"x":"1","x":"2"}},
            "spec":{"containers":[{"name":"c","env":null,"resources":{"limits":{"cpu":1,"memory":"1Gi"}},"future":{"deep":[1,{}]}}],"volumes":null}}"#;
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
