//! A server under load: started on a free port of the loopback, its CPU time and memory read from
//! /proc.

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Clock ticks a second in /proc/PID/stat; Linux fixes it for user space (`USER_HZ`).
const TICKS: f64 = 100.0;

/// How long a server may take to end.
const PATIENCE: Duration = Duration::from_secs(15);

/// A child process; ended when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// The echo server: this binary again.
    pub(crate) fn echo(scratch: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("echo");
        Self::start(command, &scratch.join("echo.log"), |log| log.trim_end().parse().ok())
    }

    /// The webhook with the manifests of the reviews, its log at the default level going to a file.
    pub(crate) fn webhook(
        binary: &Path,
        scratch: &Path,
        arguments: &[String],
    ) -> anyhow::Result<Self> {
        let manifests = scratch.join("cluster.yaml");
        std::io::Write::write_all(
            &mut File::create(&manifests)?,
            keysluice_bench::manifests().as_bytes(),
        )?;
        let mut command = Command::new(binary);
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--tenant-id",
        ]);
        command
            .arg("4b7e2f2a-5c35-4b2a-9c60-0f7a1c2d3e4f")
            .arg("--objects")
            .arg(manifests)
            .args(arguments);
        Self::start(command, &scratch.join("webhook.log"), |log| {
            let line: serde_json::Value = log
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .find(|line: &serde_json::Value| line["message"] == "serving")?;
            line["listen"].as_str()?.parse().ok()
        })
    }

    fn start(
        mut command: Command,
        log: &Path,
        address: fn(&str) -> Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        let output = File::create(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        let started = Instant::now();
        loop {
            let text = std::fs::read_to_string(log)?;
            if let Some(address) = address(&text) {
                return Ok(Self { child, address });
            }
            if child.try_wait()?.is_some() || started.elapsed() > Duration::from_secs(10) {
                let _ = child.kill();
                bail!("the server does not serve; its log:\n{text}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU time of all its threads so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = self.proc_file("stat")?;
        // The name in parentheses may hold blanks; utime and stime are the 12th and 13th field
        // after it.
        let fields = stat.rsplit(')').next().context("no name in stat")?;
        let ticks = fields.split_ascii_whitespace().skip(11).take(2).map(str::parse::<f64>);
        Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
    }

    /// A field of /proc/PID/status in MiB: `VmRSS`, `VmHWM`.
    pub(crate) fn memory_mib(&self, field: &str) -> anyhow::Result<f64> {
        let status = self.proc_file("status")?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .context("no such field")?;
        Ok(line.trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
    }

    fn proc_file(&self, name: &str) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id()))?)
    }
}

impl Drop for Server {
    /// Ends it in order: what counts its branches (scripts/hot/profile) writes them at its end.
    fn drop(&mut self) {
        if let Some(id) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(id, Signal::TERM);
        }
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && asked.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
