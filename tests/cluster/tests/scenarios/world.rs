//! What all scenarios share: one cluster with Keysluice installed by its chart, and the emulator as
//! Azure.

use crate::memory::Peaks;
use anyhow::Context as _;
use keysluice_cluster::api::Api;
use keysluice_cluster::layout::{ISSUER, METADATA_ADDRESS, NODE_ADDRESS};
use keysluice_cluster::{Layout, names};
use keysluice_emulator::{Config, Emulator, Seed};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// The tenant everything lives in; the guides' too.
pub(crate) const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
/// Where the chart is installed.
pub(crate) const RELEASE: &str = "keysluice-system";
/// Most waits end within a second or two; this is for a machine with many other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The cluster and the cloud.
pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) layout: Layout,
    pub(crate) emulator: Emulator,
    /// Figures for the report.
    pub(crate) figures: Mutex<Vec<String>>,
    /// How each scenario ended.
    pub(crate) reported: Mutex<Vec<String>>,
    /// From `helm install` to the first mutated pod.
    pub(crate) first_mutated: Duration,
    /// What our processes took at most.
    pub(crate) peaks: Peaks,
}

impl World {
    /// Starts the emulator, tells it the cluster's keys, installs the chart.
    pub(crate) async fn start(layout: Layout) -> anyhow::Result<Self> {
        let mut world = Self::open(layout).await?;
        world.install().await?;
        Ok(world)
    }

    /// The same without Keysluice.
    pub(crate) async fn open(layout: Layout) -> anyhow::Result<Self> {
        let api = Api::connect(&layout).await?;
        let config = Config {
            https_addr: format!("{NODE_ADDRESS}:443").parse()?,
            http_addr: format!("{METADATA_ADDRESS}:80").parse()?,
            seed: Seed::default(),
        };
        let emulator = Emulator::start(config).await.context("starting the emulator")?;
        let jwks = api.get("/openid/v1/jwks").await?;
        let issuers = json!({"tenants": [TENANT], "issuers": [{"issuer": ISSUER, "jwks": jwks}]});
        emulator.seed(serde_json::from_value(issuers)?)?;
        let (figures, reported) = Default::default();
        Ok(Self {
            api,
            layout,
            emulator,
            figures,
            reported,
            first_mutated: Duration::ZERO,
            peaks: Peaks::watch(),
        })
    }

    /// What the chart needs to be told here: our images, and the emulator as Azure.
    pub(crate) fn values(&self) -> Value {
        let cloud = json!({
            "name": "AzurePublicCloud",
            "activeDirectoryEndpoint": "https://login.microsoftonline.com/",
            "keyVaultEndpoint": "https://vault.azure.net/", "keyVaultDNSSuffix": "vault.azure.net",
            "managedIdentityEndpoint": format!("http://{METADATA_ADDRESS}/"),
            "trustedCa": self.emulator.ca_pem(),
        });
        let image = |name: &str| {
            json!({"repository": format!("registry.test/keysluice-{name}"),
            "release": "1"})
        };
        json!({
            "image": image("webhook"), "injector": {"image": image("injector")},
            "azureTenantID": TENANT,
            "azureEnvironmentDefinition": cloud.to_string(), "refreshInterval": "30s",
            "managedIdentityEndpoint": {"allowIntercept": true},
        })
    }

    async fn install(&mut self) -> anyhow::Result<()> {
        let file = self.layout.path("values.json");
        std::fs::write(&file, self.values().to_string())?;
        let (chart, file) = (source("webhook-config/chart"), file.display().to_string());
        let arguments =
            ["install", "keysluice", &chart, "--create-namespace", "--wait", "--values", &file];
        let begun = Instant::now();
        let installed = async {
            self.helm(&arguments).await?;
            anyhow::Ok(begun.elapsed())
        };
        let (installed, mutated) = tokio::join!(installed, self.first_mutated(begun));
        let named = self.name_service().await;
        match installed.and_then(|installed| named.and(Ok((installed, mutated?)))) {
            Ok((installed, mutated)) => {
                self.figure(format!("helm install --wait: {:.1} s", installed.as_secs_f32()));
                self.first_mutated = mutated;
                Ok(())
            }
            Err(error) => Err(error.context(self.diagnosis(&[RELEASE.to_owned()]).await)),
        }
    }

    /// Tells the name server the address of the Service, where sidecars ask for their Plan.
    async fn name_service(&self) -> anyhow::Result<()> {
        let path = format!("/api/v1/namespaces/{RELEASE}/services/keysluice");
        let service = self.api.get(&path).await?;
        let address = service["spec"]["clusterIP"].as_str().context("no address")?;
        let line = format!("{address} keysluice.{RELEASE}.svc\n");
        Ok(std::fs::write(self.layout.path(names::HOSTS), line)?)
    }

    /// How long it takes until a labelled pod is created and comes back mutated.
    async fn first_mutated(&self, begun: Instant) -> anyhow::Result<Duration> {
        let pods = "/api/v1/namespaces/default/pods";
        let pod = json!({"metadata": {"generateName": "first-",
            "labels": {"azure.workload.identity/use": "true"}},
            "spec": {"nodeSelector": {"nowhere": "true"},
                "containers": [{"name": "app", "image": "registry.test/busybox:1"}]}});
        until("a pod is mutated", PATIENCE * 2, async || {
            // Before the configuration is there a pod is made as it is; then the guard refuses it,
            // then the API server.
            let created = self.api.create(pods, &pod).await?;
            let elapsed = begun.elapsed();
            let name = created["metadata"]["name"].as_str().context("no name")?;
            self.api.delete(&format!("{pods}/{name}?gracePeriodSeconds=0")).await?;
            let mutated =
                created["spec"]["volumes"].to_string().contains("azure-workload-identity-reserved");
            Ok(mutated.then_some(elapsed))
        })
        .await
    }

