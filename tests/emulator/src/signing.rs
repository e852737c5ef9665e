//! RSA keys that sign tokens, and the verification of tokens by a JWKS.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use webpki::EndEntityCert;

/// One RS256 key with the JWK that verifies it.
pub(crate) struct SigningKey {
    encoding: EncodingKey,
    jwk: Jwk,
    kid: String,
}

impl SigningKey {
    fn generate() -> Result<Self, SigningError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| SigningError::Generate)?;
        let der: Pkcs8V1Der<'static> = pair.as_der().map_err(|_| SigningError::Generate)?;
        let encoding = EncodingKey::from_rsa_pem(pem("PRIVATE KEY", der.as_ref()).as_bytes())?;
        let mut jwk = Jwk::from_encoding_key(&encoding, Algorithm::RS256)?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256)?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { encoding, jwk, kid })
    }

    /// Signs `claims` with RS256.
    pub(crate) fn sign<T: Serialize>(&self, claims: &T) -> String {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.encoding)
            .expect("an RSA key made here signs any JSON object")
    }

    /// The key set an issuer publishes.
    pub(crate) fn jwks(&self) -> JwkSet {
        JwkSet { keys: vec![self.jwk.clone()] }
    }
}

/// The three keys of the emulator. Generating RSA takes up to a second on a slow machine, so all
/// emulators of one process share them; their tokens still differ in the issuer.
#[derive(Clone)]
pub(crate) struct SigningKeys {
    /// Signs ServiceAccount tokens.
    pub(crate) issuer: Arc<SigningKey>,
    /// Signs access tokens.
    pub(crate) entra: Arc<SigningKey>,
    /// Published nowhere: signs forgeries.
    pub(crate) foreign: Arc<SigningKey>,
}

impl SigningKeys {
    pub(crate) fn shared() -> Result<Self, SigningError> {
        static KEYS: OnceLock<SigningKeys> = OnceLock::new();
        if let Some(keys) = KEYS.get() {
            return Ok(keys.clone());
        }
        let fresh = Self {
            issuer: Arc::new(SigningKey::generate()?),
            entra: Arc::new(SigningKey::generate()?),
            foreign: Arc::new(SigningKey::generate()?),
        };
        Ok(KEYS.get_or_init(|| fresh).clone())
    }
}

/// Claims of a token whose signature nobody has checked yet; `None` if it is no JWT with an RSA
/// signature.
pub(crate) fn unverified_claims(token: &str) -> Option<Value> {
    let header = jsonwebtoken::decode_header(token).ok()?;
    if !matches!(header.alg, Algorithm::RS256 | Algorithm::PS256) {
        return None;
    }
    jsonwebtoken::dangerous::insecure_decode_claims(token).ok()
}

/// Whether a key of `jwks` signed `token` with RS256, the one algorithm of federated and access
/// tokens.
pub(crate) fn signature_is_valid(token: &str, jwks: &JwkSet) -> bool {
    let Ok(header) = jsonwebtoken::decode_header(token) else { return false };
    let validation = signature_only(Algorithm::RS256);
    jwks.keys.iter().filter(|key| header.kid.is_none() || key.common.key_id == header.kid).any(
        |key| {
            DecodingKey::from_jwk(key).is_ok_and(|key| {
                jsonwebtoken::decode::<IgnoredAny>(token, &key, &validation).is_ok()
            })
        },
    )
}

/// A certificate whose key signs an application's own assertions.
#[derive(Clone)]
pub(crate) struct ClientCertificate {
    key: DecodingKey,
    sha1: String,
    sha256: String,
}

impl ClientCertificate {
    /// `None` unless the PEM holds a certificate with an RSA key.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(text.as_bytes()).ok()?;
        let spki = EndEntityCert::try_from(&der).ok()?.subject_public_key_info();
        let thumbprint = |algorithm| URL_SAFE_NO_PAD.encode(digest::digest(algorithm, &der));
        Some(Self {
            key: DecodingKey::from_rsa_pem(pem("PUBLIC KEY", spki.as_ref()).as_bytes()).ok()?,
            sha1: thumbprint(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            sha256: thumbprint(&digest::SHA256),
        })
    }

    /// Whether the header of `token` names this certificate and its key signed with RS256 or PS256.
    pub(crate) fn signed(&self, token: &str) -> bool {
        let Ok(header) = jsonwebtoken::decode_header(token) else { return false };
        let is_named = header.x5t.as_ref() == Some(&self.sha1)
            || header.x5t_s256.as_ref() == Some(&self.sha256);
        is_named
            && matches!(header.alg, Algorithm::RS256 | Algorithm::PS256)
            && jsonwebtoken::decode::<IgnoredAny>(token, &self.key, &signature_only(header.alg))
                .is_ok()
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientCertificate").field(&self.sha256).finish()
    }
}

/// Times and names are the caller's to check, so that each has an error of its own.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
}

/// PEM armour around `der`.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut armoured = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        armoured.extend(line.iter().map(|&byte| char::from(byte)));
        armoured.push('\n');
    }
    armoured + &format!("-----END {label}-----\n")
}

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The generator gave no key.
    #[error("cannot generate an RSA key")]
    Generate,
    /// The key does not fit the token library.
    #[error("cannot use the generated RSA key: {0}")]
    Key(#[from] jsonwebtoken::errors::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_verifies_with_its_own_key_only() {
        let keys = SigningKeys::shared().unwrap();
        let token = keys.issuer.sign(&json!({"sub": "a"}));
        assert!(signature_is_valid(&token, &keys.issuer.jwks()));
        assert!(!signature_is_valid(&token, &keys.entra.jwks()));
        let mut renamed = keys.entra.jwks();
        renamed.keys[0].common.key_id = keys.issuer.jwks().keys[0].common.key_id.clone();
        assert!(!signature_is_valid(&token, &renamed), "a matching kid is not a matching key");
    }

    #[test]
    fn an_unsigned_or_symmetric_token_has_no_claims() {
        let header = "eyJhbGciOiJIUzI1NiJ9"; // {"alg":"HS256"}
        assert_eq!(unverified_claims(&format!("{header}.e30.AA")), None);
        assert_eq!(unverified_claims("eyJhbGciOiJub25lIn0.e30."), None);
        assert_eq!(unverified_claims("not a token"), None);
    }
}
