//! The HTTPS listener of the webhook: accept, handshake, read, decide, answer, drain.

pub mod accept;
mod body;
mod caught;
pub mod client_ca;
mod connection;
pub mod handler;
pub mod own_authority;
pub mod paths;
mod pulse;
mod read_ahead;
mod refusal;
mod roster;
pub mod tls;

pub use accept::{Limits, spawn};
pub use client_ca::ClientAuthorities;
pub use handler::Handler;
pub use paths::Paths;
pub use tls::{CertificateSlot, MinVersion};
