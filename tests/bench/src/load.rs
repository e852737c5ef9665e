//! Load: `wrk` where it is installed, else a small client of our own.

use anyhow::{Context as _, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

const CONNECTIONS: usize = 16;

/// What was seen from outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// Whether `wrk` can be run.
pub(crate) fn has_wrk() -> bool {
    Command::new("wrk").arg("-v").output().is_ok()
}

/// Posts `body` over 16 connections for a while.
pub(crate) fn run(
    address: SocketAddr,
    body: &[u8],
    keep_alive: bool,
    time: Duration,
    scratch: &Path,
) -> anyhow::Result<Load> {
    if has_wrk() {
        with_wrk(address, body, keep_alive, time, scratch)
    } else {
        with_own(address, body, keep_alive, time)
    }
}

const SCRIPT: &str = r#"
local file = io.open(os.getenv("BENCH_BODY"), "rb")
wrk.method, wrk.body = "POST", file:read("*a")
file:close()
wrk.headers["Content-Type"] = "application/json"
if os.getenv("BENCH_CLOSE") == "1" then wrk.headers["Connection"] = "close" end
function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("RESULT %d %d %d %d\n", summary.requests, failed, latency:percentile(50),
      latency:percentile(99)))
end
"#;

fn with_wrk(
    address: SocketAddr,
    body: &[u8],
    keep_alive: bool,
    time: Duration,
    scratch: &Path,
) -> anyhow::Result<Load> {
    let (script, body_file) = (scratch.join("load.lua"), scratch.join("body.json"));
    std::fs::File::create(&script)?.write_all(SCRIPT.as_bytes())?;
    std::fs::File::create(&body_file)?.write_all(body)?;
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{}s", time.as_secs()), "-s"])
        .arg(&script);
    wrk.arg(format!("https://{address}/mutate"));
    wrk.env("BENCH_BODY", &body_file).env("BENCH_CLOSE", if keep_alive { "0" } else { "1" });
    let output = wrk.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let result = text
        .lines()
        .find_map(|line| line.strip_prefix("RESULT "))
        .with_context(|| format!("wrk said: {text}"))?;
    let numbers = result.split(' ').map(str::parse::<u32>).collect::<Result<Vec<_>, _>>()?;
    ensure!(numbers.len() == 4 && numbers[1] == 0, "requests failed: {text}");
    let micros = |number: u32| Duration::from_micros(number.into());
    Ok(Load { requests: numbers[0].into(), p50: micros(numbers[2]), p99: micros(numbers[3]) })
}

fn with_own(
    address: SocketAddr,
    body: &[u8],
    keep_alive: bool,
    time: Duration,
) -> anyhow::Result<Load> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let head = format!(
        "POST /mutate HTTP/1.1\r\nhost: {address}\r\ncontent-type: \
         application/json\r\nconnection: {connection}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let request: Arc<[u8]> = [head.as_bytes(), body].concat().into();
    let connector = TlsConnector::from(Arc::new(client_config()?));
    let end = Instant::now() + time;
    let mut latencies = runtime.block_on(async {
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            clients.spawn(client(
                address,
                connector.clone(),
                Arc::clone(&request),
                keep_alive,
                end,
            ));
        }
        let mut all = Vec::new();
        while let Some(latencies) = clients.join_next().await {
            all.extend(latencies??);
        }
        anyhow::Ok(all)
    })?;
    ensure!(!latencies.is_empty(), "no request was answered");
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 100];
    Ok(Load { requests: f64::from(u32::try_from(latencies.len())?), p50: at(50), p99: at(99) })
}

async fn client(
    address: SocketAddr,
    connector: TlsConnector,
    request: Arc<[u8]>,
    keep_alive: bool,
    end: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut stream =
            connector.connect(ServerName::IpAddress(address.ip().into()), stream).await?;
        loop {
            let start = Instant::now();
            stream.write_all(&request).await?;
            stream.flush().await?;
            read_answer(&mut stream).await?;
            latencies.push(start.elapsed());
            if !keep_alive || Instant::now() >= end {
                break;
            }
        }
    }
    Ok(latencies)
}

/// Reads one answer that has a Content-Length.
pub(crate) async fn read_answer(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
) -> anyhow::Result<()> {
    let mut answer = Vec::with_capacity(8192);
    loop {
        ensure!(
            stream.read_buf(&mut answer).await? > 0,
            "the connection was closed in the middle of an answer"
        );
        let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&answer[..head])?.to_ascii_lowercase();
        ensure!(text.starts_with("http/1.1 200"), "the server answered {text}");
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .context("no length")?;
        if answer.len() >= head + 4 + length.trim().parse::<usize>()? {
            return Ok(());
        }
    }
}

pub(crate) fn client_config() -> anyhow::Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer))
        .with_no_client_auth();
    // As wrk: every new connection is a full handshake.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Takes any certificate: the load stays on the loopback.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
