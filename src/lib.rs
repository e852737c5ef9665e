//! Keysluice: Azure identity and Key Vault secrets for Kubernetes pods, as one mutating admission
//! webhook.
//!
//! The architecture on a page. A review comes in as bytes and goes out as bytes; everything between
//! is pure:
//!
//! ```text
//! server ──bytes──> admission ──pod──> mutate ──class──> provider_class ──> Plan ──> the sidecar
//!    │                  ^
//!    └── cluster ──facts┘      ServiceAccounts, SecretProviderClasses, the CSI driver:
//!                              from manifests or an API server
//! ```
//!
//! - [`admission`] reads a borrowed view of the raw pod and writes the response; a patch only ever
//!   adds, or replaces a volume, a mount or a command in place.
//! - [`mutate`] decides: the identity's environment, token volume and mounts; the tmpfs volumes;
//!   the sidecar with its Plan.
//! - [`inline`] reads inline references, which yield the same plan of a volume as a class.
//! - [`provider_class`] reads a `SecretProviderClass` as the Azure provider of the Secrets Store
//!   CSI driver does.
//! - [`cluster`] answers what a decision needs to know; [`server`] does TLS, limits and draining;
//!   [`admin`] is the plain listener.
//! - [`rights`] turns workloads and classes into the Roles with which pods write their Secrets.
//! - [`audit`] joins the diagnostic log of vaults with the pods that called them.
//! - [`azure`] turns Plans into the identities and role assignments of the Azure side; [`jwks`]
//!   turns keys into a key set; [`migrate`] turns manifests of other injectors into ours.
//! - [`cli`] wires it: `serve`, `explain`, `plan`, `rbac`, `why`. [`reason`] holds every code a
//!   user can meet.

// `println!` panics where the reader of a pipe has gone; an error of `writeln!` ends in silence.
#![deny(clippy::print_stdout)]

pub mod admin;
pub mod admission;
pub mod audit;
pub mod azure;
mod bounded;
pub mod budget;
pub mod cli;
pub mod cloud;
pub mod cluster;
mod coded;
mod heap;
pub mod inline;
pub mod json;
pub mod jwks;
pub mod log;
pub mod metrics;
pub mod migrate;
pub mod mutate;
pub mod patch;
mod plan;
pub mod pod;
pub mod provider_class;
mod quantity;
pub mod reason;
pub mod rights;
pub mod server;
pub mod settings;
mod spelling;
mod yaml;
