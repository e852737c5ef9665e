//! The sidecar: fetches Azure Key Vault objects with the pod's own identity into a tmpfs and keeps
//! them fresh.
//!
//! ```text
//! Plan ──> refresh (the item table; pure: state, event, now -> actions)
//!             │ Fetch                                │ Commit
//!             v                                      v
//!          fetch: changes (what a list shows         volume: new generation, `..data` swapped
//!                    unchanged)                              by rename
//!                 -> identity (token) -> vault (GET)
//!                 -> content (bytes of the files)
//! control: Unix socket for `ready`, `status`, `refresh`
//! managed_identity: tokens for the application, on the loopback
//! ```
//!
//! [`refresh`] decides, `run` and `once` perform. Every failure a user can meet becomes a
//! [`fault::Fault`] with a code of [`keysluice_plan::reason`]. Values and tokens live in types that
//! print nothing.

pub mod backoff;
mod call_id;
mod calls;
mod changes;
mod clock;
mod command_line;
mod commands;
pub mod content;
mod control;
mod driver;
mod exec;
mod exporter;
pub mod fault;
mod fetch;
mod file;
pub mod foreign;
mod gate;
pub mod http;
pub mod identity;
mod item;
mod kubernetes;
mod live;
mod log;
mod managed_identity;
mod metrics;
mod once;
mod options;
mod pki;
pub mod plan_source;
mod probe;
mod program;
mod react;
mod redact;
pub mod refresh;
mod report;
mod room;
mod run;
mod signals;
mod sync;
mod table;
mod templates;
mod termination;
pub mod throttle;
pub mod vault;
pub mod volume;

pub use commands::main;
