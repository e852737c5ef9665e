//! The API server as a source of cluster objects: three watch caches, and one live read of what
//! they do not have.
//!
//! Reviews are answered from memory. [`watch`] keeps the caches as the API server has them;
//! [`live`] is for an object that was created this instant, and for a webhook that has only just
//! started.

#![allow(
    clippy::disallowed_methods,
    reason = "this room owns ages, deadlines and jitter of the API client"
)]

mod backoff;
mod cache;
mod client;
mod configuration;
mod connection;
mod csi_drivers;
mod error;
mod event;
mod exec;
mod gate;
mod lines;
mod live;
mod object;
mod place;
mod provider_classes;
mod service_accounts;
mod shares;
mod stores;
#[cfg(test)]
pub(crate) mod stub;
mod tightening;
mod transport;
mod watch;
mod workload_configuration;

pub use client::Client;
pub use configuration::{BundleConfiguration, Kind as ConfigurationKind, watch_configuration};
pub use error::{ApiError, ClientError};
pub use exec::{ContainerName, ExecError, exec};
pub use object::{create, delete, get, get_metadata, list};
pub use place::Place;
pub use stores::{CertificateSecret, SecretName, SecretNameError};
pub use tightening::{Tightened, Tightening};

use super::{CacheStatus, Cluster, ClusterError, DEADLINE};
use crate::budget::Budget;
use crate::mutate::{CSI_DRIVER, ClassFact, ServiceAccount};
use backoff::{Backoff, random};
use cache::{Cache, Table};
use client::{METADATA, OBJECTS};
use csi_drivers::CsiDrivers;
use event::Item;
use live::{Answer, Lookup, SingleFlight};
use provider_classes::ProviderClasses;
use service_accounts::ServiceAccounts;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
pub use watch::Pace;
use watch::Watch;
pub use workload_configuration::WorkloadConfiguration;

/// An object that is read live: one that is larger is as good as unreadable. Sixteen of them are in
/// hand at once.
const OBJECT_LIMIT_BYTES: usize = 1 << 20;
/// Of any object.
const LONGEST_NAME_BYTES: usize = 253;
/// An object is not asked for again where its answer would have less time than this.
const LAST_READ: Duration = Duration::from_millis(500);

/// What the API server says, most of it from memory.
#[derive(Debug)]
pub struct ApiServer {
    client: Client,
    service_accounts: Arc<Cache<ServiceAccounts>>,
    classes: Arc<Cache<ProviderClasses>>,
    drivers: Arc<Cache<CsiDrivers>>,
    account_reads: SingleFlight<ServiceAccount>,
    class_reads: SingleFlight<ClassFact>,
    driver_reads: SingleFlight<()>,
}

impl ApiServer {
    /// Empty caches of what the budget gives them; they fill once [`ApiServer::watch`] runs.
    pub fn new(client: Client, budget: Budget) -> Self {
        Self {
            client,
            service_accounts: Arc::new(Cache::new(budget.accounts_bytes())),
            classes: Arc::new(Cache::new(budget.classes_bytes())),
            drivers: Arc::new(Cache::new(0)),
            account_reads: SingleFlight::new(),
            class_reads: SingleFlight::new(),
            driver_reads: SingleFlight::new(),
        }
    }

