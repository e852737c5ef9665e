//! A pod without a cluster: the emulator, a root directory, the real binary.

mod cgroup;
pub(crate) mod confined;

pub(crate) use cgroup::Cgroup;

use keysluice_emulator::{Config, Emulator, Seed};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

pub(crate) const CLIENT: &str = "11111111-1111-1111-1111-111111111111";
pub(crate) const TENANT: &str = "99999999-9999-9999-9999-999999999999";
pub(crate) const CANARY: &str = "canary-s3cret-value";

/// The binary cargo built for the tests, or the one to be shipped when its path is in this
/// variable.
fn binary() -> String {
    std::env::var("KEYSLUICE_TEST_BINARY")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_keysluice-injector").to_owned())
}

pub(crate) struct TestEnv {
    pub(crate) emulator: Emulator,
    pub(crate) root: PathBuf,
    pub(crate) token: String,
    _directory: tempfile::TempDir,
    _runtime: Runtime,
}

impl TestEnv {
    pub(crate) fn new() -> Self {
        Self::listening(Config::default().https_addr)
    }

    /// Entra and the vaults at this address, whose port may be 0.
    pub(crate) fn listening(https_addr: SocketAddr) -> Self {
        let seed: Seed = serde_json::from_value(json!({
            "apps": [
                {"clientId": CLIENT, "tenantId": TENANT,
                    "federatedCredentials": [{"subject": "system:serviceaccount:shop:web"}]},
                {"clientId": "22222222-2222-2222-2222-222222222222", "tenantId": TENANT,
                    "kind": "managedIdentity"}],
            "vaults": [{"name": "shop", "tenantId": TENANT,
                "secrets": {"db": CANARY, "api": "second", "off": {"value": "x", "enabled": false}},
                "keys": {"sign": {"kty": "EC", "crv": "P-256"}},
                "roles": [
                    {"clientId": CLIENT, "secrets": ["get"], "keys": ["get"]},
                    {"clientId": "22222222-2222-2222-2222-222222222222", "secrets": ["get"]}]}]
        }))
        .unwrap();
        let runtime = Runtime::new().unwrap();
        let emulator = runtime
            .block_on(Emulator::start(Config { seed, https_addr, ..Config::default() }))
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_owned();
        fs::create_dir_all(root.join("mnt/v")).unwrap();
        let token = emulator.mint_token(
            "shop",
            "web",
            "api://AzureADTokenExchange",
            Duration::from_secs(3600),
        );
        let env = Self { emulator, root, token, _directory: directory, _runtime: runtime };
        env.write_token(&env.token);
        env
    }

    pub(crate) fn write_token(&self, text: &str) {
        put(&self.root.join("token"), text.as_bytes());
    }

    pub(crate) fn file(&self, path: &str, name: &str) -> Value {
        json!({"path": path, "mode": "0640", "identity": "a",
            "vault": self.emulator.vault_url("shop"), "type": "secret", "name": name})
    }

    /// A Plan with one volume of these files, all refreshed once an hour.
    pub(crate) fn plan(&self, files: &[Value]) -> Value {
        let credential = json!({"kind": "federated", "clientId": CLIENT, "tenantId": TENANT,
            "tokenFile": "/token", "authority": self.emulator.authority()});
        json!({
            "schema": 1, "runDirectory": "/run/keysluice", "startTimeoutSeconds": 20,
            "trustedCa": self.emulator.ca_pem(),
            "identities": [{"name": "a", "scope": "https://vault.localhost/.default",
                "credential": credential}],
            "volumes": [{"name": "v", "directory": "/mnt/v", "refreshIntervalSeconds": 3600,
                "files": files}]
        })
    }

    pub(crate) fn command(&self, plan: &Value, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env_clear().env("KEYSLUICE_PLAN", plan.to_string());
        command
            .env("KEYSLUICE_ROOT", &self.root)
            .env("KEYSLUICE_TERMINATION_LOG", self.root.join("termination-log"));
        command
    }

    pub(crate) fn output(&self, plan: &Value, arguments: &[&str]) -> Output {
        self.command(plan, arguments).output().unwrap()
    }

