//! The Plan: what to fetch, as whom, and where to put it.

use crate::{FileMode, JsonPath, ObjectName, ObjectVersion, RelativePath, VaultUrl};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Environment variable that carries the Plan to the sidecar.
pub const PLAN_ENV: &str = "KEYSLUICE_PLAN";

/// A day: nobody waits longer for a start, and sums of times stay in range.
pub const LONGEST_WAIT_SECONDS: u64 = 86_400;

/// Key Vault keeps 500 versions of a secret.
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
    /// Seconds until a start without a first generation is given up with a reason; absent means wait for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timeout_seconds: Option<u64>,
    /// PEM of certificate authorities trusted beside the compiled-in roots (private clouds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_ca: Option<String>,
    /// Who fetches; referred to by name from [`File::identity`].
    pub identities: Vec<Identity>,
    /// Where files go.
    pub volumes: Vec<Volume>,
}

fn default_run_directory() -> String {
    "/run/keysluice".to_owned()
}

impl Plan {
    /// Parses and checks a Plan.
    ///
    /// # Errors
    /// [`PlanError::Json`] for anything serde refuses (the message names field, line and column); the others for references and
    /// paths that cannot work together.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_str(text).map_err(PlanError::Json)?;
        plan.check()?;
        Ok(plan)
    }

    /// Checks what types alone cannot: references resolve, names are unique, directories are absolute, no two files collide.
    pub fn check(&self) -> Result<(), PlanError> {
        let mut identities = BTreeSet::new();
        for identity in &self.identities {
            if !identities.insert(identity.name.as_str()) {
                return Err(PlanError::DuplicateIdentity { name: identity.name.clone() });
            }
        }
        if self.start_timeout_seconds.is_some_and(|seconds| seconds > LONGEST_WAIT_SECONDS) {
            return Err(PlanError::StartTimeout);
        }
        check_directory(&self.run_directory)?;
        let mut directories = BTreeSet::new();
        for volume in &self.volumes {
            check_directory(&volume.directory)?;
            if !directories.insert(volume.directory.trim_end_matches('/')) {
                return Err(PlanError::DuplicateDirectory { directory: volume.directory.clone() });
            }
            if volume.refresh_interval_seconds == 0 {
                return Err(PlanError::RefreshInterval { volume: volume.name.clone() });
            }
            for selection in &volume.selections {
                if !identities.contains(selection.identity.as_str()) {
                    return Err(PlanError::UnknownSelectionIdentity {
                        volume: volume.name.clone(),
                        identity: selection.identity.clone(),
                    });
                }
            }
            let mut paths: Vec<&RelativePath> = Vec::new();
            for file in &volume.files {
                if !identities.contains(file.identity.as_str()) {
                    return Err(PlanError::UnknownIdentity {
                        path: file.path.clone(),
                        identity: file.identity.clone(),
                    });
                }
                if file.history.is_some_and(|versions| !(2..=MOST_VERSIONS).contains(&versions)) {
                    return Err(PlanError::History { path: file.path.clone() });
                }
                if let Some(other) = paths.iter().find(|other| file.path.collides_with(other)) {
                    return Err(PlanError::PathCollision { path: file.path.clone(), other: (*other).clone() });
                }
                paths.push(&file.path);
            }
        }
        Ok(())
    }
}

fn check_directory(directory: &str) -> Result<(), PlanError> {
    let relative = directory.strip_prefix('/').map(|rest| rest.trim_end_matches('/').parse::<RelativePath>());
    match relative {
        Some(Ok(_)) => Ok(()),
        _ => Err(PlanError::Directory { directory: directory.to_owned() }),
    }
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
                "schema {value} is not supported by this sidecar (it knows schema 1); use images of one release"
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
    /// OAuth scope, `https://vault.azure.net/.default`; the resource is the scope without `/.default`.
    pub scope: String,
    /// How the token is obtained.
    pub credential: Credential,
}

/// A way to get a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
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
    /// Number of versions, 2 or more; absent means one file at `path` itself. `version` is then the newest one to take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<u32>,
    /// Which part of a certificate-backed object; absent means what the Azure provider writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Whether a certificate-backed secret also makes `PATH.crt` (its certificates) and `PATH.key` (its other blocks).
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
}

/// All enabled secrets of a vault with a prefix or tags, each one file below `directory` named like the secret.
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

