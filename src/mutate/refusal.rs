//! Why a pod is refused: the field, the value and the fix.

use super::bounds::TooLarge;
use super::inline_cause::PodInlineCause;
use super::managed_identity_cause::ManagedIdentityCause;
use super::metrics_port_cause::MetricsPortCause;
use super::reaction_cause::ReactionCause;
use super::secret_cause::SecretCause;
use crate::bounded::bounded;
use crate::coded::coded;
use crate::provider_class::ClassError;
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

coded! {
    /// The causes.
    #[derive(Debug, thiserror::Error)]
    pub enum Cause {
        /// The pod's ServiceAccount does not exist.
        #[error("serviceaccounts {name:?} not found in namespace {namespace:?}")]
        [KS202] ServiceAccountMissing {
            /// Its name.
            name: String,
            /// Its namespace.
            namespace: String,
        },
        /// Token lifetime that is no number; the text is the peer's.
        #[error("annotation {key} of {owner}: strconv.ParseInt: parsing {value:?}: {problem}")]
        [KS203] ExpirationSyntax {
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
        [KS203] ExpirationRange {
            /// The annotation.
            key: &'static str,
            /// Whose it is: the pod's or a ServiceAccount's.
            owner: String,
            /// Seconds asked for.
            value: i64,
        },
        /// Another volume is mounted where the token goes.
        #[error(
            "container {container:?} mounts volume {volume:?} at {path}, where the identity token \
             goes"
        )]
        [KS204] TokenPathTaken {
            /// The container.
            container: String,
            /// What it mounts.
            volume: String,
            /// Where.
            path: String,
        },
        /// The pod's one token is for the custom token endpoint, and the sidecar would present it
        /// to
        /// Entra.
        #[error(
            "annotation {annotation} asks for a token of another audience, which the sidecar \
             cannot use"
        )]
        [KS230] TokenOfEndpoint {
            /// The annotation.
            annotation: String,
        },
        /// Annotations larger than the API server takes.
        #[error("annotations {of} have more than {limit} bytes")]
        [KS231] AnnotationsSize {
            /// Which: a prefix, or one.
            of: &'static str,
            /// How many there may be.
            limit: usize,
        },
        /// The pod uses a name that belongs to the sidecar.
        #[error("{field} uses the reserved name {name:?}")]
        [KS206] ReservedName {
            /// JSON pointer.
            field: String,
            /// The name.
            name: String,
        },
        /// A volume names a class that does not exist.
        #[error(
            "volume {volume:?}: failed to get secretproviderclass {namespace}/{class}: not found"
        )]
        [KS207] ClassMissing {
            /// The volume.
            volume: String,
            /// Namespace of pod and class.
            namespace: String,
            /// The class.
            class: String,
        },
        /// A volume names no class.
        #[error("volume {volume:?}: secretProviderClass is not set in volumeAttributes")]
        [KS208] ClassUnnamed {
            /// The volume.
            volume: String,
        },
        /// The CSI volume is not read-only.
        #[error("volume {volume:?}: Readonly is not true in request: csi.readOnly must be true")]
        [KS208] NotReadOnly {
            /// The volume.
            volume: String,
        },
        /// The class cannot be used.
        #[error("{source}")]
        [= source] Class {
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
        [KS210] UnknownAnnotation {
            /// The annotation.
            key: String,
            /// The nearest that exists.
            nearest: Option<&'static str>,
        },
        /// An annotation of ours with a bad value.
        #[error("annotation {key}: {value:?} is not {expected}")]
        [KS209] AnnotationValue {
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
        [KS211] AfterMissing {
            /// The name.
            name: String,
        },
        /// A mesh proxy among the ordinary containers would wait for the sidecar, and the sidecar
        /// for
        /// it.
        #[error(
            "container {proxy:?} carries all traffic of this pod but starts after the secrets, \
             which \
             need it"
        )]
        [KS212] MeshDeadlock {
            /// The proxy container.
            proxy: String,
        },
        /// Containers with different uids, and a file that not all of them can read.
        #[error(
            "containers with uids {uids:?} share volume {volume:?}, but file {path} has mode {mode}"
        )]
        [KS213] UnreadableMode {
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
        #[error(
            "fileOwner {owner} of {path} in volume {volume:?}: the sidecar can run as {possible}"
        )]
        [KS218] FileOwner {
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
        [KS219] FileGroup {
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
        [KS217] LateVolume {
            /// The volume.
            volume: String,
        },
        /// A pod for Windows nodes.
        #[error("volume {volume:?}: the pod runs on Windows, where the sidecar does not")]
        [KS216] Windows {
            /// The volume.
            volume: String,
        },
        /// More of something than a Plan can hold.
        #[error("the pod has more than {limit} {what}")]
        [KS214] TooMany {
            /// What there is too much of.
            what: &'static str,
            /// How many there may be.
            limit: usize,
        },
        /// Larger than a cluster stores or runs.
        #[error("{0}")]
        [= 0] TooLarge(TooLarge),
        /// A container of the sidecar's name that would use other endpoints than the operator's.
        #[error("{field}: {problem}")]
        [KS225] BroughtPlan {
            /// JSON pointer.
            field: String,
            /// What is wrong with it.
            problem: String,
        },
        /// Of a Secret that the sidecar makes.
        #[error("{0}")]
        [= 0] Secret(SecretCause),
        /// Of a reaction to changed files.
        #[error("{0}")]
        [= 0] Reaction(ReactionCause),
        /// Of the managed-identity endpoint.
        #[error("{0}")]
        [= 0] ManagedIdentity(ManagedIdentityCause),
        /// Of the port for metrics.
        #[error("{0}")]
        [= 0] MetricsPort(MetricsPortCause),
        /// Of inline files or variables.
        #[error("{0}")]
        [= 0] Inline(PodInlineCause),
        /// The Plan does not fit into an environment variable.
        #[error("the plan for the sidecar has {bytes} bytes, the limit is {limit}")]
        [KS214] PlanSize {
            /// Its size.
            bytes: usize,
            /// The limit.
            limit: usize,
        },
    }
}

impl Refusal {
    /// The code with its general explanation.
    pub fn reason(&self) -> Reason {
        self.0.reason()
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

impl From<SecretCause> for Refusal {
    fn from(cause: SecretCause) -> Self {
        Cause::Secret(cause).into()
    }
}

impl From<PodInlineCause> for Refusal {
    fn from(cause: PodInlineCause) -> Self {
        Cause::Inline(cause).into()
    }
}

impl From<ManagedIdentityCause> for Refusal {
    fn from(cause: ManagedIdentityCause) -> Self {
        Cause::ManagedIdentity(cause).into()
    }
}

impl From<ReactionCause> for Refusal {
    fn from(cause: ReactionCause) -> Self {
        Cause::Reaction(cause).into()
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
            // So does the error of an inline annotation.
            Cause::Inline(PodInlineCause::Annotation { source }) => write!(f, "{source}"),
            Cause::UnknownAnnotation { nearest: Some(nearest), .. } => {
                write!(f, "{} {}; hint: did you mean {nearest}?", self.reason(), self.0)
            }
            cause => write!(f, "{} {cause}; hint: {}", self.reason(), self.reason().fix),
        }
    }
}

impl std::error::Error for Refusal {}
