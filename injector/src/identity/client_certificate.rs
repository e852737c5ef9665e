//! An assertion that the client signs itself, with the key of a certificate that is registered on
//! its application (RFC 7523; Microsoft's "certificate credentials").

#![allow(clippy::disallowed_methods, reason = "this room draws the ids of assertions")]

use super::assertion::Assertion;
use crate::http::crypto_provider;
use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// As long as MSAL's.
const LIFETIME: Duration = Duration::from_secs(600);

/// A certificate and its RSA key.
pub(super) struct ClientCertificate {
    key: Arc<dyn SigningKey>,
    /// SHA-256 of the certificate, base64url.
    thumbprint: String,
}

/// Why a certificate cannot sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Something else, such as PKCS#12.
    #[error("is not PEM with a block CERTIFICATE")]
    NoCertificate,
    /// No private key beside it.
    #[error("has no private key as PEM (PRIVATE KEY or RSA PRIVATE KEY)")]
    NoKey,
    /// A password would be needed.
    #[error("has an encrypted private key")]
    Encrypted,
    /// The key is of another certificate.
    #[error("does not belong to the private key")]
    Mismatch,
    /// Entra takes RSA only.
    #[error("has a key that is not RSA")]
    Algorithm,
    /// The key cannot be read, or does not sign.
    #[error("or its private key cannot be read")]
    Unreadable,
}

impl ClientCertificate {
    /// Of PEM; among several certificates (a chain) the one of the key counts.
    pub(super) fn parse(certificates: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let certificates = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|all| !all.is_empty())
            .ok_or(CertificateError::NoCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            let marker = b"ENCRYPTED";
            let is_encrypted = key.windows(marker.len()).any(|window| window == marker);
            if is_encrypted { CertificateError::Encrypted } else { CertificateError::NoKey }
        })?;
        let provider = crypto_provider();
        let mut problem = CertificateError::Unreadable;
        for certificate in certificates {
            let chain = vec![certificate.clone()];
            match CertifiedKey::from_der(chain, key.clone_key(), &provider) {
                Ok(CertifiedKey { key, .. }) => {
                    let digest = digest::digest(&digest::SHA256, &certificate);
                    let thumbprint = URL_SAFE_NO_PAD.encode(digest);
                    let is_rsa = key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256]).is_some();
                    return is_rsa
                        .then_some(Self { key, thumbprint })
                        .ok_or(CertificateError::Algorithm);
                }
                Err(rustls::Error::InconsistentKeys(_)) => problem = CertificateError::Mismatch,
                Err(_) => {}
            }
        }
        Err(problem)
    }

    /// An assertion for the token endpoint `audience`, valid from `now` (since the epoch) on.
    pub(super) fn assertion(
        &self,
        client_id: &str,
        audience: &str,
        now: Duration,
    ) -> Result<Assertion, CertificateError> {
        let mut id = [0; 16];
        rand::fill(&mut id).map_err(|_| CertificateError::Unreadable)?;
        let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint});
        let claims = json!({"aud": audience, "iss": client_id, "sub": client_id,
            "jti": URL_SAFE_NO_PAD.encode(id), "nbf": now.as_secs(), "iat": now.as_secs(),
            "exp": (now + LIFETIME).as_secs()});
        let encode = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let mut text = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self
            .key
            .choose_scheme(&[SignatureScheme::RSA_PSS_SHA256])
            .and_then(|signer| signer.sign(text.as_bytes()).ok())
            .ok_or(CertificateError::Unreadable)?;
        text.push('.');
        text.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Assertion::parse(text.into_bytes()).map_err(|_| CertificateError::Unreadable)
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientCertificate").field(&self.thumbprint).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

    fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn parse(certificates: &str, key: &str) -> Result<ClientCertificate, CertificateError> {
        ClientCertificate::parse(certificates.as_bytes(), key.as_bytes())
    }

    #[test]
    fn the_certificate_of_the_key_signs_whatever_else_is_beside_it() {
        let ((leaf, key), (ca, _)) = (pair(&PKCS_RSA_SHA256), pair(&PKCS_ECDSA_P256_SHA256));
        let alone = parse(&leaf, &key).unwrap();
        let both = format!("{key}{ca}{leaf}");
        assert_eq!(parse(&both, &both).unwrap().thumbprint, alone.thumbprint);
        let now = Duration::from_secs(1_000_000);
        let assertion = alone.assertion("c", "https://login/t/oauth2/v2.0/token", now).unwrap();
        let part = |index| {
            let part = assertion.expose().split('.').nth(index).unwrap();
            serde_json::from_slice::<serde_json::Value>(&URL_SAFE_NO_PAD.decode(part).unwrap())
                .unwrap()
        };
        assert_eq!(part(0), json!({"alg": "PS256", "typ": "JWT", "x5t#S256": alone.thumbprint}));
        let claims = part(1);
        assert_eq!(claims["aud"], "https://login/t/oauth2/v2.0/token");
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("c"), &json!("c")));
        assert_eq!((&claims["nbf"], &claims["exp"]), (&json!(1_000_000), &json!(1_000_600)));
        let again = alone.assertion("c", "a", now).unwrap();
        assert_ne!(again.claims(), assertion.claims());
    }

    #[test]
    fn what_cannot_sign_is_told_apart() {
        let ((leaf, key), (ec, ec_key)) = (pair(&PKCS_RSA_SHA256), pair(&PKCS_ECDSA_P256_SHA256));
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n\
            -----END ENCRYPTED PRIVATE KEY-----\n";
        for (certificates, key, expected) in [
            ("", &*key, CertificateError::NoCertificate),
            ("\u{0}pfx", &*key, CertificateError::NoCertificate),
            (&*leaf, "", CertificateError::NoKey),
            (&*leaf, encrypted, CertificateError::Encrypted),
            (&*ec, &*key, CertificateError::Mismatch),
            (&*ec, &*ec_key, CertificateError::Algorithm),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                &*key,
                CertificateError::Unreadable,
            ),
        ] {
            assert_eq!(parse(certificates, key).unwrap_err(), expected);
        }
    }
}
