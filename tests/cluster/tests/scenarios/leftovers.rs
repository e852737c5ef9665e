//! Nothing stays on the machine: looked at from outside, before and after.

use anyhow::Context as _;
use keysluice_cluster::Enclosure;
use keysluice_cluster::enclosure::{self, Materials};
use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

/// What an enclosure could leave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    interfaces: BTreeSet<String>,
    mounts: BTreeSet<String>,
    processes: BTreeSet<String>,
    traces: BTreeSet<String>,
}

impl Machine {
    /// Other enclosures may run beside ours: only what bears our name counts.
    pub(crate) fn look() -> anyhow::Result<Self> {
        let name =
            enclosure::new_root().file_name().context("no name")?.to_string_lossy().into_owned();
        let own = |text: &str| text.contains(&name);
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let mut processes = BTreeSet::new();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if own(&line) {
                processes.insert(line);
            }
        }
        let interfaces = std::fs::read_dir("/sys/class/net")?.flatten();
        Ok(Self {
            interfaces: interfaces
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect(),
            mounts: mounts.lines().filter(|line| own(line)).map(str::to_owned).collect(),
            processes,
            traces: enclosure::traces()?.into_iter().filter(|trace| own(trace)).collect(),
        })
    }
}

pub(crate) fn nothing_is_left_behind(_: &Materials, before: &Machine) -> anyhow::Result<()> {
    let after = Machine::look()?;
    anyhow::ensure!(after == *before, "before {before:?}, after {after:?}");
    Ok(())
}

/// The keeper dies with the hardest signal while the cluster comes up: a process of its own, since
/// that is us.
pub(crate) fn an_interrupted_start_leaves_nothing_behind(
    materials: &Materials,
    before: &Machine,
) -> anyhow::Result<()> {
    let root = enclosure::new_root();
    // Whoever holds the pipe is the keeper; here the pipe is closed at a bad moment instead.
    for moment in [300, 1500, 4000] {
        let enclosure = Enclosure::begin(materials, &root)?;
        let unshare = enclosure.process_id();
        // No event marks the moments that matter: they are spread over the start.
        std::thread::sleep(Duration::from_millis(moment));
        let begun = Instant::now();
        if moment == 1500 {
            // And once everything is killed at once, so that nothing of ours can tidy up: the next
            // start does.
            Command::new("kill").args(["-9", &unshare.to_string()]).status()?;
        }
        drop(enclosure);
        let after = Machine::look()?;
        anyhow::ensure!(after == *before, "after {moment} ms: before {before:?}, after {after:?}");
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(15), "it took {:?}", begun.elapsed());
    }
    Ok(())
}
