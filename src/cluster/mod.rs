//! What the webhook knows of the cluster: ServiceAccounts, SecretProviderClasses, the CSI driver.
//!
//! One trait; [`manifests::Manifests`] reads files, so that everything runs without a cluster, [`api::ApiServer`] asks one.

pub mod api;
pub mod manifests;

use crate::mutate::{ClassFact, Facts, Needs, ServiceAccount};
use std::fmt;
use std::future::Future;
use std::time::Duration;

/// A source of cluster objects.
pub trait Cluster: Send + Sync + 'static {
    /// The ServiceAccount, or `None` if there is none.
    fn service_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<Option<ServiceAccount>, ClusterError>> + Send;

    /// The class, as far as it is one.
    fn provider_class(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<ClassFact, ClusterError>> + Send;

    /// Whether the Secrets Store CSI driver is installed.
    fn csi_driver_installed(&self) -> impl Future<Output = Result<bool, ClusterError>> + Send;

    /// What is cached, and how fresh it is; nothing where nothing changes.
    fn caches(&self) -> Vec<CacheStatus> {
        Vec::new()
    }
}

/// One cache, for readiness and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheStatus {
    /// Plural of the kind, in lower case.
    pub name: &'static str,
    /// Whether it was complete once; from then on it answers, however old it grows.
    pub synced: bool,
    /// How many objects it knows.
    pub objects: usize,
    /// Since the API server last said anything: an event, or the bookmark it sends every minute.
    pub age: Duration,
    /// What keeps it from hearing more.
    pub trouble: Option<String>,
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, age) = (self.name, self.age.as_secs());
        if self.synced {
            write!(f, "{name}: {} known, last heard of {age} s ago", self.objects)?;
        } else {
            write!(f, "{name}: not yet listed, for {age} s")?;
        }
        self.trouble.as_ref().map_or(Ok(()), |trouble| write!(f, ": {trouble}"))
    }
}

/// Why the cluster could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The API server did not answer, or not in time.
    #[error("cannot read {object} from the API server: {source}")]
    Unavailable {
        /// What was asked for.
        object: String,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Looks up everything a decision needs.
pub async fn facts<C: Cluster>(cluster: &C, namespace: &str, needs: &Needs<'_>) -> Result<Facts, ClusterError> {
    let mut facts = Facts::default();
    if let Some(name) = needs.service_account {
        facts.service_account = cluster.service_account(namespace, name).await?;
    }
    for name in &needs.classes {
        facts.classes.insert((*name).to_owned(), cluster.provider_class(namespace, name).await?);
    }
    facts.csi_driver_installed = needs.csi_driver && cluster.csi_driver_installed().await?;
    Ok(facts)
}
