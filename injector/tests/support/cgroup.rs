//! A memory limit around a process, as a pod has one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

static MADE: AtomicUsize = AtomicUsize::new(0);

/// A cgroup of version 1 or 2 with a memory limit; gone when dropped.
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// `None` where there is no memory controller, or no right to it.
    pub(crate) fn new(limit_bytes: usize) -> Option<Self> {
        let name = format!(
            "keysluice-content-{}-{}",
            std::process::id(),
            MADE.fetch_add(1, Ordering::Relaxed)
        );
        let root = Path::new("/sys/fs/cgroup");
        let (parent, file) = if root.join("memory/memory.limit_in_bytes").exists() {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            (root.to_owned(), "memory.max")
        };
        let directory = parent.join(name);
        fs::create_dir(&directory).ok()?;
        let cgroup = Self(directory);
        cgroup.set(file, limit_bytes)?;
        let _ = cgroup.set("memory.swap.max", 0);
        let _ = cgroup.set("memory.memsw.limit_in_bytes", limit_bytes);
        Some(cgroup)
    }

    fn set(&self, file: &str, value: usize) -> Option<()> {
        let mut file = fs::File::options().write(true).open(self.0.join(file)).ok()?;
        std::io::Write::write_all(&mut file, value.to_string().as_bytes()).ok()
    }

    /// The same command within it.
    pub(crate) fn wrap(&self, command: &Command) -> Command {
        let mut wrapped = Command::new("/bin/sh");
        wrapped.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(self.0.join("cgroup.procs"));
        wrapped.arg(command.get_program()).args(command.get_args()).env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                wrapped.env(name, value);
            }
        }
        wrapped
    }

    /// How often the kernel killed a process in it.
    pub(crate) fn kills(&self) -> u64 {
        let read = |file: &str| fs::read_to_string(self.0.join(file)).unwrap_or_default();
        let text = read("memory.oom_control") + &read("memory.events");
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
    }

    /// The most it ever used.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let read = |file: &str| fs::read_to_string(self.0.join(file)).ok()?.trim().parse().ok();
        read("memory.max_usage_in_bytes").or_else(|| read("memory.peak")).unwrap_or_default()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its processes have ended; the kernel may take a moment to see it.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
