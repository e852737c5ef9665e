//! The webhook with the CPU limit that Azure Workload Identity's chart gives: 100m, a steady rate
//! over warm connections; the echo server likewise, since most of such a wait is the machine's.

use crate::load::{self, client_config};
use crate::server::Server;
use anyhow::{Context as _, ensure};
use rustls::pki_types::ServerName;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

const CONNECTIONS: u32 = 8;

/// Prints what is served at 200 and 500 reviews a second with a tenth of a core.
pub(crate) fn run(bin_dir: &Path, time: Duration) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let servers = [
        ("echo", Server::echo(scratch.path())?),
        ("webhook", Server::webhook(&bin_dir.join("keysluice"), scratch.path(), &[])?),
    ];
    let _limits: Vec<CpuLimit> = servers
        .iter()
        .map(|(_, server)| CpuLimit::of(server.id()))
        .collect::<anyhow::Result<_>>()?;
    let body = keysluice_bench::review(&keysluice_bench::pod(4096));
    println!(
        "4 KB pods, {CONNECTIONS} warm connections, CPU limit 100m, {} s each\n",
        time.as_secs()
    );
    println!(
        "{:<8} {:>12} {:>8} {:>8} {:>8} {:>8} {:>8} {:>10}",
        "server", "asked for/s", "sent", "served", "p50 ms", "p99 ms", "max ms", "CPU used"
    );
    for rate in [200, 500] {
        for (name, server) in &servers {
            let before = server.cpu_seconds()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let outcome = runtime.block_on(steadily(server, &body, rate, time))?;
            let used = (server.cpu_seconds()? - before) / time.as_secs_f64();
            let at = |share: usize| {
                outcome.latencies[(outcome.latencies.len() - 1) * share / 1000].as_secs_f64()
                    * 1000.0
            };
            println!(
                "{name:<8} {rate:>12} {:>8} {:>8} {:>8.2} {:>8.2} {:>8.2} {:>9.0}m",
                outcome.sent,
                outcome.latencies.len(),
                at(500),
                at(990),
                at(1000),
                used * 1000.0
            );
            ensure!(outcome.sent == outcome.latencies.len(), "not every review was answered");
        }
    }
    Ok(())
}

struct Outcome {
    sent: usize,
    /// From the moment a review was sent, or was due while its connection was still busy with the
    /// one before; in order.
    latencies: Vec<Duration>,
}

async fn steadily(
    server: &Server,
    body: &[u8],
    rate: u32,
    time: Duration,
) -> anyhow::Result<Outcome> {
    let address = server.address;
    let head = format!(
        "POST /mutate HTTP/1.1\r\nhost: {address}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let request: Arc<[u8]> = [head.as_bytes(), body].concat().into();
    let connector = TlsConnector::from(Arc::new(client_config()?));
    let mut clients = tokio::task::JoinSet::new();
    let pace = Duration::from_secs(1) * CONNECTIONS / rate;
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(connector.connect(ServerName::IpAddress(address.ip().into()), stream).await?);
    }
    // The handshakes are paid for by then.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let start = Instant::now();
    for (number, mut stream) in streams.into_iter().enumerate() {
        let request = Arc::clone(&request);
        let first = start + pace * u32::try_from(number)? / CONNECTIONS;
        clients.spawn(async move {
            let (mut due, mut latencies, mut sent) = (first, Vec::new(), 0);
            while due < start + time {
                // The timer's millisecond is the client's, not the server's.
                let is_late = Instant::now() >= due;
                tokio::time::sleep_until(due).await;
                let begun = if is_late { due } else { Instant::now() };
                sent += 1;
                stream.write_all(&request).await?;
                stream.flush().await?;
                load::read_answer(&mut stream).await?;
                latencies.push(begun.elapsed());
                due += pace;
            }
            anyhow::Ok((sent, latencies))
        });
    }
    let (mut sent, mut latencies) = (0, Vec::new());
    while let Some(client) = clients.join_next().await {
        let (more, seen) = client??;
        sent += more;
        latencies.extend(seen);
    }
    ensure!(!latencies.is_empty(), "no review was answered");
    latencies.sort_unstable();
    Ok(Outcome { sent, latencies })
}

/// A cgroup of our own with a tenth of a core, as the kubelet makes one; gone with the value.
struct CpuLimit(PathBuf);

impl CpuLimit {
    fn of(process: u32) -> anyhow::Result<Self> {
        let (root, settings): (&str, &[(&str, &str)]) =
            if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
                ("/sys/fs/cgroup", &[("cpu.max", "10000 100000")])
            } else {
                (
                    "/sys/fs/cgroup/cpu",
                    &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "10000")],
                )
            };
        let path = Path::new(root).join(format!("keysluice-bench-{process}"));
        let failed =
            || format!("the CPU limit needs root and a cgroup of its own at {}", path.display());
        std::fs::create_dir(&path).with_context(failed)?;
        let limit = Self(path.clone());
        for (file, value) in settings {
            put(&path.join(file), value).with_context(failed)?;
        }
        put(&path.join("cgroup.procs"), &process.to_string()).with_context(failed)?;
        Ok(limit)
    }
}

impl Drop for CpuLimit {
    fn drop(&mut self) {
        // A cgroup with a process in it cannot go: its process moves to where all began.
        let processes = std::fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for process in processes.lines() {
            let parent = self.0.parent().unwrap_or_else(|| Path::new("/sys/fs/cgroup"));
            let _ = put(&parent.join("cgroup.procs"), process);
        }
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn put(path: &Path, value: &str) -> std::io::Result<()> {
    std::io::Write::write_all(
        &mut std::fs::File::options().write(true).open(path)?,
        value.as_bytes(),
    )
}
