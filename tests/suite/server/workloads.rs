//! Reviews of workloads over real TLS: always allowed, and out of the way of pods.

use crate::suite::server::listener::{Client, Silent, ask, receive, review, send, send_to, start};
use keysluice::cluster::Cluster;
use keysluice::cluster::manifests::{Manifests, parse_documents};
use keysluice::server::{Limits, Load, MinVersion};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;

/// A Deployment whose pods use the ServiceAccount `web` and the class `kv`.
fn deployment(class: &str) -> Value {
    let volume = json!({"name": "s", "csi": {"driver": "secrets-store.csi.k8s.io",
        "readOnly": true, "volumeAttributes": {"secretProviderClass": class}}});
    let container = json!({"name": "app", "securityContext": {"runAsUser": 1000},
        "volumeMounts": [{"name": "s", "mountPath": "/mnt"}]});
    let spec = json!({"serviceAccountName": "web", "volumes": [volume], "containers": [container]});
    let template =
        json!({"metadata": {"labels": {"azure.workload.identity/use": "true"}}, "spec": spec});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": template}})
}

fn workload_review(object: &Value) -> String {
    let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    let request = json!({"uid": "u-1", "kind": kind, "namespace": "shop", "operation": "CREATE",
        "object": object});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
        .to_string()
}

fn cluster() -> Manifests {
    let mut cluster = Manifests::default();
    let tenant = "1b9d7a52-66b0-4f3e-8a11-90d3c7e2b4a8";
    let objects = "array:\n  - |\n    objectName: db\n    objectType: secret\n";
    let parameters = json!({"keyvaultName": "vault-1", "tenantId": tenant, "objects": objects});
    for value in [
        json!({"kind": "ServiceAccount", "metadata": {"name": "web", "namespace": "shop",
            "annotations": {"azure.workload.identity/client-id":
                "8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8",
                "azure.workload.identity/tenant-id": tenant}}}),
        json!({"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass",
            "metadata": {"name": "kv", "namespace": "shop"},
            "spec": {"provider": "azure", "parameters": parameters}}),
    ] {
        for document in parse_documents(&value.to_string(), Path::new("test")).unwrap() {
            cluster.add(&document);
        }
    }
    cluster
}

async fn review_at(client: &mut Client, path: &str, body: &str) -> (String, Value) {
    send_to(client, path, body.as_bytes()).await;
    receive(client).await
}

