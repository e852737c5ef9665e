//! The edges to the API server: one Secret, one webhook configuration.

use crate::bundle::Published;
use crate::material::Data;
use crate::path::ServicePath;
use std::fmt;

/// Kubernetes' `resourceVersion`: opaque, changes with every write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceVersion(String);

impl From<&str> for ResourceVersion {
    fn from(version: &str) -> Self {
        Self(version.to_owned())
    }
}

impl ResourceVersion {
    /// As the API wants it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A Secret as read.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its data.
    pub data: Data,
    /// Its version.
    pub version: ResourceVersion,
}

/// The Secret that all replicas share.
pub trait SecretStore: Send + Sync {
    /// Reads it from the API server itself, not from a watch cache: a stale read costs a lost race.
    /// `None`: there is none.
    fn read(&self) -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send;

    /// Replaces its data if it still has `version`; creates it with `None`.
    /// [`StoreError::Conflict`]: another client was faster.
    fn write(
        &self,
        data: &Data,
        version: Option<&ResourceVersion>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// `caBundle` and path of every entry of our webhook configuration, by its name.
pub trait BundleStore: Send + Sync {
    /// Reads it from the API server itself, not from a watch cache. That a bundle is read before
    /// the Secret and patched only at the version read is what keeps a slow replica from publishing
    /// an old one.
    fn read(&self) -> impl Future<Output = Result<Published, StoreError>> + Send;

    /// Publishes this if the configuration still has `version` (a patch that names
    /// `metadata.resourceVersion`), and changes nothing else.
    fn patch(
        &self,
        publication: &Publication,
        version: &ResourceVersion,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// What is written into the webhook configuration, at once.
#[derive(Debug, Clone, Default)]
pub struct Publication {
    /// PEM for `caBundle` of every entry.
    pub bundle: Option<String>,
    /// Path for every entry that may be changed.
    pub path: Option<ServicePath>,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The Secret.
    Secret,
    /// The webhook configuration.
    Bundle,
}

impl fmt::Display for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Secret => "the Secret with the certificates",
            Self::Bundle => "caBundle and path of the webhook configuration",
        })
    }
}

/// Why the API server did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object changed since it was read.
    #[error("the object changed since it was read")]
    Conflict,
    /// Anything else; the object may have changed all the same.
    #[error(transparent)]
    Failed(#[from] Box<dyn std::error::Error + Send + Sync>),
}
