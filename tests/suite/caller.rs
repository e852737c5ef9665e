//! The API server's side of the webhook: calls over verified TLS, over one connection after the other or new ones each time.

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Sends one review again and again.
pub(crate) struct Caller {
    address: SocketAddr,
    name: ServerName<'static>,
    request: Vec<u8>,
    connection: Option<TlsStream<TcpStream>>,
}

impl Caller {
    /// `name` is what the certificate must be for.
    pub(crate) fn new(address: SocketAddr, name: &str) -> Self {
        let body = keysluice_bench::review(&keysluice_bench::pod(4096));
        let head = format!(
            "POST /mutate HTTP/1.1\r\nhost: {name}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let name = ServerName::try_from(name.to_owned()).unwrap();
        Self { address, name, request: [head.as_bytes(), &body].concat(), connection: None }
    }

    /// One review; `roots` are what a new connection trusts. Gives the leaf that was shown.
    pub(crate) async fn call(&mut self, roots: &[CertificateDer<'static>]) -> Result<CertificateDer<'static>, String> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect(roots).await?,
        };
        connection.write_all(&self.request).await.map_err(|error| format!("write: {error}"))?;
        connection.flush().await.map_err(|error| format!("flush: {error}"))?;
        let answer = read_answer(&mut connection).await?;
        if !answer.contains("\"allowed\":true") || !answer.contains("\"patch\"") {
            return Err(format!("not mutated: {answer}"));
        }
        let leaf = connection.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
        if !answer.to_ascii_lowercase().contains("connection: close") {
            self.connection = Some(connection);
        }
        Ok(leaf)
    }

    /// The next call opens a new connection.
    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }

    pub(crate) async fn connect(&self, roots: &[CertificateDer<'static>]) -> Result<TlsStream<TcpStream>, String> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(store).with_no_client_auth();
        let stream = TcpStream::connect(self.address).await.map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).unwrap();
        let connected = TlsConnector::from(Arc::new(config)).connect(self.name.clone(), stream).await;
        connected.map_err(|error| format!("handshake: {error}"))
    }
}

async fn read_answer(connection: &mut TlsStream<TcpStream>) -> Result<String, String> {
    let mut answer = Vec::new();
    loop {
        let read = connection.read_buf(&mut answer).await.map_err(|error| format!("read: {error}"))?;
        if read == 0 {
            return Err("the connection was closed under the call".to_owned());
        }
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        if length.is_some_and(|length: usize| body.len() >= length) {
            return if head.starts_with("HTTP/1.1 200") { Ok(text.into_owned()) } else { Err(text.into_owned()) };
        }
    }
}

/// How long load tests go on: a few seconds, or as long as the pipeline wants.
pub(crate) fn load_seconds(few: u64) -> u64 {
    std::env::var("KEYSLUICE_LOAD_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(few)
}
