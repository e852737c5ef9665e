//! The emulator over real TLS, as a client sees it.

#![expect(clippy::unwrap_used, reason = "a test stops at its first surprise")]

mod client;
mod control;
mod diagnostics;
mod entra;
mod faults;
mod imds;
mod lists;
mod objects;
mod process;
mod vault;
