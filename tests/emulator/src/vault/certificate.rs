//! Certificates: given, or made here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Map, Value};
use webpki::EndEntityCert;

use super::{CertificateReason, key};
use crate::seed::{CertificateSeed, SecretValue};

const PEM: &str = "application/x-pem-file";
const PKCS12: &str = "application/x-pkcs12";

/// What a certificate consists of.
pub(super) struct Parts {
    pub(super) der: Vec<u8>,
    pub(super) secret: Option<SecretValue>,
    pub(super) content_type: String,
    pub(super) subject: Option<String>,
    /// Public key; `None` for kinds of keys nobody reads here (P-521).
    pub(super) jwk: Option<Map<String, Value>>,
}

/// Completes a seed: the leaf from the PEM secret, or all of it made here.
pub(super) fn parts(name: &str, seed: CertificateSeed) -> Result<Parts, CertificateReason> {
    if seed.cer.is_none() && seed.secret.is_none() {
        return self_signed(seed.subject.unwrap_or_else(|| name.to_owned()));
    }
    let der = match (&seed.cer, &seed.secret) {
        (Some(cer), _) => STANDARD.decode(cer.trim()).map_err(|_| CertificateReason::Base64)?,
        (None, secret) => {
            let pem = secret.as_ref().map(SecretValue::expose).unwrap_or_default();
            CertificateDer::from_pem_slice(pem.as_bytes())
                .map_err(|_| CertificateReason::NoLeaf)?
                .to_vec()
        }
    };
    let content_type = seed.content_type.unwrap_or_else(|| {
        let is_pem =
            seed.secret.as_ref().is_some_and(|secret| secret.expose().contains("-----BEGIN"));
        if is_pem { PEM } else { PKCS12 }.to_owned()
    });
    let jwk = public_key(&der)?;
    Ok(Parts { der, secret: seed.secret, content_type, subject: seed.subject, jwk })
}

fn self_signed(subject: String) -> Result<Parts, CertificateReason> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![subject.clone()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject.as_str());
    let certificate = params.self_signed(&key)?;
    let der = certificate.der().to_vec();
    let jwk = public_key(&der)?;
    let secret = key.serialize_pem() + &certificate.pem();
    Ok(Parts {
        der,
        secret: Some(secret.into()),
        content_type: PEM.to_owned(),
        subject: Some(subject),
        jwk,
    })
}

fn public_key(der: &[u8]) -> Result<Option<Map<String, Value>>, CertificateReason> {
    let der = CertificateDer::from(der);
    let leaf = EndEntityCert::try_from(&der).map_err(|_| CertificateReason::NotX509)?;
    Ok(key::jwk_of(leaf.subject_public_key_info().as_ref()))
}
