//! Why no Role is printed.

use crate::coded::coded;
use crate::reason;

coded! {
    /// Why no Role is printed. `Display` gives code, message and hint, as the user reads it.
    #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
    pub enum RightsError {
        /// The Secret belongs to something else.
        #[error(
            "{} Secret {secret} of SecretProviderClass {class} exists and belongs to something \
             else: it has neither the label keysluice.dev/managed: \"true\" nor the CSI driver's; \
             hint: {}",
            reason::KS740,
            reason::KS740.fix
        )]
        [KS740] Foreign {
            /// Its namespace and name.
            secret: String,
            /// Namespace and name of the class.
            class: String,
        },
        /// A name that the API server refuses.
        #[error(
            "{} {place}: {field} {name:?} is not a valid name; hint: {}",
            reason::KS741,
            reason::KS741.fix
        )]
        [KS741] Name {
            /// Whose it is.
            place: String,
            /// What it names.
            field: &'static str,
            /// As it is written.
            name: String,
        },
        /// The type is missing.
        #[error("{} {place}: type is empty; hint: {}", reason::KS741, reason::KS741.fix)]
        [KS741] NoType {
            /// Class and index.
            place: String,
        },
        /// The type is that of a token.
        #[error(
            "{} {place}: type {secret_type} is a credential of the cluster; hint: {}",
            reason::KS742,
            reason::KS742.fix
        )]
        [KS742] Credential {
            /// Class and index.
            place: String,
            /// The type.
            secret_type: String,
        },
        /// Two classes make one Secret with different types.
        #[error(
            "{} {place}: type {secret_type} of a Secret that has type {first} in \
             SecretProviderClass {first_class}; hint: {}",
            reason::KS743,
            reason::KS743.fix
        )]
        [KS743] TwoTypes {
            /// Class and index.
            place: String,
            /// Its type.
            secret_type: String,
            /// The type in the first class.
            first: String,
            /// Name of the first class.
            first_class: String,
        },
        /// The guard is missing, or lets tokens pass.
        #[error("{} {problem}; hint: {}", reason::KS744, reason::KS744.fix)]
        [KS744] Unguarded {
            /// What is missing or different.
            problem: String,
        },
        /// A policy for the rights of reactions is missing, or lets more pass.
        #[error("{} {problem}; hint: {}", reason::KS752, reason::KS752.fix)]
        [KS752] Unbounded {
            /// What is missing or different.
            problem: String,
        },
        /// A class that cannot be read.
        #[error("{} SecretProviderClass {class}: {problem}", reason::KS747)]
        [KS747] Class {
            /// Its namespace and name.
            class: String,
            /// What is wrong with it.
            problem: String,
        },
    }
}
