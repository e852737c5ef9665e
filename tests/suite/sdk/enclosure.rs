//! What a client finds: Azure's own names on the loopback, the variables and the token that the
//! webhook gives to a container, and the real sidecar beside it.

use super::cases::{Case, Environment};
use crate::suite::support::binaries;
use anyhow::{Context as _, ensure};
use keysluice_demo::{Pod, Stage, TENANT, Webhook};
use keysluice_emulator::{Config, Emulator};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

/// The value of the secret.
pub(super) const SECRET: &str = "s3cret-of-the-vault";
const CLIENT: &str = "11111111-0000-4000-a000-000000000001";
/// An identity that no annotation of the pod names.
const OTHER: &str = "22222222-0000-4000-a000-000000000002";
const AUTHORITY: &str = "login.microsoftonline.com";
const VAULT: &str = "shop.vault.azure.net";
const METADATA: &str = "169.254.169.254:80";
/// Where the webhook mounts the token in a container.
const TOKEN_MOUNT: &str = "/var/run/secrets/azure/wi";

pub(super) struct Enclosure {
    pub(super) emulator: Emulator,
    webhook: Webhook,
    pods: Vec<Pod>,
    stage: Stage,
    clients: PathBuf,
    injected: BTreeMap<String, String>,
}

/// How a client ended.
pub(super) enum Ended {
    Printed(String),
    Failed(String),
    TimedOut,
}

impl Enclosure {
    pub(super) async fn open() -> Self {
        Self::try_open().await.unwrap_or_else(|error| panic!("{error:#}"))
    }

