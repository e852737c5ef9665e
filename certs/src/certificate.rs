//! One X.509 certificate, and what is read of it.

use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{KeyPair, PublicKeyData};
use rustls_pki_types::CertificateDer;
use std::fmt;
use std::net::IpAddr;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A certificate with its times and names. Two are equal when their bytes are.
#[derive(Clone)]
pub struct Certificate {
    der: CertificateDer<'static>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    names: Vec<String>,
    subject: Vec<u8>,
    authority: bool,
    public_key: Vec<u8>,
}

/// Bytes that are no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a readable X.509 certificate")]
pub struct CertificateError;

impl Certificate {
    /// Reads DER.
    pub fn read(der: CertificateDer<'static>) -> Result<Self, CertificateError> {
        let (rest, parsed) = X509Certificate::from_der(&der).map_err(|_| CertificateError)?;
        if !rest.is_empty() {
            return Err(CertificateError);
        }
        let alternatives = parsed.subject_alternative_name().map_err(|_| CertificateError)?;
        let names = alternatives
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(name)
            .collect();
        let read = Self {
            not_before: parsed.validity.not_before.to_datetime(),
            not_after: parsed.validity.not_after.to_datetime(),
            names,
            subject: parsed.subject().as_raw().to_vec(),
            authority: parsed.is_ca(),
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
            der: CertificateDer::from(Vec::new()),
        };
        Ok(Self { der, ..read })
    }

    /// The bytes.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// As PEM, lines ended by LF.
    pub fn pem(&self) -> String {
        let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
        pem::encode_config(&Pem::new("CERTIFICATE", self.der.as_ref()), config)
    }

    /// Valid from.
    pub fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    /// Valid until.
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// DNS names and IP addresses it is for, in the form [`canonical`] gives.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The subject's distinguished name, as encoded.
    pub(crate) fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// Whether it may sign others.
    pub fn is_authority(&self) -> bool {
        self.authority
    }

    /// Whether it is for each of `wanted`.
    pub fn covers(&self, wanted: &[String]) -> bool {
        wanted.iter().all(|name| self.names.contains(&canonical(name)))
    }

    /// Whether `issuer`'s key signed it under `issuer`'s name.
    pub(crate) fn is_signed_by(&self, issuer: &Self) -> bool {
        let (Ok((_, own)), Ok((_, issuer))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&issuer.der))
        else {
            return false;
        };
        own.issuer().as_raw() == issuer.subject().as_raw()
            && own.verify_signature(Some(issuer.public_key())).is_ok()
    }

    pub(crate) fn belongs_to(&self, key: &KeyPair) -> bool {
        self.public_key == key.der_bytes()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { not_before, not_after, names, authority, .. } = self;
        write!(
            formatter,
            "Certificate({not_before} to {not_after}, authority: {authority}, {names:?})"
        )
    }
}

/// A name as certificates are compared by: addresses in their shortest form, DNS names in lower
/// case.
pub(crate) fn canonical(name: &str) -> String {
    name.parse::<IpAddr>().map_or_else(|_| name.to_ascii_lowercase(), |address| address.to_string())
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(canonical(name)),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CertificateAuthority;

    #[test]
    fn names_are_compared_in_one_form() {
        let authority = CertificateAuthority::generate().unwrap();
        let names = ["Keysluice.svc".to_owned(), "::1".to_owned(), "127.0.0.1".to_owned()];
        let leaf = authority.issue(&names).unwrap();
        let certificate = Certificate::read(leaf.chain[0].clone()).unwrap();
        assert_eq!(certificate.names(), ["keysluice.svc", "::1", "127.0.0.1"]);
        assert!(certificate.covers(&["KEYSLUICE.SVC".to_owned(), "0:0::1".to_owned()]));
        assert!(!certificate.covers(&["other.svc".to_owned()]));
        assert!(!certificate.is_authority());
    }

    #[test]
    fn a_signature_of_another_authority_of_the_same_name_is_told_apart() {
        let (ours, other) =
            (CertificateAuthority::generate().unwrap(), CertificateAuthority::generate().unwrap());
        let leaf =
            Certificate::read(ours.issue(&["a.svc".to_owned()]).unwrap().chain.remove(0)).unwrap();
        assert!(leaf.is_signed_by(ours.certificate()));
        assert!(!leaf.is_signed_by(other.certificate()));
    }

    #[test]
    fn the_pem_is_what_rcgen_wrote() {
        let authority = CertificateAuthority::generate().unwrap();
        assert_eq!(authority.certificate().pem(), authority.pem());
    }

    #[test]
    fn trailing_bytes_are_no_certificate() {
        let authority = CertificateAuthority::generate().unwrap();
        let mut der = authority.certificate().der().to_vec();
        der.push(0);
        assert_eq!(Certificate::read(der.into()), Err(CertificateError));
    }
}
