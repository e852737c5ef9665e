//! Certificate authority and serving certificate of the Keysluice webhook.
//!
//! Three ways to a certificate, one type that is served ([`Pair`]):
//!
//! - **our own CA** ([`Rotator`]): CA and leaf (ECDSA P-256) live in one Secret that all replicas
//!   share, `caBundle` names the CAs that API servers trust. The path that reviews are sent to is
//!   kept and written beside them. What to do is decided by the pure function [`step()`]; the
//!   stores are traits ([`SecretStore`], [`BundleStore`]), so that this crate knows no Kubernetes
//!   client;
//! - **given files** ([`PairFiles`]): `tls.crt` and `tls.key` in a directory, polled;
//! - **cert-manager**: the same files, in a Secret it writes and we mount; it writes `caBundle`
//!   too.

mod authority;
mod bundle;
mod certificate;
mod clock;
mod files;
#[cfg(test)]
mod handshake;
mod material;
mod memory;
mod pair;
mod path;
mod policy;
mod rotator;
#[cfg(test)]
mod simulation;
mod step;
mod store;

pub use authority::CertificateAuthority;
pub use bundle::{EntryPath, Published, Sightings};
pub use certificate::{Certificate, CertificateError};
pub use clock::{Clock, Moment, SystemClock};
pub use files::{FilesError, PairFiles, Polled};
pub use material::{Data, Material, MaterialError};
pub use memory::{MemoryBundle, MemorySecret};
pub use pair::{Leaf, Pair, PairError};
pub use path::{
    AnsweredPaths, PODS, PathSightings, ServicePath, ServicePathError, StoredPaths, WORKLOADS,
};
pub use policy::{Policy, PolicyError};
pub use rotator::{Event, Outputs, Rotator};
pub use step::{Decision, Reason, Serving, View, step};
pub use store::{
    BundleStore, Publication, ResourceVersion, SecretStore, Store, StoreError, Stored,
};

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// A name is no DNS name or IP address, or signing failed.
    #[error("{0}")]
    Generate(#[from] rcgen::Error),
    /// No random path could be made.
    #[error("the random source failed")]
    Random,
    /// What was just made cannot be read.
    #[error("{0}")]
    Read(#[from] CertificateError),
    /// What was just made does not go together.
    #[error("{0}")]
    Pair(#[from] PairError),
}
