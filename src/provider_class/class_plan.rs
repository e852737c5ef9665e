//! What a class comes to for one volume.

use crate::cloud::Cloud;
use keysluice_plan::reason::Reason;
use keysluice_plan::{
    EntryPaths, FileMode, JsonPath, ObjectEncoding, ObjectFormat, ObjectName, ObjectType,
    ObjectVersion, Part, RelativePath, Template, VariableName, VaultUrl,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// What to fetch for one volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassPlan {
    /// As whom.
    pub identity: IdentityChoice,
    /// In which cloud.
    pub cloud: Cloud,
    /// Into which files; none is an empty volume.
    pub files: Vec<FilePlan>,
    /// Further files, whose names only the vault knows.
    pub selections: Vec<SelectionPlan>,
    /// Files that are made of the others.
    pub templates: Vec<TemplatePlan>,
    /// How often again; `None` leaves it to the default.
    pub refresh_interval: Option<Duration>,
    /// Whether the files are kept fresh; `None` leaves it to the default.
    pub mode: Option<Mode>,
    /// What is legal but doubtful.
    pub warnings: Vec<Warning>,
}

/// How long the container that fetches stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As long as the pod: it keeps the files fresh.
    Sidecar,
    /// Until the files are there: an init container.
    Init,
}

impl std::str::FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "sidecar" => Ok(Self::Sidecar),
            "init" => Ok(Self::Init),
            _ => Err(()),
        }
    }
}

/// As whom to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityChoice {
    /// The pod's own ServiceAccount token, exchanged at Entra.
    Federated {
        /// Client id of the app registration or user-assigned identity.
        client_id: String,
        /// Tenant id or domain.
        tenant_id: String,
    },
    /// The same, exchanged at the token proxy of AKS identity bindings.
    TokenProxy {
        /// Client id of the user-assigned identity.
        client_id: String,
        /// Tenant id or domain.
        tenant_id: String,
    },
    /// A service principal, with the client id and the credentials of a Kubernetes Secret.
    ServicePrincipal {
        /// Name of the Secret, in the pod's namespace.
        secret: String,
        /// Tenant id or domain.
        tenant_id: String,
    },
    /// The node's managed identity.
    ManagedIdentity {
        /// Client id of a user-assigned identity; `None` is the system-assigned one.
        client_id: Option<String>,
    },
}

/// One file and the vault object it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePlan {
    /// Path below the volume.
    pub path: RelativePath,
    /// Its mode.
    pub mode: FileMode,
    /// The vault.
    pub vault: VaultUrl,
    /// Kind of the object.
    pub object_type: ObjectType,
    /// Name of the object.
    pub name: ObjectName,
    /// Pinned version; `None` is the latest.
    pub version: Option<ObjectVersion>,
    /// pem or pfx.
    pub format: ObjectFormat,
    /// How the value is decoded.
    pub encoding: ObjectEncoding,
    /// How many versions, 2 or more, as files below the path; `None` is one file at the path.
    pub history: Option<u32>,
    /// Which part of a certificate.
    pub part: Option<Part>,
    /// Whether a certificate-backed secret also makes `PATH.crt` and `PATH.key`.
    pub split: bool,
    /// A field of a JSON document.
    pub json_key: Option<JsonPath>,
    /// Whether it is left out while there is no such object.
    pub optional: bool,
    /// uid that the file must belong to.
    pub owner: Option<u32>,
    /// gid of the file.
    pub group: Option<u32>,
    /// The variable for which the kubelet reads the file; `None` is a file with the value itself.
    pub variable: Option<VariableName>,
    /// Position in `objects`, from 0.
    pub index: usize,
}

impl FilePlan {
    /// What it writes.
    pub(super) fn paths(&self) -> EntryPaths<'_> {
        EntryPaths { path: &self.path, history: self.history, split: self.split }
    }
}

/// Files whose names only the vault knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectionPlan {
    /// Directory below the volume; `None` is the volume itself.
    pub directory: Option<RelativePath>,
    /// Mode of the files.
    pub mode: FileMode,
    /// The vault.
    pub vault: VaultUrl,
    /// What the names start with.
    pub name_prefix: Option<String>,
    /// Tags that all must be there.
    pub tags: BTreeMap<String, String>,
    /// pem or pfx.
    pub format: ObjectFormat,
    /// How the values are decoded.
    pub encoding: ObjectEncoding,
    /// uid that the files must belong to.
    pub owner: Option<u32>,
    /// gid of the files.
    pub group: Option<u32>,
}

impl SelectionPlan {
    /// All enabled secrets of a vault.
    pub(super) fn all_of(vault: VaultUrl) -> Self {
        Self {
            directory: None,
            mode: FileMode::DEFAULT,
            vault,
            name_prefix: None,
            tags: BTreeMap::new(),
            format: ObjectFormat::Pem,
            encoding: ObjectEncoding::Utf8,
            owner: None,
            group: None,
        }
    }
}

/// A file that is made of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplatePlan {
    /// Path below the volume.
    pub path: RelativePath,
    /// Its mode.
    pub mode: FileMode,
    /// uid that the file must belong to.
    pub owner: Option<u32>,
    /// gid of the file.
    pub group: Option<u32>,
    /// What it is made of.
    pub template: Template,
}

/// Something legal but doubtful, for an admission warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The code.
    pub reason: Reason,
    /// What it is about, without the code.
    pub text: String,
}