/// Why a Plan was refused.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not JSON, an unknown or missing field, or a value of the wrong form.
    #[error("the plan is not valid: {0}")]
    Json(#[source] serde_json::Error),
    /// Two identities share a name.
    #[error("identities: {name:?} is defined twice")]
    DuplicateIdentity {
        /// The name.
        name: String,
    },
    /// A file names an identity that is not defined.
    #[error("file {path}: identity {identity:?} is not defined in identities")]
    UnknownIdentity {
        /// The file.
        path: RelativePath,
        /// The name it uses.
        identity: String,
    },
    /// A selection names an identity that is not defined.
    #[error("volume {volume:?}: a selection's identity {identity:?} is not defined in identities")]
    UnknownSelectionIdentity {
        /// The volume.
        volume: String,
        /// The name it uses.
        identity: String,
    },
    /// A number of versions that makes no history, or that nobody needs.
    #[error("file {path}: history must be 2 to {MOST_VERSIONS} versions")]
    History {
        /// The file.
        path: RelativePath,
    },
    /// A directory is relative or not in its plain form.
    #[error("directory {directory:?} must be an absolute path without \"..\", \".\" or empty components")]
    Directory {
        /// The path.
        directory: String,
    },
    /// Two volumes share a directory.
    #[error("directory {directory:?} is used by two volumes")]
    DuplicateDirectory {
        /// The path.
        directory: String,
    },
    /// A start that waits for longer than a day.
    #[error("startTimeoutSeconds must be at most {LONGEST_WAIT_SECONDS}")]
    StartTimeout,
    /// A refresh interval of zero.
    #[error("volume {volume:?}: refreshIntervalSeconds must be at least 1")]
    RefreshInterval {
        /// The volume.
        volume: String,
    },
    /// Two files on one path, or a file where another needs a directory.
    #[error("file {path} collides with file {other} in the same volume")]
    PathCollision {
        /// The later file.
        path: RelativePath,
        /// The earlier file.
        other: RelativePath,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> serde_json::Value {
        serde_json::json!({
            "schema": 1,
            "startTimeoutSeconds": 30,
            "identities": [
                {"name": "a", "scope": "https://vault.azure.net/.default",
                 "credential": {"kind": "federated", "clientId": "c", "tenantId": "t", "tokenFile": "/t", "authority": "https://login.microsoftonline.com/"}},
                {"name": "b", "scope": "https://vault.azure.net/.default",
                 "credential": {"kind": "managedIdentity", "endpoint": "http://169.254.169.254/"}}],
            "volumes": [{"name": "v", "directory": "/mnt/v", "refreshIntervalSeconds": 120, "files": [
                {"path": "db", "mode": "0644", "identity": "a", "vault": "https://kv.vault.azure.net/", "type": "secret", "name": "db"}]}]
        })
    }

    #[test]
    fn a_plan_survives_a_round_trip() {
        let plan = Plan::from_json(&sample().to_string()).unwrap();
        assert_eq!(plan.run_directory, "/run/keysluice");
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(Plan::from_json(&text).unwrap(), plan);
    }

    #[test]
    fn refused_plans_name_the_field() {
        let cases: &[(&str, serde_json::Value, &str)] = &[
            ("/schema", serde_json::json!(2), "schema 2 is not supported"),
            ("/volumes/0/files/0/colour", serde_json::json!("red"), "unknown field `colour`"),
            ("/identities/0/credential/secret", serde_json::json!("x"), "unknown field `secret`"),
            ("/volumes/0/files/0/identity", serde_json::json!("z"), "identity \"z\" is not defined"),
            ("/volumes/0/files/0/mode", serde_json::json!("0999"), "is not octal"),
            ("/volumes/0/files/0/path", serde_json::json!("../x"), "must not contain '..'"),
            ("/volumes/0/directory", serde_json::json!("mnt"), "must be an absolute path"),
            ("/volumes/0/refreshIntervalSeconds", serde_json::json!(0), "must be at least 1"),
            ("/startTimeoutSeconds", serde_json::json!(86_401), "must be at most 86400"),
            ("/startTimeoutSeconds", serde_json::json!(u64::MAX), "must be at most 86400"),
            ("/volumes/0/files/0/vault", serde_json::json!("http://x/"), "must start with https://"),
            ("/volumes/0/files/0/history", serde_json::json!(1), "history must be 2 to 500 versions"),
            ("/volumes/0/files/0/jsonKey", serde_json::json!("a[x]"), "jsonKey"),
            ("/volumes/0/files/0/part", serde_json::json!("leaf"), "unknown variant `leaf`"),
            (
                "/volumes/0/selections",
                serde_json::json!([{"mode": "0400", "identity": "z", "vault": "https://kv.vault.azure.net/"}]),
                "a selection's identity \"z\" is not defined",
            ),
        ];
        for (pointer, value, expected) in cases {
            let mut plan = sample();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            plan.pointer_mut(parent).unwrap()[key] = value.clone();
            let error = Plan::from_json(&plan.to_string()).unwrap_err().to_string();
            assert!(error.contains(expected), "{pointer}: {error}");
        }
    }

    #[test]
    fn two_files_on_one_path_are_refused() {
        for second in ["db", "db/inner"] {
            let mut plan = sample();
            let mut file = plan["volumes"][0]["files"][0].clone();
            file["path"] = second.into();
            plan["volumes"][0]["files"].as_array_mut().unwrap().push(file);
            let error = Plan::from_json(&plan.to_string()).unwrap_err();
            assert!(matches!(error, PlanError::PathCollision { .. }), "{error}");
        }
    }
}
