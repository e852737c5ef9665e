//! The HTTPS listener of the webhook: accept, handshake, read, decide, answer, drain.

pub mod accept;
pub mod handler;
pub mod tls;

pub use accept::{Limits, serve};
pub use handler::Handler;
