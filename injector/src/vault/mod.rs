//! Key Vault's data plane: one GET per object, lists in pages, refusals told apart.

mod challenge;
mod client;
mod error;
mod lifetime;
mod list;
mod object;
mod page;
mod queue;
mod updates;

pub use challenge::Challenge;
pub use client::{Answer, VaultClient};
pub use error::{VaultError, VaultErrorKind};
pub use lifetime::Lifetime;
pub use list::Listed;
pub use object::Object;
pub(crate) use updates::{Updates, of_object};
