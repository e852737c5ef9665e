//! TLS of the webhook: versions, the certificate that can be exchanged, the API server's client
//! certificate.

use super::client_ca::ClientAuthorities;
pub use super::tls_error::TlsError;
use super::tls_error::provider;
use crate::metrics::{CertificateChange, Metrics};
use crate::reason::KS717;
use crate::settings::Authorities;
use arc_swap::ArcSwapOption;
use keysluice_certs::{Certificate, CertificateAuthority, Pair, PairFiles, SystemClock};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The oldest version that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinVersion {
    /// TLS 1.2, for API servers older than Kubernetes 1.19.
    Tls12,
    /// TLS 1.3.
    #[default]
    Tls13,
}

/// The text that is no version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not 1.2 or 1.3")]
pub struct MinVersionError(String);

impl FromStr for MinVersion {
    type Err = MinVersionError;
    fn from_str(text: &str) -> Result<Self, MinVersionError> {
        match text {
            "1.2" => Ok(Self::Tls12),
            "1.3" => Ok(Self::Tls13),
            _ => Err(MinVersionError(text.to_owned())),
        }
    }
}

/// The certificate that is served. [`CertificateSlot::store`] exchanges it for the next handshakes;
/// connections that stand are not touched.
#[derive(Debug, Default)]
pub struct CertificateSlot(ArcSwapOption<CertifiedKey>);

impl CertificateSlot {
    /// Serves this pair from now on; the chain has the leaf first.
    ///
    /// # Errors
    /// Where key and certificate do not go together, or the key is of no known kind; what was
    /// served before still is.
    pub fn store(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), rustls::Error> {
        self.0.store(Some(Arc::new(CertifiedKey::from_der(chain, key, &provider())?)));
        Ok(())
    }

    /// Until when it is valid.
    pub fn not_after(&self) -> Option<SystemTime> {
        let leaf = self.0.load().as_ref()?.cert.first()?.clone();
        Some(Certificate::read(leaf).ok()?.not_after().into())
    }

    /// Whether there is one.
    pub fn is_loaded(&self) -> bool {
        self.0.load().is_some()
    }
}

impl ResolvesServerCert for CertificateSlot {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// The configuration of the listener; `clients` makes a client certificate of one of these
/// authorities compulsory.
pub fn config(
    slot: Arc<CertificateSlot>,
    min_version: MinVersion,
    clients: Option<Arc<ClientAuthorities>>,
) -> Result<Arc<ServerConfig>, TlsError> {
    const FROM_1_2: &[&SupportedProtocolVersion] =
        &[&rustls::version::TLS13, &rustls::version::TLS12];
    let versions = if min_version == MinVersion::Tls13 { &FROM_1_2[..1] } else { FROM_1_2 };
    let builder = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(versions)?;
    let is_open = clients.is_none();
    let mut config = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(clients),
    }
    .with_cert_resolver(slot);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // One ticket: a client that resumes saves us the signature. (Go's client does so only if it is
    // told to, and the API server does not tell it.) A caller that must show a certificate shows it
    // each time.
    config.send_tls13_tickets = 1;
    if !is_open {
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
    }
    Ok(Arc::new(config))
}

/// `tls.crt` and `tls.key` in a directory.
pub fn from_directory(directory: &Path) -> Result<CertificateSlot, TlsError> {
    let (chain_path, key_path) = (directory.join("tls.crt"), directory.join("tls.key"));
    let chain = certificates(&chain_path)
        .map_err(|source| TlsError::Pem { path: chain_path.clone(), source })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: chain_path });
    }
    let key = PrivateKeyDer::from_pem_file(&key_path)
        .map_err(|source| TlsError::Pem { path: key_path, source })?;
    let slot = CertificateSlot::default();
    slot.store(chain, key)
        .map_err(|source| TlsError::Pair { directory: directory.to_owned(), source })?;
    Ok(slot)
}

