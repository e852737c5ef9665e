//! What the sidecar does at the Kubernetes API server: the Secrets that it keeps equal to files.

use crate::RelativePath;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Label of every Secret that a sidecar makes.
pub const MANAGED_LABEL: &str = "keysluice.dev/managed";
/// Annotation of a Secret with the class that declares it.
pub const CLASS_ANNOTATION: &str = "keysluice.dev/class";
/// Annotation of a Secret that gets no owner.
pub const KEEP_ANNOTATION: &str = "keysluice.dev/keep";
/// Label of every Secret that the Secrets Store CSI driver makes.
pub const DRIVER_LABEL: &str = "secrets-store.csi.k8s.io/managed";

/// Whether a namespace, volume or container can have this name: a DNS label (RFC 1123).
pub fn is_label(name: &str) -> bool {
    name.len() <= 63 && is_part(name)
}

/// Whether an object can have this name: a DNS subdomain (RFC 1123).
pub fn is_object_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_part)
}

fn is_part(part: &str) -> bool {
    !part.is_empty()
        && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !part.starts_with('-')
        && !part.ends_with('-')
}

/// Whether a Secret can have this key.
pub fn is_secret_key(key: &str) -> bool {
    (1..=253).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && key != "."
        && !key.starts_with("..")
}

/// How the sidecar reaches the API server, and on whose behalf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kubernetes {
    /// Absolute path of a projected volume with the files `token`, `ca.crt`, `namespace`, `name`
    /// and `uid` (of the pod).
    pub directory: String,
    /// Owners of the pod, which own its Secrets too; empty where no controller made the pod, and
    /// the pod itself is the owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<Owner>,
    /// Whether the Secrets Store CSI driver is installed and may write the same Secrets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_driver: bool,
}

/// An owner, as in `metadata.ownerReferences`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    /// `apps/v1`
    pub api_version: String,
    /// `ReplicaSet`
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// A Kubernetes Secret whose content is made from files (`secretObjects` of a class).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SyncedSecret {
    /// Name of the Secret.
    pub name: String,
    /// Its type, `Opaque`, `kubernetes.io/tls`, ….
    #[serde(rename = "type")]
    pub secret_type: String,
    /// Name of the class that declares it; marks the Secret as that class's.
    pub class: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Its keys.
    pub data: Vec<SecretKey>,
    /// Whether a Secret of that name without a mark is taken over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopt: bool,
    /// Whether it stays when its owners are gone: it gets no owner.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
}

/// A key of a Secret, and the file that it is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKey {
    /// Key in the Secret.
    pub key: String,
    /// Name of the volume with the file.
    pub volume: String,
    /// Path of the file below the volume.
    pub path: RelativePath,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_api_server() {
        for (name, subdomain, label) in [
            ("a", true, true),
            ("my-secret.v1", true, false),
            ("0", true, true),
            ("", false, false),
            ("A", false, false),
            ("a_b", false, false),
            ("-a", false, false),
            ("a-", false, false),
            ("a..b", false, false),
            ("a.-b", false, false),
            ("a/b", false, false),
            ("a\nb", false, false),
            ("ä", false, false),
        ] {
            assert_eq!((is_object_name(name), is_label(name)), (subdomain, label), "{name:?}");
        }
        assert!(is_object_name(&"a".repeat(253)) && !is_object_name(&"a".repeat(254)));
        assert!(is_label(&"a".repeat(63)) && !is_label(&"a".repeat(64)));
    }
}
