//! `keysluice serve` in a memory cgroup.

use super::cgroup::MemoryGroup;
use super::client;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The memory limit of the chart.
pub(crate) const CHART_LIMIT_BYTES: usize = 128 << 20;

/// Manifests for `--objects`.
pub(crate) struct Objects(tempfile::TempDir);

impl Objects {
    /// The ServiceAccount and the class of `keysluice_bench` in each of these namespaces, and more
    /// documents.
    pub(crate) fn of(namespaces: &[&str], more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let mut file = std::fs::File::create(directory.path().join(name)).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        for namespace in namespaces {
            let of_shop = "\"namespace\":\"shop\"";
            let text = keysluice_bench::manifests()
                .replace(of_shop, &format!("\"namespace\":\"{namespace}\""));
            put(&format!("{namespace}.yaml"), &text);
        }
        put("more.yaml", more);
        Self(directory)
    }

    /// The directory, as the flag's value.
    pub(crate) fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }
}

/// A running webhook; killed when dropped.
pub(crate) struct Webhook {
    group: MemoryGroup,
    process: Mutex<Child>,
    log: Arc<Mutex<String>>,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

/// The binary of this build, or another one: with a released one the figures count.
fn binary() -> PathBuf {
    std::env::var_os("KEYSLUICE_HOLD_BINARY")
        .map_or_else(|| env!("CARGO_BIN_EXE_keysluice").into(), PathBuf::from)
}

impl Webhook {
    /// Starts it under the chart's limit; `None` (and a printed word) where no memory cgroup can be
    /// made.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Option<Self> {
        Some(Self::start_in(MemoryGroup::create(name, CHART_LIMIT_BYTES)?, arguments))
    }

    /// Starts it in a group, on free ports of all addresses; waits until it serves.
    pub(crate) fn start_in(group: MemoryGroup, arguments: &[&str]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let ca = scratch.path().join("ca.crt");
        let mut command = group.command(binary());
        command.args([
            "serve",
            "--listen",
            "0.0.0.0:0",
            "--admin-listen",
            "0.0.0.0:0",
            "--drain-seconds",
            "0",
        ]);
        command.arg("--ca-out").arg(&ca).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
        let mut process = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // Into a pipe: a file's pages would be charged to the group.
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let serving = loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("it ended: {}", log.lock().unwrap()))
                .unwrap();
            log.lock().unwrap().push_str(&format!("{line}\n"));
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if line["message"] == "serving" {
                break line;
            }
        };
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                if kept.len() < 1 << 20 {
                    kept.push_str(&format!("{line}\n"));
                }
            }
        });
        let address = |field: &str| {
            let address: SocketAddr = serving[field].as_str().unwrap().parse().unwrap();
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port())
        };
        let ca = CertificateDer::from_pem_slice(&std::fs::read(&ca).unwrap()).unwrap();
        let [http1, http2] =
            [&b"http/1.1"[..], b"h2"].map(|protocol| client::client_config(&ca, protocol));
        let process = Mutex::new(process);
        Self {
            group,
            process,
            log,
            listen: address("listen"),
            admin: address("admin_listen"),
            http1,
            http2,
        }
    }

    /// For clients that speak the protocol.
    pub(crate) fn client_config(&self, protocol: &[u8]) -> Arc<ClientConfig> {
        Arc::clone(if protocol == b"h2" { &self.http2 } else { &self.http1 })
    }

    /// The first MiB of what it logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn peak_bytes(&self) -> usize {
        self.group.peak_bytes()
    }

    pub(crate) fn usage_bytes(&self) -> usize {
        self.group.usage_bytes()
    }

    /// CPU time so far, in clock ticks of 10 ms.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(self.proc("stat")).unwrap_or_default();
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect::<Vec<_>>();
        [11, 12].iter().filter_map(|index| fields.get(*index)?.parse::<u64>().ok()).sum()
    }

    /// `/proc/PID/FILE`.
    pub(crate) fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.process.lock().unwrap().id().to_string()).join(file)
    }

    /// Fails if a process of the group was killed, or the webhook ended.
    pub(crate) fn assert_held(&self) {
        let ended = self.process.lock().unwrap().try_wait().unwrap();
        let kills = self.group.oom_kills();
        assert!(
            ended.is_none() && kills == 0,
            "ended: {ended:?}; killed for want of memory: {kills}"
        );
    }

    /// POSTs bytes on a connection of their own; status and body.
    pub(crate) async fn post(&self, path: &str, body: &[u8]) -> std::io::Result<(u16, Value)> {
        let mut stream = client::connect(self, Ipv4Addr::LOCALHOST.into(), b"http/1.1").await?;
        client::exchange(&mut stream, &client::post_bytes(path, body)).await
    }

    /// Whether `/readyz` says yes.
    pub(crate) async fn is_ready(&self) -> bool {
        self.admin_exchange(Ipv4Addr::LOCALHOST.into(), b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// The text of the metrics.
    pub(crate) async fn metrics(&self) -> String {
        let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
        self.admin_exchange(Ipv4Addr::LOCALHOST.into(), request).await.unwrap()
    }

    /// Bytes to the admin port of the address, and what comes until it closes.
    pub(crate) async fn admin_exchange(
        &self,
        address: IpAddr,
        request: &[u8],
    ) -> std::io::Result<String> {
        let exchange = async {
            let mut stream = TcpStream::connect((address, self.admin.port())).await?;
            stream.write_all(request).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        };
        tokio::time::timeout(Duration::from_secs(10), exchange).await?
    }

    /// Waits until it is ready and a new caller's review is answered; how long that took.
    pub(crate) async fn until_it_serves(&self) -> Duration {
        let begun = std::time::Instant::now();
        let body = keysluice_bench::review(&keysluice_bench::pod(4096));
        loop {
            let call = tokio::time::timeout(Duration::from_secs(1), self.post("/mutate", &body));
            if self.is_ready().await
                && call.await.is_ok_and(|answer| answer.is_ok_and(|(status, _)| status == 200))
            {
                return begun.elapsed();
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "it does not serve again: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap();
        let _ = process.kill();
        let _ = process.wait();
    }
}
