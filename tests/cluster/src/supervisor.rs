//! Process 1 of an enclosure: makes it habitable, starts the daemons, starts again what ends, and
//! takes all with it.

use crate::api::Api;
use crate::daemons::{self, Daemon};
use crate::layout::{Layout, NODE};
use crate::{cgroups, names, network, registry};
use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};

/// How long everything may take to come up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between the end of a daemon and its next start.
const RESTART: Duration = Duration::from_millis(300);

/// What the supervisor is told.
#[derive(Debug)]
pub struct Orders {
    /// The enclosure's files.
    pub layout: Layout,
    /// The binary with Kubernetes' components.
    pub components: PathBuf,
    /// Archives that containerd loads.
    pub archives: Vec<PathBuf>,
    /// Directory of the images that the registry serves.
    pub registry: PathBuf,
}

/// Runs the enclosure until it is told to stop, or whoever started it is gone.
pub async fn supervise(orders: Orders) -> anyhow::Result<()> {
    let layout = orders.layout.clone();
    anyhow::ensure!(std::process::id() == 1, "only process 1 of its own namespace may do this");
    let ended = tokio::select! {
        // In this order, so that the signals are ours before anything else begins: process 1 is
        // deaf without handlers.
        biased;
        () = told_to_stop() => Ok(()),
        () = until_abandoned() => Ok(()),
        ended = live(orders) => ended,
    };
    end_everything(&layout)?;
    ended
}

async fn live(orders: Orders) -> anyhow::Result<()> {
    let layout = &orders.layout;
    enclose(layout)?;
    cgroups::create(&layout.cgroup())?;
    network::create()?;
    daemons::configure(layout)?;
    std::fs::create_dir_all(layout.path("bin"))?;
    for name in ["components", "kubectl"] {
        std::os::unix::fs::symlink(&orders.components, layout.path("bin").join(name))?;
    }
    let names = tokio::spawn(names::serve(layout.path(names::HOSTS)));
    let registry = tokio::spawn(registry::serve(orders.registry.clone()));
    let mut family = Family::new(layout.clone())?;
    family.start(daemons::first(layout))?;
    load(layout, &orders.archives).await?;
    tokio::select! {
        ended = family.look_after(bring_up(layout)) => ended,
        ended = names => bail!("the name server ended: {ended:?}"),
        ended = registry => bail!("the registry ended: {ended:?}"),
    }
}

/// Mounts of our own over everything that a daemon writes to at a place of its choice.
fn enclose(layout: &Layout) -> anyhow::Result<()> {
    network::run("mount", &["--make-rshared", "/"])?;
    for place in ["/run", "/var/lib", "/var/log"] {
        anyhow::ensure!(
            !layout.root().starts_with(place),
            "{place} cannot hold the enclosure's files"
        );
        network::run("mount", &["-t", "tmpfs", "-o", "mode=0755", "keysluice-cluster", place])?;
    }
    std::fs::create_dir_all("/run/netns").context("/run/netns")
}

