//! What the chart installs, on a real API server: who is mutated, what is refused and why, what the
//! webhook may do, and that an uninstall never leaves anything that blocks pods. No node is needed.
//! Run by `make test-cluster`.

#![allow(clippy::unwrap_used)] // helpers outside #[test] functions are tests too

mod book;
mod certificate_modes;
mod certificates;
mod doctor;
mod examples;
mod first_install;
mod guard;
mod helm;
mod intercept_guard;
mod node;
mod paths;
mod plan_guard;
mod pods;
mod principal_guard;
mod reaction_rights;
mod reactions_guard;
mod rights;
mod secret_types;
mod secrets_guard;
mod sidecar_endpoint;
mod sidecar_guard;
mod sidecar_guests;
mod sidecar_inline;
mod stage;
mod synced;
mod token_proxy_guard;
mod uninstall;
mod where_it_shows;
mod workloads;
