//! What tenants may create and the webhook lists, inside the chart's memory limit: it stays, gets
//! ready, and knows the ordinary objects of another namespace.

mod crowd;

use crate::suite::server::hold::{Webhook, many};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crowd::{Crowd, ORDINARY, account, class};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PEAK_LIMIT_BYTES: usize = 100 << 20;

/// The review of a pod in `quiet` with this account and class.
fn review(index: usize) -> Vec<u8> {
    let class = json!({"secretProviderClass": format!("c{index}")});
    let csi =
        json!({"driver": "secrets-store.csi.k8s.io", "readOnly": true, "volumeAttributes": class});
    let spec = json!({
        "serviceAccountName": format!("a{index}"), "containers": [{"name": "c"}],
        "volumes": [{"name": "secrets", "csi": csi}],
    });
    let metadata = json!({"name": "p", "labels": {"azure.workload.identity/use": "true"}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
    let request = json!({"uid": "u", "namespace": "quiet", "operation": "CREATE",
        "kind": {"group": "", "version": "v1", "kind": "Pod"}, "object": pod});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
        .to_string()
        .into_bytes()
}

/// Starts the webhook against the crowd: ready, in its limits, and all of the ordinary namespace is
/// cached.
async fn holds(name: &str, crowd: Crowd) {
    let scratch = tempfile::tempdir().unwrap();
    let kubeconfig = crowd.listen(scratch.path()).await;
    let Some(webhook) = Webhook::start(name, &["--kubeconfig", &kubeconfig]) else { return };
    let begun = Instant::now();
    while !webhook.is_ready().await {
        webhook.assert_held();
        assert!(begun.elapsed() < Duration::from_secs(300), "{name}: not ready: {}", webhook.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ready = begun.elapsed();
    // What was read once comes again as changes.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for index in 0..ORDINARY {
        let (status, answer) = webhook.post("/mutate", &review(index)).await.unwrap();
        let response: &Value = &answer["response"];
        assert!(status == 200 && response["allowed"] == true, "{name} {index}: {response}");
        let patch = BASE64_STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
        let patch = String::from_utf8(patch).unwrap();
        assert!(
            patch.contains(&format!("90d3c7e2{index:04}")) && patch.contains("shop-kv"),
            "{name}: {patch}"
        );
    }
    println!(
        "{name}: peak {} KiB, ready after {} ms",
        webhook.peak_bytes() >> 10,
        ready.as_millis()
    );
    webhook.assert_held();
    assert!(webhook.peak_bytes() <= PEAK_LIMIT_BYTES, "{name}: {} bytes", webhook.peak_bytes());
}

fn filled(start: &str, element: &str, end: &str, bytes: usize) -> String {
    let mut text = start.to_owned();
    while text.len() + element.len() + end.len() < bytes {
        text.push_str(element);
        text.push(',');
    }
    text.push_str(element);
    text.push_str(end);
    text
}

fn spec(shape: usize, bytes: usize) -> String {
    let start = r#"{"provider":"azure","parameters":{"keyvaultName":"kv-1","a":"b"},"#;
    let (field, element, end) = [
        (r#""secretObjects":["#, "{}", "]}"),
        (r#""secretObjects":[{"data":["#, r#"{"a":0}"#, "]}]}"),
        (r#""secretObjects":[{"data":["#, "{}", "]}]}"),
        (r#""x":["#, "0", "]}"),
        (r#""secretObjects":[{"labels":{"#, r#""":"""#, "}}]}"),
        // These are kept.
        (r#""y":["#, r#""x""#, r#"],"secretObjects":[{"secretName":"s"}]}"#),
        (r#""secretObjects":["#, r#"{"secretName":"secret"}"#, "]}"),
        (r#""secretObjects":[{"data":["#, r#"{"objectName":""}"#, "]}]}"),
    ][shape];
    filled(&format!("{start}{field}"), element, end, bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_of_a_mebibyte_in_every_shape() {
    for pages in [false, true] {
        let classes = Crowd::of_classes(many(18), |index| {
            class("greedy", &format!("c{index}"), &spec(index % 5, 1_047_000))
        });
        holds("large-classes", Crowd { pages, ..classes }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_metadata_of_classes_and_accounts() {
    let hostile = |name: &str, annotation: &str, rest: &str| {
        let managed = filled(r#""managedFields":["#, r#"{"f:a":{}}"#, "]", 1_000_000);
        let annotations = format!(r#""annotations":{{{}}}"#, filled("", annotation, "", 250_000));
        let names = format!(r#""name":"{name}","namespace":"greedy""#);
        let metadata = format!(r#"{annotations},{managed},{names},"resourceVersion":"5""#);
        format!(r#"{{"metadata":{{{metadata}}}{rest}}}"#)
    };
    for pages in [false, true] {
        let annotation = |index: usize| {
            [
                "\"a\":\"\"",
                "\"workload\":\"\"",
                "\"azure.workload.identity/x\":\"\\u0041\"",
                "\"a\":0",
            ][index % 4]
        };
        let account = move |index: usize| hostile(&format!("a{index}"), annotation(index), "");
        let class = move |index: usize| {
            hostile(
                &format!("c{index}"),
                annotation(index),
                &format!(",\"spec\":{}", spec(index % 5, 60_000)),
            )
        };
        holds(
            "large-metadata",
            Crowd {
                accounts: (many(60), Box::new(account)),
                classes: (many(60), Box::new(class)),
                pages,
            },
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_with_long_ids() {
    let id = "x".repeat(2000);
    let annotations = format!(r#""azure.workload.identity/client-id":"{id}""#);
    holds(
        "long-ids",
        Crowd::of_accounts(many(72_000), move |index| {
            account("greedy", &format!("a{index}"), &annotations)
        }),
    )
    .await;
    // As long as they may be.
    let id = "x".repeat(256);
    let annotations = format!(
        r#""azure.workload.identity/client-id":"{id}","azure.workload.identity/tenant-id":"{id}""#
    );
    let account =
        move |index: usize| account(&format!("n{}", index % 3), &format!("a{index}"), &annotations);
    holds("ids", Crowd::of_accounts(many(72_000), account)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_with_misspelt_annotations() {
    let keys: Vec<String> =
        (0..78).map(|number| format!(r#""azure.workload.identity/{number:02}":"""#)).collect();
    let annotations = keys.join(",");
    holds(
        "misspelt",
        Crowd::of_accounts(many(72_000), move |index| {
            account("greedy", &format!("a{index}"), &annotations)
        }),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_classes_than_fit_in_two_namespaces() {
    holds(
        "many-classes",
        Crowd::of_classes(840, |index| {
            let (namespace, name) = (["x", "y"][index % 2], format!("c{index}"));
            if index % 2 == 0 {
                let objects = "x".repeat(60_000);
                let parameters = json!({"keyvaultName": "kv-1", "objects": objects});
                return class(
                    namespace,
                    &name,
                    &json!({"provider": "azure", "parameters": parameters}).to_string(),
                );
            }
            class(namespace, &name, &spec(index / 2 % 8, 62_000))
        }),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_a_large_cluster() {
    let note = "x".repeat(1900);
    let id = "8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8";
    let annotations = format!(r#""note":"{note}","azure.workload.identity/client-id":"{id}""#);
    let account = move |index: usize| {
        account(&format!("n{}", index % 500), &format!("a{index}"), &annotations)
    };
    let class = |index: usize| {
        let comment = "# ".repeat(30_000);
        let objects =
            format!("{comment}\\narray:\\n  - '{{objectName: db, objectType: secret}}'\\n");
        let spec = format!(
            r#"{{"provider":"azure","parameters":{{"keyvaultName":"kv-1","objects":"{objects}"}}}}"#
        );
        class(&format!("n{}", index % 500), &format!("c{index}"), &spec)
    };
    holds(
        "restart",
        Crowd {
            accounts: (many(50_000), Box::new(account)),
            classes: (many(2_000), Box::new(class)),
            pages: false,
        },
    )
    .await;
}