    async fn try_open() -> anyhow::Result<Self> {
        let clients = std::env::var_os("KEYSLUICE_SDK_CLIENTS");
        let clients = clients.context("no clients; hint: run `make test-sdk`")?.into();
        for name in [AUTHORITY, VAULT] {
            let found = (name, 443).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            ensure!(
                found.is_ok_and(|found| found.iter().all(|address| address.ip().is_loopback())),
                "{name} is not this machine; hint: run `make test-sdk`"
            );
        }
        keysluice_demo::install_crypto_provider();
        let stage = Stage::new()?;
        let https_addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 443));
        let seed = serde_json::from_value(seed())?;
        let emulator = Emulator::start(Config { https_addr, seed, ..Config::default() }).await?;
        write(&stage.path().join("ca.crt"), emulator.ca_pem())?;
        write(&stage.path().join("cloud.json"), &cloud(&emulator).to_string())?;
        let objects = stage.path().join("objects");
        std::fs::create_dir(&objects)?;
        write(&objects.join("account.json"), &account().to_string())?;

        let binaries = binaries();
        let path = |name: &str| stage.path().join(name).display().to_string();
        let options = [
            "--tenant-id".to_owned(),
            TENANT.to_owned(),
            "--cloud".to_owned(),
            path("cloud.json"),
            "--objects".to_owned(),
            path("objects"),
            "--allow-imds-intercept".to_owned(),
        ];
        let webhook = Webhook::start(&binaries.keysluice, &options, stage.path()).await?;
        let (pods, injected) = (Vec::new(), BTreeMap::new());
        let mut enclosure = Self { emulator, webhook, pods, stage, clients, injected };
        let annotations = json!({"azure.workload.identity/inject-proxy-sidecar": "true"});
        let pod = enclosure.start("web", &annotations).await?;
        enclosure.injected = variables(&pod["spec"]["containers"][0]["env"]);
        let token = TOKEN_MOUNT.trim_start_matches('/');
        mount(&enclosure.stage.path().join("web").join(token))?;
        enclosure.fill_the_cache().await?;
        enclosure.trust().await?;
        Ok(enclosure)
    }

    /// Starts a pod that the webhook has changed; gives its manifest.
    async fn start(&mut self, name: &str, annotations: &Value) -> anyhow::Result<Value> {
        let reviewed = self.webhook.review("shop", &manifest(name, annotations)).await?;
        ensure!(reviewed.response["allowed"] == true, "refused: {}", reviewed.response);
        let containers = reviewed.pod["spec"]["initContainers"].as_array();
        let mut containers = containers.context("no sidecar")?.iter();
        if let Some(once) = containers.find(|container| container["name"] == "keysluice-intercept")
        {
            let command = once["command"].as_array().into_iter().flatten().skip(1);
            let mut run = Command::new(binaries().injector);
            run.args(command.filter_map(Value::as_str)).env_clear();
            let output = run.output().await?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let binaries = binaries();
        let mut pod = Pod::start(name, "shop", &reviewed, &self.emulator, &binaries, &self.stage)?;
        pod.wait_until_ready().await?;
        self.pods.push(pod);
        Ok(reviewed.pod)
    }

    /// A second pod, which adds the address of IMDS to this network. Its sidecar has its token too.
    pub(super) async fn intercept(&mut self) {
        let annotations = json!({
            "keysluice.dev/managed-identity-endpoint": "intercept",
            "azure.workload.identity/proxy-sidecar-port": "8001"
        });
        self.start("intercept", &annotations).await.unwrap_or_else(|error| panic!("{error:#}"));
        let path = "/metadata/identity/oauth2/token?api-version=2018-02-01";
        let answer = ask(METADATA, path, "Metadata: true").await;
        assert!(answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")), "no token");
    }

    /// The sidecar has a token now, so that a client of its endpoint causes no request to Entra.
    async fn fill_the_cache(&self) -> anyhow::Result<()> {
        let endpoint: http::Uri = self.variable("IDENTITY_ENDPOINT")?.parse()?;
        let authority = endpoint.authority().context("IDENTITY_ENDPOINT has no host")?;
        let header = format!("X-IDENTITY-HEADER: {}", self.variable("IDENTITY_HEADER")?);
        let path = format!("{}?api-version=2019-08-01", endpoint.path());
        let answer = ask(authority.as_str(), &path, &header).await?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "no token: {answer}");
        Ok(())
    }

    /// Java reads certificates from a store of its own format.
    async fn trust(&self) -> anyhow::Result<()> {
        if !self.clients.join("java").exists() {
            return Ok(());
        }
        let mut command = Command::new("keytool");
        command.args(["-importcert", "-noprompt", "-storepass", "changeit", "-file"]);
        command.arg(self.stage.path().join("ca.crt")).arg("-keystore");
        command.arg(self.stage.path().join("ca.p12"));
        let output = command.output().await.context("running keytool")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        Ok(())
    }

    fn variable(&self, name: &str) -> anyhow::Result<&str> {
        let found = self.injected.get(name);
        found.map(String::as_str).with_context(|| format!("the webhook injects no {name}"))
    }

    /// Runs the client of a language, for this time at most.
    pub(super) async fn run(&self, language: &str, case: &Case, limit: Duration) -> Ended {
        let mut command = Command::new(self.clients.join(language));
        command.arg(case.argument).env_clear().envs(self.environment(case.environment));
        let output = command.kill_on_drop(true).output();
        let Ok(output) = tokio::time::timeout(limit, output).await else {
            return Ended::TimedOut;
        };
        let output = output.unwrap_or_else(|error| panic!("{language}: {error}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ended::Printed(text(&output.stdout))
        } else {
            Ended::Failed(text(&output.stderr))
        }
    }

    /// The variables of a container, and those that make a runtime trust the emulator.
    fn environment(&self, kind: Environment) -> BTreeMap<String, String> {
        let path = |name: &str| self.stage.path().join(name).display().to_string();
        let ca = path("ca.crt");
        let mut variables = BTreeMap::from([
            ("PATH".to_owned(), std::env::var("PATH").unwrap_or_default()),
            ("HOME".to_owned(), path("home")),
            ("VAULT_URL".to_owned(), format!("https://{VAULT}")),
            ("SECRET_NAME".to_owned(), "db-password".to_owned()),
            ("SSL_CERT_FILE".to_owned(), ca.clone()),
            ("REQUESTS_CA_BUNDLE".to_owned(), ca.clone()),
            ("NODE_EXTRA_CA_CERTS".to_owned(), ca),
            (
                "JAVA_TOOL_OPTIONS".to_owned(),
                format!(
                    "-Djavax.net.ssl.trustStore={} -Djavax.net.ssl.trustStorePassword=changeit",
                    path("ca.p12")
                ),
            ),
        ]);
        let without: &[&str] = match kind {
            Environment::AppService | Environment::OtherIdentity => &["AZURE_"],
            Environment::Imds | Environment::Intercepted => &["AZURE_", "IDENTITY_"],
            _ => &[],
        };
        let kept = self
            .injected
            .iter()
            .filter(|(name, _)| !without.iter().any(|prefix| name.starts_with(prefix)));
        variables.extend(kept.map(|(name, value)| (name.clone(), value.clone())));
        let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
        match kind {
            Environment::Injected | Environment::AppService | Environment::Intercepted => None,
            Environment::Imds => {
                let endpoint = &self.injected["IDENTITY_ENDPOINT"];
                let host = endpoint.strip_suffix("/msi/token").unwrap_or(endpoint);
                set("AZURE_POD_IDENTITY_AUTHORITY_HOST", host.to_owned())
            }
            Environment::Stranger => set("AZURE_FEDERATED_TOKEN_FILE", self.strangers_token()),
            Environment::Absent => set("SECRET_NAME", "absent".to_owned()),
            Environment::OtherIdentity => set("IDENTITY_CLIENT_ID", OTHER.to_owned()),
        };
        variables
    }

    /// A token that the identity has no federated credential for.
    fn strangers_token(&self) -> String {
        let audience = "api://AzureADTokenExchange";
        let hour = Duration::from_secs(3600);
        let token = self.emulator.mint_token("shop", "stranger", audience, hour);
        let path = self.stage.path().join("stranger");
        write(&path, &token).unwrap_or_else(|error| panic!("{error}"));
        path.display().to_string()
    }

    pub(super) async fn close(mut self) {
        let limit = Duration::from_secs(5);
        for pod in &mut self.pods {
            assert!(pod.sidecar.terminate(limit).await.unwrap().success());
        }
        assert!(self.webhook.process.terminate(limit).await.unwrap().success());
        self.emulator.shutdown().await;
    }
}

/// One identity, which may read the secrets of one vault.
fn seed() -> Value {
    json!({
        "apps": [{
            "clientId": CLIENT, "tenantId": TENANT,
            "federatedCredentials": [{"subject": "system:serviceaccount:shop:web"}]
        }],
        "vaults": [{
            "name": "shop", "tenantId": TENANT, "secrets": {"db-password": SECRET},
            "roles": [{"clientId": CLIENT, "secrets": ["get"]}]
        }]
    })
}

/// The public cloud, whose names lead to the emulator here.
fn cloud(emulator: &Emulator) -> Value {
    json!({
        "name": "AzurePublicCloud",
        "activeDirectoryEndpoint": format!("https://{AUTHORITY}/"),
        "keyVaultEndpoint": "https://vault.azure.net/",
        "keyVaultDNSSuffix": "vault.azure.net",
        "trustedCa": emulator.ca_pem(),
    })
}

fn account() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {
            "name": "web", "namespace": "shop",
            "annotations": {"azure.workload.identity/client-id": CLIENT}
        }
    })
}

