//! A certificate chain with its key: what a server serves.

use crate::certificate::{Certificate, CertificateError};
use rcgen::KeyPair;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;

/// A serving certificate with its key.
pub struct Leaf {
    /// The chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

/// A chain and a key that were checked to go together.
pub struct Pair {
    leaf: Leaf,
    certificate: Certificate,
}

/// Why a chain and a key cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// The chain is no PEM, or a certificate in it cannot be read.
    #[error("the certificate is not readable PEM")]
    Certificate,
    /// The key is no PEM or of an unknown kind.
    #[error("the key is not a readable private key in PEM")]
    Key,
    /// The key is not the certificate's.
    #[error("the key does not belong to the certificate")]
    Mismatch,
}

impl Pair {
    /// Reads both from PEM, the chain leaf first.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, PairError> {
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| PairError::Key)?;
        Self::new(Leaf { chain: chain.map_err(|_| PairError::Certificate)?, key })
    }

    /// Checks that the key is the first certificate's.
    pub fn new(leaf: Leaf) -> Result<Self, PairError> {
        let first = leaf.chain.first().ok_or(PairError::Certificate)?;
        let certificate =
            Certificate::read(first.clone()).map_err(|CertificateError| PairError::Certificate)?;
        let key = KeyPair::try_from(&leaf.key).map_err(|_| PairError::Key)?;
        if certificate.belongs_to(&key) {
            Ok(Self { leaf, certificate })
        } else {
            Err(PairError::Mismatch)
        }
    }

    /// Chain and key.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// The first certificate of the chain.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The chain as PEM.
    pub fn chain_pem(&self) -> String {
        let certificates =
            self.leaf.chain.iter().filter_map(|der| Certificate::read(der.clone()).ok());
        certificates.map(|certificate| certificate.pem()).collect()
    }

    /// The key as PEM.
    pub fn key_pem(&self) -> String {
        let (tag, der) = match &self.leaf.key {
            PrivateKeyDer::Pkcs1(key) => ("RSA PRIVATE KEY", key.secret_pkcs1_der()),
            PrivateKeyDer::Sec1(key) => ("EC PRIVATE KEY", key.secret_sec1_der()),
            key => ("PRIVATE KEY", key.secret_der()),
        };
        pem::encode_config(
            &pem::Pem::new(tag, der),
            pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
        )
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Leaf").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Pair").field(&self.certificate).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CertificateAuthority;

    fn pair() -> Pair {
        Pair::new(CertificateAuthority::generate().unwrap().issue(&["a.svc".to_owned()]).unwrap())
            .unwrap()
    }

    #[test]
    fn a_pair_survives_pem() {
        let pair = pair();
        let read = Pair::from_pem(pair.chain_pem().as_bytes(), pair.key_pem().as_bytes()).unwrap();
        assert_eq!(read.leaf().chain, pair.leaf().chain);
        assert_eq!(read.leaf().key.secret_der(), pair.leaf().key.secret_der());
    }

    #[test]
    fn what_cannot_be_served_says_why() {
        let (ours, other) = (pair(), pair());
        let (chain, key) = (ours.chain_pem(), ours.key_pem());
        for (chain, key, error) in [
            (chain.as_str(), other.key_pem().as_str(), PairError::Mismatch),
            ("", &key, PairError::Certificate),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                &key,
                PairError::Certificate,
            ),
            (&chain, "", PairError::Key),
            (
                &chain,
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                PairError::Key,
            ),
            (&chain, &chain, PairError::Key),
        ] {
            assert_eq!(Pair::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err(), error);
        }
    }

    #[test]
    fn keys_of_other_kinds_and_forms_are_read() {
        for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let params = rcgen::CertificateParams::new(["a.svc".to_owned()]).unwrap();
            let chain = params.self_signed(&key).unwrap().pem();
            assert!(
                Pair::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes())
                    .unwrap()
                    .certificate()
                    .covers(&["a.svc".to_owned()])
            );
        }
    }
}
