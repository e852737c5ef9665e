//! A vault, a token and a directory for one sidecar after another.

use anyhow::{Context as _, ensure};
use keysluice_demo::{Process, Stage, TENANT};
use keysluice_emulator::{Config, Emulator};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::process::Command;

const CLIENT: &str = "8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8";
const VAULT: &str = "bench";

pub(super) struct Lab {
    pub(super) emulator: Emulator,
    injector: PathBuf,
    stage: Stage,
    token: String,
}

impl Lab {
    /// With a vault of `secret-0` to `secret-49`.
    pub(super) async fn open(injector: &Path) -> anyhow::Result<Self> {
        let stage = Stage::new()?;
        let emulator = Emulator::start(Config::default()).await?;
        let secrets: serde_json::Map<_, _> =
            (0..50).map(|i| (format!("secret-{i}"), json!(format!("value-{i}")))).collect();
        let seed = json!({
            "apps": [{"clientId": CLIENT, "tenantId": TENANT,
                "federatedCredentials": [{"subject": "system:serviceaccount:bench:bench"}]}],
            "vaults": [{"name": VAULT, "tenantId": TENANT, "secrets": secrets,
                "roles": [{"clientId": CLIENT, "secrets": ["get", "list"]}]}]});
        emulator.seed(serde_json::from_value(seed)?)?;
        let token = emulator.mint_token(
            "bench",
            "bench",
            "api://AzureADTokenExchange",
            Duration::from_secs(36_000),
        );
        Ok(Self { emulator, injector: injector.to_owned(), stage, token })
    }

    pub(super) async fn close(self) {
        self.emulator.shutdown().await;
    }

    pub(super) fn set(&self, name: &str, value: String) {
        self.emulator.set_secret(VAULT, name, value);
    }

    /// A Plan of one volume with these files, as path and name of a secret.
    pub(super) fn plan(&self, files: &[(String, String)], interval: Duration) -> Value {
        let file = |(path, name): &(String, String)| {
            json!({"path": path, "mode": "0644", "identity": "a",
            "vault": self.emulator.vault_url(VAULT), "type": "secret", "name": name})
        };
        json!({"schema": 1, "startTimeoutSeconds": 30, "trustedCa": self.emulator.ca_pem(),
            "identities": [{"name": "a", "scope": "https://vault.localhost/.default",
                "credential": {"kind": "federated",
                "clientId": CLIENT, "tenantId": TENANT, "tokenFile": "/token",
                "authority": self.emulator.authority()}}],
            "volumes": [{"name": "volume", "directory": "/mnt/volume",
                "refreshIntervalSeconds": interval.as_secs(),
                "files": files.iter().map(file).collect::<Vec<_>>()}]})
    }

    /// The first `count` secrets, each in a file of its name.
    pub(super) fn secrets(count: usize) -> Vec<(String, String)> {
        (0..count).map(|i| (format!("secret-{i}"), format!("secret-{i}"))).collect()
    }

    /// A sidecar that has just been started, in a root of its own.
    pub(super) fn start(&self, name: &str, plan: &Value) -> anyhow::Result<Sidecar> {
        let root = self.stage.path().join(name);
        for directory in ["run/keysluice", "mnt/volume"] {
            std::fs::create_dir_all(root.join(directory))?;
        }
        let write =
            |name: &str, bytes: &[u8]| std::fs::File::create(root.join(name))?.write_all(bytes);
        write("token", self.token.as_bytes())?;
        write("plan.json", &serde_json::to_vec(plan)?)?;
        let mut sidecar = Sidecar { injector: self.injector.clone(), process: None, root };
        sidecar.process =
            Some(Process::start(sidecar.command("run"), "the sidecar", &sidecar.root.join("log"))?);
        Ok(sidecar)
    }

    /// One that is ready.
    pub(super) async fn ready(&self, name: &str, plan: &Value) -> anyhow::Result<Sidecar> {
        let sidecar = self.start(name, plan)?;
        sidecar.gate().await?;
        Ok(sidecar)
    }
}

pub(super) struct Sidecar {
    injector: PathBuf,
    process: Option<Process>,
    root: PathBuf,
}

impl Sidecar {
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.injector);
        command
            .arg(name)
            .arg("--plan")
            .arg(self.root.join("plan.json"))
            .arg("--root")
            .arg(&self.root)
            .env_clear();
        command
    }

    pub(super) fn process(&self) -> anyhow::Result<&Process> {
        self.process.as_ref().context("the sidecar was not started")
    }

    pub(super) fn volume(&self) -> PathBuf {
        self.root.join("mnt/volume")
    }

    /// Runs the gate; fails with both logs.
    pub(super) async fn gate(&self) -> anyhow::Result<()> {
        let gate = self.command("ready").output().await.context("running the gate")?;
        ensure!(
            gate.status.success(),
            "{}\n{}",
            String::from_utf8_lossy(&gate.stderr),
            self.process()?.log()
        );
        Ok(())
    }

    /// Refreshes on demand; fails when a file does.
    pub(super) fn refresh(&self) -> anyhow::Result<()> {
        // A path to a socket has 107 bytes at most; the stage lies in the temporary directory.
        let mut stream = UnixStream::connect(self.root.join("run/keysluice/control.sock"))
            .context("asking the sidecar")?;
        stream.write_all(b"refresh\n")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        ensure!(line.contains("\"failing\":0,"), "a refresh failed: {line}");
        Ok(())
    }

    /// CPU time of all its threads, in nanoseconds.
    pub(super) fn cpu(&self) -> anyhow::Result<u64> {
        let id = self.process()?.id().context("the sidecar has ended")?;
        let mut total = 0;
        for task in std::fs::read_dir(format!("/proc/{id}/task"))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            total += text
                .split(' ')
                .next()
                .and_then(|nanoseconds| nanoseconds.parse::<u64>().ok())
                .unwrap_or_default();
        }
        Ok(total)
    }

    pub(super) fn threads(&self) -> anyhow::Result<u64> {
        let status = String::from_utf8_lossy(&self.process()?.proc_file("status")?).into_owned();
        let threads = status
            .lines()
            .find_map(|line| line.strip_prefix("Threads:"))
            .context("no count of threads")?;
        Ok(threads.trim().parse()?)
    }

    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.terminate(Duration::from_secs(5)).await?;
        }
        std::fs::remove_dir_all(&self.root)?;
        Ok(())
    }
}

/// Waits in steps of a tenth of a millisecond; fails after 30 s.
pub(super) fn wait_until(
    what: &str,
    mut done: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<Duration> {
    let started = Instant::now();
    while !done()? {
        ensure!(started.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(started.elapsed())
}
