//! A control plane without a node: etcd and the API server, built from Kubernetes' own modules
//! (`components/`), on free ports of the loopback. Up in a few seconds, gone with the value.

use anyhow::{Context as _, bail};
use keysluice_emulator::free_port;
use reqwest::{Certificate, Client, Method};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// May do anything.
const ADMIN_TOKEN: &str = "admin";
/// May do what the webhook may.
const WEBHOOK_TOKEN: &str = "webhook";
const START: Duration = Duration::from_secs(60);

/// etcd and an API server.
#[derive(Debug)]
pub struct ControlPlane {
    directory: TempDir,
    components: PathBuf,
    etcd_port: u16,
    port: u16,
    _etcd: Child,
    server: Option<Child>,
    client: Client,
}

impl ControlPlane {
    /// Starts both; `components` is what `components/build.sh` prints.
    pub async fn start(components: &Path) -> anyhow::Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let directory = tempfile::tempdir()?;
        let tokens =
            format!("{ADMIN_TOKEN},admin,1,\"system:masters\"\n{WEBHOOK_TOKEN},keysluice,2\n");
        tokio::fs::write(directory.path().join("tokens.csv"), tokens).await?;
        let key = rcgen::KeyPair::generate()?;
        tokio::fs::write(directory.path().join("service-account.key"), key.serialize_pem()).await?;
        tokio::fs::write(directory.path().join("service-account.pub"), key.public_key_pem())
            .await?;
        let (etcd_port, peer_port, port) = (free_port()?, free_port()?, free_port()?);
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let etcd = spawn(
            components,
            directory.path(),
            "etcd",
            &[
                ("data-dir", "etcd".to_owned()),
                ("listen-client-urls", url(etcd_port)),
                ("advertise-client-urls", url(etcd_port)),
                ("listen-peer-urls", url(peer_port)),
                ("initial-advertise-peer-urls", url(peer_port)),
                ("initial-cluster", format!("default={}", url(peer_port))),
                // What is stored lives as long as the test.
                ("unsafe-no-fsync", "true".to_owned()),
            ],
        )?;
        let mut plane = Self {
            directory,
            components: components.to_owned(),
            etcd_port,
            port,
            _etcd: etcd,
            server: None,
            client: Client::new(),
        };
        plane.start_server().await?;
        let ca = Certificate::from_pem_bundle(&tokio::fs::read(plane.authority()).await?)?;
        plane.client = Client::builder()
            .tls_certs_only(ca)
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()?;
        plane.until_ready().await?;
        plane.grant().await?;
        Ok(plane)
    }

    /// Starts the API server again, on the same port and the same etcd.
    pub async fn start_server(&mut self) -> anyhow::Result<()> {
        let server = spawn(
            &self.components,
            self.directory.path(),
            "kube-apiserver",
            &[
                ("etcd-servers", format!("http://127.0.0.1:{}", self.etcd_port)),
                ("bind-address", "127.0.0.1".to_owned()),
                ("secure-port", self.port.to_string()),
                ("cert-dir", "certificates".to_owned()),
                ("service-account-issuer", "https://cluster.test".to_owned()),
                ("service-account-key-file", "service-account.pub".to_owned()),
                ("service-account-signing-key-file", "service-account.key".to_owned()),
                ("token-auth-file", "tokens.csv".to_owned()),
                ("authorization-mode", "RBAC".to_owned()),
                // So that only policies can refuse a privileged container.
                ("allow-privileged", "true".to_owned()),
                ("service-cluster-ip-range", "10.0.0.0/24".to_owned()),
            ],
        )?;
        self.server = Some(server);
        let begun = Instant::now();
        // Not as soon as the file is there: it is written a moment later.
        let written = |pem: String| pem.trim_end().ends_with("-----END CERTIFICATE-----");
        while !std::fs::read_to_string(self.authority()).is_ok_and(written) {
            self.ensure_running(begun)?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Kills the API server; etcd goes on.
    pub async fn stop_server(&mut self) -> anyhow::Result<()> {
        if let Some(mut server) = self.server.take() {
            server.kill().await?;
        }
        Ok(())
    }

    /// Waits until the API server answers that it is ready.
    pub async fn until_ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.request(Method::GET, "/readyz", None).await.is_err() {
            self.ensure_running(begun)?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Creates an object in the collection at `path`.
    pub async fn create(&self, path: &str, object: &Value) -> anyhow::Result<()> {
        self.request(Method::POST, path, Some(object)).await.map(|_| ())
    }

    /// Merges `changes` into the object at `path`.
    pub async fn patch(&self, path: &str, changes: &Value) -> anyhow::Result<()> {
        self.request(Method::PATCH, path, Some(changes)).await.map(|_| ())
    }

    /// Deletes the object at `path`.
    pub async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.request(Method::DELETE, path, None).await.map(|_| ())
    }

    /// GETs `path` whole; gives its size.
    pub async fn read(&self, path: &str) -> anyhow::Result<usize> {
        Ok(self.request(Method::GET, path, None).await?.len())
    }

    /// Writes a kubeconfig with the webhook's rights, and nothing more.
    pub async fn webhook_kubeconfig(&self) -> anyhow::Result<PathBuf> {
        let config = json!({
            "kind": "Config", "apiVersion": "v1", "current-context": "test",
            "clusters": [{"name": "test",
                "cluster": {"server": format!("https://127.0.0.1:{}", self.port),
                "certificate-authority": self.authority()}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "users": [{"name": "test", "user": {"token": WEBHOOK_TOKEN}}],
        });
        let path = self.directory.path().join("webhook.kubeconfig");
        tokio::fs::write(&path, config.to_string()).await?;
        Ok(path)
    }

    async fn grant(&self) -> anyhow::Result<()> {
        let rule = |group: &str, resource: &str| {
            json!({"apiGroups": [group], "resources": [resource],
        "verbs": ["get", "list", "watch"]})
        };
        let rules = [
            rule("", "serviceaccounts"),
            rule("secrets-store.csi.x-k8s.io", "secretproviderclasses"),
            rule("storage.k8s.io", "csidrivers"),
        ];
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        let cluster_role = json!({"metadata": {"name": "keysluice"}, "rules": rules});
        self.create(&format!("{rbac}/clusterroles"), &cluster_role).await?;
        let group = "rbac.authorization.k8s.io";
        let binding = json!({
            "metadata": {"name": "keysluice"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "keysluice"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": "keysluice"}],
        });
        self.create(&format!("{rbac}/clusterrolebindings"), &binding).await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Vec<u8>> {
        let merges = method == Method::PATCH;
        let url = format!("https://127.0.0.1:{}{path}", self.port);
        let mut request = self.client.request(method, url).bearer_auth(ADMIN_TOKEN);
        if let Some(body) = body {
            let kind = if merges { "application/merge-patch+json" } else { "application/json" };
            request = request.header("content-type", kind).body(body.to_string());
        }
        let response = request.send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        if !status.is_success() {
            bail!("{path}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body.to_vec())
    }

    fn authority(&self) -> PathBuf {
        self.directory.path().join("certificates/apiserver.crt")
    }

    fn ensure_running(&mut self, begun: Instant) -> anyhow::Result<()> {
        let ended = self.server.as_mut().and_then(|server| server.try_wait().transpose());
        if ended.is_some() || begun.elapsed() > START {
            let log = std::fs::read_to_string(self.directory.path().join("kube-apiserver.log"))
                .unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            bail!(
                "the API server did not start: {}",
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
        Ok(())
    }
}

fn spawn(
    components: &Path,
    directory: &Path,
    name: &str,
    flags: &[(&str, String)],
) -> anyhow::Result<Child> {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join(format!("{name}.log")))?;
    let mut command = Command::new(components);
    command.arg(name).args(flags.iter().map(|(flag, value)| format!("--{flag}={value}")));
    command
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    command.spawn().with_context(|| format!("starting {name} from {}", components.display()))
}
