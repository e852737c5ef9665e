//! What pods name and nobody has created: few reads of the API server, and no pod that is refused
//! for what exists by now.

use crate::suite::cluster::watches::{Watched, server_with_accounts};
use crate::suite::support::api_server::GetFault;
use keysluice::cluster::{self, Cluster};
use keysluice::mutate::{ClassFact, Needs, WithoutDriver};
use std::sync::Arc;

fn reads(watched: &Watched, part: &str) -> usize {
    watched.server.world().requests_for(part).len()
}

#[tokio::test]
async fn a_pod_has_eight_classes_read_and_is_refused_in_words_with_more() {
    let server = server_with_accounts();
    for number in 0..40 {
        server.world().put_class("n", &format!("known-{number}"), "vault");
    }
    let watched = Watched::synced(server).await;
    let known: Vec<String> = (0..40).map(|number| format!("known-{number}")).collect();
    for (unknown, fits) in [(8, true), (9, false), (64, false)] {
        let names: Vec<String> =
            (0..unknown).map(|number| format!("new-{unknown}-{number}")).collect();
        let classes = known.iter().chain(&names).map(String::as_str).collect();
        let needs =
            Needs { service_account: Some("app"), classes, csi_driver: true, ..Needs::default() };
        let answer = cluster::facts(&*watched.cluster, "n", needs.clone()).await;
        assert_eq!(
            reads(&watched, &format!("/secretproviderclasses/new-{unknown}-")),
            if fits { 8 } else { 0 }
        );
        match answer {
            Ok(facts) => assert!(fits && matches!(facts.classes["known-0"], ClassFact::Found(_))),
            Err(error) => {
                assert!(!fits && error.reason().code == "KS232");
                let expected = format!(
                    "{unknown} SecretProviderClasses of the pod are not in the cache, \
                     n/new-{unknown}-0"
                );
                assert!(error.to_string().starts_with(&expected), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_missing_class_is_read_once_a_second_however_many_pods_name_it() {
    let watched = Watched::synced(server_with_accounts()).await;
    for _ in 0..3 {
        let pods = (0..100).map(|_| {
            let cluster = Arc::clone(&watched.cluster);
            tokio::spawn(async move { cluster.provider_class("n", "missing").await.unwrap() })
        });
        for pod in pods.collect::<Vec<_>>() {
            assert!(matches!(pod.await.unwrap(), ClassFact::Missing));
        }
    }
    // Six rounds at most: of each hundred, some may join a read that had begun and wait for the
    // next.
    let reads = reads(&watched, "/secretproviderclasses/missing");
    assert!((3..=6).contains(&reads), "{reads}");
}

#[tokio::test]
async fn a_class_created_after_a_miss_is_found_when_the_watch_tells_and_also_when_it_does_not() {
    for stalled in [false, true] {
        let watched = Watched::synced(server_with_accounts()).await;
        assert!(matches!(
            watched.cluster.provider_class("n", "new").await.unwrap(),
            ClassFact::Missing
        ));
        watched.server.world().stalled = stalled;
        watched.server.world().put_class("n", "new", "vault");
        assert!(matches!(
            watched.cluster.provider_class("n", "new").await.unwrap(),
            ClassFact::Found(_)
        ));
        assert_eq!(reads(&watched, "/secretproviderclasses/new"), if stalled { 2 } else { 1 });
    }
}

#[tokio::test]
async fn an_object_larger_than_is_read_is_told_as_what_is_wrong_with_its_pods() {
    let watched = Watched::synced(server_with_accounts()).await;
    watched.server.world().stalled = true;
    for bytes in [300_000, 1_100_000] {
        let name = format!("c{bytes}");
        watched.server.world().put_class("n", &name, &"x".repeat(bytes));
        let ClassFact::Invalid(error) = watched.cluster.provider_class("n", &name).await.unwrap()
        else {
            panic!()
        };
        assert!(error.to_string().starts_with("KS147 spec has more than 262144 bytes"), "{error}");
    }
}

/// Their pods are left to the driver, whatever becomes of the reads.
#[tokio::test]
async fn where_the_driver_is_installed_no_class_of_its_pods_is_read() {
    let server = server_with_accounts();
    server.world().put_driver();
    let watched = Watched::synced(server).await;
    watched.server.world().get_fault = Some(GetFault::Hang);
    let names: Vec<String> = (0..20).map(|number| format!("unknown-{number}")).collect();
    let without_driver = WithoutDriver {
        service_account: Some("unknown"),
        classes: names.iter().map(String::as_str).collect(),
    };
    let needs = Needs { csi_driver: true, without_driver, ..Needs::default() };
    let before = watched.server.world().requests.len();
    let facts = cluster::facts(&*watched.cluster, "n", needs).await.unwrap();
    assert!(facts.csi_driver_installed && facts.classes.is_empty());
    assert_eq!(watched.server.world().requests.len(), before);
}
