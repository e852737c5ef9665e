//! Control groups of an enclosure: one below every controller (version 1), or one (version 2).

use anyhow::Context as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ROOT: &str = "/sys/fs/cgroup";

/// Whether this machine has the unified hierarchy alone.
pub fn is_unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// Makes the cgroup `name` that the kubelet is told to put its pods into.
pub fn create(name: &str) -> anyhow::Result<()> {
    if is_unified() {
        // Kubelet and runc want their controllers in the pods' cgroups: each level must pass them
        // on.
        delegate(Path::new(ROOT));
        let own = Path::new(ROOT).join(name);
        std::fs::create_dir_all(&own).with_context(|| own.display().to_string())?;
        delegate(&own);
        return Ok(());
    }
    let controllers = controllers()?;
    anyhow::ensure!(
        controllers.iter().any(|controller| controller.ends_with("memory")),
        "no memory controller below {ROOT}: the kubelet cannot run here; hint: a container needs \
         --privileged and --cgroupns=host"
    );
    for controller in controllers {
        let own = controller.join(name);
        std::fs::create_dir_all(&own).with_context(|| own.display().to_string())?;
        // A new cpuset is empty, and nothing can be put into it.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = std::fs::read(controller.join(file)) {
                std::fs::write(own.join(file), value)
                    .with_context(|| own.join(file).display().to_string())?;
            }
        }
    }
    Ok(())
}

/// Removes what is left of the cgroup `name` once its processes are gone. Waits a moment for the
/// last of them.
pub fn remove(name: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let left = left(name)?;
        if left.is_empty() {
            return Ok(());
        }
        let failed = left.iter().find_map(|directory| remove_tree(directory).err());
        match failed {
            Some(error) if begun.elapsed() > Duration::from_secs(10) => {
                return Err(error).context("removing cgroups");
            }
            Some(_) => std::thread::sleep(Duration::from_millis(20)),
            None => {}
        }
    }
}

/// The directories of cgroup `name` that exist.
pub fn left(name: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut places = controllers()?;
    places.push(PathBuf::from(ROOT));
    Ok(places.into_iter().map(|place| place.join(name)).filter(|own| own.exists()).collect())
}

/// Names of cgroups that begin with `prefix`, in any hierarchy.
pub fn named(prefix: &str) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut places = controllers()?;
    places.push(PathBuf::from(ROOT));
    for place in places {
        for entry in std::fs::read_dir(&place).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(prefix) && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Ok(names)
}

/// Hierarchies of version 1, and the version 2 one beside them; links (`cpu` to `cpu,cpuacct`)
/// once.
fn controllers() -> anyhow::Result<Vec<PathBuf>> {
    if is_unified() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(ROOT)
        .with_context(|| format!("{ROOT}: control groups are not mounted"))?;
    Ok(entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .filter(|path| path.join("cgroup.procs").exists())
        .collect())
}

/// A controller that this machine does not have is no reason to stop: the kubelet says which one it
/// misses.
fn delegate(group: &Path) {
    for controller in ["cpuset", "cpu", "io", "memory", "pids", "hugetlb"] {
        let _ = std::fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Directories, deepest first; the files in a cgroup go with it.
fn remove_tree(directory: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
    {
        remove_tree(&entry.path())?;
    }
    match std::fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
