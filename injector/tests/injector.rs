//! The real binary against the emulator: TLS, tokens, refusals, rotation, crashes.

#![allow(clippy::disallowed_methods, reason = "tests measure time")]
#![allow(clippy::unwrap_used)] // clippy exempts `#[test]` functions only, not what they call

mod audit;
mod changes;
mod content;
mod crash;
mod demands;
mod foreign;
mod gate;
mod hostile;
mod identity_binding;
mod lifetimes;
mod managed_identity;
mod metrics;
mod neighbours;
mod networks;
mod once;
mod outage;
mod principals;
mod process;
mod proxy;
mod reactions;
mod renewal;
mod rotation;
mod secrets;
mod selected;
mod startup;
mod stranger;
mod support;
mod templates;
mod tokens;
mod variables;
