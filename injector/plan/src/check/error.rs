//! Why a Plan was refused.

use crate::{LONGEST_WAIT_SECONDS, MOST_TEMPLATES, MOST_VERSIONS, PathError, RelativePath};

/// Why a Plan was refused.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not JSON, an unknown or missing field, or a value of the wrong form.
    #[error("the plan is not valid: {problem}")]
    Json {
        /// The field, and what is wrong with it.
        problem: String,
        /// The parser's word.
        source: serde_json::Error,
    },
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
    /// A number of versions that makes no history, or is above the limit.
    #[error("file {path}: history must be 2 to {MOST_VERSIONS} versions")]
    History {
        /// The file.
        path: RelativePath,
    },
    /// A directory is relative, not in its plain form or too long.
    #[error("{field}: {directory:?} {problem}")]
    Directory {
        /// The field.
        field: String,
        /// The path.
        directory: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An id with which no token can be requested.
    #[error("{field} {problem}")]
    Credential {
        /// The field.
        field: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A token proxy that cannot be asked.
    #[error("tokenProxy: {url:?} {problem}")]
    TokenProxy {
        /// Its URL.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two volumes share a directory.
    #[error("directory {directory:?} is used by the volumes {:?} and {:?}", volumes[0], volumes[1])]
    DuplicateDirectory {
        /// The path.
        directory: String,
        /// Their names.
        volumes: [String; 2],
    },
    /// The sidecar's own directory is in a volume.
    #[error("runDirectory: {directory:?} is inside the directory of volume {volume:?}")]
    RunDirectory {
        /// The path.
        directory: String,
        /// The volume.
        volume: String,
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
    /// A version, half of a certificate or a selected secret would have no path.
    #[error("volume {volume:?}: {source}")]
    Made {
        /// The volume.
        volume: String,
        /// Its path.
        source: PathError,
    },
    /// More templates than one refresh fills.
    #[error("volume {volume:?} has more than {MOST_TEMPLATES} templates")]
    Templates {
        /// The volume.
        volume: String,
    },
    /// A variable has one value.
    #[error("file {path}: a variable cannot have a history or be split")]
    Variable {
        /// The file.
        path: RelativePath,
    },
    /// A reaction that cannot be carried out.
    #[error("reaction: {problem}")]
    Reaction {
        /// What is wrong with it.
        problem: String,
    },
    /// A Secret that cannot be made.
    #[error("secret {name:?}: {problem}")]
    Secret {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An endpoint that cannot be served.
    #[error("managedIdentity: {problem}")]
    ManagedIdentity {
        /// What is wrong with it.
        problem: String,
    },
    /// A port for metrics that cannot be bound.
    #[error("metricsPort: {problem}")]
    MetricsPort {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A source that cannot be asked, or an update that the pod cannot follow.
    #[error("source: {problem}")]
    Update {
        /// What is wrong with it.
        problem: String,
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

impl PlanError {
    /// The same with the place of what was checked before the field.
    pub(super) fn below(mut self, place: &str) -> Self {
        if let Self::Directory { field, .. } | Self::Credential { field, .. } = &mut self {
            field.insert_str(0, place);
        }
        self
    }
}
