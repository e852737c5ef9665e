//! A child process that never outlives its owner, and whose output is kept.

use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};

/// A running child; killed when dropped. Its standard error and output are in [`Process::log`].
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    name: String,
}

impl Process {
    /// Starts `command` with all output going to the file `log`.
    pub fn start(mut command: Command, name: &str, log: &Path) -> anyhow::Result<Self> {
        let output =
            std::fs::File::create(log).with_context(|| format!("creating {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { child, log: log.to_owned(), name: name.to_owned() })
    }

    /// Everything it has printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) -> anyhow::Result<()> {
        let id = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw);
        let id = id.with_context(|| format!("{} has ended", self.name))?;
        rustix::process::kill_process(id, signal)
            .with_context(|| format!("signalling {}", self.name))
    }

    /// Waits for the end.
    pub async fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let ended = tokio::time::timeout(limit, self.child.wait()).await;
        let ended = ended.with_context(|| format!("{} did not end within {limit:?}", self.name))?;
        Ok(ended?)
    }

    /// SIGTERM, then waits.
    pub async fn terminate(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(rustix::process::Signal::TERM)?;
        self.wait(limit).await
    }

    /// Fails with the log if the process has ended.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                anyhow::bail!("{} ended with {status}; its log:\n{}", self.name, self.log())
            }
        }
    }

    /// Reads `/proc/PID/FILE` (`status`, `environ`, `cmdline`).
    pub fn proc_file(&self, file: &str) -> anyhow::Result<Vec<u8>> {
        let id = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        Ok(std::fs::read(format!("/proc/{id}/{file}"))?)
    }

    /// A field of `/proc/PID/status` in KiB: `VmRSS`, `RssAnon`, `VmHWM`.
    pub fn memory_kib(&self, field: &str) -> anyhow::Result<u64> {
        let status = String::from_utf8_lossy(&self.proc_file("status")?).into_owned();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .context("no such field")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }
}
