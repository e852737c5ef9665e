//! `keysluice fetch` as a job runs it: the real binaries, the emulator as Entra, Key Vault and the
//! token services of the runners.

mod action;
mod outputs;
mod sources;

use crate::suite::support::binaries;
use keysluice_emulator::pipeline::{AZURE_SUBJECT, BEARER, GITHUB_SUBJECT};
use keysluice_emulator::{Config, Emulator, Seed};
use serde_json::json;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tokio::runtime::Runtime;

const CLIENT: &str = "11111111-1111-1111-1111-111111111111";
const TENANT: &str = "99999999-9999-9999-9999-999999999999";
/// What a careless step would print or run.
const HOSTILE: &str = "first $(touch pwned) `id`\n::set-output name=x::y\n::add-mask::\n\
    keysluice_0\nEOF\nPATH=/evil\n\"double\" 'single' \\ %0A 100% ü\n\nlast";

/// A runner: its files, and the emulator that trusts its tokens.
struct Runner {
    emulator: Emulator,
    home: PathBuf,
    _directory: tempfile::TempDir,
    _runtime: Runtime,
}

impl Runner {
    fn new() -> Self {
        let credential = |subject: &str| json!({"subject": subject});
        let seed: Seed = serde_json::from_value(json!({
            "apps": [{"clientId": CLIENT, "tenantId": TENANT, "federatedCredentials": [
                credential(GITHUB_SUBJECT), credential(AZURE_SUBJECT),
                credential("system:serviceaccount:shop:web")]}],
            "vaults": [{"name": "shop", "tenantId": TENANT,
                "secrets": {"db-password": "canary-s3cret", "hostile": HOSTILE, "empty": "",
                    "binary": "AP8K/w==", "text": "a\r\nb\r\n"},
                "roles": [{"clientId": CLIENT, "secrets": ["get", "list"]}]}]
        }))
        .unwrap();
        let runtime = Runtime::new().unwrap();
        let emulator =
            runtime.block_on(Emulator::start(Config { seed, ..Config::default() })).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().to_owned();
        let runner = Self { emulator, home, _directory: directory, _runtime: runtime };
        runner.write("cloud.json", &runner.emulator.cloud_json());
        runner.write("ca.crt", runner.emulator.ca_pem());
        for name in ["env", "output"] {
            runner.write(name, "");
        }
        fs::create_dir(runner.home.join("memory")).unwrap();
        runner
    }

    fn write(&self, name: &str, text: &str) {
        fs::File::create(self.home.join(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.home.join(name)).unwrap()
    }

    /// The variables of a job of GitHub Actions.
    fn github(&self) -> Vec<(&'static str, String)> {
        let url = format!(
            "http://127.0.0.1:{}/pipelines/github/token?api-version=2.0",
            self.emulator.http_port()
        );
        vec![
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", url),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", BEARER.to_owned()),
            ("GITHUB_ENV", self.path("env")),
            ("GITHUB_OUTPUT", self.path("output")),
        ]
    }

    fn path(&self, name: &str) -> String {
        self.home.join(name).display().to_string()
    }

    /// A reference to an object of the emulator's vault.
    fn reference(&self, object: &str) -> String {
        let url = self.emulator.vault_url("shop");
        let host = url.trim_start_matches("https://").trim_end_matches('/');
        format!("kv://{host}/secrets/{object}")
    }

    fn command(&self, arguments: &[&str], variables: &[(&str, String)]) -> Command {
        let binaries = binaries();
        let mut command = Command::new(&binaries.keysluice);
        command.arg("fetch").args(arguments).env_clear().current_dir(&self.home);
        command
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("KEYSLUICE_INJECTOR", &binaries.injector)
            .env("XDG_RUNTIME_DIR", self.home.join("memory"))
            .env("TMPDIR", self.home.join("memory"))
            .env("KEYSLUICE_CLOUD", self.path("cloud.json"))
            .env("AZURE_CLIENT_ID", CLIENT)
            .env("AZURE_TENANT_ID", TENANT)
            .envs(variables.iter().map(|(name, value)| (*name, value)));
        command
    }

    fn fetch(&self, arguments: &[&str], variables: &[(&str, String)]) -> Output {
        self.command(arguments, variables).output().unwrap()
    }

    /// Fetches as a job of GitHub; all must be well.
    fn succeed(&self, arguments: &[&str]) -> Output {
        let output = self.fetch(arguments, &self.github());
        assert!(output.status.success(), "{}", stderr(&output));
        output
    }

    /// Directories of this runner's runs that are still there; other tests run at the same time.
    fn left_over(&self) -> Vec<PathBuf> {
        let memory = self.home.join("memory");
        let parents = [Path::new("/dev/shm"), Path::new("/run"), Path::new("/tmp"), &memory];
        let entries = parents.iter().filter_map(|parent| fs::read_dir(parent).ok()).flatten();
        let is_ours = |path: &PathBuf| {
            let plan = fs::read_to_string(path.join("plan.json"));
            plan.is_ok_and(|plan| plan.contains("left_over"))
        };
        entries.flatten().map(|entry| entry.path()).filter(is_ours).collect()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
