//! What webhook and sidecar take, through the whole suite and under its loads.

use crate::scene::{SHOW, Scene};
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

crate::scenarios!(webhook_and_sidecar_stay_small);

const WEBHOOK: &str = "/keysluice";
const SIDECAR: &str = "/keysluice-injector";
/// Resident KiB of the webhook through the suite, with the polls of all sidecars for their Plans,
/// and KiB charged to a sidecar without its tmpfs.
const WEBHOOK_LIMIT: u64 = 17 << 10;
const SIDECAR_LIMIT: u64 = 4 << 10;

/// The most that any process of ours was resident with, KiB, since the start: also of those that
/// are gone.
#[derive(Debug, Default, Clone)]
pub(crate) struct Peaks(Arc<[AtomicU64; 2]>);

impl Peaks {
    /// Looks at all processes again and again, until nobody asks any more. The kernel keeps each
    /// one's own maximum.
    pub(crate) fn watch() -> Self {
        let peaks = Self::default();
        let watched = Arc::downgrade(&peaks.0);
        std::thread::spawn(move || {
            while let Some(peaks) = Weak::upgrade(&watched).map(Peaks) {
                peaks.look();
                drop(peaks);
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        peaks
    }

    fn look(&self) {
        for (program, peak) in [WEBHOOK, SIDECAR].into_iter().zip(&*self.0) {
            for process in processes_of(program).unwrap_or_default() {
                // One that has just ended has no numbers any more.
                peak.fetch_max(status(&process, "VmHWM:").unwrap_or(0), Ordering::Relaxed);
            }
        }
    }
}

/// After all loads.
async fn webhook_and_sidecar_stay_small(scene: &Scene) -> anyhow::Result<()> {
    scene.create("pods", &scene.pod("small", SHOW)).await?;
    scene.running("small").await?;
    let peaks = &scene.world.peaks;
    peaks.look();
    for (index, (name, program)) in
        [("webhook", WEBHOOK), ("sidecar", SIDECAR)].into_iter().enumerate()
    {
        let private: Vec<u64> =
            processes_of(program)?.iter().filter_map(|one| status(one, "RssAnon:").ok()).collect();
        let private = private.iter().max().with_context(|| format!("no {name} runs"))?;
        let peak = peaks.0[index].load(Ordering::Relaxed);
        scene.world.figure(format!(
            "{name}: {peak} KiB resident at most through the suite; {private} KiB private now"
        ));
        anyhow::ensure!(
            program != WEBHOOK || (1..=WEBHOOK_LIMIT).contains(&peak),
            "{name}: {peak} KiB resident"
        );
    }
    charged_to_sidecars(scene)
}

/// Reports and bounds what is charged to the sidecars that run now.
pub(crate) fn charged_to_sidecars(scene: &Scene) -> anyhow::Result<()> {
    // By group: commands that run in a sidecar's container are charged to it too.
    let mut charged = BTreeMap::new();
    for process in processes_of(SIDECAR)? {
        match charge(&process) {
            Ok((group, kib)) => drop(charged.insert(group, kib)),
            // It ended while we looked.
            Err(_) if !is_alive(&process) => {}
            Err(error) => return Err(error),
        }
    }
    let most = charged.values().max().context("no sidecar runs")?;
    let median = {
        let mut all: Vec<&u64> = charged.values().collect();
        all.sort();
        all[all.len() / 2]
    };
    let count = charged.len();
    scene.world.figure(format!(
        "sidecar: {most} KiB charged to its cgroup at most without the tmpfs, {median} at the \
         median of {count}"
    ));
    anyhow::ensure!((1..=SIDECAR_LIMIT).contains(most), "{most} KiB are charged to a sidecar");
    Ok(())
}

/// The memory cgroup of a process, and KiB charged to it less what lies on its tmpfs (`shmem`).
fn charge(process: &Path) -> anyhow::Result<(String, u64)> {
    let groups = std::fs::read_to_string(process.join("cgroup"))?;
    let version_1 =
        groups.lines().find_map(|line| line.split_once(":memory:")).map(|(_, path)| path);
    let version_2 = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let (directory, file) = match (version_1, version_2) {
        (Some(path), _) => (format!("/sys/fs/cgroup/memory{path}"), "memory.usage_in_bytes"),
        (None, Some(path)) => (format!("/sys/fs/cgroup{path}"), "memory.current"),
        (None, None) => anyhow::bail!("no memory cgroup in {groups:?}"),
    };
    let read = |file: &str| {
        let path = format!("{directory}/{file}");
        std::fs::read_to_string(&path).context(path)
    };
    let usage: u64 = read(file)?.trim().parse().context("not a number of bytes")?;
    let statistics = read("memory.stat")?;
    let shared = statistics
        .lines()
        .find_map(|line| line.strip_prefix("shmem "))
        .context("no shmem in memory.stat")?;
    let shared: u64 = shared.trim().parse().context("shmem is not a number")?;
    Ok((directory, usage.saturating_sub(shared) >> 10))
}

/// Processes that run `program`.
fn processes_of(program: &str) -> anyhow::Result<Vec<PathBuf>> {
    let start = format!("{program}\0");
    let entries = std::fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
    let runs = |path: &PathBuf| {
        std::fs::read_to_string(path.join("cmdline")).is_ok_and(|line| line.starts_with(&start))
    };
    Ok(entries.filter(runs).collect())
}

/// A zombie has no command line.
fn is_alive(process: &Path) -> bool {
    std::fs::read(process.join("cmdline")).is_ok_and(|line| !line.is_empty())
}

/// KiB of a field of `/proc/PID/status`.
fn status(process: &Path, field: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(process.join("status"))?;
    let line = status
        .lines()
        .find(|line| line.starts_with(field))
        .with_context(|| format!("no {field}"))?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse()?)
}
