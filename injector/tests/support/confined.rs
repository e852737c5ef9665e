//! The sidecar in a memory cgroup of its own, as a pod's container has it.

use super::loudly;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What `src/mutate/sidecar.rs` gives it for the smallest volume.
pub(crate) const SIDECAR_BYTES: u64 = 18 * 1024 * 1024;

/// A memory cgroup, removed at the end.
pub(crate) struct Confined(PathBuf);

impl Confined {
    /// `None`, with a word about it, where there are no cgroups or no right to make one.
    pub(crate) fn new(name: &str, limit_bytes: u64) -> Option<Self> {
        let made = Self::make(name, limit_bytes);
        if made.is_none() {
            loudly(name, "a memory cgroup cannot be made here");
        }
        made
    }

    fn make(name: &str, limit_bytes: u64) -> Option<Self> {
        let roots =
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        let (root, file) = roots
            .into_iter()
            .find(|(root, _)| fs::metadata(format!("{root}/cgroup.procs")).is_ok())?;
        if file == "memory.max" {
            let _ = fs::File::options()
                .write(true)
                .open(format!("{root}/cgroup.subtree_control"))
                .and_then(|mut file| std::io::Write::write_all(&mut file, b"+memory"));
        }
        let path = PathBuf::from(format!("{root}/keysluice-files-{name}-{}", std::process::id()));
        fs::create_dir(&path).ok()?;
        let group = Self(path);
        write(&group.0.join(file), &limit_bytes.to_string())?;
        // Without swap, where there is such a file.
        let _ = write(&group.0.join("memory.swap.max"), "0");
        let _ = write(&group.0.join("memory.memsw.limit_in_bytes"), &limit_bytes.to_string());
        Some(group)
    }

    /// A command that runs the other one within.
    pub(crate) fn run(&self, command: &Command) -> Command {
        let mut confined = Command::new("/bin/sh");
        let procs = self.0.join("cgroup.procs");
        confined.arg("-c").arg("echo $$ > \"$0\" && exec \"$@\"").arg(procs);
        confined.arg(command.get_program()).args(command.get_args()).env_clear();
        confined.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        confined
    }

    /// How many processes were killed for memory.
    pub(crate) fn kills(&self) -> u64 {
        let read = |file: &str| fs::read_to_string(self.0.join(file)).ok();
        let text = read("memory.events").or_else(|| read("memory.oom_control")).unwrap();
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.unwrap().parse().unwrap()
    }

    /// The most it ever took.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let read = |file: &str| fs::read_to_string(self.0.join(file)).ok();
        let text = read("memory.peak").or_else(|| read("memory.max_usage_in_bytes"));
        text.map_or(0, |text| text.trim().parse().unwrap())
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        // The processes in it are gone as soon as they were waited for.
        let _ = fs::remove_dir(&self.0);
    }
}

fn write(path: &std::path::Path, text: &str) -> Option<()> {
    let mut file = fs::File::options().write(true).open(path).ok()?;
    std::io::Write::write_all(&mut file, text.as_bytes()).ok()
}
