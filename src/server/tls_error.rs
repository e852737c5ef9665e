//! Why a certificate or a TLS configuration cannot be used, and the cryptography behind both.

use keysluice_certs::CertsError;
use rustls::crypto::CryptoProvider;
use std::path::PathBuf;

/// Why no certificate can be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of the pair cannot be read as PEM.
    #[error(
        "cannot read {path}: {source}; hint: --tls-dir needs tls.crt (the chain, leaf first) and \
         tls.key, in PEM"
    )]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// No certificate in a file.
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
    /// The API server's CA cannot be used.
    #[error("--client-ca {path}: {message}")]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The versions and ciphers do not go together.
    #[error("TLS cannot be set up: {0}")]
    Configuration(#[from] rustls::Error),
    /// Our own CA failed.
    #[error("cannot make a certificate: {0}")]
    Own(#[from] CertsError),
}

/// The one implementation of cryptography in the process.
pub(super) fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}
