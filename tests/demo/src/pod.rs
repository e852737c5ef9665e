//! The kubelet's part for one pod, without a cluster: volumes, token, sidecar, gate.
//!
//! Containers are not isolated. A mount is a place below a directory of the container's own: the
//! sidecar is told that directory by `--root`; the application's files are looked up below its own.
//! Volumes of medium Memory stand on a tmpfs where there is one.

use crate::process::Process;
use crate::{Binaries, Reviewed};
use anyhow::Context as _;
use keysluice_emulator::Emulator;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Audience of a token for the API server.
const API_AUDIENCE: &str = "https://kubernetes.default.svc";
/// Audience of a token for the webhook.
const PLAN_AUDIENCE: &str = "keysluice.dev";
/// The uid of each pod.
const UID: &str = "f3b1c2d4-0000-4000-8000-000000000001";

/// Where pods run: a directory on a tmpfs that disappears with the value.
#[derive(Debug)]
pub struct Stage {
    directory: tempfile::TempDir,
    on_tmpfs: bool,
}

impl Stage {
    /// A fresh one, on `/dev/shm` where that is a writable tmpfs.
    pub fn new() -> anyhow::Result<Self> {
        let named = || tempfile::Builder::new().prefix("keysluice-").to_owned();
        let shared_memory = named().tempdir_in("/dev/shm");
        let on_tmpfs = shared_memory.is_ok();
        let directory = shared_memory
            .or_else(|_| named().tempdir())
            .context("making a directory for the pods")?;
        Ok(Self { directory, on_tmpfs })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Whether it is in memory.
    pub fn is_on_tmpfs(&self) -> bool {
        self.on_tmpfs
    }
}

/// A pod with its sidecar running.
#[derive(Debug)]
pub struct Pod {
    /// The sidecar.
    pub sidecar: Process,
    root: PathBuf,
    injector: PathBuf,
    environment: BTreeMap<String, String>,
    gate: Vec<String>,
    mounts: Vec<String>,
    app_mounts: Vec<(String, PathBuf)>,
    token_file: Option<PathBuf>,
    started: Instant,
}

impl Pod {
    /// Makes the volumes, projects the token, and starts the sidecar that the webhook added.
    pub fn start(
        name: &str,
        namespace: &str,
        reviewed: &Reviewed,
        emulator: &Emulator,
        binaries: &Binaries,
        stage: &Stage,
    ) -> anyhow::Result<Self> {
        let spec = &reviewed.pod["spec"];
        let sidecar =
            named(&spec["initContainers"], "keysluice").context("the webhook added no sidecar")?;
        let root = stage.path().join(name);
        let service_account = spec["serviceAccountName"].as_str().unwrap_or("default");
        let mut token_file = None;
        for mount in list(&sidecar["volumeMounts"]) {
            let path = mount["mountPath"].as_str().context("a mount without a path")?;
            let place = root.join(path.trim_start_matches('/'));
            std::fs::create_dir_all(&place)?;
            let volume = named(&spec["volumes"], text(mount, "name"))
                .context("a mount without its volume")?;
            for source in list(&volume["projected"]["sources"]) {
                let token = &source["serviceAccountToken"];
                if !token.is_null() {
                    let lifetime =
                        Duration::from_secs(token["expirationSeconds"].as_u64().unwrap_or(3600));
                    let audience = token["audience"].as_str();
                    let text = emulator.mint_token(
                        namespace,
                        service_account,
                        audience.unwrap_or(API_AUDIENCE),
                        lifetime,
                    );
                    let file = place.join(self::text(token, "path"));
                    project(&file, &text)?;
                    if audience.is_some_and(|audience| audience != PLAN_AUDIENCE) {
                        token_file = Some(file);
                    }
                }
                // The one ConfigMap: what the API server's certificate is checked with.
                for item in list(&source["configMap"]["items"]) {
                    project(&place.join(self::text(item, "path")), emulator.ca_pem())?;
                }
                for item in list(&source["downwardAPI"]["items"]) {
                    let value = match self::text(&item["fieldRef"], "fieldPath") {
                        "metadata.namespace" => namespace,
                        "metadata.name" => name,
                        "metadata.uid" => UID,
                        other => anyhow::bail!("the downward API gives no {other} here"),
                    };
                    project(&place.join(self::text(item, "path")), value)?;
                }
            }
        }
        let app_mounts = list(&spec["containers"])
            .flat_map(|container| list(&container["volumeMounts"]))
            .filter_map(|mount| {
                let ours =
                    list(&sidecar["volumeMounts"]).find(|own| own["name"] == mount["name"])?;
                Some((
                    text(mount, "mountPath").to_owned(),
                    root.join(text(ours, "mountPath").trim_start_matches('/')),
                ))
            })
            .collect();
        let mounts = list(&sidecar["volumeMounts"])
            .map(|mount| text(mount, "mountPath").to_owned())
            .collect();
        let environment = list(&sidecar["env"])
            .map(|entry| (text(entry, "name").to_owned(), value_of(entry)))
            .collect::<BTreeMap<_, _>>();
        let gate = list(&sidecar["lifecycle"]["postStart"]["exec"]["command"])
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();

        let mut command = Command::new(&binaries.injector);
        let arguments = list(&sidecar["command"]).skip(1).filter_map(Value::as_str);
        command
            .args(arguments)
            .arg("--root")
            .arg(&root)
            .arg("--termination-log")
            .arg(stage.path().join(format!("{name}.termination")));
        std::fs::File::create(stage.path().join(format!("{name}.termination")))?;
        command.env_clear().envs(&environment);
        // The kubelet gives every container the way to the API server, which the emulator plays.
        command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1");
        command.env("KUBERNETES_SERVICE_PORT", emulator.https_port().to_string());
        let started = Instant::now();
        let process = Process::start(
            command,
            &format!("the sidecar of {name}"),
            &stage.path().join(format!("{name}.log")),
        )?;
        let injector = binaries.injector.clone();
        Ok(Self {
            sidecar: process,
            root,
            injector,
            environment,
            gate,
            mounts,
            app_mounts,
            token_file,
            started,
        })
    }

