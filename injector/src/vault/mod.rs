//! Key Vault's data plane: one GET per object, its refusals told apart.

mod challenge;
mod client;
mod error;
mod retry;

pub use challenge::Challenge;
pub use client::{Object, VaultClient};
pub use error::{VaultError, VaultErrorKind};
pub use retry::{ThrottleState, after as retry_after, throttle_state_from};