/// Loads the images as soon as containerd answers.
async fn load(layout: &Layout, archives: &[PathBuf]) -> anyhow::Result<()> {
    let socket = layout.text("run/containerd.sock");
    let begun = Instant::now();
    while let Err(error) = network::run("ctr", &["--address", &socket, "version"]) {
        if begun.elapsed() > Duration::from_secs(30) {
            return Err(error.context(tail(layout, "containerd")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for archive in archives {
        let archive = archive.display().to_string();
        network::run(
            "ctr",
            &["--address", &socket, "--namespace", "k8s.io", "images", "import", &archive],
        )?;
    }
    Ok(())
}

/// Starts what needs the API server once that is there; ends when the node is ready. Gives the
/// daemons to start.
async fn bring_up(layout: &Layout) -> anyhow::Result<Vec<Daemon>> {
    let ready = async {
        let api = Api::connect(layout).await?;
        api.until_ready(PATIENCE).await?;
        anyhow::Ok(())
    };
    ready.await.with_context(|| tail(layout, "kube-apiserver"))?;
    Ok(daemons::second(layout))
}

async fn until_node_ready(layout: &Layout) -> anyhow::Result<()> {
    let api = Api::connect(layout).await?;
    let begun = Instant::now();
    let path = format!("/api/v1/nodes/{NODE}");
    loop {
        // Pods cannot be created before their namespace has its ServiceAccount.
        let account = api.find("/api/v1/namespaces/default/serviceaccounts/default").await?;
        if account.is_some() && api.find(&path).await?.is_some_and(|node| is_ready(&node)) {
            return std::fs::write(layout.ready(), "").context("telling that the node is ready");
        }
        if begun.elapsed() > PATIENCE {
            bail!(
                "the node is not ready: {}\n{}",
                tail(layout, "kubelet"),
                tail(layout, "kube-controller-manager")
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions
        .is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}

async fn told_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
}

/// Whoever started us holds the other end of our standard input, until it ends, however it ends.
/// One byte says that it may end without us.
async fn until_abandoned() {
    let mut byte = [0];
    if tokio::io::stdin().read(&mut byte).await.is_ok_and(|length| length > 0) {
        std::future::pending::<()>().await;
    }
}

/// The daemons that run, and the ones to be started again.
#[derive(Debug)]
struct Family {
    layout: Layout,
    running: HashMap<i32, Daemon>,
    /// Ended at a time.
    ended: Vec<(Instant, Daemon)>,
    child_ended: tokio::signal::unix::Signal,
}

impl Family {
    fn new(layout: Layout) -> anyhow::Result<Self> {
        let child_ended = signal(SignalKind::child())?;
        Ok(Self { layout, running: HashMap::new(), ended: Vec::new(), child_ended })
    }

    fn start(&mut self, daemons: Vec<Daemon>) -> anyhow::Result<()> {
        for daemon in daemons {
            let pid = spawn(&self.layout, &daemon)?;
            self.running.insert(pid, daemon);
        }
        Ok(())
    }

    /// Keeps all alive for ever; starts those that `more` gives once it has them.
    async fn look_after(
        &mut self,
        more: impl Future<Output = anyhow::Result<Vec<Daemon>>>,
    ) -> anyhow::Result<()> {
        tokio::pin!(more);
        let layout = self.layout.clone();
        let node = until_node_ready(&layout);
        tokio::pin!(node);
        let (mut started, mut ready) = (false, false);
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                daemons = &mut more, if !started => {
                    self.start(daemons?)?;
                    started = true;
                }
                is_ready = &mut node, if started && !ready => {
                    is_ready?;
                    ready = true;
                }
                _ = self.child_ended.recv() => self.reap(),
                _ = tick.tick() => self.start_again()?,
            }
        }
    }

    /// Takes the exit of every child, also of those that were left to process 1.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if let Some(daemon) = self.running.remove(&pid.as_raw_nonzero().get()) {
                eprintln!("{} ended: {status:?}", daemon.name);
                let _ = std::fs::remove_file(self.layout.pid(daemon.name));
                self.ended.push((Instant::now(), daemon));
            }
        }
    }

    fn start_again(&mut self) -> anyhow::Result<()> {
        // A signal may stand for several children.
        self.reap();
        let layout = self.layout.clone();
        let due = |(at, daemon): &mut (Instant, Daemon)| {
            at.elapsed() > RESTART && !layout.hold(daemon.name).exists()
        };
        let due: Vec<_> = self.ended.extract_if(.., due).map(|(_, daemon)| daemon).collect();
        self.start(due)
    }
}

fn spawn(layout: &Layout, daemon: &Daemon) -> anyhow::Result<i32> {
    let log = File::options().create(true).append(true).open(layout.log(daemon.name))?;
    let (program, arguments) = daemon.command.split_first().context("an empty command")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(layout.root())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    // Reaped by process 1 with all others.
    let child = command.spawn().with_context(|| format!("starting {program}"))?;
    let pid = i32::try_from(child.id())?;
    std::fs::write(layout.pid(daemon.name), pid.to_string())?;
    Ok(pid)
}

/// Kills all other processes, then removes their cgroups: no process, no trace.
fn end_everything(layout: &Layout) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let others = others(Path::new("/proc"));
        if others.is_empty() || begun.elapsed() > Duration::from_secs(10) {
            break;
        }
        for pid in others {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        std::thread::sleep(Duration::from_millis(5));
    }
    cgroups::remove(&layout.cgroup())
}

fn others(proc: &Path) -> Vec<Pid> {
    let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| pid != 1).filter_map(Pid::from_raw).collect()
}

/// The end of a daemon's log, for whoever wonders why it does not come up.
fn tail(layout: &Layout, daemon: &str) -> String {
    let log = std::fs::read_to_string(layout.log(daemon)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    format!("{daemon} says:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"))
}
