//! Containers: environment, mounts, users, resources.

use super::reference::{ConfigMapSource, SecretKeyRef, SecretName};
use crate::json::{Present, Quantity, Text, view};

view! {
    /// A container or init container.
    pub struct Container<'a> {
        /// Name.
        "name" name: Text<'a>,
        /// `Always` makes an init container a native sidecar.
        "restartPolicy" restart_policy: Option<Text<'a>>,
        /// What it starts instead of the image's entry point.
        "command" command: Option<Vec<Text<'a>>>,
        /// Arguments.
        "args" args: Option<Vec<Text<'a>>>,
        /// Environment; `None` where the field is absent or null.
        "env" env: Option<Vec<EnvVar<'a>>>,
        /// Sources of further variables, whose names are unknown at admission.
        "envFrom" env_from: Option<Vec<EnvFrom<'a>>>,
        /// Mounts; `None` where the field is absent or null.
        "volumeMounts" volume_mounts: Option<Vec<VolumeMount<'a>>>,
        /// Ports that it says it listens on.
        "ports" ports: Option<Vec<ContainerPort<'a>>>,
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
        "secretKeyRef" secret_key_ref: SecretKeyRef<'a>,
        /// A key of a file in a volume.
        "fileKeyRef" file_key_ref: FileKeyRef<'a>,
    }

    /// A key of a file in a volume; the name is empty where there is none.
    pub struct FileKeyRef<'a> {
        /// Name of the volume.
        "volumeName" volume_name: Text<'a>,
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

    /// One entry of `ports`.
    pub struct ContainerPort<'a> {
        /// The port.
        "containerPort" container_port: Option<i64>,
        /// `TCP` where it is absent.
        "protocol" protocol: Option<Text<'a>>,
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
        /// Settings of the kernel (pod level only).
        "sysctls" sysctls: Option<Vec<Sysctl<'a>>>,
        /// What root may (container level only).
        "capabilities" capabilities: Capabilities<'a>,
        /// What counts on Windows alone.
        "windowsOptions" windows_options: WindowsOptions,
    }

    /// One entry of `sysctls`.
    #[derive(Clone)]
    pub struct Sysctl<'a> {
        /// Name, with dots or slashes.
        "name" name: Text<'a>,
        /// Value.
        "value" value: Text<'a>,
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
