//! An enclosure from outside: start it, run commands in it, end it; sweep up after one whose keeper
//! was killed.

use crate::cgroups;
use crate::layout::Layout;
use anyhow::{Context as _, bail};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// What the names of our directories and cgroups begin with.
const PREFIX: &str = "keysluice-cluster-";
const PATIENCE: Duration = Duration::from_secs(180);

/// What an enclosure is made of.
#[derive(Debug, Clone)]
pub struct Materials {
    /// The binary `keysluice-cluster`, which becomes process 1.
    pub supervisor: PathBuf,
    /// What `components/build.sh` prints.
    pub components: PathBuf,
    /// Archives of images to load.
    pub archives: Vec<PathBuf>,
    /// Directory of images that the registry serves.
    pub registry: PathBuf,
}

/// A running enclosure. It ends when dropped, and when the process that holds it ends, however it
/// ends.
#[derive(Debug)]
pub struct Enclosure {
    layout: Layout,
    child: Child,
    /// Its end is the supervisor's sign to stop.
    held: Option<ChildStdin>,
    kept: bool,
}

impl Enclosure {
    /// Starts one with its files in `root`, a directory that does not exist yet.
    pub fn start(materials: &Materials, root: &Path) -> anyhow::Result<Self> {
        Self::begin(materials, root)?.until_ready()
    }

    /// Starts one and does not wait until it is ready.
    pub fn begin(materials: &Materials, root: &Path) -> anyhow::Result<Self> {
        prerequisites()?;
        sweep()?;
        std::fs::create_dir(root)
            .with_context(|| format!("{}: is an enclosure there already?", root.display()))?;
        let layout = Layout::new(root.canonicalize()?);
        write_keeper(&layout, std::process::id())?;
        let log = std::fs::File::create(layout.path("supervisor.log"))?;
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "--net",
            "--kill-child=KILL",
            "--",
        ]);
        command.arg(&materials.supervisor).arg("supervise").arg("--root").arg(layout.root());
        command
            .arg("--components")
            .arg(&materials.components)
            .arg("--registry")
            .arg(&materials.registry);
        for archive in &materials.archives {
            command.arg("--image").arg(archive);
        }
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        // A Ctrl-C is for the keeper alone; the supervisor hears of its end.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().context("starting unshare")?;
        std::fs::write(layout.path("unshare.pid"), child.id().to_string())?;
        let held = child.stdin.take();
        Ok(Self { layout, child, held, kept: false })
    }

    fn until_ready(mut self) -> anyhow::Result<Self> {
        let begun = Instant::now();
        while !self.layout.ready().exists() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the cluster did not start ({status}): {}", self.told());
            }
            if begun.elapsed() > PATIENCE {
                bail!("the cluster is not ready after {} s: {}", PATIENCE.as_secs(), self.told());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(self)
    }

    /// Lets it live on until [`end`] is called for it.
    pub fn keep(mut self) -> anyhow::Result<Layout> {
        write_keeper(&self.layout, self.child.id())?;
        self.held
            .as_mut()
            .context("nothing is held")?
            .write_all(b"k")
            .context("letting the enclosure go")?;
        self.kept = true;
        Ok(self.layout.clone())
    }

    fn told(&self) -> String {
        std::fs::read_to_string(self.layout.path("supervisor.log")).unwrap_or_default()
    }

    /// Its files.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Process id of its keeper's child, for tests that end it the hard way.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Enclosure {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = end(&self.layout) {
            eprintln!("{error:#}");
        }
        let _ = self.child.wait();
    }
}

/// A command that runs inside, with `kubectl` on its path and the administrator's rights.
pub fn command(layout: &Layout, program: &str) -> anyhow::Result<Command> {
    let process = first_process(layout)
        .with_context(|| format!("no cluster at {}", layout.root().display()))?;
    let mut command = Command::new("nsenter");
    command.args(["--target", &process.to_string(), "--mount", "--net", "--pid"]);
    if let Ok(directory) = std::env::current_dir() {
        command.arg(format!("--wd={}", directory.display()));
    }
    let path = std::env::var("PATH").unwrap_or_default();
    command.args(["--", program]).env("KUBECONFIG", layout.kubeconfig());
    command.env("PATH", format!("{}:{path}", layout.path("bin").display()));
    Ok(command)
}

