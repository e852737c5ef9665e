//! What the webhook knows of the cluster: ServiceAccounts, SecretProviderClasses, the CSI driver.
//!
//! One trait; [`manifests::Manifests`] reads files, so that everything runs without a cluster.

pub mod manifests;

use crate::mutate::{ClassFact, Facts, Needs, ServiceAccount};
use std::future::Future;

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
    fn csi_driver_installed(&self) -> bool;
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
    facts.csi_driver_installed = needs.csi_driver && cluster.csi_driver_installed();
    Ok(facts)
}
