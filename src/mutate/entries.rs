//! Parts of a pod as they are written into the patch, with their fields in this order.

use serde::Serialize;
use std::borrow::Cow;

/// An entry of `env`.
#[derive(Debug, Serialize)]
pub(super) struct EnvEntry<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
}

/// An entry of the sidecar's `env`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum SidecarVariable<'a> {
    Value(EnvEntry<'a>),
    Field(FieldEntry),
}

/// An entry of `env` with a field of the pod.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FieldEntry {
    name: &'static str,
    value_from: FieldSource,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FieldSource {
    field_ref: FieldRef,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FieldRef {
    field_path: &'static str,
}

impl FieldEntry {
    pub(super) fn new(name: &'static str, field_path: &'static str) -> Self {
        Self { name, value_from: FieldSource { field_ref: FieldRef { field_path } } }
    }
}

/// An entry of `env` that the kubelet reads from a file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileKeyEntry<'a> {
    pub(super) name: &'a str,
    pub(super) value_from: FileKeySource<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileKeySource<'a> {
    pub(super) file_key_ref: FileKeyRefEntry<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileKeyRefEntry<'a> {
    pub(super) volume_name: &'a str,
    pub(super) path: &'a str,
    pub(super) key: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) optional: bool,
}

/// An entry of `volumeMounts`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MountEntry<'a> {
    pub(super) name: &'a str,
    pub(super) mount_path: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) read_only: bool,
}

/// A tmpfs among the volumes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MemoryVolumeEntry<'a> {
    name: &'a str,
    empty_dir: EmptyDir,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EmptyDir {
    medium: &'static str,
    size_limit: String,
}

impl<'a> MemoryVolumeEntry<'a> {
    pub(super) fn new(name: &'a str, size_limit: String) -> Self {
        Self { name, empty_dir: EmptyDir { medium: "Memory", size_limit } }
    }
}

/// The sidecar among the init containers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SidecarEntry<'a> {
    pub(super) name: &'static str,
    pub(super) image: &'a str,
    pub(super) command: [&'static str; 2],
    /// Absent in an init container that ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) restart_policy: Option<&'static str>,
    pub(super) env: Vec<SidecarVariable<'a>>,
    pub(super) resources: ResourcesEntry<'a>,
    pub(super) security_context: SecurityEntry,
    pub(super) volume_mounts: Vec<MountEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lifecycle: Option<Lifecycle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) startup_probe: Option<StartupProbe>,
}

/// The init container that adds the address of IMDS.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InterceptorEntry<'a> {
    pub(super) name: &'static str,
    pub(super) image: &'a str,
    pub(super) command: [&'static str; 2],
    pub(super) resources: ResourcesEntry<'a>,
    pub(super) security_context: SecurityEntry,
}

/// An entry of the pod's `sysctls`.
#[derive(Debug, Serialize)]
pub(super) struct SysctlEntry {
    pub(super) name: &'static str,
    pub(super) value: &'static str,
}

/// A pod's `securityContext`.
#[derive(Debug, Serialize)]
pub(super) struct PodSecurityEntry {
    pub(super) sysctls: [SysctlEntry; 1],
}

/// Requests and limits.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct ResourcesEntry<'a> {
    #[serde(skip_serializing_if = "AmountsEntry::is_empty")]
    pub(super) requests: AmountsEntry<'a>,
    #[serde(skip_serializing_if = "AmountsEntry::is_empty")]
    pub(super) limits: AmountsEntry<'a>,
}

/// Quantities.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct AmountsEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<Cow<'a, str>>,
}

impl AmountsEntry<'_> {
    fn is_empty(&self) -> bool {
        self.cpu.is_none() && self.memory.is_none()
    }
}

/// Of the sidecar: what Pod Security's `restricted` asks for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecurityEntry {
    allow_privilege_escalation: bool,
    capabilities: Capabilities,
    read_only_root_filesystem: bool,
    run_as_non_root: bool,
    run_as_user: i64,
    seccomp_profile: SeccompProfile,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_as_group: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Capabilities {
    #[serde(skip_serializing_if = "Option::is_none")]
    add: Option<[&'static str; 1]>,
    drop: [&'static str; 1],
}

#[derive(Debug, Serialize)]
struct SeccompProfile {
    r#type: &'static str,
}

impl SecurityEntry {
    pub(super) fn restricted(run_as_user: i64, run_as_group: Option<i64>) -> Self {
        Self {
            allow_privilege_escalation: false,
            capabilities: Capabilities { add: None, drop: ["ALL"] },
            read_only_root_filesystem: true,
            run_as_non_root: true,
            run_as_user,
            seccomp_profile: SeccompProfile { r#type: "RuntimeDefault" },
            run_as_group,
        }
    }

    /// Root that may change the network of its pod, and nothing else: the kernel gives a
    /// capability of the container to no other user.
    pub(super) fn network_admin() -> Self {
        Self {
            capabilities: Capabilities { add: Some(["NET_ADMIN"]), drop: ["ALL"] },
            run_as_non_root: false,
            ..Self::restricted(0, None)
        }
    }
}

/// A hook that holds the application back.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lifecycle {
    pub(super) post_start: Exec,
}

#[derive(Debug, Serialize)]
pub(super) struct Exec {
    pub(super) exec: Command,
}

#[derive(Debug, Serialize)]
pub(super) struct Command {
    pub(super) command: [Cow<'static, str>; 4],
}

/// A probe that holds the application back.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartupProbe {
    pub(super) exec: Command,
    pub(super) period_seconds: u32,
    pub(super) timeout_seconds: u64,
    pub(super) failure_threshold: u32,
}
