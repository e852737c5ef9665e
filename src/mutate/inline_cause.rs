//! Why inline files or variables refuse the pod.

use crate::coded::coded;
use crate::inline::InlineError;

coded! {
    /// The causes.
    #[derive(Debug, thiserror::Error)]
    pub enum PodInlineCause {
        /// One annotation, by what it says itself.
        #[error("{source}")]
        [= source] Annotation {
            /// Why.
            source: InlineError,
        },
        /// A pod that did not opt in.
        #[error("the pod has annotation {annotation}, but not the label \
            azure.workload.identity/use: \"true\"")]
        [KS262] Label {
            /// One of them.
            annotation: String,
        },
        /// An annotation that belongs to others.
        #[error("annotation {annotation} is set, but no annotation to which it belongs")]
        [KS263] Alone {
            /// Which.
            annotation: &'static str,
        },
        /// The class of `keysluice.dev/env-from` does not exist.
        #[error(
            "annotation keysluice.dev/env-from: failed to get secretproviderclass \
             {namespace}/{class}: not found"
        )]
        [KS207] ClassMissing {
            /// Its name.
            class: String,
            /// The pod's namespace.
            namespace: String,
        },
        /// Annotations that came after the sidecar.
        #[error("annotations for {what} were added to a pod that has its sidecar already")]
        [KS263] Late {
            /// For what.
            what: &'static str,
        },
        /// A container that is not there.
        #[error(
            "annotation keysluice.dev/containers: {name:?} is not a container of the pod, which \
             has: {known}"
        )]
        [KS264] UnknownContainer {
            /// What it names.
            name: String,
            /// The containers.
            known: String,
        },
        /// An init container that starts before the sidecar.
        #[error(
            "annotation keysluice.dev/containers: init container {name:?} starts before the sidecar"
        )]
        [KS264] TooEarly {
            /// The container.
            name: String,
        },
        /// No container gets anything.
        #[error("no container of the pod starts after the sidecar")]
        [KS264] NoContainer,
        /// A mount that is there already.
        #[error(
            "{field}: container {container:?} mounts volume {volume:?} at {path}, and the inline \
             files are mounted at {ours}"
        )]
        [KS265] Occupied {
            /// JSON pointer of the mount.
            field: String,
            /// The container.
            container: String,
            /// The volume.
            volume: String,
            /// Its path.
            path: String,
            /// The path of the inline files.
            ours: String,
        },
        /// A mount that a directory cannot be made in.
        #[error(
            "{field}: {mount} at {path}, which is read-only, and the inline files are mounted \
             below it, at {ours}"
        )]
        [KS265] ReadOnly {
            /// JSON pointer of the mount.
            field: String,
            /// Which container mounts which volume.
            mount: String,
            /// Its path.
            path: String,
            /// The path of the inline files.
            ours: String,
        },
        /// A mount path above our own mounts.
        #[error(
            "annotation keysluice.dev/mount-path: {path} is above {directory}, where the identity \
             token or a part of the sidecar is mounted"
        )]
        [KS265] Covers {
            /// The path of the inline files.
            path: String,
            /// The directory below it.
            directory: &'static str,
        },
        /// The entry point of the image is unknown.
        #[error(
            "{field} is not set: container {container:?} gets variables by keysluice.dev/env-mode: \
             exec, which needs the command that it starts"
        )]
        [KS266] NoCommand {
            /// JSON pointer.
            field: String,
            /// The container.
            container: String,
        },
        /// Containers that would start before the program is there.
        #[error("keysluice.dev/env-mode: exec does not go with keysluice.dev/gate: none")]
        [KS266] NoGate,
    }
}
