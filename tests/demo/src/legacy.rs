//! An application whose SDK knows managed identities only: it asks the endpoint of its sidecar.

use super::teller::Teller;
use anyhow::{Context as _, ensure};
use keysluice_demo::{Binaries, GUIDES, Pod, Stage, Webhook};
use keysluice_emulator::{Emulator, free_port};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinSet;

const RESOURCE: &str = "https://vault.localhost";
/// Requests that come at the same time.
const CROWD: usize = 100;

/// A pod with the ServiceAccount of the first guide, which reads the secret of that guide.
pub(crate) async fn play(
    tell: Teller,
    webhook: &Webhook,
    emulator: &Emulator,
    binaries: &Binaries,
    stage: &Stage,
) -> anyhow::Result<()> {
    let guide = &GUIDES[0];
    tell.chapter("A legacy SDK: the sidecar gives tokens by the protocol of App Service");
    let manifest = manifest(free_port()?);
    tell.step("The annotation asks for the endpoint");
    tell.detail(&serde_json::to_string_pretty(&manifest["metadata"])?);
    let reviewed = webhook.review(guide.namespace, &manifest).await?;
    ensure!(reviewed.response["allowed"] == true, "refused: {}", reviewed.response["status"]);
    let mut pod = Pod::start("legacy", guide.namespace, &reviewed, emulator, binaries, stage)?;
    pod.wait_until_ready().await?;
    emulator.reset_counts();

    let application = Application::new(&reviewed.pod, emulator, guide.vault)?;
    tell.command(&format!("GET {}  X-IDENTITY-HEADER: …", application.url()));
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let application = application.clone();
        crowd.spawn(async move { application.token().await.map(drop) });
    }
    while let Some(ended) = crowd.join_next().await {
        ended??;
    }
    let token = application.token().await?;
    let expires = token["expires_on"].as_str().context("no expires_on in the answer")?;
    ensure!(token["client_id"] == guide.client_id, "a token of another identity");
    tell.good(&format!("200: a token of {}, expires_on {expires}", guide.client_id));
    let (secret, _, value) = guide.rotation;
    let found = application.secret(emulator, guide.vault, secret, &token).await?;
    ensure!(found == value, "the vault gave {found:?}");
    tell.good(&format!("Key Vault takes it: {secret} is {value}"));
    let status = application.request("wrong").await?.status();
    ensure!(status == 401, "another header was answered {status}");
    let calls = emulator.counts().tokens;
    ensure!(calls == 1, "{calls} calls of Entra");
    tell.good(&format!("{CROWD} requests at once: {calls} call of Entra; another header: 401"));
    let status = pod.sidecar.terminate(Duration::from_secs(5)).await?;
    ensure!(status.success(), "the sidecar ended with {status}:\n{}", pod.sidecar.log());
    Ok(())
}

fn manifest(port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "legacy",
            "labels": {"azure.workload.identity/use": "true"},
            "annotations": {
                "azure.workload.identity/inject-proxy-sidecar": "true",
                "azure.workload.identity/proxy-sidecar-port": port.to_string()
            }
        },
        "spec": {
            "serviceAccountName": "my-app-service-account",
            "containers": [{"name": "app", "image": "registry.example/legacy:1"}]
        }
    })
}

/// What an SDK does: two variables, one request.
#[derive(Clone)]
struct Application {
    client: reqwest::Client,
    endpoint: String,
    header: String,
}

impl Application {
    fn new(pod: &Value, emulator: &Emulator, vault: &str) -> anyhow::Result<Self> {
        let env = &pod["spec"]["containers"][0]["env"];
        let authority = reqwest::Certificate::from_pem(emulator.ca_pem().as_bytes())?;
        let client = reqwest::Client::builder()
            .tls_certs_only([authority])
            .resolve(&format!("{vault}.vault.localhost"), SocketAddr::from(([127, 0, 0, 1], 0)))
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()?;
        let endpoint = variable(env, "IDENTITY_ENDPOINT")?;
        Ok(Self { client, endpoint, header: variable(env, "IDENTITY_HEADER")? })
    }

    fn url(&self) -> String {
        format!("{}?api-version=2019-08-01&resource={RESOURCE}", self.endpoint)
    }

    async fn request(&self, header: &str) -> anyhow::Result<reqwest::Response> {
        let request = self.client.get(self.url()).header("X-IDENTITY-HEADER", header);
        request.send().await.context("asking the sidecar")
    }

    async fn token(&self) -> anyhow::Result<Value> {
        let answer = self.request(&self.header).await?;
        ensure!(answer.status() == 200, "no token: {}", answer.text().await?);
        Ok(answer.json().await?)
    }

    async fn secret(
        &self,
        emulator: &Emulator,
        vault: &str,
        name: &str,
        token: &Value,
    ) -> anyhow::Result<String> {
        let url = format!("{}secrets/{name}?api-version=7.4", emulator.vault_url(vault));
        let bearer = token["access_token"].as_str().context("no access_token in the answer")?;
        let answer = self.client.get(url).bearer_auth(bearer).send().await?.error_for_status()?;
        let answer: Value = answer.json().await?;
        Ok(answer["value"].as_str().context("no value")?.to_owned())
    }
}

fn variable(env: &Value, name: &str) -> anyhow::Result<String> {
    let entry = env.as_array().into_iter().flatten().find(|entry| entry["name"] == name);
    let value = entry.and_then(|entry| entry["value"].as_str());
    Ok(value.with_context(|| format!("the webhook injects no {name}"))?.to_owned())
}
