//! Certificate authority and serving certificate of the Keysluice webhook.
//!
//! ECDSA P-256 throughout. Storage, overlap and rotation come with the API server.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

const CA_LIFETIME: Duration = Duration::days(365);
const LEAF_LIFETIME: Duration = Duration::days(90);
/// Clocks of nodes differ: a certificate is valid a little before it is made.
const CLOCK_TOLERANCE: Duration = Duration::hours(1);

/// A CA that signs serving certificates.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A serving certificate with its key.
pub struct Leaf {
    /// The chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key, PKCS#8.
    pub key: PrivateKeyDer<'static>,
}

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// A name is no DNS name or IP address, or signing failed.
    #[error("{0}")]
    Generate(#[from] rcgen::Error),
}

impl CertificateAuthority {
    /// A new CA with a new key, valid for a year.
    pub fn generate() -> Result<Self, CertsError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name("Keysluice CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = validity(CA_LIFETIME);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// PEM of the CA's certificate, for `caBundle`.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A leaf for DNS names and IP addresses, valid for 90 days.
    pub fn issue(&self, names: &[String]) -> Result<Leaf, CertsError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = name("Keysluice webhook");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = validity(LEAF_LIFETIME);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Leaf { chain: vec![certificate.der().clone()], key })
    }
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn validity(lifetime: Duration) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    (now - CLOCK_TOLERANCE, now + lifetime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_made_for_names_and_addresses() {
        let authority = CertificateAuthority::generate().unwrap();
        assert!(authority.pem().starts_with("-----BEGIN CERTIFICATE-----"));
        let leaf = authority.issue(&["keysluice.keysluice.svc".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        assert_eq!(leaf.chain.len(), 1);
        assert!(leaf.chain[0].windows(23).any(|bytes| bytes == b"keysluice.keysluice.svc"));
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        let authority = CertificateAuthority::generate().unwrap();
        assert!(matches!(authority.issue(&["größe".to_owned()]), Err(CertsError::Generate(_))));
    }
}
