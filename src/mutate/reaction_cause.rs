//! Why a reaction to changed files refuses the pod.

use crate::coded::coded;

coded! {
    /// The causes.
    #[derive(Debug, thiserror::Error)]
    pub enum ReactionCause {
        /// An action for one container that is for the whole pod.
        #[error(
            "annotation keysluice.dev/on-change: {word} of one container is not supported: it \
             replaces the whole pod"
        )]
        [KS233] OfWholePod {
            /// Which.
            word: &'static str,
        },
        /// An annotation that belongs to `keysluice.dev/on-change`.
        #[error("annotation {annotation} is set, but keysluice.dev/on-change is not")]
        [KS234] Alone {
            /// Which.
            annotation: &'static str,
        },
        /// A pod without a volume that the sidecar serves.
        #[error("annotation keysluice.dev/on-change: {problem}")]
        [KS234] NotServed {
            /// What is missing.
            problem: &'static str,
        },
        /// `keysluice.dev/on-change-of` names a file that is not there.
        #[error(
            "annotation keysluice.dev/on-change-of: {path:?} is not a file of the pod's volumes, \
             which have: {known}"
        )]
        [KS235] UnknownFile {
            /// What it names.
            path: String,
            /// The files.
            known: String,
        },
        /// Each container has processes of its own.
        #[error(
            "spec.shareProcessNamespace is not true, and without it the sidecar does not see the \
             processes of other containers, as keysluice.dev/on-change: {action} needs"
        )]
        [KS236] SeparateProcesses {
            /// What is wanted.
            action: String,
        },
        /// The user of a container, which is unknown or another one.
        #[error(
            "container {container:?} {user}, and the sidecar runs as uid {uid} and gid {gid}: a \
             process finds and signals only processes of its own uid and gid, as \
             keysluice.dev/on-change: {action} needs"
        )]
        [KS236] OtherUser {
            /// The container.
            container: String,
            /// What is known of its user.
            user: String,
            /// The sidecar's uid.
            uid: i64,
            /// The sidecar's gid.
            gid: i64,
            /// What is wanted.
            action: String,
        },
        /// `keysluice.dev/on-change` names a container that is not there.
        #[error(
            "annotation keysluice.dev/on-change: {name:?} is not a container of the pod, which \
             has: {known}"
        )]
        [KS237] UnknownContainer {
            /// What it names.
            name: String,
            /// The containers.
            known: String,
        },
        /// A container that the kubelet does not start again.
        #[error(
            "{field} is {policy:?}: the kubelet does not start container {container:?} again each \
             time that keysluice.dev/on-change: restart ends it"
        )]
        [KS238] RestartPolicy {
            /// The field.
            field: String,
            /// Its value.
            policy: String,
            /// The container.
            container: String,
        },
        /// The loopback is the node's.
        #[error(
            "spec.hostNetwork is true: {url} leads to any process of the node, not to the pod's \
             own"
        )]
        [KS239] HostNetwork {
            /// The URL.
            url: String,
        },
        /// A pod that comes back only if somebody creates it again.
        #[error(
            "annotation keysluice.dev/on-change: {action}: no controller creates the pod again: \
             metadata.ownerReferences has no entry with controller: true whose kind is not Node"
        )]
        [KS241] NoController {
            /// What is wanted.
            action: &'static str,
        },
        /// A Job counts it as a failure.
        #[error(
            "Job {name:?} counts an evicted pod as failed, so keysluice.dev/on-change: evict \
             would fail it"
        )]
        [KS242] OfJob {
            /// The Job.
            name: String,
        },
        /// An owner that rolls nothing out, or is not known to.
        #[error(
            "the pod belongs to {kind} {name:?} ({api_version}), and keysluice.dev/on-change: \
             rollout changes the template of a Deployment, StatefulSet or DaemonSet of apps/v1"
        )]
        [KS243] OtherOwner {
            /// Its group and version.
            api_version: String,
            /// Its kind.
            kind: String,
            /// Its name.
            name: String,
        },
        /// A ReplicaSet that no Deployment made.
        #[error(
            "ReplicaSet {name:?} is not of a Deployment, which keysluice.dev/on-change: rollout \
             needs: its name does not end with the pod's label pod-template-hash"
        )]
        [KS244] NoDeployment {
            /// The ReplicaSet.
            name: String,
        },
        /// The variable is there with another value.
        #[error(
            "{field}: container {container:?} sets KEYSLUICE_CONTAINER, which the webhook sets to \
             the container's name for keysluice.dev/on-change"
        )]
        [KS240] Variable {
            /// JSON pointer.
            field: String,
            /// The container.
            container: String,
        },
    }
}
