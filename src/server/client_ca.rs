//! The authorities whose certificates callers must show; their file is read again when it changes.

use super::tls_error::{TlsError, provider};
use crate::metrics::{CertificateChange, Metrics};
use crate::reason::KS717;
use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use std::convert::Infallible;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

type Verifier = Arc<dyn ClientCertVerifier>;

/// Authorities of a file; new handshakes are verified against the last good state of it.
#[derive(Debug)]
pub struct ClientAuthorities {
    path: PathBuf,
    read: Vec<u8>,
    verifier: ArcSwap<Verifier>,
}

impl ClientAuthorities {
    /// Reads the file: PEM, at least one certificate.
    pub fn load(path: &Path) -> Result<Self, TlsError> {
        let (read, verifier) = read(path, &[])?.ok_or_else(|| failed(path, &"it is empty"))?;
        Ok(Self { path: path.to_owned(), read, verifier: ArcSwap::from_pointee(verifier) })
    }

    /// Looks at the file for ever (kubelet swaps a mounted one by renaming a link, of which inotify
    /// sees nothing); a bad one is logged, and the last good one stays.
    pub async fn follow(self: Arc<Self>, interval: Duration, metrics: Arc<Metrics>) -> Infallible {
        let mut known = self.read.clone();
        loop {
            tokio::time::sleep(interval).await;
            match read(&self.path, &known) {
                Ok(None) => {}
                Ok(Some((bytes, verifier))) => {
                    known = bytes;
                    self.verifier.store(Arc::new(verifier));
                    tracing::info!(path = %self.path.display(), "client authorities loaded");
                }
                Err(error) => {
                    metrics.certificate_change(CertificateChange::Failed);
                    tracing::warn!(%error, "{KS717} client authorities not loaded; the last good \
                        ones stay");
                }
            }
        }
    }
}

/// The file and what it says, `None` if it says what is `known`.
fn read(path: &Path, known: &[u8]) -> Result<Option<(Vec<u8>, Verifier)>, TlsError> {
    let bytes = std::fs::read(path).map_err(|error| failed(path, &error))?;
    if bytes == known {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| failed(path, &error))?;
        roots.add(certificate).map_err(|error| failed(path, &error))?;
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider()));
    // No certificate in the file is an error here, too.
    let verifier = verifier.build().map_err(|error| failed(path, &error))?;
    Ok(Some((bytes, verifier)))
}

fn failed(path: &Path, error: &dyn Display) -> TlsError {
    TlsError::ClientCa { path: path.to_owned(), message: error.to_string() }
}

impl ClientCertVerifier for ClientAuthorities {
    /// None: whoever has a certificate shows it, and names of yesterday mislead nobody.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verifier.load().verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.load().verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.load().verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.load().supported_verify_schemes()
    }
}
