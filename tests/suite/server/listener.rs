//! A listener in this process, over real TLS, and clients of it.

use bytes::Bytes;
use keysluice::cloud::Cloud;
use keysluice::cluster::{Cluster, ClusterError, manifests::Manifests};
use keysluice::metrics::Metrics;
use keysluice::mutate::{ClassFact, ServiceAccount};
use keysluice::server::{CertificateSlot, Handler, Limits, Load, MinVersion, spawn, tls};
use keysluice::settings::Settings;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) type Client = TlsStream<TcpStream>;

pub(crate) struct Server<C> {
    pub(crate) address: SocketAddr,
    pub(crate) handler: Arc<Handler<C>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) slot: Arc<CertificateSlot>,
    pub(crate) ca: CertificateDer<'static>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) ended: oneshot::Receiver<()>,
}

pub(crate) fn start<C: Cluster>(
    cluster: C,
    load: Load,
    limits: Limits,
    min_version: MinVersion,
) -> Server<C> {
    let (slot, ca) = tls::own(&["127.0.0.1".to_owned()]).unwrap();
    let slot = Arc::new(slot);
    let config = tls::config(Arc::clone(&slot), min_version, None).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Arc::new(Metrics::new("test"));
    let settings = Settings::new(Cloud::well_known("AzurePublicCloud").unwrap());
    let handler = Arc::new(Handler::new(settings, cluster, Arc::clone(&metrics), load));
    let (stop, stopped) = oneshot::channel::<()>();
    let ended =
        spawn(listener, config, Arc::clone(&handler), limits, async { drop(stopped.await) })
            .unwrap();
    let ca = CertificateDer::from_pem_slice(ca.as_bytes()).unwrap();
    Server { address, handler, metrics, slot, ca, stop: Some(stop), ended }
}

pub(crate) fn start_plain(limits: Limits) -> Server<Manifests> {
    start(Manifests::default(), Load::default(), limits, MinVersion::Tls13)
}

impl<C: Cluster> Server<C> {
    pub(crate) async fn connect(&self) -> Client {
        self.try_connect(b"http/1.1", &[&rustls::version::TLS13]).await.unwrap()
    }

    pub(crate) async fn try_connect(
        &self,
        protocol: &[u8],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> std::io::Result<Client> {
        self.try_connect_as(protocol, versions, None).await
    }

    /// With a certificate of the client's.
    pub(crate) async fn try_connect_as(
        &self,
        protocol: &[u8],
        versions: &[&'static rustls::SupportedProtocolVersion],
        identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> std::io::Result<Client> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap();
        let config = config.with_root_certificates(roots);
        let mut config = match identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                config.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    pub(crate) async fn wait_for_metric(&self, line: &str) {
        let begun = Instant::now();
        while !self.metrics.text(&[]).lines().any(|found| found == line) {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "no {line} in\n{}",
                self.metrics.text(&[])
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) async fn drain(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        let begun = Instant::now();
        while !self.handler.is_draining() {
            assert!(begun.elapsed() < Duration::from_secs(30), "not draining within 30 s");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

pub(crate) fn review() -> Bytes {
    keysluice_bench::review(&keysluice_bench::pod(4096)).into()
}

pub(crate) async fn send(client: &mut Client, body: &[u8]) {
    send_to(client, "/mutate", body).await;
}

pub(crate) async fn send_to(client: &mut Client, path: &str, body: &[u8]) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: \
         {}\r\n\r\n",
        body.len()
    );
    client.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    client.flush().await.unwrap();
}

/// Head in lower case, and body.
pub(crate) async fn receive(client: &mut Client) -> (String, serde_json::Value) {
    let mut bytes = Vec::new();
    loop {
        assert!(
            client.read_buf(&mut bytes).await.unwrap() > 0,
            "closed after {:?}",
            String::from_utf8_lossy(&bytes)
        );
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap()
            .parse::<usize>();
        if bytes.len() == end + 4 + length.unwrap() {
            return (head, serde_json::from_slice(&bytes[end + 4..]).unwrap());
        }
    }
}

pub(crate) async fn ask(client: &mut Client) -> (String, serde_json::Value) {
    send(client, &review()).await;
    receive(client).await
}

pub(crate) async fn is_closed(client: &mut Client) -> bool {
    let read = tokio::time::timeout(Duration::from_secs(10), client.read_u8()).await;
    read.expect("closed in time").is_err()
}

/// An API server that never answers.
pub(crate) struct Silent;

impl Cluster for Silent {
    async fn service_account(
        &self,
        _: &str,
        _: &str,
    ) -> Result<Option<ServiceAccount>, ClusterError> {
        std::future::pending().await
    }

    async fn provider_class(&self, _: &str, _: &str) -> Result<ClassFact, ClusterError> {
        std::future::pending().await
    }

    async fn csi_driver_installed(&self) -> Result<bool, ClusterError> {
        std::future::pending().await
    }
}
