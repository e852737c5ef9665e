//! Cases of Azure Workload Identity that need an API server, and the largest review, against the
//! running webhook.

use crate::suite::conformance::cases::app;
use crate::suite::support::api_server::{ApiServer, GetFault};
use crate::suite::support::reviews::{env_names, labelled};
use keysluice_demo::{Reviewed, Webhook, install_crypto_provider};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// The webhook that asks a stand-in, whose watches have told nothing since its caches were filled.
struct Cluster {
    server: ApiServer,
    webhook: Webhook,
    _scratch: TempDir,
}

impl Cluster {
    async fn start() -> Self {
        install_crypto_provider();
        let server = ApiServer::start();
        server.world().put_account("ns", "known", Some("id-of-known"));
        let scratch = tempfile::tempdir().unwrap();
        let kubeconfig = server.kubeconfig(scratch.path()).display().to_string();
        let arguments = ["--kubeconfig".to_owned(), kubeconfig];
        let binary = Path::new(env!("CARGO_BIN_EXE_keysluice"));
        let webhook = Webhook::start(binary, &arguments, scratch.path()).await.unwrap();
        let cluster = Self { server, webhook, _scratch: scratch };
        assert_eq!(cluster.client_id("known").await, "id-of-known");
        cluster.server.world().stalled = true;
        cluster
    }

    async fn review(&self, account: &str) -> Reviewed {
        let mut pod = labelled(app());
        pod["spec"]["serviceAccountName"] = json!(account);
        self.webhook.review("ns", &pod).await.unwrap()
    }

    async fn client_id(&self, account: &str) -> Value {
        let reviewed = self.review(account).await;
        assert_eq!(reviewed.response["allowed"], true, "{}", reviewed.response);
        reviewed.pod["spec"]["containers"][0]["env"][0]["value"].clone()
    }
}

#[tokio::test]
async fn hdl_2_a_service_account_that_no_watch_has_told_of_is_read_from_the_api_server() {
    let cluster = Cluster::start().await;
    cluster.server.world().put_account("ns", "new", Some("id-of-new"));
    assert_eq!(cluster.client_id("new").await, "id-of-new");
}

#[tokio::test]
async fn hdl_4_so_is_the_default_service_account() {
    let cluster = Cluster::start().await;
    cluster.server.world().put_account("ns", "default", Some("id-of-default"));
    assert_eq!(cluster.client_id("").await, "id-of-default");
}

#[tokio::test]
async fn x_11_a_service_account_created_after_its_pod_is_found_when_the_creation_is_repeated() {
    let cluster = Cluster::start().await;
    let early = cluster.review("late").await.response;
    let message = early["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("KS202 serviceaccounts \"late\" not found in namespace \"ns\""),
        "{message}"
    );
    cluster.server.world().put_account("ns", "late", Some("id-of-late"));
    assert_eq!(cluster.client_id("late").await, "id-of-late", "no miss is remembered");
}

#[tokio::test]
async fn a_service_account_that_cannot_be_read_refuses_the_pod_with_the_reason() {
    let cluster = Cluster::start().await;
    cluster.server.world().get_fault = Some(GetFault::Status(503));
    let status = cluster.review("new").await.response["status"].clone();
    assert_eq!(
        (&status["code"], &status["details"]["retryAfterSeconds"]),
        (&json!(429), &json!(1))
    );
    assert!(status["message"].as_str().unwrap().starts_with("KS703 "), "{status}");
}

#[tokio::test]
async fn x_15_a_review_of_just_under_7_mib_is_mutated() {
    let cluster = Cluster::start().await;
    let mut pod = labelled(app());
    pod["spec"]["serviceAccountName"] = json!("known");
    pod["metadata"]["annotations"]["other.dev/large"] = json!("x".repeat((7 << 20) - 2000));
    let reviewed = cluster.webhook.review("ns", &pod).await.unwrap();
    assert_eq!(env_names(&reviewed.pod["spec"]["containers"][0]).len(), 3);
}
