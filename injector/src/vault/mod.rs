//! Key Vault's data plane: one GET per object, lists in pages, refusals told apart.

mod challenge;
mod client;
mod error;
mod list;
mod updates;

pub use challenge::Challenge;
pub use client::{Answer, Object, VaultClient};
pub use error::{VaultError, VaultErrorKind};
pub use list::Listed;
pub(crate) use updates::{Updates, of_object};
