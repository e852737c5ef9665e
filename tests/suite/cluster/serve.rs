//! `keysluice serve --kubeconfig`: ready once it knows everything, and still answering when the API
//! server is gone.

use crate::suite::support::api_server::{ApiServer, CLASSES, Fault};
use crate::suite::support::keysluice;
use keysluice_demo::Webhook;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status line and body of `/readyz`.
async fn readiness(webhook: &Webhook) -> (bool, String) {
    let log = webhook.process.log();
    let serving = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = serving.into_iter().find(|line| line["message"] == "serving").unwrap();
    let mut stream = TcpStream::connect(line["admin_listen"].as_str().unwrap()).await.unwrap();
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer.starts_with("HTTP/1.1 200 "), answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

async fn until_ready(webhook: &Webhook, wanted: impl Fn(bool, &str) -> bool) {
    let begun = Instant::now();
    loop {
        let (ready, body) = readiness(webhook).await;
        if wanted(ready, &body) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{body}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn pod(service_account: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "labels": {"azure.workload.identity/use": "true"}},
        "spec": {"serviceAccountName": service_account, "containers": [{"name": "c"}]},
    })
}

fn client_id(pod: &Value) -> Option<&str> {
    let env = pod["spec"]["containers"][0]["env"].as_array()?;
    env.iter().find(|variable| variable["name"] == "AZURE_CLIENT_ID")?["value"].as_str()
}

#[tokio::test]
async fn serve_is_ready_once_all_is_known_and_answers_on_without_the_api_server() {
    keysluice_demo::install_crypto_provider();
    let scratch = tempfile::tempdir().unwrap();
    let mut server = ApiServer::start();
    server.world().put_account("n", "app", Some("id-1"));
    server.world().fail(CLASSES, [Fault::Status(503); 1000]);
    let arguments =
        ["--kubeconfig".to_owned(), server.kubeconfig(scratch.path()).display().to_string()];
    let binary = Path::new(env!("CARGO_BIN_EXE_keysluice"));
    let webhook = Webhook::start(binary, &arguments, scratch.path()).await.unwrap();
    let told = |ready: bool, body: &str| {
        let reason = "the API server answered 503: as the test wants it";
        let lines: Vec<&str> = body.lines().collect();
        !ready
            && lines[0] == "not ready"
            && lines[1].starts_with("serviceaccounts: 1 known")
            && lines[2].starts_with("secretproviderclasses: not yet listed")
            && lines[2].ends_with(reason)
    };
    until_ready(&webhook, told).await;
    server.world().forgive();
    until_ready(&webhook, |ready, _| ready).await;
    assert_eq!(client_id(&webhook.review("n", &pod("app")).await.unwrap().pod), Some("id-1"));
    // Created after the watch went quiet, as in the same second as its pod.
    server.world().stalled = true;
    server.world().put_account("n", "new", Some("id-2"));
    assert_eq!(client_id(&webhook.review("n", &pod("new")).await.unwrap().pod), Some("id-2"));

    server.stop().await;
    assert_eq!(client_id(&webhook.review("n", &pod("app")).await.unwrap().pod), Some("id-1"));
    let refused = webhook.review("n", &pod("unknown")).await.unwrap().response;
    assert_eq!(refused["allowed"], false);
    let message = refused["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("KS703 ")
            && message
                .contains("cannot read ServiceAccount n/unknown from the API server: no answer"),
        "{message}"
    );
    // The one denial that kubectl and controllers repeat.
    assert_eq!(
        (&refused["status"]["code"], &refused["status"]["details"]["retryAfterSeconds"]),
        (&json!(429), &json!(1))
    );
    until_ready(&webhook, |ready, body| ready && body.contains("no answer from the API server"))
        .await;
}

#[test]
fn a_start_without_an_api_server_to_ask_ends_with_the_reason() {
    for (arguments, code, expected) in [
        (
            &["serve"][..],
            2,
            "KS705 not in a cluster (KUBERNETES_SERVICE_HOST is not set); hint: name an API \
             server with --kubeconfig FILE",
        ),
        (
            &["serve", "--kubeconfig", "/nonexistent"],
            2,
            "KS705 cannot read /nonexistent: No such file",
        ),
        (&["serve", "--kubeconfig", "Cargo.lock"], 2, "KS705 Cargo.lock: "),
        (&["serve", "--kubeconfig", "x", "--objects", "y"], 2, "cannot be used with"),
    ] {
        let (exit, _, error) = keysluice(arguments);
        assert_eq!(exit, code, "{error}");
        assert!(error.contains(expected), "{error}");
    }
}
