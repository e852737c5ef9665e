//! TLS of the webhook: a given certificate, or one from our own CA.

use keysluice_certs::{CertificateAuthority, CertsError};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why no certificate can be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of the pair cannot be read as PEM.
    #[error("cannot read {path}: {source}; hint: --tls-dir needs tls.crt (the chain, leaf first) and tls.key, in PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// No certificate in tls.crt.
    #[error("{path} holds no certificate")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// Key and certificate do not go together, or the key is of no known kind.
    #[error("certificate and key in {directory} cannot be served: {source}")]
    Pair {
        /// The directory.
        directory: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// Our own CA failed.
    #[error("cannot make a certificate: {0}")]
    Own(#[from] CertsError),
}

/// Configuration from `tls.crt` and `tls.key` in `directory`.
pub fn from_directory(directory: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let (chain_path, key_path) = (directory.join("tls.crt"), directory.join("tls.key"));
    let read_chain = CertificateDer::pem_file_iter(&chain_path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = read_chain.map_err(|source| TlsError::Pem { path: chain_path.clone(), source })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: chain_path });
    }
    let key = PrivateKeyDer::from_pem_file(&key_path).map_err(|source| TlsError::Pem { path: key_path, source })?;
    config(chain, key).map_err(|source| TlsError::Pair { directory: directory.to_owned(), source })
}

/// Configuration with a fresh leaf of a fresh CA for `names`; also the CA's PEM, for `caBundle`.
pub fn own(names: &[String]) -> Result<(Arc<ServerConfig>, String), TlsError> {
    let authority = CertificateAuthority::generate()?;
    let leaf = authority.issue(names)?;
    let pair = config(leaf.chain, leaf.key);
    let config = pair.map_err(|source| TlsError::Pair { directory: PathBuf::from("memory"), source })?;
    Ok((config, authority.pem().to_owned()))
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