fn manifest(name: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "shop",
            "labels": {"azure.workload.identity/use": "true"},
            "annotations": annotations
        },
        "spec": {
            "serviceAccountName": "web",
            "containers": [{"name": "web", "image": "registry.example/web:1"}]
        }
    })
}

/// A request for a token for Key Vault; gives the answer.
async fn ask(authority: &str, path: &str, header: &str) -> anyhow::Result<String> {
    let mut stream = tokio::net::TcpStream::connect(authority).await?;
    let request = format!(
        "GET {path}&resource=https://vault.azure.net HTTP/1.1\r\nHost: {authority}\r\n{header}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn variables(list: &Value) -> BTreeMap<String, String> {
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let entries = list.as_array().into_iter().flatten();
    entries.map(|entry| (text(entry, "name"), text(entry, "value"))).collect()
}

/// Puts the projected token where the container has its mount. `/run` is a tmpfs of the test.
fn mount(token: &Path) -> anyhow::Result<()> {
    let place = Path::new(TOKEN_MOUNT);
    let directory = place.parent().context("the mount has a parent")?;
    ensure!(!directory.exists(), "/run is not this test's own; hint: run `make test-sdk`");
    std::fs::create_dir_all(directory)?;
    Ok(std::os::unix::fs::symlink(token, place)?)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    Ok(std::fs::File::create(path)?.write_all(text.as_bytes())?)
}
