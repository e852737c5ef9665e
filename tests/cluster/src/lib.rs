//! A real Kubernetes for tests, built from Kubernetes' own modules (`components/`) and Debian's
//! containerd.
//!
//! [`ControlPlane`] is etcd and an API server on the loopback, for tests that need no pod.
//! [`Enclosure`] is a whole cluster with one node in namespaces of its own: up in seconds, gone
//! without a trace when it is dropped or whoever holds it dies.
//!
//! The enclosure is seen from two sides. From outside: [`enclosure`] starts it, runs commands in
//! it, ends it and sweeps up. Inside, [`supervisor`] is process 1: it makes the network
//! ([`network`]), writes the configuration of every daemon ([`daemons`]), starts them, and starts
//! again what ends.

// Files of an enclosure have no other reader while they are written.
#![allow(clippy::disallowed_methods)]

pub mod api;
pub mod cgroups;
mod control_plane;
pub mod daemons;
pub mod enclosure;
pub mod layout;
pub mod names;
pub mod network;
pub mod registry;
pub mod supervisor;

pub use control_plane::ControlPlane;
pub use enclosure::Enclosure;
pub use layout::Layout;
