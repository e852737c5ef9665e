//! Clients: TLS from an address of choice, HTTP/1.1 by hand, and a caller that goes on steadily and
//! notes what it meets.

use super::webhook::Webhook;
use crate::suite::support::caller::is_unprocessed;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long the API server waits for a webhook with the chart's values.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a client trusts and speaks: made once, since an attacker has better to do.
pub(crate) fn client_config(ca: &CertificateDer<'static>, protocol: &[u8]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13]);
    let mut config = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

/// A TLS connection from an address of the loopback.
pub(crate) async fn connect(
    webhook: &Webhook,
    from: IpAddr,
    protocol: &[u8],
) -> io::Result<TlsStream<TcpStream>> {
    connect_to(webhook.listen, webhook.client_config(protocol), from).await
}

/// A TCP connection from an address of the loopback.
async fn dial(to: SocketAddr, from: IpAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn connect_to(
    to: SocketAddr,
    config: Arc<ClientConfig>,
    from: IpAddr,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, dial(to, from).await?).await
}

/// A POST of a JSON body over HTTP/1.1.
pub(crate) fn post_bytes(path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: \
         {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Sends a request and reads one answer: status, and the body as JSON.
pub(crate) async fn exchange(
    stream: &mut TlsStream<TcpStream>,
    request: &[u8],
) -> io::Result<(u16, Value)> {
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let body = &answer[end + 4..];
        if length.is_some_and(|length| body.len() >= length) {
            let status =
                head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
            return Ok((status, serde_json::from_slice(body).unwrap_or_default()));
        }
    }
}

/// The review of a pod in a namespace.
pub(crate) fn review_in(namespace: &str, mut pod: Value) -> Vec<u8> {
    pod["metadata"]["namespace"] = namespace.into();
    let mut review: Value = serde_json::from_slice(&keysluice_bench::review(&pod)).unwrap();
    review["request"]["namespace"] = namespace.into();
    review.to_string().into_bytes()
}

/// What a steady caller met.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// How long each answered review took, connecting included where it was needed.
    pub(crate) latencies: Vec<Duration>,
    /// What was refused or failed.
    pub(crate) refused: Vec<String>,
}

impl Answered {
    pub(crate) fn count(&self) -> usize {
        self.latencies.len()
    }

    /// The latency below which this many of a thousand lie.
    pub(crate) fn permille(&self, share: usize) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort();
        sorted.get(sorted.len().saturating_sub(1) * share / 1000).copied().unwrap_or_default()
    }

    /// One line of figures.
    pub(crate) fn line(&self) -> String {
        let [median, p99, most] = [500, 990, 1000].map(|share| self.permille(share));
        let (count, refused) = (self.count(), self.refused.len());
        format!(
            "{count} answered, {refused} refused; p50 {median:.1?}, p99 {p99:.1?}, max {most:.1?}"
        )
    }
}

/// Ordinary reviews, one after the other as the API server sends them (HTTP/2, a new connection
/// where the last one ended), on a thread of their own, so that the attack's own work does not
/// count.
pub(crate) struct Steady {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<Answered>,
}

impl Steady {
    /// Starts calling from an address, for pods of a namespace.
    pub(crate) fn start(webhook: &Webhook, from: IpAddr, namespace: &str) -> Self {
        let (to, config, body) = (
            webhook.listen,
            webhook.client_config(b"h2"),
            review_in(namespace, keysluice_bench::pod(4096)).into(),
        );
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(call_until(stopped, to, config, from, body))
        });
        Self { stop, thread }
    }

    /// Ends it; what it met.
    pub(crate) async fn stop(self) -> Answered {
        let _ = self.stop.send(());
        tokio::task::spawn_blocking(|| self.thread.join().unwrap()).await.unwrap()
    }
}

async fn call_until(
    mut stopped: oneshot::Receiver<()>,
    to: SocketAddr,
    config: Arc<ClientConfig>,
    from: IpAddr,
    body: Bytes,
) -> Answered {
    let mut answered = Answered::default();
    let mut connection = None;
    loop {
        let begun = Instant::now();
        match tokio::time::timeout(PATIENCE, call(&mut connection, to, &config, from, &body)).await
        {
            Ok(Ok(())) => answered.latencies.push(begun.elapsed()),
            Ok(Err(error)) => answered.refused.push(error),
            Err(_) => {
                connection = None;
                answered.refused.push("no answer in time".to_owned());
            }
        }
        if tokio::time::timeout(Duration::from_millis(5), &mut stopped).await.is_ok() {
            return answered;
        }
    }
}

async fn call(
    connection: &mut Option<SendRequest<Full<Bytes>>>,
    to: SocketAddr,
    config: &Arc<ClientConfig>,
    from: IpAddr,
    body: &Bytes,
) -> Result<(), String> {
    loop {
        let mut caller = if let Some(caller) = connection.take() {
            caller
        } else {
            let stream = connect_to(to, Arc::clone(config), from)
                .await
                .map_err(|error| format!("connect: {error}"))?;
            let made = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
            let (caller, driver) = made.map_err(|error| format!("HTTP/2: {error}"))?;
            tokio::spawn(driver);
            caller
        };
        if caller.ready().await.is_err() {
            continue;
        }
        let request =
            Request::post("https://localhost/mutate").header("content-type", "application/json");
        let response =
            match caller.send_request(request.body(Full::new(body.clone())).unwrap()).await {
                Ok(response) => response,
                // Go's client, too, opens another connection then.
                Err(error) if is_unprocessed(&error) => continue,
                Err(error) => return Err(format!("send: {error:?}")),
            };
        let status = response.status();
        let text = response
            .into_body()
            .collect()
            .await
            .map_err(|error| format!("read: {error:?}"))?
            .to_bytes();
        *connection = Some(caller);
        let body: Value = serde_json::from_slice(&text).unwrap_or_default();
        return if status == 200 && body["response"]["allowed"] == true {
            Ok(())
        } else {
            Err(format!("{status}: {body}"))
        };
    }
}
