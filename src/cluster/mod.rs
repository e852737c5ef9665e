//! What the webhook knows of the cluster: ServiceAccounts, SecretProviderClasses, the CSI driver.
//!
//! One trait; [`manifests::Manifests`] reads files, so that everything runs without a cluster,
//! [`api::ApiServer`] asks one.

pub mod api;
pub mod manifests;

use crate::coded::coded;
use crate::mutate::{ClassFact, Facts, Needs, ServiceAccount};
use crate::reason;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// All look-ups of a review together: the API server gives the webhook 5 s, and its answer must
/// still get there.
pub(crate) const DEADLINE: Duration = Duration::from_secs(3);

/// A source of cluster objects. Each answers within [`DEADLINE`], whatever else is asked at the
/// same time.
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

    /// Whether this class, or that there is none, is known without a request.
    fn knows_class(&self, _namespace: &str, _name: &str) -> bool {
        true
    }

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
    pub trouble: Option<Arc<String>>,
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

coded! {
    /// Why the cluster could not be asked.
    #[derive(Debug, thiserror::Error)]
    pub enum ClusterError {
        /// The API server did not answer, or not in time.
        #[error("cannot read {object} from the API server: {source}")]
        [KS703] Unavailable {
            /// What was asked for.
            object: String,
            /// What happened.
            #[source]
            source: Box<dyn std::error::Error + Send + Sync>,
        },
        /// A pod that names more classes than are read for one.
        #[error(
            "{count} SecretProviderClasses of the pod are not in the cache, {first} the first of \
             them, and at most {limit} are read for one pod; \
             hint: {}",
            reason::KS232.fix
        )]
        [KS232] ManyUnknown {
            /// How many.
            count: usize,
            /// Namespace and name of one.
            first: String,
            /// How many there may be.
            limit: usize,
        },
    }
}

/// Classes that are read from the API server for one pod.
pub(crate) const MOST_READS: usize = 8;

/// Looks up everything a decision needs, all at once.
pub async fn facts<C: Cluster>(
    cluster: &C,
    namespace: &str,
    needs: Needs<'_>,
) -> Result<Facts, ClusterError> {
    let mut driver = All::of(needs.csi_driver.then(|| cluster.csi_driver_installed()));
    // Nearly always it is known at once; else everything is read side by side.
    let known = poll_fn(|cx| Poll::Ready(Pin::new(&mut driver).poll(cx))).await;
    let (is_known, installed) = match known {
        Poll::Ready(driver) => (true, driver?.into_iter().any(|installed| installed)),
        Poll::Pending => (false, false),
    };
    let needs = needs.with_driver(installed);
    if needs.classes.len() > MOST_READS {
        let mut unknown = needs.classes.iter().filter(|name| !cluster.knows_class(namespace, name));
        if let Some(name) = unknown.next() {
            let (count, first) = (1 + unknown.count(), format!("{namespace}/{name}"));
            if count > MOST_READS {
                return Err(ClusterError::ManyUnknown { count, first, limit: MOST_READS });
            }
        }
    }
    let account = async {
        match needs.service_account {
            Some(name) => cluster.service_account(namespace, name).await,
            None => Ok(None),
        }
    };
    let classes = All::of(needs.classes.iter().map(async |name| {
        let name = (*name).to_owned();
        let class = cluster.provider_class(namespace, &name).await?;
        Ok((name, class))
    }));
    let driver = async {
        if is_known {
            return Ok(installed);
        }
        driver.await.map(|driver| driver.into_iter().any(|installed| installed))
    };
    let (service_account, classes, csi_driver_installed) =
        tokio::try_join!(account, classes, driver)?;
    Ok(Facts { service_account, classes: classes.into_iter().collect(), csi_driver_installed })
}

/// Futures that run side by side, each on the heap: most reviews have none of them.
pub(crate) struct All<F, T>(Vec<(Pin<Box<F>>, Option<T>)>);

impl<F: Future<Output = Result<T, ClusterError>>, T> All<F, T> {
    pub(crate) fn of(futures: impl IntoIterator<Item = F>) -> Self {
        Self(futures.into_iter().map(|future| (Box::pin(future), None)).collect())
    }
}

impl<F: Future<Output = Result<T, ClusterError>>, T: Unpin> Future for All<F, T> {
    type Output = Result<Vec<T>, ClusterError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        for (future, output) in self.0.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(answer) = future.as_mut().poll(cx) {
                *output = Some(answer?);
            }
        }
        if self.0.iter().any(|(_, output)| output.is_none()) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(self.0.drain(..).filter_map(|(_, output)| output).collect()))
    }
}