    /// Starts `run`; its stderr goes to a file.
    pub(crate) fn run(&self, plan: &Value) -> Sidecar<'_> {
        self.start(plan, self.command(plan, &["run"]))
    }

    /// Starts `run` with these variables too.
    pub(crate) fn run_with(&self, plan: &Value, variables: &[(&str, &str)]) -> Sidecar<'_> {
        let mut command = self.command(plan, &["run"]);
        command.envs(variables.iter().copied());
        self.start(plan, command)
    }

    /// Starts `run` with a memory limit, where that is possible.
    pub(crate) fn run_within(&self, plan: &Value, cgroup: Option<&Cgroup>) -> Sidecar<'_> {
        let command = self.command(plan, &["run"]);
        self.start(
            plan,
            cgroup.map_or(command, |cgroup| cgroup.wrap(&self.command(plan, &["run"]))),
        )
    }

    fn start(&self, plan: &Value, mut command: Command) -> Sidecar<'_> {
        put(&self.root.join("termination-log"), b"");
        let log =
            fs::File::options().create(true).append(true).open(self.root.join("stderr")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Sidecar { child, env: self, plan: plan.clone() }
    }

    /// A sidecar that was started otherwise.
    pub(crate) fn sidecar(&self, child: Child, plan: &Value) -> Sidecar<'_> {
        Sidecar { child, env: self, plan: plan.clone() }
    }

    /// Starts `run` and waits until it is ready.
    pub(crate) fn run_ready(&self, plan: &Value) -> Sidecar<'_> {
        let sidecar = self.run(plan);
        let output = sidecar.ready();
        assert!(output.status.success(), "{output:?}\n{}", self.log());
        sidecar
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.root.join("stderr")).unwrap_or_default()
    }

    pub(crate) fn termination_log(&self) -> String {
        fs::read_to_string(self.root.join("termination-log")).unwrap()
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join("mnt/v").join(path)).unwrap()
    }
}

pub(crate) struct Sidecar<'a> {
    pub(crate) child: Child,
    env: &'a TestEnv,
    plan: Value,
}

impl Sidecar<'_> {
    pub(crate) fn ready(&self) -> Output {
        self.env.output(&self.plan, &["ready", "--timeout", "25"])
    }

    /// The answer of `refresh` and whether everything was well.
    pub(crate) fn refresh(&self) -> (Value, bool) {
        self.ask("refresh")
    }

    /// Refreshes; pages of lists, GETs of secrets, whether all is well.
    pub(crate) fn cost(&self) -> (u64, u64, bool) {
        self.env.emulator.reset_counts();
        let well = self.refresh().1;
        let counts = self.env.emulator.counts();
        (counts.lists, counts.secret_gets, well)
    }

    pub(crate) fn status(&self) -> Value {
        self.ask("status").0
    }

    fn ask(&self, command: &str) -> (Value, bool) {
        let output = self.env.output(&self.plan, &[command, "--output", "json"]);
        let answer = serde_json::from_slice(&output.stdout);
        (
            answer.unwrap_or_else(|error| panic!("{error}: {output:?}\n{}", self.env.log())),
            output.status.success(),
        )
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Sidecar<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A tmpfs that is unmounted at the end; `None` where that is not permitted.
pub(crate) struct Mount(PathBuf);

impl Mount {
    pub(crate) fn tmpfs(path: &Path, size: &str) -> Option<Self> {
        let options = format!("size={size}");
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).status();
        status.is_ok_and(|status| status.success()).then(|| Self(path.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Waits for something another process does; fails after 20 s.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn put(path: &Path, bytes: &[u8]) {
    std::io::Write::write_all(&mut fs::File::create(path).unwrap(), bytes).unwrap();
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Says that a test did not test, past the test runner's capture.
pub(crate) fn loudly(what: &str, why: &str) {
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("SKIPPED: {what}: {why}\n").as_bytes(),
    );
}

/// Whether the descriptors of a sidecar can be counted: it is not dumpable, so that takes
/// `CAP_SYS_PTRACE`.
pub(crate) fn may_look_into(id: u32) -> bool {
    let may = fs::read_dir(format!("/proc/{id}/fd"));
    if let Err(error) = &may {
        loudly("the descriptors of a sidecar", &error.to_string());
    }
    may.is_ok()
}

/// What a sidecar may have resident.
pub(crate) const MAX_RESIDENT_KIB: u64 = 4 * 1024;

/// What a process has resident.
pub(crate) fn resident_kib(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
