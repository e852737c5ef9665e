//! The watch caches against an API server that fails in every way we know.

use crate::suite::support::api_server::{
    ApiServer, CLASSES, DRIVERS, Fault, GetFault, SERVICE_ACCOUNTS,
};
use keysluice::budget::Budget;
use keysluice::cluster::api::{self, Client, Pace};
use keysluice::cluster::{CacheStatus, Cluster};
use keysluice::mutate::ClassFact;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const FAST: Pace = Pace {
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
    async fn cached(&self, namespace: &str, name: &str) -> Cached {
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

fn client(id: &str) -> Cached {
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

#[tokio::test]
async fn an_older_server_is_listed_page_by_page_and_then_watched() {
    let server = ApiServer::start();
    server.world().streams_lists = false;
    for number in 0..600 {
        server.world().put_account("n", &format!("a-{number}"), (number % 20 == 0).then_some("id"));
    }
    let watched = Watched::synced(server).await;
    assert_eq!(watched.cluster.caches()[0].objects, 600);
    let pages = watched.server.world().requests_for("/serviceaccounts?limit=250").len();
    assert_eq!(pages, 3);
    watched.server.world().put_account("n", "new", Some("id"));
    watched.until_cached("new", client("id")).await;
    watched.server.world().compact();
    watched.server.world().disconnect();
    watched.server.world().put_account("n", "newer", Some("id"));
    watched.until_cached("newer", client("id")).await;
    assert_eq!(watched.server.world().requests_for("/serviceaccounts?limit=250").len(), 6);
}

#[tokio::test]
async fn a_streamed_list_that_never_ends_is_asked_for_page_by_page() {
    let server = server_with_accounts();
    server.world().fail(SERVICE_ACCOUNTS, [Fault::NoInitialEnd]);
    let watched = Watched::synced(server).await;
    assert_eq!(watched.cached("n", "app").await, client("id-1"));
    assert_eq!(watched.server.world().requests_for("/serviceaccounts?limit").len(), 1);
    // One stall is no reason to do without for ever.
    watched.server.world().compact();
    watched.server.world().disconnect();
    watched.server.world().put_account("n", "new", None);
    watched.until_cached("new", Cached::WithoutClient).await;
    let world = watched.server.world();
    let streamed = world
        .requests_for("/serviceaccounts?")
        .into_iter()
        .filter(|list| list.contains("sendInitialEvents"));
    assert_eq!((streamed.count(), world.requests_for("/serviceaccounts?limit").len()), (2, 1));
}

/// Whoever may write a class in one namespace must not decide what the webhook knows of all others.
#[tokio::test]
async fn a_class_of_any_shape_stops_nobody() {
    let metadata = || json!({"namespace": "n", "name": "hostile"});
    let shapes = [
        json!({"metadata": metadata(), "code": "x", "message": [], "spec": 1}),
        json!({"metadata": metadata(), "kind": "Status", "code": 410,
            "message": "Too large resource version", "spec": []}),
        json!({"metadata": {"namespace": "n", "name": "hostile", "annotations": {"x": 1}},
            "spec": {}}),
        json!({"metadata": {"namespace": "n", "name": "hostile", "annotations": [],
            "resourceVersion": {}}}),
        json!({"metadata": {"namespace": ["n"], "name": "hostile"}}),
        json!({"metadata": "n/hostile"}),
        json!([]),
        json!(null),
    ];
    for streams in [true, false] {
        for (number, shape) in shapes.iter().enumerate() {
            let server = server_with_accounts();
            server.world().streams_lists = streams;
            server.world().put_class("n", "a", "vault");
            server.world().put_hostile(CLASSES, "n", "hostile", shape.clone());
            server.world().put_class("n", "z", "vault");
            let watched = Watched::synced(server).await;
            watched.server.world().put_hostile(CLASSES, "n", "hostile", shape.clone());
            watched.server.world().put_class("n", "later", "vault");
            watched
                .until("the last", |caches| caches[1].objects == if number < 4 { 4 } else { 3 })
                .await;
            for name in ["a", "z", "later"] {
                assert!(matches!(
                    watched.cluster.provider_class("n", name).await.unwrap(),
                    ClassFact::Found(_)
                ));
            }
            let hostile = watched.cluster.provider_class("n", "hostile").await.unwrap();
            assert!(matches!(hostile, ClassFact::Invalid(_)), "{shape}: {hostile:?}");
            // One more is the streamed list that is refused.
            let asked = watched.server.world().requests_for("/secretproviderclasses?watch").len();
            assert_eq!(asked, if streams { 1 } else { 2 }, "{shape}");
            assert_eq!(watched.cluster.caches()[1].trouble, None);
        }
    }
}

#[tokio::test]
async fn pieces_of_any_size_make_the_same_events() {
    let server = server_with_accounts();
    server.world().fail(SERVICE_ACCOUNTS, [Fault::Pieces(1)]);
    let watched = Watched::synced(server).await;
    watched.server.world().put_account("n", "new", Some("id-ä"));
    watched.until_cached("new", client("id-ä")).await;
}

#[tokio::test]
async fn classes_may_be_installed_later() {
    let server = server_with_accounts();
    server.world().classes_installed = false;
    let watched = Watched::synced(server).await;
    assert_eq!(watched.cluster.caches()[1].objects, 0);
    assert!(matches!(
        watched.cluster.provider_class("n", "class").await.unwrap(),
        ClassFact::Missing
    ));
    watched.server.world().classes_installed = true;
    watched.server.world().put_class("n", "class", "vault");
    watched.until("the class", |caches| caches[1].objects == 1).await;
    watched.server.world().classes_installed = false;
    watched.server.world().disconnect();
    watched.until("no class", |caches| caches[1].objects == 0 && caches[1].synced).await;
}

#[tokio::test]
async fn a_core_kind_is_never_taken_for_missing() {
    for fault in [Fault::Status(404), Fault::ProxyNotFound] {
        let watched = Watched::synced(server_with_accounts()).await;
        watched.server.world().put_class("n", "class", "vault");
        watched.until("the class", |caches| caches[1].objects == 1).await;
        watched.server.world().fail(SERVICE_ACCOUNTS, [fault; 1000]);
        watched.server.world().fail(CLASSES, [Fault::ProxyNotFound; 1000]);
        watched.server.world().disconnect();
        let told = |cache: &CacheStatus| {
            cache.trouble.as_deref().is_some_and(|trouble| trouble.contains("404"))
        };
        watched.until("trouble is told", |caches| caches[..2].iter().all(told)).await;
        assert_eq!(watched.cached("n", "app").await, client("id-1"));
        assert_eq!(
            watched.cluster.caches()[1].objects,
            1,
            "a proxy does not know which kinds there are"
        );
        watched.server.world().forgive();
        watched
            .until("trouble is over", |caches| {
                caches[..2].iter().all(|cache| cache.trouble.is_none())
            })
            .await;
    }
}

#[tokio::test]
async fn pages_that_are_too_large_are_halved() {
    let server = server_with_accounts();
    server.world().streams_lists = false;
    for number in 0..8 {
        let annotations = json!({"padding": "x".repeat(500_000)});
        let name = format!("large-{number}");
        let parameters = json!({"keyvaultName": "x".repeat(100_000)});
        server.world().put(
            CLASSES,
            json!({
                "metadata": {"namespace": "n", "name": name, "annotations": annotations},
                "spec": {"provider": "azure", "parameters": parameters},
            }),
        );
    }
    server.world().put_class("n", "small", "vault");
    let watched = Watched::synced(server).await;
    // The large ones are read live: nobody fills our memory by creating classes.
    assert_eq!(watched.cluster.caches()[1].objects, 1);
    for name in ["small", "large-7"] {
        assert!(matches!(
            watched.cluster.provider_class("n", name).await.unwrap(),
            ClassFact::Found(_)
        ));
    }
    let pages = |limit| {
        watched.server.world().requests_for(&format!("/secretproviderclasses?limit={limit}")).len()
    };
    assert_eq!((pages(8), pages(4)), (1, 3));
}
