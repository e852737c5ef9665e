//! Why a Kubernetes Secret that the sidecar makes refuses the pod.

use crate::coded::coded;

coded! {
    /// The causes.
    #[derive(Debug, thiserror::Error)]
    pub enum SecretCause {
        /// The kubelet needs a Secret before the sidecar, which makes it, can run.
        #[error(
            "{user} needs Secret {secret:?}, which the sidecar makes from secretObjects of \
             SecretProviderClass {class}: the kubelet reads it before it starts the sidecar, and \
             would wait for it"
        )]
        [KS224] TooLate {
            /// Who needs it.
            user: String,
            /// The Secret.
            secret: String,
            /// Namespace and name of the class.
            class: String,
        },
        /// A volume with a Secret of the pod's own, whose files the sidecar cannot make.
        #[error("volume {volume:?}, Secret {secret:?}{key}: {problem}")]
        [KS229] Volume {
            /// The volume.
            volume: String,
            /// The Secret.
            secret: String,
            /// The key, if it is about one.
            key: String,
            /// What is wrong.
            problem: String,
        },
        /// A projected volume with a Secret of the pod's own and other sources.
        #[error(
            "volume {volume:?} projects Secret {secret:?}, which the sidecar makes, together with \
             other sources"
        )]
        [KS229] MixedProjection {
            /// The volume.
            volume: String,
            /// The Secret.
            secret: String,
        },
        /// Two classes make Secrets of one name.
        #[error(
            "Secret {secret:?} is in secretObjects of two SecretProviderClasses of the pod, \
             {other} and {class}"
        )]
        [KS226] OfTwoClasses {
            /// The Secret.
            secret: String,
            /// The later class.
            class: String,
            /// The earlier class.
            other: String,
        },
        /// More Secrets than the guard can check.
        #[error("secretObjects of the pod's SecretProviderClasses have more than {limit} Secrets")]
        [KS227] TooMany {
            /// How many there may be.
            limit: usize,
        },
        /// An annotation names a Secret that no class of the pod makes.
        #[error(
            "annotation {annotation}: {name:?} is not a Secret of the pod's SecretProviderClasses, \
             which make: {known}"
        )]
        [KS228] Unknown {
            /// The annotation.
            annotation: &'static str,
            /// What it names.
            name: String,
            /// The Secrets of its classes.
            known: String,
        },
    }
}
