//! Key Vault's data plane: one GET per object, its refusals told apart.

mod challenge;
mod client;
mod error;

pub use challenge::Challenge;
pub use client::{Object, VaultClient};
pub use error::{VaultError, VaultErrorKind};
