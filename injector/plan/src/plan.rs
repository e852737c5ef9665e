//! The Plan: what to fetch, as whom, and where to put it.

use crate::{
    FileMode, JsonPath, Kubernetes, LogFormat, ManagedIdentityEndpoint, ObjectName, ObjectVersion,
    Reaction, RelativePath, Source, SyncedSecret, Template, TokenProxy, VariableName, VaultUrl,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Environment variable that carries the Plan to the sidecar.
pub const PLAN_ENV: &str = "KEYSLUICE_PLAN";

/// A day: a start never takes longer, and sums of times stay in range.
pub const LONGEST_WAIT_SECONDS: u64 = 86_400;

/// Most versions of a history. Key Vault keeps every version, but backs up no object of more than
/// 500.
pub const MOST_VERSIONS: u32 = 500;

/// Everything the sidecar does for one pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// Always 1 in this version.
    pub schema: PlanSchema,
    /// Private memory-backed directory of the sidecar: control socket and state.
    #[serde(default = "default_run_directory")]
    pub run_directory: String,
    /// Seconds until a start without a first generation is given up with a reason; absent means
    /// wait for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timeout_seconds: Option<u64>,
    /// PEM of certificate authorities trusted beside the compiled-in roots (private clouds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_ca: Option<String>,
    /// Who fetches; referred to by name from [`File::identity`].
    pub identities: Vec<Identity>,
    /// Where files go.
    pub volumes: Vec<Volume>,
    /// The API server, where anything below needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Kubernetes>,
    /// Kubernetes Secrets that are made from the files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SyncedSecret>,
    /// What is done after files have changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaction: Option<Reaction>,
    /// Absolute path of a directory that gets a copy of the sidecar's program, for containers that
    /// start with `exec`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program_directory: Option<String>,
    /// Where a running pod asks for its current Plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The managed-identity endpoint that the sidecar serves in the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_identity: Option<ManagedIdentityEndpoint>,
    /// Port on which the sidecar serves its metrics, from 1024.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_port: Option<u16>,
    /// How the sidecar writes its log, unless its command line says.
    #[serde(default, skip_serializing_if = "LogFormat::is_json")]
    pub log_format: LogFormat,
}

fn default_run_directory() -> String {
    "/run/keysluice".to_owned()
}

/// Schema version of a Plan; parses from and prints as the number 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PlanSchema;

impl From<PlanSchema> for u32 {
    fn from(_: PlanSchema) -> Self {
        1
    }
}

impl TryFrom<u32> for PlanSchema {
    type Error = String;
    fn try_from(value: u32) -> Result<Self, Self::Error> {
        if value == 1 {
            Ok(Self)
        } else {
            Err(format!(
                "schema {value} is not supported by this sidecar (it knows schema 1); use images \
                 of one release"
            ))
        }
    }
}

/// One identity: a way to get an access token for one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// Name within the Plan.
    pub name: String,
    /// OAuth scope, `https://vault.azure.net/.default`; the resource is the scope without
    /// `/.default`.
    pub scope: String,
    /// How the token is obtained.
    pub credential: Credential,
}

/// A way to get a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Credential {
    /// The pod's projected ServiceAccount token, exchanged at Entra.
    Federated {
        /// Client id of the app registration or user-assigned identity.
        client_id: String,
        /// Tenant id or domain.
        tenant_id: String,
        /// Absolute path of the projected token in the sidecar.
        token_file: String,
        /// Authority, `https://login.microsoftonline.com/`.
        authority: String,
        /// Takes the request in the place of the authority.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_proxy: Option<Box<TokenProxy>>,
    },
    /// A service principal, whose secret or certificate is in a mounted Kubernetes Secret.
    ServicePrincipal {
        /// Tenant id or domain.
        tenant_id: String,
        /// Absolute path of the mounted Secret in the sidecar; it holds the client id too.
        directory: String,
        /// Authority, `https://login.microsoftonline.com/`.
        authority: String,
    },
    /// The node's managed identity through IMDS.
    ManagedIdentity {
        /// Client id of a user-assigned identity; absent means the system-assigned one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
        /// Base URL of IMDS, `http://169.254.169.254/`.
        endpoint: String,
    },
}

/// One directory of files, swapped together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    /// Name of the pod's volume, for messages.
    pub name: String,
    /// Absolute path of the volume in the sidecar.
    pub directory: String,
    /// Seconds between refreshes.
    pub refresh_interval_seconds: u64,
    /// The files; may be empty (an empty volume).
    pub files: Vec<File>,
    /// Sets of objects whose names only the vault knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selections: Vec<Selection>,
    /// Files that are made of the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<TemplateFile>,
}

