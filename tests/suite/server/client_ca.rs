//! `--client-ca`: callers must show a certificate, of the authorities that the file names now.

use crate::suite::server::listener::{Server, is_closed, start_plain};
use keysluice::cluster::manifests::Manifests;
use keysluice::server::{CertificateSlot, ClientAuthorities, Limits, MinVersion, spawn, tls};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// An authority of API servers, and the certificate of one.
struct Authority {
    pem: String,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Authority {
    fn new() -> Self {
        let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = ca.self_signed(&ca_key).unwrap().pem();
        let mut client = CertificateParams::default();
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = client.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap().der().clone();
        Self { pem, certificate, key: key.serialize_der() }
    }

    /// Whether its API server gets an answer.
    async fn is_let_in(&self, server: &Server<Manifests>) -> bool {
        let key = PrivateKeyDer::try_from(self.key.clone()).unwrap();
        let identity = Some((self.certificate.clone(), key));
        let mut client =
            server.try_connect_as(b"http/1.1", &[&rustls::version::TLS13], identity).await.unwrap();
        // In TLS 1.3 the client learns of it with the first read.
        let _ = client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let _ = client.flush().await;
        client.read_u8().await.is_ok()
    }
}

/// As the kubelet does: never half a file.
fn put(path: &Path, text: &str) {
    let partial = path.with_extension("partial");
    std::io::Write::write_all(&mut std::fs::File::create(&partial).unwrap(), text.as_bytes())
        .unwrap();
    std::fs::rename(partial, path).unwrap();
}

async fn within_30_s(wait: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("within 30 s");
}

#[test]
fn a_file_without_an_authority_is_refused_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.crt");
    let refusal = || ClientAuthorities::load(&path).unwrap_err().to_string();
    assert!(refusal().starts_with("--client-ca "), "{}", refusal());
    for text in ["", "no PEM"] {
        put(&path, text);
        assert!(refusal().starts_with("--client-ca "), "{}", refusal());
    }
}

#[tokio::test]
async fn only_certificates_of_the_authorities_that_the_file_names_now_are_let_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.crt");
    let (first, second) = (Authority::new(), Authority::new());
    put(&path, &first.pem);
    let clients = Arc::new(ClientAuthorities::load(&path).unwrap());
    let (slot, ca) = tls::own(&["127.0.0.1".to_owned()]).unwrap();
    let slot: Arc<CertificateSlot> = Arc::new(slot);
    let config = tls::config(slot, MinVersion::Tls13, Some(Arc::clone(&clients))).unwrap();
    let mut server = start_plain(Limits::default());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    server.address = listener.local_addr().unwrap();
    server.ca = CertificateDer::from_pem_slice(ca.as_bytes()).unwrap();
    let _ended = spawn(
        listener,
        config,
        Arc::clone(&server.handler),
        Limits::default(),
        std::future::pending(),
    )
    .unwrap();

    assert!(is_closed(&mut server.connect().await).await, "without a certificate");
    server.wait_for_metric("keysluice_tls_handshake_failures_total 1").await;
    assert!(first.is_let_in(&server).await && !second.is_let_in(&server).await);
    tokio::spawn(clients.follow(Duration::from_millis(5), Arc::clone(&server.metrics)));
    put(&path, &format!("{}{}", first.pem, second.pem));
    within_30_s(async { while !second.is_let_in(&server).await {} }).await;
    assert!(first.is_let_in(&server).await);
    put(&path, "broken");
    within_30_s(async {
        while !server
            .metrics
            .text(&[])
            .contains("keysluice_certificate_changes_total{event=\"failed\"}")
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert!(
        first.is_let_in(&server).await && second.is_let_in(&server).await,
        "the last good ones stay"
    );
    put(&path, &second.pem);
    within_30_s(async { while first.is_let_in(&server).await {} }).await;
    assert!(second.is_let_in(&server).await);
}
