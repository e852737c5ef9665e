//! The HTTPS listener of the webhook: accept, handshake, read, decide, answer, drain.

pub mod accept;
mod body;
mod caught;
pub mod client_ca;
mod connection;
pub mod handler;
mod lookups;
pub mod own_authority;
mod pool;
mod pulse;
mod read_ahead;
mod refusal;
mod table;
pub mod tls;
mod turns;

pub use accept::{Limits, spawn};
pub use client_ca::ClientAuthorities;
pub use handler::Handler;
pub use tls::{CertificateSlot, MinVersion};
