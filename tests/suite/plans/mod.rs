//! An edited class reaches the pods that run: the real webhook, the real sidecar, an API server
//! with classes that change, and strangers at the port.

mod figures;
mod following;
mod hostile;

use crate::suite::support::api_server::ApiServer;
use crate::suite::support::binaries;
use keysluice_demo::{Binaries, GUIDES, Pod, Reviewed, Stage, TENANT, Webhook};
use keysluice_emulator::{Config, Emulator, free_port};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

const CLASS: &str = "azure-kv-secret-provider";
const ACCOUNT: &str = "my-app-service-account";
const VAULT: &str = "my-unique-kv-12345";
const CLIENT: &str = "5d0e1f6a-0a4c-4d0e-9c53-1c2b3d4e5f60";
const FILE: &str = "/mnt/secrets-store/MyApplicationSecret";

/// Everything that a running pod needs.
struct Scene {
    stage: Stage,
    emulator: Emulator,
    server: ApiServer,
    binaries: Binaries,
    webhook: Webhook,
    port: u16,
}

/// A class with these objects.
fn spec(objects: &[&str]) -> Value {
    let object = |name: &&str| format!("  - |\n    objectName: {name}\n    objectType: secret\n");
    let objects: String = objects.iter().map(object).collect();
    json!({"provider": "azure", "parameters": {"keyvaultName": VAULT,
        "objects": format!("array:\n{objects}")}})
}

impl Scene {
    async fn open() -> Self {
        let binaries = binaries();
        Self::of(binaries).await
    }

    async fn of(binaries: Binaries) -> Self {
        keysluice_demo::install_crypto_provider();
        let stage = Stage::new().unwrap();
        let emulator = Emulator::start(Config::default()).await.unwrap();
        emulator.seed(GUIDES[0].seed()).unwrap();
        emulator.set_secret(VAULT, "Another", "another value");
        let server = ApiServer::start();
        {
            let mut world = server.world();
            world.put_account("default", ACCOUNT, Some(CLIENT));
            world.put_spec("default", CLASS, &spec(&["MyApplicationSecret"]));
            let discovery = json!({"issuer": emulator.issuer()}).to_string();
            world.documents.insert("/.well-known/openid-configuration".to_owned(), discovery);
            world.documents.insert("/openid/v1/jwks".to_owned(), emulator.jwks());
        }
        let port = free_port().unwrap();
        let webhook = start_webhook(&binaries, &server, &emulator, stage.path(), port).await;
        Self { stage, emulator, server, binaries, webhook, port }
    }

    async fn review(&self) -> Reviewed {
        let directory = GUIDES[0].fill_in(Path::new("tests/data"), self.stage.path()).unwrap();
        let pod = GUIDES[0].pod(&directory).unwrap();
        self.webhook.review("default", &pod).await.unwrap()
    }

    fn start(&self, name: &str, reviewed: &Reviewed) -> Pod {
        let (emulator, binaries) = (&self.emulator, &self.binaries);
        Pod::start(name, "default", reviewed, emulator, binaries, &self.stage).unwrap()
    }

    fn edit(&self, objects: &[&str]) {
        self.server.world().put_spec("default", CLASS, &spec(objects));
    }

    fn token(&self) -> String {
        let lifetime = Duration::from_secs(3600);
        self.emulator.mint_token("default", ACCOUNT, "keysluice.dev", lifetime)
    }

    /// What the metrics of the webhook say of requests for Plans.
    fn authority(&self) -> Vec<u8> {
        std::fs::read(self.stage.path().join("webhook-ca.crt")).unwrap()
    }
}

/// Asks this API server, and gives running pods their Plans at this port.
pub(crate) async fn start_webhook(
    binaries: &Binaries,
    server: &ApiServer,
    emulator: &Emulator,
    scratch: &Path,
    port: u16,
) -> Webhook {
    let cloud = scratch.join("cloud.json");
    std::fs::File::create(&cloud).unwrap().write_all(emulator.cloud_json().as_bytes()).unwrap();
    let kubeconfig = server.kubeconfig(scratch).display().to_string();
    let (listen, url) = (format!("127.0.0.1:{port}"), format!("https://localhost:{port}"));
    let cloud = cloud.display().to_string();
    let arguments = [
        "--kubeconfig",
        &kubeconfig,
        "--tenant-id",
        TENANT,
        "--cloud",
        &cloud,
        "--plan-listen",
        &listen,
        "--plan-url",
        &url,
    ]
    .map(str::to_owned);
    Webhook::start(&binaries.keysluice, &arguments, scratch).await.unwrap()
}

/// Asks the sidecar for a refresh, time and again, until its report is as it should be.
async fn refreshed_until(pod: &Pod, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let output = pod.execute(&["refresh"]).await.unwrap();
        let status = pod.execute(&["status", "-o", "json"]).await.unwrap();
        let report: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        if wanted(&report) {
            return report;
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{report}\n{said}\n{}",
            pod.sidecar.log()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn has_file(report: &Value, path: &str) -> bool {
    let files = report["volumes"][0]["files"].as_array();
    files.is_some_and(|files| {
        files.iter().any(|file| file["path"] == path && file["version"].is_string())
    })
}
