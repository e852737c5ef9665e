//! The running webhook: paths, limits, bad input, signals.

use super::support::{Theatre, keysluice};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn both_paths_answer_alike() {
    let theatre = Theatre::open().await;
    let pod = json!({"kind": "Pod", "metadata": {"name": "p", "labels": {"azure.workload.identity/use": "true"}}, "spec": {"containers": []}});
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "operation": "CREATE", "object": pod}});
    let body = serde_json::to_vec(&review).unwrap();
    let (status, first) = theatre.webhook.post("/mutate", body.clone()).await.unwrap();
    let (_, second) = theatre.webhook.post("/mutate-v1-pod", body).await.unwrap();
    assert_eq!(status, 200);
    assert_eq!(first, second);
    assert_eq!(first["response"]["patchType"], "JSONPatch");
}

#[tokio::test]
async fn what_is_no_review_gets_a_clear_refusal_and_the_webhook_goes_on() {
    let mut theatre = Theatre::open().await;
    let message = |body: &Value| body["response"]["status"]["message"].as_str().unwrap_or_default().to_owned();
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("/mutate", b"{".to_vec(), 400, "KS701 the body is no AdmissionReview"),
        ("/mutate", Vec::new(), 400, "KS701 the request has no body"),
        ("/mutate", vec![0xff; 1000], 400, "KS701"),
        ("/mutate", b"[".repeat(200_000), 400, "KS701"),
        ("/mutate", vec![b' '; (7 << 20) + 1], 413, "KS702"),
        ("/", b"{}".to_vec(), 404, "no such path"),
    ];
    for (path, body, status, expected) in cases {
        let (answered, body) = theatre.webhook.post(path, body).await.unwrap();
        assert_eq!(answered, status, "{body}");
        assert!(message(&body).starts_with(expected), "{body}");
    }
    theatre.webhook.process.ensure_running().unwrap();
    assert_eq!(theatre.review("workload-identity").await.response["allowed"], true);
}

#[tokio::test]
async fn a_deeply_nested_pod_is_refused_or_answered_but_never_fatal() {
    let mut theatre = Theatre::open().await;
    let nested = format!("{}{}", "{\"a\":".repeat(100_000), "1".to_owned() + &"}".repeat(100_000));
    let body = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","operation":"CREATE","object":{{"kind":"Pod","x":{nested}}}}}}}"#
    );
    let (status, _) = theatre.webhook.post("/mutate", body.into_bytes()).await.unwrap();
    assert!(status == 200 || status == 400, "{status}");
    theatre.webhook.process.ensure_running().unwrap();
}

#[tokio::test]
async fn sigterm_ends_the_webhook_cleanly() {
    let mut theatre = Theatre::open().await;
    assert!(theatre.webhook.process.terminate(Duration::from_secs(5)).await.unwrap().success());
}

#[test]
fn a_start_that_cannot_work_ends_with_the_reason() {
    let objects = "tests/data/guides";
    for (arguments, code, expected) in [
        (&["serve"][..], 2, "--objects"),
        (&["serve", "--objects", "/nonexistent"], 1, "KS704 cannot read /nonexistent"),
        (&["serve", "--objects", objects, "--tls-dir", "/nonexistent"], 1, "cannot read /nonexistent/tls.crt"),
        (&["serve", "--objects", objects, "--listen", "nowhere"], 2, "invalid value 'nowhere'"),
        (&["serve", "--objects", objects, "--listen", "192.0.2.1:1"], 1, "--listen 192.0.2.1:1"),
        (&["serve", "--objects", objects, "--csi-volumes", "maybe"], 2, "\"maybe\" is not auto, replace or leave"),
    ] {
        let (exit, _, error) = keysluice(arguments);
        assert_eq!(exit, code, "{error}");
        assert!(error.contains(expected), "{error}");
    }
}
