//! The HTTPS listener of the webhook: accept, handshake, read, decide, answer, drain.

#![allow(clippy::disallowed_methods, reason = "this room measures deadlines and durations")]

mod accept;
mod activity;
mod body;
mod budget;
pub mod client_ca;
mod connection;
mod decision;
mod handler;
mod idle_timeout;
mod in_flight;
mod limits;
pub mod own_authority;
mod pace;
pub mod paths;
pub mod plans;
mod read_ahead;
mod refusal;
mod service;
mod source;
mod table;
pub mod tls;
mod tls_error;
mod turns;
mod worked;
mod workload_share;
mod workloads;

pub use accept::spawn;
pub use client_ca::ClientAuthorities;
pub use handler::Handler;
pub use limits::{Limits, Load};
pub use paths::Paths;
pub use tls::{CertificateSlot, MinVersion};
