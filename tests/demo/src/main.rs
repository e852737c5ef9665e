//! `make demo`: the guides' manifests through the real webhook and the real sidecar, told on a
//! terminal.

mod application;
mod figures;
mod legacy;
mod pipeline;
mod secret;
mod teller;

use anyhow::{Context as _, ensure};
use clap::Parser;
use keysluice_demo::{
    Binaries, GUIDES, Guide, Pod, Stage, TENANT, Webhook, install_crypto_provider,
};
use keysluice_emulator::{Config, Emulator};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use teller::Teller;

/// Runs the three guides end to end: webhook over TLS, sidecar, files, a rotation. No cluster, no
/// Azure.
#[derive(Debug, Parser)]
struct Demo {
    /// Directory with keysluice and keysluice-injector.
    #[arg(long, default_value = "target/demo")]
    bin_dir: PathBuf,
    /// Directory with the guides' manifests.
    #[arg(long, default_value = "tests/data")]
    data: PathBuf,
    /// Simulated round trip to Azure in milliseconds.
    #[arg(long, default_value_t = 10)]
    round_trip_ms: u64,
    /// Print manifests, patches, variables and mounts too.
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    figures: figures::Options,
}

fn main() -> ExitCode {
    let demo = Demo::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    // On ctrl-c the future is dropped, and with it children and directories.
    let result = runtime.block_on(async {
        tokio::select! {
            result = demo.perform() => result,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("\ndemo: {error:#}");
    ExitCode::FAILURE
}

impl Demo {
    async fn perform(self) -> anyhow::Result<()> {
        if self.figures.figures {
            let injector = self
                .figures
                .injector
                .clone()
                .unwrap_or_else(|| self.bin_dir.join("keysluice-injector"));
            return figures::print(
                &injector,
                Duration::from_millis(self.round_trip_ms),
                &self.figures,
            )
            .await;
        }
        self.run().await
    }

    async fn run(self) -> anyhow::Result<()> {
        install_crypto_provider();
        let start = Instant::now();
        let tell = Teller {
            colored: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            verbose: self.verbose,
        };
        let binaries = Binaries::in_directory(&self.bin_dir)?;
        let stage = Stage::new()?;

        tell.chapter("The stage: an emulator of Entra and Key Vault, the real webhook");
        let emulator = Emulator::start(Config::default()).await?;
        emulator.set_delay(Duration::from_millis(self.round_trip_ms));
        tell.detail(&format!("Entra          {}", emulator.authority()));
        tell.detail(&format!(
            "Key Vault      {}  (every vault by its name)",
            emulator.vault_url("NAME")
        ));
        tell.detail(&format!("OIDC issuer    {}", emulator.issuer()));
        tell.detail(&format!("IMDS           {}", emulator.imds_url()));
        tell.detail(&format!("round trip     {} ms", self.round_trip_ms));
        let cloud = stage.path().join("cloud.json");
        std::fs::File::create(&cloud)?.write_all(emulator.cloud_json().as_bytes())?;
        let mut directories = Vec::new();
        for guide in GUIDES {
            emulator.seed(guide.seed()).with_context(|| format!("seeding {}", guide.directory))?;
            directories.push(guide.fill_in(&self.data, stage.path())?);
        }

        let options = options(&cloud, &directories);
        let mut webhook = Webhook::start(&binaries.keysluice, &options, stage.path()).await?;
        tell.command(&arguments(&options));
        let volumes = if stage.is_on_tmpfs() {
            "tmpfs"
        } else {
            "ordinary directory (no writable tmpfs here)"
        };
        tell.detail(&format!("volumes        {volumes}"));

        for (number, (guide, directory)) in GUIDES.iter().zip(&directories).enumerate() {
            tell.chapter(&format!("Guide {}: {}", number + 1, guide.title));
            let scene = Scene {
                tell,
                guide,
                directory,
                options: &options,
                binaries: &binaries,
                stage: &stage,
                emulator: &emulator,
            };
            scene.play(&webhook).await.with_context(|| format!("guide {}", guide.directory))?;
        }

        legacy::play(tell, &webhook, &emulator, &binaries, &stage).await.context("legacy SDK")?;
        pipeline::play(tell, &emulator, &binaries, &stage, &cloud).await.context("pipeline")?;

        tell.chapter("The end");
        let memory = webhook.process.memory_kib("VmRSS")?;
        let status = webhook.process.terminate(Duration::from_secs(5)).await?;
        ensure!(status.success(), "the webhook ended with {status}");
        tell.good(&format!("webhook: {:.1} MiB resident, stopped cleanly", kib_to_mib(memory)));
        emulator.shutdown().await;
        let place = stage.path().to_owned();
        drop(stage);
        ensure!(!place.exists(), "{} was left behind", place.display());
        tell.good(&format!("nothing left behind; {:.1} s in all", start.elapsed().as_secs_f64()));
        tell.command("everything that was sent: make demo VERBOSE=1; next: docs/install.md");
        Ok(())
    }
}

/// Options that webhook and `explain` share.
fn options(cloud: &Path, directories: &[PathBuf]) -> Vec<String> {
    let mut options = vec![
        "--tenant-id".to_owned(),
        TENANT.to_owned(),
        "--cloud".to_owned(),
        cloud.display().to_string(),
    ];
    options.extend(["--refresh-interval".to_owned(), "1s".to_owned()]);
    for directory in directories {
        options.extend(["--objects".to_owned(), directory.display().to_string()]);
    }
    options
}

/// One guide on the stage.
struct Scene<'a> {
    tell: Teller,
    guide: &'a Guide,
    directory: &'a Path,
    options: &'a [String],
    binaries: &'a Binaries,
    stage: &'a Stage,
    emulator: &'a Emulator,
}

impl Scene<'_> {
    async fn play(&self, webhook: &Webhook) -> anyhow::Result<()> {
        let Self { tell, guide, .. } = *self;
        let manifest = self.directory.join(guide.workload);
        tell.step("The manifest as the guide prints it");
        tell.detail(&std::fs::read_to_string(&manifest)?);
        let application = self.application(&manifest).await?;

        tell.step("The webhook's answer");
        let reviewed = webhook.review(guide.namespace, &guide.pod(self.directory)?).await?;
        ensure!(
            reviewed.response["allowed"] == true,
            "refused: {}",
            reviewed.response["status"]["message"]
        );
        ensure!(!reviewed.patch.is_empty(), "the webhook changed nothing");
        let explained = self.explain(&manifest, "patch").await?;
        ensure!(
            explained.trim_end().as_bytes() == reviewed.patch,
            "`keysluice explain -o patch` differs from the webhook's patch"
        );
        if tell.verbose {
            print!("{}", self.explain(&manifest, "text").await?);
        }
        tell.good(&format!(
            "patch of {} bytes; `keysluice explain` says the same, byte for byte",
            reviewed.patch.len()
        ));

        tell.step("The sidecar starts, with the environment and the mounts it was given");
        self.emulator.reset_counts();
        let mut pod = Pod::start(
            guide.directory,
            guide.namespace,
            &reviewed,
            self.emulator,
            self.binaries,
            self.stage,
        )?;
        for (name, value) in pod.environment() {
            tell.detail(&format!("env    {name}={value}"));
        }
        for mount in pod.mounts() {
            tell.detail(&format!("mount  {mount}"));
        }
        let ready = pod.wait_until_ready().await?;
        for (path, expected) in guide.promises {
            let content = pod.read(path)?;
            let first_line = content.lines().next().unwrap_or_default();
            ensure!(
                first_line == *expected,
                "{path} holds {first_line:?}, the guide promises {expected:?}"
            );
            tell.good(&format!("{path}: {first_line}"));
        }
        self.check_calls()?;
        self.secret_is_there()?;
        tell.good(&format!("ready {:.0} ms after exec", ready.as_secs_f64() * 1000.0));

        let (secret, path, value) = guide.rotation;
        tell.step(&format!("{secret} is rotated in the vault"));
        let id = pod.sidecar.id();
        self.emulator.set_secret(guide.vault, secret, value);
        let elapsed = pod.wait_for(path, value, Duration::from_secs(5)).await?;
        pod.sidecar.ensure_running()?;
        ensure!(pod.sidecar.id() == id, "the sidecar was restarted");
        tell.good(&format!(
            "{path}: {value}  ({:.1} s later, no restart, interval 1 s)",
            elapsed.as_secs_f64()
        ));

        self.secret_follows(&mut pod).await?;
        self.application_is_told(application.as_ref()).await?;

        let memory = pod.sidecar.memory_kib("VmRSS")?;
        let asked = Instant::now();
        let status = pod.sidecar.terminate(Duration::from_secs(5)).await?;
        ensure!(status.success(), "the sidecar ended with {status}:\n{}", pod.sidecar.log());
        let stopped = asked.elapsed().as_millis();
        tell.good(&format!(
            "sidecar: {:.1} MiB resident, stopped {stopped} ms after SIGTERM",
            kib_to_mib(memory)
        ));
        Ok(())
    }

    /// Exactly the calls that are needed, none of them refused.
    fn check_calls(&self) -> anyhow::Result<()> {
        let counts = self.emulator.counts();
        let calls = (counts.tokens, counts.imds, counts.secret_gets, counts.key_gets);
        let (tokens, imds, secrets, keys) = calls;
        ensure!(
            calls == self.guide.calls,
            "calls (token, IMDS, secret, key) were {calls:?}, expected {:?}",
            self.guide.calls
        );
        ensure!(counts.status_401 == 0, "{} calls were answered 401", counts.status_401);
        self.tell.good(&format!(
            "calls: {tokens} token, {imds} IMDS, {secrets} secret, {keys} key, 0 x 401"
        ));
        Ok(())
    }

    async fn explain(&self, manifest: &Path, output: &str) -> anyhow::Result<String> {
        let mut command = tokio::process::Command::new(&self.binaries.keysluice);
        command.arg("explain").arg("-f").arg(manifest).args(["-o", output]).args(self.options);
        command.args(["--color", if self.tell.colored { "always" } else { "never" }]);
        let output = command.kill_on_drop(true).output().await?;
        ensure!(
            output.status.success(),
            "keysluice explain: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn arguments(options: &[String]) -> String {
    let shown = options.iter().map(|option| {
        Path::new(option)
            .file_name()
            .map_or(option.as_str(), |name| name.to_str().unwrap_or_default())
    });
    format!("keysluice serve {}", shown.collect::<Vec<_>>().join(" "))
}

#[expect(clippy::cast_precision_loss, reason = "a few MiB, printed with one digit")]
fn kib_to_mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
