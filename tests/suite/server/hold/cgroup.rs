//! A memory cgroup of a test's own, v1 or v2.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Where it is set, a machine without memory cgroups fails the tests instead of skipping them.
const REQUIRED: &str = "KEYSLUICE_REQUIRE_CGROUP";

/// A group with a limit and without swap; what runs in it is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct MemoryGroup {
    directory: PathBuf,
    is_v2: bool,
}

impl MemoryGroup {
    /// Creates it; says so and gives `None` where the machine has no memory cgroups or the test no
    /// right to make one.
    pub(crate) fn create(name: &str, limit_bytes: usize) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("keysluice-{name}-{}-{count}", std::process::id());
        let created = Self::v1(&name, limit_bytes).or_else(|_| Self::v2(&name, limit_bytes));
        match created {
            Ok(group) => Some(group),
            Err(reason) => {
                assert!(
                    std::env::var_os(REQUIRED).is_none(),
                    "{REQUIRED} is set, and there is no memory cgroup: {reason}"
                );
                println!("skipped: no memory cgroup can be made here: {reason}");
                None
            }
        }
    }

    fn v1(name: &str, limit_bytes: usize) -> Result<Self, String> {
        let root = Path::new("/sys/fs/cgroup/memory");
        if !root.join("memory.limit_in_bytes").exists() {
            return Err("cgroup v1 has no memory controller".to_owned());
        }
        let group = Self::make(root.join(name), false)?;
        group.write("memory.limit_in_bytes", limit_bytes)?;
        // Where swap is not accounted there is no such file.
        let _ = group.write("memory.memsw.limit_in_bytes", limit_bytes);
        let _ = group.write("memory.swappiness", 0);
        Ok(group)
    }

    fn v2(name: &str, limit_bytes: usize) -> Result<Self, String> {
        let mount = Path::new("/sys/fs/cgroup");
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let mut reason = "cgroup v2 is not mounted".to_owned();
        // A group that holds processes cannot give controllers to children: the nearest one above
        // that can.
        for parent in mount.join(own).ancestors().take_while(|parent| parent.starts_with(mount)) {
            let _ = put(&parent.join("cgroup.subtree_control"), "+memory");
            let made = Self::make(parent.join(name), true).and_then(|group| {
                group.write("memory.max", limit_bytes)?;
                let _ = group.write("memory.swap.max", 0);
                Ok(group)
            });
            match made {
                Ok(group) => return Ok(group),
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }

    fn make(directory: PathBuf, is_v2: bool) -> Result<Self, String> {
        fs::create_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        Ok(Self { directory, is_v2 })
    }

    fn write(&self, file: &str, value: usize) -> Result<(), String> {
        let path = self.directory.join(file);
        put(&path, &value.to_string()).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.directory.join(file)).unwrap_or_default()
    }

    /// A command that joins the group before it becomes `program`.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]);
        command.arg(self.directory.join("cgroup.procs")).arg(program);
        command
    }

    /// The most it has taken.
    pub(crate) fn peak_bytes(&self) -> usize {
        let file = if self.is_v2 { "memory.peak" } else { "memory.max_usage_in_bytes" };
        self.read(file).trim().parse().unwrap_or_default()
    }

    /// What it takes now.
    pub(crate) fn usage_bytes(&self) -> usize {
        let file = if self.is_v2 { "memory.current" } else { "memory.usage_in_bytes" };
        self.read(file).trim().parse().unwrap_or_default()
    }

    /// How many processes of it were killed for want of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let text = self.read(if self.is_v2 { "memory.events" } else { "memory.oom_control" });
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
            .unwrap_or_default()
    }
}

/// Writes a control file in place: the kernel's files know no renaming.
fn put(path: &Path, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        for _ in 0..200 {
            for process in self.read("cgroup.procs").lines().filter_map(|line| line.parse().ok()) {
                if let Some(process) = rustix::process::Pid::from_raw(process) {
                    let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
                }
            }
            // A group can go as soon as its last process is gone.
            if fs::remove_dir(&self.directory).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