    /// Runs Helm for our release; its output.
    pub(crate) async fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.helm_in(RELEASE, &[arguments, &["--timeout", "120s"]].concat()).await
    }

    /// Runs Helm for a release in any namespace. It keeps nothing outside the enclosure.
    pub(crate) async fn helm_in(
        &self,
        namespace: &str,
        arguments: &[&str],
    ) -> anyhow::Result<String> {
        let mut command = Command::new(helm()?);
        command.args(arguments).args(["--namespace", namespace]);
        command.env("KUBECONFIG", self.layout.kubeconfig());
        self.give_helm_a_home(&mut command);
        run(command, None).await
    }

    /// Where Helm keeps its files.
    pub(crate) fn give_helm_a_home(&self, command: &mut Command) {
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, self.layout.path("helm"));
        }
    }

    /// Waits until no pod is ending any more: it would cost what is measured next.
    pub(crate) async fn until_quiet(&self) -> anyhow::Result<()> {
        until("no pod is ending", PATIENCE * 2, async || {
            let pods = self.api.get("/api/v1/pods").await?;
            let mut pods = pods["items"].as_array().into_iter().flatten();
            Ok(pods.all(|pod| pod["metadata"]["deletionTimestamp"].is_null()).then_some(()))
        })
        .await
    }

    /// Keeps how a scenario ended.
    pub(crate) fn report(&self, line: String) {
        self.reported.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(line);
    }

    /// Keeps a figure for the report.
    pub(crate) fn figure(&self, line: impl Into<String>) {
        self.figures.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(line.into());
    }

    /// Runs kubectl; its output.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.kubectl_with(arguments, None).await
    }

    /// Runs kubectl with something to read.
    pub(crate) async fn kubectl_with(
        &self,
        arguments: &[&str],
        input: Option<&str>,
    ) -> anyhow::Result<String> {
        let mut command = Command::new(self.layout.path("bin/kubectl"));
        command.args(arguments).env("KUBECONFIG", self.layout.kubeconfig());
        run(command, input).await
    }

    /// Events, pods and logs of namespaces, for whoever wonders why a scenario failed.
    pub(crate) async fn diagnosis(&self, namespaces: &[String]) -> String {
        let mut text = String::new();
        for namespace in namespaces {
            let inside = ["--namespace", namespace.as_str()];
            for arguments in [
                &["get", "events", "--sort-by=.metadata.creationTimestamp"][..],
                &["get", "pods", "--output=wide"],
                &["get", "pods", "--output=yaml"],
            ] {
                let arguments: Vec<&str> = arguments.iter().chain(&inside).copied().collect();
                let output =
                    self.kubectl(&arguments).await.unwrap_or_else(|error| format!("{error:#}"));
                text.push_str(&format!("\n--- kubectl {}\n{output}", arguments.join(" ")));
            }
            text.push_str(&self.logs(namespace).await);
        }
        text
    }

    /// The logs of every container of a namespace.
    pub(crate) async fn logs(&self, namespace: &str) -> String {
        let Ok(pods) = self.api.get(&format!("/api/v1/namespaces/{namespace}/pods")).await else {
            return String::new();
        };
        let mut text = String::new();
        for pod in pods["items"].as_array().into_iter().flatten() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            for kind in ["initContainers", "containers"] {
                for container in pod["spec"][kind].as_array().into_iter().flatten() {
                    let container = container["name"].as_str().unwrap_or_default();
                    let path = format!(
                        "/api/v1/namespaces/{namespace}/pods/{name}/log\
                         ?container={container}&tailLines=60"
                    );
                    let log =
                        self.api.text(&path).await.unwrap_or_else(|error| format!("{error:#}"));
                    text.push_str(&format!("\n--- log of {namespace}/{name}, {container}\n{log}"));
                }
            }
        }
        text
    }
}

/// The program Helm.
pub(crate) fn helm() -> anyhow::Result<PathBuf> {
    let helm = std::env::var_os("KEYSLUICE_HELM")
        .context("KEYSLUICE_HELM is not set; `make test-cluster` sets it")?;
    Ok(helm.into())
}

/// Looks again and again until there is an answer.
pub(crate) async fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    let mut last = None;
    loop {
        match look().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            // A server that restarts answers again in a moment; the last error is told if it does
            // not.
            Err(error) => last = Some(error),
        }
        if begun.elapsed() > patience {
            let told = format!("never, for {} s: {what}", patience.as_secs());
            return Err(last.map_or_else(
                || anyhow::anyhow!(told.clone()),
                |error| error.context(told.clone()),
            ));
        }
        // Often at first; whatever takes long is not made longer by looking all the time.
        tokio::time::sleep(
            (begun.elapsed() / 10).clamp(Duration::from_millis(50), Duration::from_secs(1)),
        )
        .await;
    }
}

/// Runs a command; its standard output, or its standard error as the failure.
pub(crate) async fn run(mut command: Command, input: Option<&str>) -> anyhow::Result<String> {
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let name = format!("{:?}", command.as_std());
    let mut child = command.spawn().with_context(|| name.clone())?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(input.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    anyhow::ensure!(
        output.status.success(),
        "{name}: {}{text}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

/// A path in the source tree.
pub(crate) fn source(relative: &str) -> String {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join(relative).display().to_string()
}

/// Whether a condition of an object is true.
pub(crate) fn has_condition(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .is_some_and(|all| all.iter().any(|one| one["type"] == kind && one["status"] == "True"))
}
