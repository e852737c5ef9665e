//! Why nothing is printed.

use crate::coded::coded;
use crate::reason;

coded! {
    /// Why nothing is printed. `Display` gives code, message and hint, as the user reads it.
    #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
    pub enum AzureError {
        /// An identity that cannot be looked up.
        #[error(
            "{} {owner}: client id {client_id:?} is not a GUID; hint: {}",
            reason::KS760,
            reason::KS760.fix
        )]
        [KS760] ClientId {
            /// Whose pods use it.
            owner: String,
            /// As it is written.
            client_id: String,
        },
        /// Bicep has no type for it.
        #[error(
            "{} ServiceAccount {account}: Bicep has no type for applications; hint: {}",
            reason::KS761,
            reason::KS761.fix
        )]
        [KS761] Application {
            /// Namespace and name of the first account.
            account: String,
        },
    }
}
