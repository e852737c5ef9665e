//! `keysluice-cluster`: a real Kubernetes in one command, gone with another.

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use keysluice_cluster::enclosure::{self, Materials};
use keysluice_cluster::supervisor::{Orders, supervise};
use keysluice_cluster::{Enclosure, Layout};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Instant;

/// A real Kubernetes with one node, in namespaces of its own. Needs root, containerd and Go.
#[derive(Debug, Parser)]
#[command(name = "keysluice-cluster")]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Starts a cluster; it stays until `down`.
    Up {
        #[command(flatten)]
        place: Place,
        /// The binary with Kubernetes' components; built where none is named.
        #[arg(long, env = "KEYSLUICE_COMPONENTS", value_name = "FILE")]
        components: Option<PathBuf>,
        /// Archive of an image to load beside the ones that tests use (repeatable).
        #[arg(long = "image", value_name = "FILE")]
        images: Vec<PathBuf>,
    },
    /// Ends the cluster and removes everything of it.
    Down(Place),
    /// Runs kubectl in the cluster.
    Kubectl(Inside),
    /// Runs a command in the cluster's network, with kubectl on its path.
    Exec(Inside),
    /// Becomes process 1 of a cluster.
    #[command(hide = true)]
    Supervise(Supervise),
}

#[derive(Debug, Args)]
struct Place {
    /// Directory of the cluster's files.
    #[arg(
        long,
        env = "KEYSLUICE_CLUSTER",
        value_name = "DIR",
        default_value = "/tmp/keysluice-cluster-up"
    )]
    root: PathBuf,
}

#[derive(Debug, Args)]
struct Inside {
    #[command(flatten)]
    place: Place,
    /// What to run.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

#[derive(Debug, Args)]
struct Supervise {
    #[arg(long)]
    root: PathBuf,
    #[arg(long)]
    components: PathBuf,
    #[arg(long)]
    registry: PathBuf,
    #[arg(long = "image")]
    images: Vec<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    match Command::parse().action {
        Action::Up { place, components, images } => up(&place.root, components, images),
        Action::Down(place) => enclosure::end(&Layout::new(place.root)),
        Action::Kubectl(inside) => exec(&inside.place.root, "kubectl", &inside.arguments),
        Action::Exec(inside) => {
            let (program, arguments) =
                inside.arguments.split_first().context("no command is named")?;
            exec(&inside.place.root, program, arguments)
        }
        Action::Supervise(orders) => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            let result = runtime.block_on(supervise(Orders {
                layout: Layout::new(orders.root),
                components: orders.components,
                archives: orders.images,
                registry: orders.registry,
            }));
            // The thread that reads standard input may never end.
            runtime.shutdown_background();
            result
        }
    }
}

fn up(root: &Path, components: Option<PathBuf>, mut archives: Vec<PathBuf>) -> anyhow::Result<()> {
    let components = match components {
        Some(path) => path,
        None => built("components/build.sh")?,
    };
    let images = built("images/build.sh")?;
    archives.extend(["pause.tar", "busybox.tar"].map(|name| images.join(name)));
    let materials = Materials {
        supervisor: std::env::current_exe()?,
        components,
        archives,
        registry: images.join("registry"),
    };
    let begun = Instant::now();
    let layout = Enclosure::start(&materials, root)?.keep()?;
    println!(
        "ready after {:.1} s; kubeconfig (inside): {}",
        begun.elapsed().as_secs_f32(),
        layout.kubeconfig().display()
    );
    Ok(())
}

/// The last line that a script of ours prints.
fn built(script: &str) -> anyhow::Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let output = Process::new(&script).stderr(std::process::Stdio::inherit()).output();
    let output = output.with_context(|| script.display().to_string())?;
    anyhow::ensure!(output.status.success(), "{} failed: {}", script.display(), output.status);
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

fn exec(root: &Path, program: &str, arguments: &[String]) -> anyhow::Result<()> {
    Err(enclosure::command(&Layout::new(root), program)?.args(arguments).exec())
        .context("starting nsenter")
}
