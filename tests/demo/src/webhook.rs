//! `keysluice serve`, and reviews sent to it over TLS as the API server sends them.

use crate::process::Process;
use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// A running webhook with its own CA.
#[derive(Debug)]
pub struct Webhook {
    /// The process.
    pub process: Process,
    client: reqwest::Client,
    address: String,
    admin_address: String,
}

/// What the webhook answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Reviewed {
    /// `response` of the review.
    pub response: Value,
    /// The patch's exact bytes; empty if there is none.
    pub patch: Vec<u8>,
    /// The pod with the patch applied.
    pub pod: Value,
}

impl Webhook {
    /// Starts it on free ports of the loopback with `arguments` beside; waits until it serves.
    pub async fn start(
        binary: &Path,
        arguments: &[String],
        scratch: &Path,
    ) -> anyhow::Result<Self> {
        let ca = scratch.join("webhook-ca.crt");
        let mut command = Command::new(binary);
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--drain-seconds",
            "0",
            "--ca-out",
        ]);
        command.arg(&ca).args(arguments);
        let mut process = Process::start(command, "keysluice serve", &scratch.join("webhook.log"))?;
        let (address, admin_address) = loop {
            process.ensure_running()?;
            let log = process.log();
            let serving = log
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .find(|line| line["message"] == "serving");
            if let Some(line) = serving {
                let field = |name: &str| line[name].as_str().map(str::to_owned);
                break field("listen")
                    .zip(field("admin_listen"))
                    .context("the log line has no address")?;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        let ca = reqwest::Certificate::from_pem(&std::fs::read(&ca)?)?;
        let client = reqwest::Client::builder()
            .tls_certs_only([ca])
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()?;
        Ok(Self { process, client, address, admin_address })
    }

    /// Where it answers reviews.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where it serves its metrics.
    pub fn admin_address(&self) -> &str {
        &self.admin_address
    }

    /// What a scraper of the plain listener gets.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        let log = self.process.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut addresses =
            lines.filter_map(|line| Some(line["admin_listen"].as_str()?.to_owned()));
        let address = addresses.next().context("the log has no address of the plain listener")?;
        Ok(self.client.get(format!("http://{address}/metrics")).send().await?.text().await?)
    }

    /// POSTs bytes to a path; gives status and body.
    pub async fn post(&self, path: &str, body: Vec<u8>) -> anyhow::Result<(u16, Value)> {
        let request = self
            .client
            .post(format!("https://{}{path}", self.address))
            .header("content-type", "application/json")
            .body(body);
        let response = request.send().await.context("calling the webhook")?;
        let status = response.status().as_u16();
        Ok((status, response.json().await?))
    }

    /// Sends the creation of a pod and applies the patch, as the API server does.
    pub async fn review(&self, namespace: &str, pod: &Value) -> anyhow::Result<Reviewed> {
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"}, "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
            "object": pod,
            "oldObject": null, "dryRun": false}});
        let (status, body) = self.post("/mutate", serde_json::to_vec(&review)?).await?;
        anyhow::ensure!(status == 200, "the webhook answered {status}: {body}");
        let response = body["response"].clone();
        anyhow::ensure!(
            response["uid"] == review["request"]["uid"],
            "the answer is for another review: {body}"
        );
        let patch = BASE64_STANDARD.decode(response["patch"].as_str().unwrap_or_default())?;
        let mut patched = pod.clone();
        if !patch.is_empty() {
            json_patch::patch(&mut patched, &serde_json::from_slice::<json_patch::Patch>(&patch)?)?;
        }
        Ok(Reviewed { response, patch, pod: patched })
    }
}
