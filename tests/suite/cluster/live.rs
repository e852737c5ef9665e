//! Reads of one object: what no watch has told yet, against an API server that fails, stalls and
//! forgets.

use crate::suite::cluster::watches::{Watched, eventually, server_with_accounts};
use crate::suite::support::api_server::{CLASSES, DRIVERS, Fault, GetFault, SERVICE_ACCOUNTS};
use keysluice::admission;
use keysluice::cloud::Cloud;
use keysluice::cluster::{self, Cluster};
use keysluice::mutate::{CSI_DRIVER, ClassFact, Needs};
use keysluice::settings::Settings;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test]
async fn what_no_watch_has_told_yet_is_read_live_once_for_all_who_wait() {
    let watched = Watched::synced(server_with_accounts()).await;
    {
        let mut world = watched.server.world();
        world.stalled = true;
        world.put_account("n", "new", Some("id"));
        world.put_class("n", "class", "vault");
        world.get_fault = Some(GetFault::Hold);
    }
    let reads = (0..50).map(|_| {
        let cluster = Arc::clone(&watched.cluster);
        tokio::spawn(async move {
            cluster.service_account("n", "new").await.unwrap().unwrap().client_id
        })
    });
    let reads: Vec<_> = reads.collect();
    eventually("the read arrives", || async {
        !watched.server.world().requests_for("/namespaces/n/serviceaccounts/new").is_empty()
    })
    .await;
    {
        let mut world = watched.server.world();
        world.get_fault = None;
        world.pulse();
    }
    for read in reads {
        assert_eq!(read.await.unwrap().as_deref(), Some("id"));
    }
    assert!(matches!(
        watched.cluster.provider_class("n", "class").await.unwrap(),
        ClassFact::Found(_)
    ));
    let world = watched.server.world();
    assert_eq!(world.requests_for("/namespaces/n/serviceaccounts/new").len(), 1);
    assert_eq!(world.requests_for("/namespaces/n/secretproviderclasses/class").len(), 1);
}

#[tokio::test]
async fn an_account_created_while_its_absence_was_being_read_is_found() {
    let watched = Watched::synced(server_with_accounts()).await;
    watched.server.world().stalled = true;
    watched.server.world().get_fault = Some(GetFault::Hold);
    let ask = || {
        let cluster = Arc::clone(&watched.cluster);
        tokio::spawn(async move { cluster.service_account("n", "new").await.unwrap().is_some() })
    };
    let early = ask();
    eventually("the read arrives", || async {
        !watched.server.world().requests_for("/namespaces/n/serviceaccounts/new").is_empty()
    })
    .await;
    watched.server.world().put_account("n", "new", Some("id"));
    let late = ask();
    tokio::task::yield_now().await;
    watched.server.world().get_fault = None;
    watched.server.world().pulse();
    assert!(!early.await.unwrap());
    assert!(late.await.unwrap());
}

