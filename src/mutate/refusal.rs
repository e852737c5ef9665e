//! Why a pod is refused: the field, the value and the fix.

use super::bounds::TooLarge;
use crate::bounded::bounded;
use crate::provider_class::ClassError;
use crate::reason;
use keysluice_plan::reason::Reason;
use std::sync::Arc;

/// Of a name or value that a message shows: longer ones are cut, whatever their length.
const MAX_SHOWN_BYTES: usize = 300;

/// A copy for a message.
pub(super) fn cut(text: &str) -> String {
    bounded(text, MAX_SHOWN_BYTES)
}

/// Why a pod is refused. `Display` gives code, message and hint, as the user reads it.
#[derive(Debug)]
pub struct Refusal(Box<Cause>);

/// The causes.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The pod's ServiceAccount does not exist.
    #[error("serviceaccounts {name:?} not found in namespace {namespace:?}")]
    ServiceAccountMissing {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
    },
    /// Token lifetime that is no number; the text is the peer's.
    #[error("annotation {key} of {owner}: strconv.ParseInt: parsing {value:?}: {problem}")]
    ExpirationSyntax {
        /// The annotation.
        key: &'static str,
        /// Whose it is: the pod's or a ServiceAccount's.
        owner: String,
        /// Its value.
        value: String,
        /// `invalid syntax`, or `value out of range` where it is no 64-bit number.
        problem: &'static str,
    },
    /// Token lifetime out of bounds; the text is the peer's.
    #[error(
        "annotation {key} of {owner}: token expiration {value} not valid. Expected value to be \
         between 3600 and 86400"
    )]
    ExpirationRange {
        /// The annotation.
        key: &'static str,
        /// Whose it is: the pod's or a ServiceAccount's.
        owner: String,
        /// Seconds asked for.
        value: i64,
    },
    /// Another volume is mounted where the token goes.
    #[error(
        "container {container:?} mounts volume {volume:?} at {path}, where the identity token goes"
    )]
    TokenPathTaken {
        /// The container.
        container: String,
        /// What it mounts.
        volume: String,
        /// Where.
        path: String,
    },
    /// The IMDS proxy of Azure Workload Identity is asked for.
    #[error(
        "annotation azure.workload.identity/inject-proxy-sidecar: {value:?} asks for the \
         managed-identity proxy"
    )]
    ProxySidecar {
        /// The value.
        value: String,
    },
    /// The pod's one token is for the custom token endpoint, and the sidecar would present it to
    /// Entra.
    #[error(
        "annotation {annotation} asks for a token of another audience, which the sidecar cannot use"
    )]
    TokenOfEndpoint {
        /// The annotation.
        annotation: String,
    },
    /// Annotations larger than the API server takes.
    #[error("annotations {of} have more than {limit} bytes")]
    AnnotationsSize {
        /// Which: a prefix, or one.
        of: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// The pod uses a name that belongs to the sidecar.
    #[error("{field} uses the reserved name {name:?}")]
    ReservedName {
        /// JSON pointer.
        field: String,
        /// The name.
        name: String,
    },
    /// A volume names a class that does not exist.
    #[error("volume {volume:?}: failed to get secretproviderclass {namespace}/{class}: not found")]
    ClassMissing {
        /// The volume.
        volume: String,
        /// Namespace of pod and class.
        namespace: String,
        /// The class.
        class: String,
    },
    /// A volume names no class.
    #[error("volume {volume:?}: secretProviderClass is not set in volumeAttributes")]
    ClassUnnamed {
        /// The volume.
        volume: String,
    },
    /// The CSI volume is not read-only.
    #[error("volume {volume:?}: Readonly is not true in request: csi.readOnly must be true")]
    NotReadOnly {
        /// The volume.
        volume: String,
    },
    /// The class cannot be used.
    #[error("{source}")]
    Class {
        /// The volume that refers to it.
        volume: String,
        /// Namespace and name.
        class: String,
        /// What is wrong with it.
        #[source]
        source: Arc<ClassError>,
    },
    /// An annotation of ours that does not exist.
    #[error("annotation {key} is unknown")]
    UnknownAnnotation {
        /// The annotation.
        key: String,
        /// The nearest that exists.
        nearest: Option<&'static str>,
    },
    /// An annotation of ours with a bad value.
    #[error("annotation {key}: {value:?} is not {expected}")]
    AnnotationValue {
        /// The annotation.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// `keysluice.dev/after` names no native sidecar of the pod.
    #[error(
        "annotation keysluice.dev/after: {name:?} is not an init container with restartPolicy \
         Always"
    )]
    AfterMissing {
        /// The name.
        name: String,
    },
    /// A mesh proxy among the ordinary containers would wait for the sidecar, and the sidecar for
    /// it.
    #[error(
        "container {proxy:?} carries all traffic of this pod but starts after the secrets, which \
         need it"
    )]
    MeshDeadlock {
        /// The proxy container.
        proxy: String,
    },
    /// Containers with different uids, and a file that not all of them can read.
    #[error(
        "containers with uids {uids:?} share volume {volume:?}, but file {path} has mode {mode}"
    )]
    UnreadableMode {
        /// The uids.
        uids: Vec<i64>,
        /// The volume.
        volume: String,
        /// The file.
        path: String,
        /// Its mode.
        mode: String,
    },
    /// A `fileOwner` that the sidecar cannot run as.
    #[error("fileOwner {owner} of {path} in volume {volume:?}: the sidecar can run as {possible}")]
    FileOwner {
        /// The volume.
        volume: String,
        /// The file.
        path: String,
        /// Whom it should belong to.
        owner: u32,
        /// As whom the sidecar can run.
        possible: String,
    },
    /// A `fileGroup` that the sidecar is not in.
    #[error(
        "fileGroup {group} of {path} in volume {volume:?}: the sidecar's groups are {groups:?}"
    )]
    FileGroup {
        /// The volume.
        volume: String,
        /// The file.
        path: String,
        /// Which group it should belong to.
        group: u32,
        /// The sidecar's groups.
        groups: Vec<i64>,
    },
    /// A Secrets Store CSI volume came after the sidecar.
    #[error("volume {volume:?} was added to a pod that has its sidecar already")]
    LateVolume {
        /// The volume.
        volume: String,
    },
    /// A pod for Windows nodes.
    #[error("volume {volume:?}: the pod runs on Windows, where the sidecar does not")]
    Windows {
        /// The volume.
        volume: String,
    },
    /// More of something than a Plan can hold.
    #[error("the pod has more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// Larger than a cluster stores or runs.
    #[error("{0}")]
    TooLarge(TooLarge),
    /// A container of the sidecar's name that would use other endpoints than the operator's.
    #[error("{field}: {problem}")]
    BroughtPlan {
        /// JSON pointer.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The pod needs a Secret that the driver would create and this version does not.
    #[error(
        "{user} needs Secret {secret:?}, which secretObjects of SecretProviderClass {class} \
         create where the Secrets Store CSI driver serves it; this version does not, and the pod \
         would wait for it"
    )]
    SecretNotCreated {
        /// Who needs it.
        user: String,
        /// The Secret.
        secret: String,
        /// Namespace and name of the class.
        class: String,
    },
    /// The Plan does not fit into an environment variable.
    #[error("the plan for the sidecar has {bytes} bytes, the limit is {limit}")]
    PlanSize {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

impl Refusal {
    /// The code with its general explanation.
    pub fn reason(&self) -> Reason {
        match &*self.0 {
            Cause::ServiceAccountMissing { .. } => reason::KS202,
            Cause::ExpirationSyntax { .. } | Cause::ExpirationRange { .. } => reason::KS203,
            Cause::TokenPathTaken { .. } => reason::KS204,
            Cause::ProxySidecar { .. } => reason::KS205,
            Cause::ReservedName { .. } => reason::KS206,
            Cause::ClassMissing { .. } => reason::KS207,
            Cause::ClassUnnamed { .. } | Cause::NotReadOnly { .. } => reason::KS208,
            Cause::Class { source, .. } => source.reason(),
            Cause::AnnotationValue { .. } => reason::KS209,
            Cause::UnknownAnnotation { .. } => reason::KS210,
            Cause::AfterMissing { .. } => reason::KS211,
            Cause::MeshDeadlock { .. } => reason::KS212,
            Cause::UnreadableMode { .. } => reason::KS213,
            Cause::PlanSize { .. } | Cause::TooMany { .. } => reason::KS214,
            Cause::Windows { .. } => reason::KS216,
            Cause::LateVolume { .. } => reason::KS217,
            Cause::FileOwner { .. } => reason::KS218,
            Cause::FileGroup { .. } => reason::KS219,
            Cause::TokenOfEndpoint { .. } => reason::KS230,
            Cause::AnnotationsSize { .. } => reason::KS231,
            Cause::TooLarge(TooLarge::Patch { .. }) => reason::KS220,
            Cause::TooLarge(TooLarge::Containers { .. }) => reason::KS221,
            Cause::TooLarge(TooLarge::Name { .. }) => reason::KS222,
            Cause::TooLarge(TooLarge::Id { .. }) => reason::KS223,
            Cause::SecretNotCreated { .. } => reason::KS224,
            Cause::BroughtPlan { .. } => reason::KS225,
        }
    }

    /// The cause, for tests.
    pub fn cause(&self) -> &Cause {
        &self.0
    }
}

impl From<TooLarge> for Refusal {
    fn from(too_large: TooLarge) -> Self {
        Cause::TooLarge(too_large).into()
    }
}

impl From<Cause> for Refusal {
    fn from(cause: Cause) -> Self {
        Self(Box::new(cause))
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.0 {
            // A class error brings its own code and hint; we add where it comes from.
            Cause::Class { volume, class, source } => {
                write!(f, "{source} (SecretProviderClass {class}, volume {volume:?})")
            }
            Cause::UnknownAnnotation { nearest: Some(nearest), .. } => {
                write!(f, "{} {}; hint: did you mean {nearest}?", self.reason(), self.0)
            }
            cause => write!(f, "{} {cause}; hint: {}", self.reason(), self.reason().fix),
        }
    }
}

impl std::error::Error for Refusal {}
