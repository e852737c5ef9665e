//! What the sidecar does at the Kubernetes API server: the Secrets that it keeps equal to files.

use crate::RelativePath;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Whether a Secret of that name that nobody marked is taken over.
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
