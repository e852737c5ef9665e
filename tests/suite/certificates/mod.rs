//! The webhook's certificates, its path, its tightening, and the rights for them.

mod own;
mod path;
mod rights;
pub(crate) mod stage;
mod tightening;
mod workloads;
