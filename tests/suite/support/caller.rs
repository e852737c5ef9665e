//! The API server's side of the webhook: calls over verified TLS, over one connection after the
//! other or new ones each time.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Sends one review again and again.
pub(crate) struct Caller {
    address: SocketAddr,
    name: String,
    path: String,
    is_http2: bool,
    body: Bytes,
    connection: Option<Connection>,
}

enum Connection {
    Http1(Box<TlsStream<TcpStream>>),
    /// With the leaf that was shown.
    Http2(SendRequest<Full<Bytes>>, CertificateDer<'static>),
}

impl Caller {
    /// Over HTTP/1.1; `name` is what the certificate must be for.
    pub(crate) fn new(address: SocketAddr, name: &str) -> Self {
        let body = keysluice_bench::review(&keysluice_bench::pod(4096)).into();
        Self {
            address,
            name: name.to_owned(),
            path: "/mutate".to_owned(),
            is_http2: false,
            body,
            connection: None,
        }
    }

    /// Over HTTP/2.
    pub(crate) fn http2(address: SocketAddr, name: &str) -> Self {
        Self { is_http2: true, ..Self::new(address, name) }
    }

    /// Reviews go to this path from now on.
    pub(crate) fn lead(&mut self, path: &str) {
        path.clone_into(&mut self.path);
    }

    /// Reviews are of this pod from now on.
    pub(crate) fn send(&mut self, pod: &serde_json::Value) {
        self.body = keysluice_bench::review(pod).into();
    }

    /// One review; `roots` are what a new connection trusts. Gives the leaf that was shown.
    pub(crate) async fn call(
        &mut self,
        roots: &[CertificateDer<'static>],
    ) -> Result<CertificateDer<'static>, String> {
        loop {
            let connection = match self.connection.take() {
                Some(connection) => connection,
                None if self.is_http2 => self.connect_http2(roots).await?,
                None => Connection::Http1(Box::new(self.connect(roots).await?)),
            };
            match connection {
                Connection::Http1(connection) => return self.call_http1(connection).await,
                Connection::Http2(caller, leaf) => {
                    if let Some(answer) = self.call_http2(caller, &leaf).await {
                        return answer.map(|()| leaf);
                    }
                }
            }
        }
    }

    async fn call_http1(
        &mut self,
        mut connection: Box<TlsStream<TcpStream>>,
    ) -> Result<CertificateDer<'static>, String> {
        let (name, path, length) = (&self.name, &self.path, self.body.len());
        let head = format!(
            "POST {path}?timeout=5s HTTP/1.1\r\nhost: {name}\r\ncontent-type: \
             application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        let request = [head.as_bytes(), &self.body].concat();
        connection.write_all(&request).await.map_err(|error| format!("write: {error}"))?;
        connection.flush().await.map_err(|error| format!("flush: {error}"))?;
        let answer = read_answer(&mut connection).await?;
        check(&answer)?;
        let leaf = leaf(&connection);
        if !answer.to_ascii_lowercase().contains("connection: close") {
            self.connection = Some(Connection::Http1(connection));
        }
        Ok(leaf)
    }

    /// `None` if the connection had ended before the server took the request: Go's client, too,
    /// opens another one then.
    async fn call_http2(
        &mut self,
        mut caller: SendRequest<Full<Bytes>>,
        leaf: &CertificateDer<'static>,
    ) -> Option<Result<(), String>> {
        let request = Request::post(format!("https://{}{}?timeout=5s", self.name, self.path));
        let request = request.header("content-type", "application/json");
        let request = request.body(Full::new(self.body.clone())).unwrap();
        caller.ready().await.ok()?;
        let answered = match caller.send_request(request).await {
            Err(error) if is_unprocessed(&error) => return None,
            Err(error) => return Some(Err(format!("send: {error:?}"))),
            Ok(response) => (response.status(), response.into_body().collect().await),
        };
        self.connection = Some(Connection::Http2(caller, leaf.clone()));
        Some(match answered {
            (status, Ok(body)) if status == 200 => {
                check(&String::from_utf8_lossy(&body.to_bytes()))
            }
            answered => Err(format!("{answered:?}")),
        })
    }

    /// The next call opens a new connection.
    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }

    pub(crate) async fn connect(
        &self,
        roots: &[CertificateDer<'static>],
    ) -> Result<TlsStream<TcpStream>, String> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let mut config = builder.with_root_certificates(store).with_no_client_auth();
        if self.is_http2 {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        let stream =
            TcpStream::connect(self.address).await.map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from(self.name.clone()).unwrap();
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        connected.map_err(|error| format!("handshake: {error}"))
    }

    async fn connect_http2(&self, roots: &[CertificateDer<'static>]) -> Result<Connection, String> {
        let stream = self.connect(roots).await?;
        let leaf = leaf(&stream);
        let (caller, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|error| format!("HTTP/2: {error}"))?;
        tokio::spawn(connection);
        Ok(Connection::Http2(caller, leaf))
    }
}

/// Whether the server did not take the request: it was not sent, or a GOAWAY without an error says
/// so. A request that the server had taken ends with another error when the connection is cut.
pub(crate) fn is_unprocessed(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    error.is_canceled()
        || cause.is_some_and(|cause| {
            cause.is_go_away() && cause.is_remote() && cause.reason() == Some(h2::Reason::NO_ERROR)
        })
}

fn leaf(connection: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    connection.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn check(answer: &str) -> Result<(), String> {
    let is_mutated = answer.contains("\"allowed\":true") && answer.contains("\"patch\"");
    if is_mutated { Ok(()) } else { Err(format!("not mutated: {answer}")) }
}

async fn read_answer(connection: &mut TlsStream<TcpStream>) -> Result<String, String> {
    let mut answer = Vec::new();
    loop {
        let read =
            connection.read_buf(&mut answer).await.map_err(|error| format!("read: {error}"))?;
        if read == 0 {
            return Err("the connection was closed under the call".to_owned());
        }
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
        });
        if length.is_some_and(|length: usize| body.len() >= length) {
            return if head.starts_with("HTTP/1.1 200") {
                Ok(text.into_owned())
            } else {
                Err(text.into_owned())
            };
        }
    }
}

/// How long load tests go on: a few seconds, or as long as the pipeline wants.
pub(crate) fn load_seconds(few: u64) -> u64 {
    std::env::var("KEYSLUICE_LOAD_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(few)
}