/// Ends an enclosure and removes what it left: processes, cgroups, files.
pub fn end(layout: &Layout) -> anyhow::Result<()> {
    let begun = Instant::now();
    if let Some(process) = first_process(layout) {
        signal("TERM", process);
    }
    while let Some(unshare) = unshare_process(layout) {
        if begun.elapsed() > Duration::from_secs(20) {
            signal("KILL", unshare);
        }
        anyhow::ensure!(
            begun.elapsed() < Duration::from_secs(30),
            "process {unshare} does not end"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    cgroups::remove(&layout.cgroup())?;
    std::fs::remove_dir_all(layout.root())
        .with_context(|| format!("removing {}", layout.root().display()))
}

/// Removes what enclosures left whose keepers are gone.
pub fn sweep() -> anyhow::Result<()> {
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let layout = Layout::new(entry.path());
        // One without a keeper's file is being made at this moment.
        if keeper(&layout) == Keeper::Gone && unshare_process(&layout).is_none() {
            end(&layout)?;
        }
    }
    Ok(())
}

/// A new name for an enclosure's directory.
pub fn new_root() -> PathBuf {
    std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()))
}

/// Cgroups and directories of enclosures that exist now.
pub fn traces() -> anyhow::Result<Vec<String>> {
    let mut traces = cgroups::named(PREFIX)?;
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    traces.extend(
        entries
            .map(|entry| entry.path().display().to_string())
            .filter(|path| path.contains(PREFIX)),
    );
    Ok(traces)
}

#[derive(Debug, PartialEq, Eq)]
enum Keeper {
    Alive,
    Gone,
    Unknown,
}

/// Process ids are used again; with the time of the start they are unique.
fn write_keeper(layout: &Layout, process: u32) -> anyhow::Result<()> {
    let identity = identity(process).context("the keeper is gone")?;
    std::fs::write(layout.path("keeper"), identity).context("writing who keeps the enclosure")
}

fn keeper(layout: &Layout) -> Keeper {
    let Ok(known) = std::fs::read_to_string(layout.path("keeper")) else {
        return Keeper::Unknown;
    };
    let process = known.split(' ').next().and_then(|process| process.parse().ok());
    if process.and_then(identity).is_some_and(|now| now == known) {
        Keeper::Alive
    } else {
        Keeper::Gone
    }
}

fn identity(process: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is a name in parentheses, which may have anything in it; the 20th after it
    // is the start.
    let began = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?;
    Some(format!("{process} {began}"))
}

/// `unshare`, while it runs.
fn unshare_process(layout: &Layout) -> Option<u32> {
    let process = std::fs::read_to_string(layout.path("unshare.pid")).ok()?.parse().ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let is_ours = stat.contains("(unshare)") && !stat.contains("(unshare) Z");
    is_ours.then_some(process)
}

/// Process 1 of the enclosure, by its number outside.
fn first_process(layout: &Layout) -> Option<u32> {
    let unshare = unshare_process(layout)?;
    let children =
        std::fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn signal(name: &str, process: u32) {
    let _ = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
}

/// What must be there, said at once and all together.
fn prerequisites() -> anyhow::Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    let on_path = |program: &str| {
        path.split(':').any(|directory| Path::new(directory).join(program).exists())
    };
    let needed = [
        ("unshare", "util-linux"),
        ("nsenter", "util-linux"),
        ("ip", "iproute2"),
        ("containerd", "containerd"),
        ("ctr", "containerd"),
        ("runc", "runc"),
        ("nft", "nftables"),
        ("conntrack", "conntrack"),
    ];
    let mut missing: Vec<&str> = needed
        .iter()
        .filter(|(program, _)| !on_path(program))
        .map(|&(_, package)| package)
        .collect();
    if !Path::new("/usr/lib/cni/bridge").exists() {
        missing.push("containernetworking-plugins");
    }
    missing.dedup();
    if !missing.is_empty() {
        bail!(
            "not installed: {}; hint: apt-get install --no-install-recommends {0}",
            missing.join(" ")
        );
    }
    let allowed =
        Command::new("unshare").args(["--mount", "--pid", "--fork", "--net", "true"]).output()?;
    if !allowed.status.success() {
        let text = String::from_utf8_lossy(&allowed.stderr);
        bail!(
            "namespaces of its own are not allowed here: {}; hint: run as root, in a container \
             with --privileged",
            text.trim()
        );
    }
    Ok(())
}