/// Serves every new pair of a directory as it appears (cert-manager, a mounted Secret); a bad one
/// is logged, and the last good one stays.
pub async fn follow(
    directory: PathBuf,
    interval: Duration,
    slot: Arc<CertificateSlot>,
    authorities: Authorities,
    metrics: Arc<Metrics>,
) {
    let (served, _) = tokio::sync::watch::channel(None);
    let files = PairFiles::new(&directory);
    let running = files.run(SystemClock::default(), interval, &served, |polled| {
        let pair = polled.map_err(|error| error.to_string());
        match pair.and_then(|pair| serve(pair, &slot)) {
            Ok(certificate) => {
                let not_after = certificate.not_after();
                authorities.store(authorities_of(&directory));
                metrics.certificate_change(CertificateChange::Served);
                metrics.set_certificate_expiry(not_after.into());
                tracing::info!(%not_after, "certificate loaded");
            }
            Err(error) => {
                metrics.certificate_change(CertificateChange::Failed);
                tracing::warn!(%error, "{KS717} certificate not loaded; the last good one is \
                    served");
            }
        }
    });
    match running.await {}
}

/// Serves a pair, and gives its certificate.
fn serve<'p>(pair: &'p Pair, slot: &CertificateSlot) -> Result<&'p Certificate, String> {
    let leaf = pair.leaf();
    slot.store(leaf.chain.clone(), leaf.key.clone_key()).map_err(|error| error.to_string())?;
    Ok(pair.certificate())
}

/// `ca.crt` beside the pair, as cert-manager writes it; empty where there is none.
pub fn authorities_of(directory: &Path) -> String {
    let path = directory.join("ca.crt");
    let is_good = certificates(&path).is_ok_and(|certificates| !certificates.is_empty());
    is_good.then(|| std::fs::read_to_string(path).ok()).flatten().unwrap_or_default()
}

/// A fresh leaf of a fresh CA for `names`; also the CA's PEM, for `caBundle`.
pub fn own(names: &[String]) -> Result<(CertificateSlot, String), TlsError> {
    let authority = CertificateAuthority::generate()?;
    let leaf = authority.issue(names)?;
    let slot = CertificateSlot::default();
    slot.store(leaf.chain, leaf.key)?;
    Ok((slot, authority.pem().to_owned()))
}

fn certificates(
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use std::io::Write as _;

    /// Writes a fresh pair as the kubelet does (never half a file), and gives its leaf.
    fn renew(directory: &Path) -> CertificateDer<'static> {
        let leaf =
            CertificateAuthority::generate().unwrap().issue(&["localhost".to_owned()]).unwrap();
        for (name, label, der) in [
            ("tls.key", "PRIVATE KEY", leaf.key.secret_der()),
            ("tls.crt", "CERTIFICATE", &leaf.chain[0]),
        ] {
            let body = BASE64_STANDARD.encode(der);
            let text = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
            let partial = directory.join("partial");
            std::fs::File::create(&partial).unwrap().write_all(text.as_bytes()).unwrap();
            std::fs::rename(partial, directory.join(name)).unwrap();
        }
        leaf.chain[0].clone()
    }

    async fn until_served(slot: &CertificateSlot, leaf: &CertificateDer<'static>) {
        until(|| slot.0.load_full().is_some_and(|pair| pair.cert[0] == *leaf)).await;
    }

    async fn until(is_so: impl Fn() -> bool) {
        let begun = std::time::Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(30), "not within 30 s");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_renewed_pair_is_served_and_a_broken_one_leaves_the_last_good_one() {
        let directory = tempfile::tempdir().unwrap();
        let first = renew(directory.path());
        let slot = Arc::new(from_directory(directory.path()).unwrap());
        let metrics = Arc::new(Metrics::new("test"));
        let interval = Duration::from_millis(5);
        let following = tokio::spawn(follow(
            directory.path().to_owned(),
            interval,
            Arc::clone(&slot),
            Authorities::default(),
            Arc::clone(&metrics),
        ));
        until_served(&slot, &first).await;
        let second = renew(directory.path());
        until_served(&slot, &second).await;
        std::fs::File::create(directory.path().join("tls.crt"))
            .unwrap()
            .write_all(b"broken")
            .unwrap();
        until(|| {
            metrics.text(&[]).contains("keysluice_certificate_changes_total{event=\"failed\"}")
        })
        .await;
        until_served(&slot, &second).await;
        assert!(slot.not_after() > Some(SystemTime::now()));
        let third = renew(directory.path());
        until_served(&slot, &third).await;
        assert!(!following.is_finished());
    }
}
