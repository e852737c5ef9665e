//! What the tests share: the binaries, a stage with emulator and webhook.

pub(crate) mod api_server;
pub(crate) mod caller;
pub(crate) mod metrics;
pub(crate) mod pods;
pub(crate) mod reviews;

use keysluice_demo::{Binaries, GUIDES, Guide, Pod, Reviewed, Stage, TENANT, Webhook};
use keysluice_emulator::{Config, Emulator};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

pub(crate) fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// Compares a generated page of `docs/` with what stands there; `UPDATE_DOCS=1` writes it.
pub(crate) fn check_page(page: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), expected.as_bytes())
            .unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/{page} is stale; UPDATE_DOCS=1 cargo test --test tests docs writes it anew"
    );
}

/// The binaries of this build; the injector is another package, so cargo does not build it for us.
pub(crate) fn binaries() -> Binaries {
    static INJECTOR: OnceLock<PathBuf> = OnceLock::new();
    let keysluice = PathBuf::from(env!("CARGO_BIN_EXE_keysluice"));
    let injector = INJECTOR.get_or_init(|| {
        let target = keysluice
            .parent()
            .and_then(Path::parent)
            .expect("binaries lie two levels below the target directory");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "-p", "keysluice-injector", "--target-dir"]).arg(target);
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
        assert!(status.success(), "building keysluice-injector failed");
        target.join("debug/keysluice-injector")
    });
    Binaries { keysluice, injector: injector.clone() }
}

/// Runs `keysluice` and gives exit code, standard output and standard error.
pub(crate) fn keysluice(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keysluice"));
    let output = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .args(arguments)
        .output()
        .expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

/// Emulator and webhook with the manifests of all guides.
pub(crate) struct Theatre {
    pub(crate) stage: Stage,
    pub(crate) emulator: Emulator,
    pub(crate) webhook: Webhook,
    pub(crate) binaries: Binaries,
    /// The options that webhook and `explain` share.
    pub(crate) options: Vec<String>,
    directories: Vec<PathBuf>,
}

impl Theatre {
    pub(crate) async fn open() -> Self {
        keysluice_demo::install_crypto_provider();
        let stage = Stage::new().unwrap();
        let emulator = Emulator::start(Config::default()).await.unwrap();
        let cloud = stage.path().join("cloud.json");
        std::fs::File::create(&cloud).unwrap().write_all(emulator.cloud_json().as_bytes()).unwrap();
        let mut options: Vec<String> =
            ["--tenant-id", TENANT, "--refresh-interval", "1s", "--cloud"]
                .into_iter()
                .map(str::to_owned)
                .collect();
        options.push(cloud.display().to_string());
        let mut directories = Vec::new();
        for guide in GUIDES {
            emulator.seed(guide.seed()).unwrap();
            let directory = guide.fill_in(&data(), stage.path()).unwrap();
            options.extend(["--objects".to_owned(), directory.display().to_string()]);
            directories.push(directory);
        }
        let binaries = binaries();
        let webhook = Webhook::start(&binaries.keysluice, &options, stage.path()).await.unwrap();
        Self { stage, emulator, webhook, binaries, options, directories }
    }

    pub(crate) fn guide(&self, name: &str) -> (&'static Guide, &Path) {
        let index =
            GUIDES.iter().position(|guide| guide.directory == name).expect("a guide of this name");
        (&GUIDES[index], &self.directories[index])
    }

    pub(crate) async fn review(&self, name: &str) -> Reviewed {
        let (guide, directory) = self.guide(name);
        self.webhook.review(guide.namespace, &guide.pod(directory).unwrap()).await.unwrap()
    }

    pub(crate) fn start(&self, name: &str, reviewed: &Reviewed) -> Pod {
        let (guide, _) = self.guide(name);
        Pod::start(name, guide.namespace, reviewed, &self.emulator, &self.binaries, &self.stage)
            .unwrap()
    }
}