    /// Runs the gate that holds the application back; gives the time from the sidecar's start until
    /// it opened.
    pub async fn wait_until_ready(&mut self) -> anyhow::Result<Duration> {
        let arguments: Vec<&str> = self.gate.iter().skip(1).map(String::as_str).collect();
        anyhow::ensure!(!arguments.is_empty(), "the sidecar has no postStart hook");
        let output = self.execute(&arguments).await?;
        let elapsed = self.started.elapsed();
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(
            output.status.success(),
            "the gate did not open: {said}\nthe sidecar's log:\n{}",
            self.sidecar.log()
        );
        Ok(elapsed)
    }

    /// `kubectl exec POD -c keysluice -- /keysluice-injector ARGUMENTS…`
    pub async fn execute(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(&self.injector);
        command
            .args(arguments)
            .arg("--root")
            .arg(&self.root)
            .env_clear()
            .envs(&self.environment)
            .kill_on_drop(true);
        Ok(command.output().await?)
    }

    /// `kubectl exec POD -- cat PATH`, in the application's view.
    pub fn read(&self, path: &str) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.locate(path)?)?)
    }

    /// Where a path of the application really is.
    pub fn locate(&self, path: &str) -> anyhow::Result<PathBuf> {
        let below = |(mount, place): &(String, PathBuf)| {
            Some(place.join(path.strip_prefix(mount)?.trim_start_matches('/')))
        };
        self.app_mounts
            .iter()
            .find_map(below)
            .with_context(|| format!("{path} is on no secret volume"))
    }

    /// Waits until a file of the application holds `expected`.
    pub async fn wait_for(
        &mut self,
        path: &str,
        expected: &str,
        limit: Duration,
    ) -> anyhow::Result<Duration> {
        let start = Instant::now();
        while self.read(path).is_ok_and(|content| content != expected) {
            self.sidecar.ensure_running()?;
            anyhow::ensure!(
                start.elapsed() < limit,
                "{path} did not change within {limit:?}; the sidecar's log:\n{}",
                self.sidecar.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        anyhow::ensure!(self.read(path)? == expected, "{path} cannot be read");
        Ok(start.elapsed())
    }

    /// Where the projected token is, if the sidecar has one.
    pub fn token_file(&self) -> Option<&Path> {
        self.token_file.as_deref()
    }

    /// The sidecar's environment.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// The sidecar's mount paths.
    pub fn mounts(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().map(String::as_str)
    }
}

/// Replaces a projected file as the kubelet does: never half-written.
fn project(file: &Path, content: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    std::fs::create_dir_all(file.parent().context("a token without a directory")?)?;
    let partial = file.with_extension("partial");
    std::fs::File::create(&partial)?.write_all(content.as_bytes())?;
    Ok(std::fs::rename(partial, file)?)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The value of a variable of the sidecar; a field of the pod is its uid.
fn value_of(entry: &Value) -> String {
    match text(&entry["valueFrom"]["fieldRef"], "fieldPath") {
        "metadata.uid" => UID.to_owned(),
        _ => text(entry, "value").replace("$$", "$"),
    }
}

fn named<'a>(values: &'a Value, name: &str) -> Option<&'a Value> {
    list(values).find(|value| value["name"] == name)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}
