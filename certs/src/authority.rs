//! A CA that signs serving certificates: ECDSA P-256.

use crate::certificate::Certificate;
use crate::pair::{Leaf, PairError};
use crate::policy::CLOCK_TOLERANCE;
use crate::{CertsError, Pair};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;
use time::{Duration, OffsetDateTime};

const CA_LIFETIME: Duration = Duration::days(365);
/// Of a leaf that nobody renews ([`CertificateAuthority::issue`]); a rotated one has the policy's.
const LEAF_LIFETIME: Duration = Duration::days(90);

/// A CA that signs serving certificates.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    pem: String,
}

impl CertificateAuthority {
    /// A new CA with a new key, valid for a year.
    #[expect(clippy::disallowed_methods, reason = "a new CA is valid from now on")]
    pub fn generate() -> Result<Self, CertsError> {
        let now = OffsetDateTime::now_utc();
        Self::generate_between(now - CLOCK_TOLERANCE, now + CA_LIFETIME)
    }

    /// A new CA with a new key, valid between two times (whole seconds).
    pub fn generate_between(
        not_before: OffsetDateTime,
        not_after: OffsetDateTime,
    ) -> Result<Self, CertsError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name("Keysluice CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (not_before, not_after);
        let signed = params.self_signed(&key)?;
        let certificate = Certificate::read(signed.der().clone())?;
        Ok(Self { issuer: Issuer::new(params, key), certificate, pem: signed.pem() })
    }

    /// PEM of the CA's certificate, for `caBundle`.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The CA's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// A leaf for DNS names and IP addresses, valid for 90 days.
    #[expect(clippy::disallowed_methods, reason = "a new certificate is valid from now on")]
    pub fn issue(&self, names: &[String]) -> Result<Leaf, CertsError> {
        let now = OffsetDateTime::now_utc();
        self.issue_between(names, now - CLOCK_TOLERANCE, now + LEAF_LIFETIME)
    }

    /// A leaf for DNS names and IP addresses, valid between two times (whole seconds).
    pub fn issue_between(
        &self,
        names: &[String],
        not_before: OffsetDateTime,
        not_after: OffsetDateTime,
    ) -> Result<Leaf, CertsError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = name("Keysluice webhook");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = (not_before, not_after);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Leaf { chain: vec![certificate.der().clone()], key })
    }

    /// A CA read back from PEM; `None` when the certificate may not sign.
    pub(crate) fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Option<Self>, PairError> {
        let pair = Pair::from_pem(certificate, key)?;
        if !pair.certificate().is_authority() {
            return Ok(None);
        }
        let key = KeyPair::try_from(&pair.leaf().key).map_err(|_| PairError::Key)?;
        let certificate = pair.certificate().clone();
        let issuer =
            Issuer::from_ca_cert_der(certificate.der(), key).map_err(|_| PairError::Certificate)?;
        Ok(Some(Self { issuer, pem: certificate.pem(), certificate }))
    }

    pub(crate) fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("CertificateAuthority").field(&self.certificate).finish()
    }
}

/// Every certificate of a PEM text that can be read; the rest of the text is passed over.
pub(crate) fn readable(pem: &[u8]) -> Vec<Certificate> {
    let sections = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    sections.filter_map(|der| Certificate::read(der).ok()).collect()
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests take the time of now")]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_made_for_names_and_addresses() {
        let authority = CertificateAuthority::generate().unwrap();
        assert!(authority.pem().starts_with("-----BEGIN CERTIFICATE-----"));
        let leaf = authority
            .issue(&["keysluice.keysluice.svc".to_owned(), "127.0.0.1".to_owned()])
            .unwrap();
        assert_eq!(leaf.chain.len(), 1);
        assert!(leaf.chain[0].windows(23).any(|bytes| bytes == b"keysluice.keysluice.svc"));
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        let authority = CertificateAuthority::generate().unwrap();
        assert!(matches!(authority.issue(&["größe".to_owned()]), Err(CertsError::Generate(_))));
    }

    #[test]
    fn an_authority_read_back_signs_what_its_certificate_verifies() {
        let made = CertificateAuthority::generate().unwrap();
        let read = CertificateAuthority::from_pem(made.pem().as_bytes(), made.key_pem().as_bytes())
            .unwrap()
            .unwrap();
        assert_eq!(read.pem(), made.pem());
        let leaf = Pair::new(read.issue(&["a.svc".to_owned()]).unwrap()).unwrap();
        assert!(leaf.certificate().is_signed_by(made.certificate()));
    }

    #[test]
    fn a_leaf_is_no_authority() {
        let pair = Pair::new(
            CertificateAuthority::generate().unwrap().issue(&["a.svc".to_owned()]).unwrap(),
        )
        .unwrap();
        let read =
            CertificateAuthority::from_pem(pair.chain_pem().as_bytes(), pair.key_pem().as_bytes());
        assert!(read.unwrap().is_none());
    }

    #[test]
    fn text_around_certificates_is_passed_over() {
        let authority = CertificateAuthority::generate().unwrap();
        let text = format!(
            "\n# placeholder\n{}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            authority.pem()
        );
        assert_eq!(readable(text.as_bytes()), [authority.certificate().clone()]);
        assert_eq!(readable(b"\n"), []);
    }
}