/// One file that a template makes of the volume's other files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TemplateFile {
    /// Path below the volume.
    pub path: RelativePath,
    /// Mode of the file.
    pub mode: FileMode,
    /// Group id of the file, one of the sidecar's groups; absent means the directory's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// What it is made of.
    pub template: Template,
}

/// One file (with `history` several) and the vault object it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct File {
    /// Path below the volume; with `history` a directory of the files `0` (the newest), `1`, ….
    pub path: RelativePath,
    /// Mode of the file.
    pub mode: FileMode,
    /// Name of the [`Identity`] that fetches it.
    pub identity: String,
    /// The vault.
    pub vault: VaultUrl,
    /// secret, key or cert.
    #[serde(rename = "type")]
    pub object_type: ObjectType,
    /// Name of the object in the vault.
    pub name: ObjectName,
    /// Pinned version; absent means the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<ObjectVersion>,
    /// pem or pfx, for secrets that back a certificate.
    #[serde(default, skip_serializing_if = "is_default")]
    pub format: ObjectFormat,
    /// How a secret's value is decoded before it is written.
    #[serde(default, skip_serializing_if = "is_default")]
    pub encoding: ObjectEncoding,
    /// Number of versions, 2 or more; absent means one file at `path` itself. `version` is then the
    /// newest one to take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<u32>,
    /// Which part of a certificate-backed object; absent means what the Azure provider writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Whether a certificate-backed secret also makes `PATH.crt` (its certificates) and `PATH.key`
    /// (its other blocks).
    #[serde(default, skip_serializing_if = "is_default")]
    pub split: bool,
    /// Field of a secret that is a JSON document: `database.password`, `hosts[0].name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_key: Option<JsonPath>,
    /// Whether the file is left out while the vault has no such object.
    #[serde(default, skip_serializing_if = "is_default")]
    pub optional: bool,
    /// Group id of the file, one of the sidecar's groups; absent means the directory's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// The file holds `NAME='value'`, which the kubelet reads for a variable (`fileKeyRef`); absent
    /// means the value itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<VariableName>,
}

/// All enabled secrets of a vault with a prefix or tags, each one file below `directory` named like
/// the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selection {
    /// Directory below the volume; absent means the volume itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<RelativePath>,
    /// Mode of the files.
    pub mode: FileMode,
    /// Name of the [`Identity`] that lists and fetches.
    pub identity: String,
    /// The vault.
    pub vault: VaultUrl,
    /// What the names start with, in any case; absent means anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_prefix: Option<String>,
    /// Tags that all must be there with exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// pem or pfx, for secrets that back a certificate.
    #[serde(default, skip_serializing_if = "is_default")]
    pub format: ObjectFormat,
    /// How the values are decoded.
    #[serde(default, skip_serializing_if = "is_default")]
    pub encoding: ObjectEncoding,
    /// Group id of the files, one of the sidecar's groups; absent means the directory's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
}

/// Part of a certificate-backed object, in the spelling of `parts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The leaf, as PEM.
    Cert,
    /// Leaf and intermediates, leaf first, as PEM.
    Chain,
    /// The private key, as PKCS#8 PEM.
    Key,
    /// The certificates above the leaf, as PEM: what a peer trusts.
    Ca,
    /// Key and certificates as binary PKCS#12 without a password.
    Pfx,
}

impl Part {
    /// The spelling in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cert => "cert",
            Self::Chain => "chain",
            Self::Key => "key",
            Self::Ca => "ca",
            Self::Pfx => "pfx",
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Kind of a Key Vault object, in the spelling of `objectType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectType {
    /// A secret's value.
    Secret,
    /// The public half of a key, as SubjectPublicKeyInfo PEM.
    Key,
    /// The leaf of a certificate, as PEM.
    Cert,
}

impl ObjectType {
    /// The spelling in manifests: `secret`, `key`, `cert`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Key => "key",
            Self::Cert => "cert",
        }
    }
}

/// `objectFormat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectFormat {
    /// PEM text.
    #[default]
    Pem,
    /// PKCS#12.
    Pfx,
}

/// `objectEncoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectEncoding {
    /// The value's bytes as they are.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// The value is standard padded base64.
    Base64,
    /// The value is hexadecimal.
    Hex,
}