/// The warnings for this workload. There are none while decisions take turns, so it asks again.
async fn warnings(client: &mut Client, object: &Value) -> Value {
    let begun = Instant::now();
    loop {
        let (_, mut body) = review_at(client, "/validate", &workload_review(object)).await;
        assert_eq!(body["response"]["allowed"], true);
        let warnings = body["response"]["warnings"].take();
        if !warnings.is_null() {
            return warnings;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "no warnings without a pod's review");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn served<C: Cluster>(cluster: C, load: Load) -> crate::suite::server::listener::Server<C> {
    start(cluster, load, Limits::default(), MinVersion::Tls13)
}

#[tokio::test]
async fn a_workload_is_allowed_with_what_its_pods_will_meet() {
    let server = served(cluster(), Load::default());
    let mut client = server.connect().await;
    let (head, body) =
        review_at(&mut client, "/validate", &workload_review(&deployment("kv"))).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(body["response"], json!({"uid": "u-1", "allowed": true}));
    let warnings = warnings(&mut client, &deployment("missing")).await;
    assert!(
        warnings[0].as_str().unwrap().starts_with(
            "KS207 SecretProviderClass shop/missing is not yet there: until it is, pods of this \
             Deployment are refused; hint: "
        ),
        "{warnings}"
    );
    let text = server.metrics.text(&[]);
    for line in [
        "keysluice_workload_reviews_total{outcome=\"warned\"} 1",
        "keysluice_workload_reviews_total{outcome=\"unwarned\"} 1",
        // Not among those of pods.
        "keysluice_reviews_total{outcome=\"unchanged\",reason=\"\"} 0",
        "keysluice_review_duration_seconds_count 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    // A pod sent there is none of its business, and a workload sent to the pods' path neither.
    let (_, body) =
        review_at(&mut client, "/validate", std::str::from_utf8(&review()).unwrap()).await;
    assert_eq!(body["response"]["allowed"], true);
    let (_, body) = review_at(&mut client, "/mutate", &workload_review(&deployment("x"))).await;
    assert_eq!(body["response"], json!({"uid": "u-1", "allowed": true}));
    let (head, _) = review_at(&mut client, "/validate", "{}").await;
    assert!(head.starts_with("http/1.1 400"), "{head}");
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_delays_no_workload_beyond_its_second() {
    let server = served(Silent, Load::default());
    let begun = Instant::now();
    let (head, body) =
        review_at(&mut server.connect().await, "/validate", &workload_review(&deployment("kv")))
            .await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(body["response"], json!({"uid": "u-1", "allowed": true}));
    assert!(begun.elapsed() >= Duration::from_millis(500), "it asked");
    server.wait_for_metric("keysluice_requests_shed_total{limit=\"workloads\"} 1").await;
    server.wait_for_metric("keysluice_workload_reviews_total{outcome=\"unread\"} 1").await;
}

#[tokio::test]
async fn after_a_long_review_warnings_come_back_without_a_pod() {
    let server = served(cluster(), Load::default());
    let mut client = server.connect().await;
    let mut long = deployment("kv");
    long["spec"]["template"]["metadata"]["annotations"] = json!({"a": "\n".repeat(500_000)});
    let (head, _) = review_at(&mut client, "/validate", &workload_review(&long)).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    warnings(&mut client, &deployment("missing")).await;
}

/// The look-ups of pods are others: a crowd of workloads takes none of them.
#[tokio::test]
async fn workloads_that_wait_take_no_place_of_a_pod() {
    let server = served(Silent, Load { lookups: 32, ..Load::default() });
    let mut crowd = Vec::new();
    for _ in 0..8 {
        let mut client = server.connect().await;
        send_to(&mut client, "/validate", workload_review(&deployment("kv")).as_bytes()).await;
        crowd.push(client);
    }
    let mut pod = server.connect().await;
    send(&mut pod, &review()).await;
    let waits = tokio::time::timeout(Duration::from_millis(100), pod.read_u8()).await;
    assert!(waits.is_err(), "the pod was turned away");
    for client in &mut crowd {
        let (_, body) = receive(client).await;
        assert_eq!(body["response"], json!({"uid": "u-1", "allowed": true}));
    }
}

#[tokio::test]
async fn beyond_its_share_of_memory_a_workload_gets_no_warnings_and_no_call_to_come_again() {
    // An eighth of it is less than this review, and more than half is what a pod's takes.
    let server = served(cluster(), Load { body_bytes: 8 << 10, ..Load::default() });
    let mut client = server.connect().await;
    let mut large = deployment("missing");
    large["metadata"]["annotations"] = json!({"a": "x".repeat(1 << 10)});
    let (head, body) = review_at(&mut client, "/validate", &workload_review(&large)).await;
    assert!(head.starts_with("http/1.1 503") && !head.contains("retry-after"), "{head}");
    assert!(body["response"]["status"]["message"].as_str().unwrap().starts_with("KS706 "));
    let text = server.metrics.text(&[]);
    assert!(text.contains("keysluice_requests_shed_total{limit=\"workloads\"} 1\n"), "{text}");
    // A pod of the same size is reviewed.
    let (head, _) = ask(&mut server.connect().await).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

#[tokio::test]
async fn a_workload_larger_than_a_mebibyte_gets_no_warnings() {
    let server = served(cluster(), Load::default());
    let mut large = deployment("missing");
    large["metadata"]["annotations"] = json!({"a": "x".repeat(1 << 20)});
    let (head, _) =
        review_at(&mut server.connect().await, "/validate", &workload_review(&large)).await;
    assert!(head.starts_with("http/1.1 413"), "{head}");
}
