//! Lists: in a stream, page by page, of any size and shape.

use super::watches::{Cached, Watched, client, server_with_accounts};
use crate::suite::support::api_server::{ApiServer, CLASSES, Fault, SERVICE_ACCOUNTS};
use keysluice::cluster::{CacheStatus, Cluster};
use keysluice::mutate::ClassFact;
use serde_json::json;

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