    /// Keeps the caches up to date; never ends.
    pub fn watch(&self, pace: Pace) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let accounts =
            Watch::new(self.client.clone(), Arc::clone(&self.service_accounts), pace).run();
        let classes = Watch::new(self.client.clone(), Arc::clone(&self.classes), pace).run();
        let drivers = Watch::new(self.client.clone(), Arc::clone(&self.drivers), pace).run();
        Box::pin(async {
            tokio::join!(accounts, classes, drivers);
        })
    }

    /// GETs one object; `None` if there is none, nor any of its kind. What may pass is tried again
    /// while there is time.
    async fn get<T>(
        &self,
        path: &str,
        accept: &'static str,
        limit_bytes: usize,
        read: impl Fn(&Item<'_>) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let begun = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(1));
        loop {
            let error = match self.client.read_object(path, accept, limit_bytes).await {
                Ok(body) => return read(&Item::read(&body)?).map(Some).ok_or(ApiError::Unreadable),
                Err(error) if error.status() == Some(404) => return Ok(None),
                Err(error) => error,
            };
            let pause = backoff.next(error.retry_after(), random());
            if !error.is_passing() || begun.elapsed() + pause + LAST_READ > DEADLINE {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn get_class(&self, path: &str) -> Result<Option<ClassFact>, ApiError> {
        let read =
            self.get(path, OBJECTS, OBJECT_LIMIT_BYTES, |item| Some(provider_classes::class(item)));
        match read.await {
            // What is wrong with it is its size, and asking again helps nobody.
            Err(ApiError::TooLarge) => Ok(Some(provider_classes::too_large())),
            answer => answer,
        }
    }
}

impl Cluster for ApiServer {
    async fn service_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<ServiceAccount>, ClusterError> {
        let cached = Cached {
            cache: &self.service_accounts,
            find: |table: &ServiceAccounts| table.find(namespace, name),
        };
        if let Some(account) = cached.find() {
            return Ok(Some(account));
        }
        if !is_name(namespace) || !is_name(name) {
            return Ok(None);
        }
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}");
        let answer = self.account_reads.run((namespace, name), &cached, || {
            self.get(&path, METADATA, OBJECT_LIMIT_BYTES, |item| match item {
                Item::Readable(account) => {
                    Some(ServiceAccount::from_annotations(account.annotations()))
                }
                Item::Unreadable(_) => None,
            })
        });
        let answer = answer.await;
        known(answer, || format!("ServiceAccount {namespace}/{name}"))
    }

    async fn provider_class(&self, namespace: &str, name: &str) -> Result<ClassFact, ClusterError> {
        let cached = Cached {
            cache: &self.classes,
            find: |table: &ProviderClasses| table.find(namespace, name),
        };
        if let Some(class) = cached.find() {
            return Ok(class);
        }
        if !is_name(namespace) || !is_name(name) {
            return Ok(ClassFact::Missing);
        }
        let group = "/apis/secrets-store.csi.x-k8s.io/v1";
        let path = format!("{group}/namespaces/{namespace}/secretproviderclasses/{name}");
        let answer = self.class_reads.run((namespace, name), &cached, || self.get_class(&path));
        let answer = answer.await;
        Ok(known(answer, || format!("SecretProviderClass {namespace}/{name}"))?
            .unwrap_or(ClassFact::Missing))
    }

    fn knows_class(&self, namespace: &str, name: &str) -> bool {
        let known = self.classes.find(|table| table.knows(namespace, name).then_some(()));
        // That there is none of a name that cannot be one is known as well.
        known.is_some() || !is_name(namespace) || !is_name(name)
    }

    async fn csi_driver_installed(&self) -> Result<bool, ClusterError> {
        if self.drivers.is_synced() {
            return Ok(self.drivers.read(|table| table.installed));
        }
        // Before the first list "not there" would be a guess, and a wrong one would take a volume
        // away from its driver.
        let path = format!("{}/{CSI_DRIVER}", CsiDrivers::PATH);
        let cached = Cached {
            cache: &self.drivers,
            find: |table: &CsiDrivers| table.installed.then_some(()),
        };
        let answer = self.driver_reads.run(("", CSI_DRIVER), &cached, || {
            self.get(&path, METADATA, OBJECT_LIMIT_BYTES, |_| Some(()))
        });
        let answer = answer.await;
        Ok(known(answer, || format!("CSIDriver {CSI_DRIVER}"))?.is_some())
    }

    fn caches(&self) -> Vec<CacheStatus> {
        vec![self.service_accounts.status(), self.classes.status(), self.drivers.status()]
    }
}

/// One object of a cache.
struct Cached<'a, T, F> {
    cache: &'a Cache<T>,
    find: F,
}

impl<T: Table, R, F: Fn(&T) -> Option<R>> Lookup<R> for Cached<'_, T, F> {
    fn find(&self) -> Option<R> {
        self.cache.find(&self.find)
    }

    fn changed(&self) -> impl Future<Output = ()> + Send {
        self.cache.changed()
    }
}

/// Whether an object can have this name. A mutating webhook sees pods before they are validated,
/// and the name becomes part of a path: `../../other/secretproviderclasses/x` must not get there.
fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME_BYTES
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
}

fn known<T>(answer: Answer<T>, object: impl FnOnce() -> String) -> Result<Option<T>, ClusterError> {
    answer.map_err(|error| ClusterError::Unavailable { object: object(), source: Box::new(error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_watch_is_small() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("kubeconfig");
        let text = "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\nclusters: \
            [{name: k, cluster: {server: 'http://k.test'}}]\n";
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text.as_bytes())
            .unwrap();
        let client = Client::connect(Some(&path)).unwrap();
        let watch =
            Watch::new(client.clone(), Arc::new(Cache::<CsiDrivers>::new(0)), Pace::default());
        // Two of these sizes live as long as the process, once for each cache.
        assert!(
            size_of_val(&watch.run()) < 4096 && size_of_val(&client.read("/", METADATA)) < 4096
        );
    }

    #[test]
    fn only_what_can_be_a_name_becomes_part_of_a_path() {
        for name in ["a", "9-x", "web.prod-1"] {
            assert!(is_name(name), "{name}");
        }
        assert!(is_name(&"a".repeat(253)) && !is_name(&"a".repeat(254)));
        for name in
            ["", "..", ".a", "-a", "a/b", "a?watch=true", "a%2fb", "A", "ä", "a b", "a\r\nx"]
        {
            assert!(!is_name(name), "{name}");
        }
    }
}
