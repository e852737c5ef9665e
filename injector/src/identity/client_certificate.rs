//! An assertion that the client signs itself, with the key of a certificate that is registered on
//! its application (RFC 7523; Microsoft's "certificate credentials").

#![allow(clippy::disallowed_methods, reason = "this room draws the ids of assertions")]

use super::assertion::Assertion;
use super::certificate_source::CertificateError;
use crate::pki::budget::{Budget, Spent};
use crate::pki::pkcs12::Contents;
use crate::pki::private_key::{self, RSA};
use crate::pki::x509::Certificate;
use aws_lc_rs::digest;
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{RSA_PSS_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use std::fmt;
use std::time::Duration;

/// As long as MSAL's.
const LIFETIME: Duration = Duration::from_secs(600);

/// A certificate and its RSA key.
pub(super) struct ClientCertificate {
    key: RsaKeyPair,
    /// SHA-256 of the certificate, base64url.
    thumbprint: String,
}

impl ClientCertificate {
    /// The first RSA key that has its certificate here: other keys and certificates (a chain) may
    /// be beside them.
    pub(super) fn of(contents: &Contents, budget: &mut Budget) -> Result<Self, CertificateError> {
        let Contents { keys, certificates } = contents;
        if certificates.is_empty() {
            return Err(CertificateError::NoCertificate);
        }
        let mut problem =
            if keys.is_empty() { CertificateError::NoKey } else { CertificateError::Mismatch };
        for key in keys {
            let public = private_key::public_key(key, budget);
            let Some(public) = public.map_err(|Spent| CertificateError::TooMany)? else { continue };
            let certificate = certificates.iter().find(|der| {
                Certificate::parse(der).is_some_and(|parsed| parsed.public_key == public)
            });
            let Some(certificate) = certificate else { continue };
            if !private_key::algorithm(key).is_some_and(|algorithm| algorithm.ends_with(RSA)) {
                problem = CertificateError::Algorithm;
                continue;
            }
            let key = RsaKeyPair::from_pkcs8(key).map_err(|_| CertificateError::Unsuitable)?;
            let digest = digest::digest(&digest::SHA256, certificate);
            return Ok(Self { key, thumbprint: URL_SAFE_NO_PAD.encode(digest) });
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
        rand::fill(&mut id).map_err(|_| CertificateError::Unsuitable)?;
        let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint});
        let claims = json!({"aud": audience, "iss": client_id, "sub": client_id,
            "jti": URL_SAFE_NO_PAD.encode(id), "nbf": now.as_secs(), "iat": now.as_secs(),
            "exp": (now + LIFETIME).as_secs()});
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let mut text = format!("{header}.{claims}");
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PSS_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| CertificateError::Unsuitable)?;
        text.push('.');
        text.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Assertion::parse(text.into_bytes()).map_err(|_| CertificateError::Unsuitable)
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientCertificate").field(&self.thumbprint).finish()
    }
}

#[cfg(test)]
#[path = "client_certificate_tests.rs"]
mod tests;
