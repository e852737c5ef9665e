//! The watch caches against an API server that fails in every way we know.

use crate::suite::support::api_server::{
    ApiServer, CLASSES, DRIVERS, Fault, GetFault, SERVICE_ACCOUNTS,
};
use keysluice::budget::Budget;
use keysluice::cluster::api::{self, Client, Pace};
use keysluice::cluster::{CacheStatus, Cluster};
use keysluice::mutate::ClassFact;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) const FAST: Pace = Pace {
    first_retry: Duration::from_millis(2),
    longest_retry: Duration::from_millis(20),
    silence: Duration::from_secs(60),
    first_events: Duration::from_millis(300),
    not_installed: Duration::from_millis(20),
};

/// What the cache knows of a ServiceAccount.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cached {
    Unknown,
    WithoutClient,
    Client(String),
}

/// A stand-in and the caches that watch it.
pub(crate) struct Watched {
    pub(crate) server: ApiServer,
    pub(crate) cluster: Arc<api::ApiServer>,
    watch: tokio::task::JoinHandle<()>,
}

impl Watched {
    pub(crate) fn open(server: ApiServer) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let kubeconfig = server.kubeconfig(scratch.path());
        Self::by(&kubeconfig, server)
    }

    pub(crate) fn by(kubeconfig: &Path, server: ApiServer) -> Self {
        let cluster = Arc::new(api::ApiServer::new(
            Client::connect(Some(kubeconfig)).unwrap(),
            Budget::default(),
        ));
        let watch = tokio::spawn(cluster.watch(FAST));
        Self { server, cluster, watch }
    }

    pub(crate) async fn synced(server: ApiServer) -> Self {
        let watched = Self::open(server);
        watched.until("synced", |caches| caches.iter().all(|cache| cache.synced)).await;
        watched
    }

    /// Waits until the caches are as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&[CacheStatus]) -> bool) {
        eventually(what, || async { wanted(&self.cluster.caches()) }).await;
    }

    /// What a review would see; reads of one object are refused meanwhile, so the answer is the
    /// cache's.
    pub(crate) async fn cached(&self, namespace: &str, name: &str) -> Cached {
        self.server.world().get_fault = Some(GetFault::Status(403));
        let answer = self.cluster.service_account(namespace, name).await;
        self.server.world().get_fault = None;
        match answer.map(|account| account.expect("only a live read can deny it").client_id) {
            Err(_) => Cached::Unknown,
            Ok(None) => Cached::WithoutClient,
            Ok(Some(client_id)) => Cached::Client(client_id),
        }
    }

    /// Waits until the cache knows just this of an account.
    pub(crate) async fn until_cached(&self, name: &str, wanted: Cached) {
        eventually(name, || async { self.cached("n", name).await == wanted }).await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn client(id: &str) -> Cached {
    Cached::Client(id.to_owned())
}

pub(crate) fn server_with_accounts() -> ApiServer {
    let server = ApiServer::start();
    server.world().put_account("n", "plain", None);
    server.world().put_account("n", "app", Some("id-1"));
    server
}

#[tokio::test]
async fn objects_appear_change_and_go_as_the_server_says() {
    let watched = Watched::synced(server_with_accounts()).await;
    assert_eq!(watched.cached("n", "plain").await, Cached::WithoutClient);
    assert_eq!(watched.cached("n", "app").await, client("id-1"));
    assert!(!watched.cluster.csi_driver_installed().await.unwrap());
    {
        let mut world = watched.server.world();
        world.put_account("n", "app", Some("id-2"));
        world.put_account("n", "plain", Some("id-3"));
        world.put_account("n", "new", None);
        world.put_class("n", "class", "vault");
        world.put_driver();
    }
    watched.until_cached("app", client("id-2")).await;
    watched.until_cached("plain", client("id-3")).await;
    watched.until_cached("new", Cached::WithoutClient).await;
    watched
        .until("class and driver", |caches| caches[1].objects == 1 && caches[2].objects == 1)
        .await;
    assert!(matches!(
        watched.cluster.provider_class("n", "class").await.unwrap(),
        ClassFact::Found(_)
    ));
    assert!(watched.cluster.csi_driver_installed().await.unwrap());
    for (resource, namespace, name) in [
        (SERVICE_ACCOUNTS, "n", "app"),
        (CLASSES, "n", "class"),
        (DRIVERS, "", "secrets-store.csi.k8s.io"),
    ] {
        watched.server.world().delete(resource, namespace, name);
    }
    watched
        .until("all gone", |caches| {
            caches[0].objects == 2 && caches[1].objects + caches[2].objects == 0
        })
        .await;
    assert_eq!(watched.cluster.service_account("n", "app").await.unwrap(), None);
    assert!(matches!(
        watched.cluster.provider_class("n", "class").await.unwrap(),
        ClassFact::Missing
    ));
    assert!(!watched.cluster.csi_driver_installed().await.unwrap());
    let agent = concat!("keysluice/", env!("CARGO_PKG_VERSION"));
    assert!(watched.server.world().user_agents.iter().all(|sent| sent == agent));
}

#[tokio::test]
async fn a_connection_cut_inside_an_event_goes_on_where_it_was_without_a_list() {
    let server = server_with_accounts();
    let watched = Watched::synced(server).await;
    // The next watch of ServiceAccounts ends 40 bytes into its first event, the one after that is
    // whole.
    watched.server.world().fail(SERVICE_ACCOUNTS, [Fault::CutAfter(40)]);
    watched.server.world().disconnect();
    watched.server.world().put_account("n", "late", Some("id"));
    watched.until_cached("late", client("id")).await;
    let lists = watched.server.world().requests_for("/serviceaccounts?").into_iter();
    assert_eq!(lists.filter(|request| request.contains("sendInitialEvents")).count(), 1);
}

#[tokio::test]
async fn a_list_cut_before_its_end_is_begun_anew() {
    let server = server_with_accounts();
    server
        .world()
        .fail(SERVICE_ACCOUNTS, [Fault::CutAfter(300), Fault::CutAfter(0), Fault::Status(500)]);
    let watched = Watched::synced(server).await;
    assert_eq!(watched.cluster.caches()[0].objects, 2);
    assert_eq!(watched.server.world().requests_for("sendInitialEvents").len(), 4 + 2);
}

#[tokio::test]
async fn gone_by_status_or_by_event_lists_again_and_forgets_what_was_deleted_meanwhile() {
    for by_event in [false, true] {
        let mut watched = Watched::synced(server_with_accounts()).await;
        watched.server.stop().await;
        {
            let mut world = watched.server.world();
            world.delete(SERVICE_ACCOUNTS, "n", "app");
            world.put_account("n", "new", Some("id"));
            if by_event {
                world.fail(SERVICE_ACCOUNTS, [Fault::GoneEvent]);
            } else {
                world.compact();
            }
        }
        assert_eq!(watched.cached("n", "app").await, client("id-1"));
        watched.server.restart().await;
        watched.until_cached("new", client("id")).await;
        assert_eq!(watched.cached("n", "app").await, Cached::Unknown, "by event: {by_event}");
    }
}

#[tokio::test]
async fn a_store_restored_from_an_older_copy_is_listed_again() {
    let watched = Watched::synced(server_with_accounts()).await;
    {
        let mut world = watched.server.world();
        world.version = 10;
        world.history.clear();
        world.delete(SERVICE_ACCOUNTS, "n", "app");
        world.history.iter_mut().for_each(|change| change.version = 1000);
        world.pulse();
    }
    watched.until("listed again", |caches| caches[0].objects == 1).await;
    assert_eq!(watched.cached("n", "app").await, Cached::Unknown);
}

#[tokio::test]
async fn while_the_server_is_down_cached_answers_go_on_and_the_age_grows() {
    let mut watched = Watched::synced(server_with_accounts()).await;
    watched.server.stop().await;
    watched
        .until("trouble is told", |caches| caches.iter().all(|cache| cache.trouble.is_some()))
        .await;
    assert_eq!(
        watched.cluster.service_account("n", "app").await.unwrap().unwrap().client_id.as_deref(),
        Some("id-1")
    );
    let unknown = watched.cluster.service_account("n", "unknown").await.unwrap_err().to_string();
    assert!(
        unknown.starts_with(
            "cannot read ServiceAccount n/unknown from the API server: no answer \
            from the API server"
        ),
        "{unknown}"
    );
    let aged = |caches: &[CacheStatus]| {
        caches.iter().all(|cache| cache.synced && cache.age >= Duration::from_millis(50))
    };
    watched.until("the age grows", aged).await;
    watched.server.restart().await;
    // Once the watches are accepted again, before anything happens that they could tell.
    watched
        .until("trouble is over", |caches| caches.iter().all(|cache| cache.trouble.is_none()))
        .await;
    watched.server.world().put_account("n", "new", None);
    watched.until_cached("new", Cached::WithoutClient).await;
}

#[tokio::test]
async fn refusals_are_retried_no_sooner_than_the_server_asks() {
    let server = server_with_accounts();
    server
        .world()
        .fail(SERVICE_ACCOUNTS, [Fault::Status(500), Fault::Status(403), Fault::Status(429)]);
    let begun = Instant::now();
    let watched = Watched::open(server);
    watched
        .until("told", |caches| {
            caches[0].trouble.as_deref().is_some_and(|trouble| trouble.contains("429"))
        })
        .await;
    assert!(!watched.cluster.caches()[0].synced);
    watched.until("synced", |caches| caches[0].synced).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_server_that_is_down_is_not_asked_in_a_tight_loop() {
    let server = server_with_accounts();
    for resource in [SERVICE_ACCOUNTS, CLASSES, DRIVERS] {
        server.world().fail(resource, [Fault::Status(503); 1000]);
    }
    let scratch = tempfile::tempdir().unwrap();
    let client = Client::connect(Some(&server.kubeconfig(scratch.path()))).unwrap();
    let cluster = api::ApiServer::new(client, Budget::default());
    let _ = tokio::time::timeout(Duration::from_secs(1), cluster.watch(Pace::default())).await;
    let requests = server.world().requests.len();
    assert!((6..=15).contains(&requests), "{requests} requests in the first second");
}
