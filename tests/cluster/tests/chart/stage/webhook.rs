//! The webhook as a process beside the API server, and where the API server is led.

use super::{
    CONFIGURATION, IDENTITY_BINDING, NAMESPACE, PATIENCE, Stage, WORKLOADS, environment, manifest,
    path,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keysluice_emulator::free_port;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

impl Stage {
    /// Starts the webhook with the chart's rights and certificates of its own, and leads the API
    /// server to it.
    pub(crate) async fn serve(&self, further: &[&str]) -> Webhook {
        let own = [
            "--tls-secret=keysluice-system/keysluice-tls",
            "--guard-secret=keysluice-system/keysluice-tls",
            "--webhook-configuration=keysluice",
            "--tls-name=127.0.0.1",
        ];
        let webhook = self.start(&[&own, further].concat()).await;
        self.until_published().await;
        webhook
    }

    /// The same, but called through a Service as in a cluster, so that the webhook has a path to
    /// write. A Service that is a name for the loopback needs no node.
    pub(crate) async fn serve_by_service(&self, further: &[&str]) -> Webhook {
        let own = [
            "--tls-secret=keysluice-system/keysluice-tls",
            "--guard-secret=keysluice-system/keysluice-tls",
            "--webhook-configuration=keysluice",
            "--workload-configuration=keysluice-workloads",
            "--tls-name=keysluice.keysluice-system.svc",
        ];
        let (port, admin) = (free_port().unwrap(), free_port().unwrap());
        let metadata = json!({"name": "keysluice", "namespace": NAMESPACE});
        let mut service = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata});
        service["spec"] = json!({"type": "ExternalName", "externalName": "localhost"});
        let _ = self.request(Method::DELETE, &path(&service), None).await;
        self.create(&service).await.unwrap();
        let to_port = |index| {
            json!({"op": "replace",
            "path": format!("/webhooks/{index}/clientConfig/service/port"), "value": port})
        };
        let operations: Vec<Value> = (0..3).map(to_port).collect();
        self.request(Method::PATCH, CONFIGURATION, Some(&json!(operations))).await.unwrap();
        self.request(Method::PATCH, WORKLOADS, Some(&json!([to_port(0)]))).await.unwrap();
        let webhook = self.launch(port, admin, &[&own, further].concat()).await;
        self.until_ready(&webhook, admin).await;
        self.until_published().await;
        webhook
    }

    /// What the webhook does with its first review.
    pub(crate) async fn tighten(&self) {
        let fail = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]);
        self.request(Method::PATCH, CONFIGURATION, Some(&fail)).await.unwrap();
        let secret = format!("/api/v1/namespaces/{NAMESPACE}/secrets/keysluice-tls");
        let guard = json!({"data": {"guard": BASE64_STANDARD.encode("Deny")}});
        self.request(Method::PATCH, &secret, Some(&guard)).await.unwrap();
    }

    async fn until_published(&self) {
        self.until("caBundle is written", async || {
            let configuration = self.request(Method::GET, CONFIGURATION, None).await.unwrap();
            let entries = configuration["webhooks"].as_array().unwrap();
            entries.iter().all(|entry| entry["clientConfig"]["caBundle"].is_string())
        })
        .await;
    }

    /// Starts the webhook with the chart's rights, and leads the API server to it on the loopback.
    pub(crate) async fn start(&self, options: &[&str]) -> Webhook {
        let (port, admin) = (free_port().unwrap(), free_port().unwrap());
        let webhook = self.launch(port, admin, options).await;
        // The Service leads nowhere without a node.
        self.lead(&json!({"url": format!("https://127.0.0.1:{port}/mutate-v1-pod")})).await;
        self.until_ready(&webhook, admin).await;
        webhook
    }

    async fn launch(&self, port: u16, admin: u16, options: &[&str]) -> Webhook {
        let kubeconfig = self.kubeconfig("keysluice").await;
        let mut command = Command::new(environment("KEYSLUICE_BINARY"));
        command.args([
            "serve",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--admin-listen",
            &format!("127.0.0.1:{admin}"),
        ]);
        command.args(["--tenant-id", "tenant", "--drain-seconds", "0", "--kubeconfig"]);
        let log = self.directory.path().join("webhook.log");
        command
            .arg(kubeconfig)
            .args(options)
            .stderr(std::fs::File::create(&log).unwrap())
            .stdout(Stdio::null());
        Webhook { child: command.spawn().unwrap(), log }
    }

    async fn until_ready(&self, webhook: &Webhook, admin: u16) {
        let begun = Instant::now();
        self.until("the webhook is ready", async || {
            assert!(begun.elapsed() < PATIENCE, "never ready: {}", webhook.log());
            let answer = self.client.get(format!("http://127.0.0.1:{admin}/readyz")).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    /// Has the entry for labelled pods refuse them where no webhook answers, and the guard refuse
    /// what no webhook saw, as a webhook that has answered has it.
    pub(crate) async fn fail_closed(&self) {
        let policy =
            json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]);
        self.request(Method::PATCH, CONFIGURATION, Some(&policy)).await.unwrap();
        let actions = json!({"spec": {"validationActions": ["Deny"]}});
        self.request(Method::PATCH, IDENTITY_BINDING, Some(&actions)).await.unwrap();
    }

    /// Leads the API server back to the Service: Helm expects it there.
    pub(crate) async fn lead_back(&self) {
        let install = manifest("webhook-config/install.yaml");
        let configuration = install.iter().find(|object| path(object) == CONFIGURATION).unwrap();
        self.lead(&configuration["webhooks"][0]["clientConfig"]).await;
    }

    async fn lead(&self, to: &Value) {
        let found = self.request(Method::GET, CONFIGURATION, None).await.unwrap();
        let moved = |(index, entry): (usize, &Value)| {
            let mut config = to.clone();
            if let Some(bundle) = entry["clientConfig"].get("caBundle") {
                config["caBundle"] = bundle.clone();
            }
            json!({"op": "replace", "path": format!("/webhooks/{index}/clientConfig"),
                "value": config})
        };
        let operations: Vec<Value> =
            found["webhooks"].as_array().unwrap().iter().enumerate().map(moved).collect();
        self.request(Method::PATCH, CONFIGURATION, Some(&json!(operations))).await.unwrap();
    }
}

pub(crate) struct Webhook {
    child: Child,
    log: PathBuf,
}

impl Webhook {
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