#[tokio::test]
async fn before_the_first_list_everything_is_read_live() {
    let server = server_with_accounts();
    server.world().put_driver();
    for resource in [SERVICE_ACCOUNTS, CLASSES, DRIVERS] {
        server.world().fail(resource, [Fault::Status(503); 1000]);
    }
    let watched = Watched::open(server);
    assert!(watched.cluster.csi_driver_installed().await.unwrap());
    let account = watched.cluster.service_account("n", "app").await.unwrap().unwrap();
    assert_eq!(account.client_id.as_deref(), Some("id-1"));
    watched.server.world().get_fault = Some(GetFault::Hang);
    let begun = Instant::now();
    let error = watched.cluster.csi_driver_installed().await.unwrap_err().to_string();
    assert!(error.contains("within 3 s"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_name_that_cannot_be_one_never_becomes_part_of_a_request() {
    let watched = Watched::synced(server_with_accounts()).await;
    watched.server.world().put_class("other", "class", "vault");
    let before = watched.server.world().requests.len();
    for name in ["../../other/secretproviderclasses/class", "class?watch=true", "", "UPPER"] {
        assert!(matches!(
            watched.cluster.provider_class("n", name).await.unwrap(),
            ClassFact::Missing
        ));
        assert_eq!(watched.cluster.service_account("n", name).await.unwrap(), None);
    }
    assert_eq!(watched.server.world().requests.len(), before);
}

#[tokio::test]
async fn everything_a_review_needs_is_read_at_once() {
    let server = server_with_accounts();
    for resource in [SERVICE_ACCOUNTS, CLASSES, DRIVERS] {
        server.world().fail(resource, [Fault::Status(503); 1000]);
    }
    server.world().put_class("n", "a", "vault");
    let watched = Watched::open(server);
    watched.server.world().get_fault = Some(GetFault::Hang);
    let needs = Needs {
        service_account: Some("app"),
        classes: vec!["a", "b"],
        csi_driver: true,
        ..Needs::default()
    };
    let before = watched.server.world().requests.len();
    let error =
        cluster::facts(&*watched.cluster, "n", needs.clone()).await.unwrap_err().to_string();
    assert!(error.contains("within 3 s"), "{error}");
    // One after the other, the first one's failure would have been the last of it.
    let asked = watched.server.world().requests[before..].to_vec();
    for path in [
        "/serviceaccounts/app",
        "/secretproviderclasses/a",
        "/secretproviderclasses/b",
        "/csidrivers/",
    ] {
        assert!(
            asked.iter().any(|request| request.contains(path)),
            "{path} is missing in {asked:?}"
        );
    }
    watched.server.world().get_fault = None;
    let facts = cluster::facts(&*watched.cluster, "n", needs.clone()).await.unwrap();
    assert_eq!(facts.service_account.unwrap().client_id.as_deref(), Some("id-1"));
    assert!(
        matches!(facts.classes["a"], ClassFact::Found(_))
            && matches!(facts.classes["b"], ClassFact::Missing)
    );
    assert!(!facts.csi_driver_installed);
}

#[tokio::test]
async fn a_pod_with_more_classes_than_it_may_have_costs_no_read() {
    let watched = Watched::synced(server_with_accounts()).await;
    let settings = Settings::new(Cloud::well_known("AzurePublicCloud").unwrap());
    for (classes, wanted) in [(64, 64), (65, 0), (5000, 0)] {
        let volume = |number: usize| {
            let name = format!("c{classes}-{number}");
            let csi = json!({
                "driver": CSI_DRIVER, "readOnly": true,
                "volumeAttributes": {"secretProviderClass": name},
            });
            json!({"name": format!("v{number}"), "csi": csi})
        };
        let volumes: Vec<_> = (0..classes).map(volume).collect();
        let spec =
            json!({"serviceAccountName": "app", "containers": [{"name": "c"}], "volumes": volumes});
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u", "namespace": "n", "operation": "CREATE",
                "kind": {"version": "v1", "kind": "Pod"},
                "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
                    "spec": spec},
            },
        });
        let review = review.to_string();
        let incoming = admission::read(review.as_bytes()).unwrap();
        let needs = incoming.needs(&settings);
        assert_eq!(needs.class_count(), wanted);
        if wanted > 0 {
            continue;
        }
        let before = watched.server.world().requests.len();
        let facts = cluster::facts(&*watched.cluster, "n", needs.clone()).await.unwrap();
        assert_eq!(watched.server.world().requests.len(), before, "{classes} classes");
        let message = incoming.answer(&settings, &facts).message.unwrap();
        assert!(
            message.starts_with("KS214 the pod has more than 64 SecretProviderClasses"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_failure_that_passes_is_not_told() {
    for fault in [GetFault::Status(503), GetFault::Status(429), GetFault::ProxyNotFound] {
        let watched = Watched::synced(server_with_accounts()).await;
        watched.server.world().stalled = true;
        watched.server.world().put_account("n", "new", Some("id"));
        watched.server.world().passing_get_fault = Some(fault);
        let account = watched.cluster.service_account("n", "new").await.unwrap().unwrap();
        assert_eq!(account.client_id.as_deref(), Some("id"), "{fault:?}");
        assert_eq!(
            watched.server.world().requests_for("/namespaces/n/serviceaccounts/new").len(),
            2,
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn a_refusal_that_stays_is_told_with_its_reason_within_the_deadline() {
    let watched = Watched::synced(server_with_accounts()).await;
    watched.server.world().get_fault = Some(GetFault::Status(503));
    let begun = Instant::now();
    let error = watched.cluster.service_account("n", "new").await.unwrap_err().to_string();
    assert!(error.ends_with("the API server answered 503: as the test wants it"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let reads = watched.server.world().requests_for("/namespaces/n/serviceaccounts/new").len();
    assert!((2..=8).contains(&reads), "{reads} reads");
    watched.server.world().get_fault = Some(GetFault::Status(403));
    watched.cluster.service_account("n", "other").await.unwrap_err();
    let reads = watched.server.world().requests_for("/namespaces/n/serviceaccounts/other").len();
    assert_eq!(reads, 1, "nobody grants a right within a second");
}

#[tokio::test]
async fn reading_what_is_missing_costs_no_connection() {
    let watched = Watched::synced(server_with_accounts()).await;
    let before = watched.server.world().connections;
    for number in 0..20 {
        assert_eq!(
            watched.cluster.service_account("n", &format!("missing-{number}")).await.unwrap(),
            None
        );
    }
    assert_eq!(watched.server.world().connections, before + 1);
}

#[tokio::test]
async fn an_idle_connection_that_was_forgotten_on_the_way_costs_no_read() {
    let watched = Watched::synced(server_with_accounts()).await;
    assert_eq!(watched.cluster.service_account("n", "missing").await.unwrap(), None);
    {
        let mut world = watched.server.world();
        world.stalled = true;
        world.put_account("n", "new", Some("id"));
        world.dead_connections = world.connections;
    }
    let account = watched.cluster.service_account("n", "new").await.unwrap().unwrap();
    assert_eq!(account.client_id.as_deref(), Some("id"));
}
