//! Whether a token is a pod's own, for the webhook. Pure: keys and time come in as values.

use crate::coded::coded;
use crate::settings::PLAN_AUDIENCE;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use std::collections::HashMap;

/// Clocks of two nodes may differ by this much.
const LEEWAY_SECONDS: i64 = 60;
/// Far more keys than a cluster publishes while it changes them.
const MAX_KEYS: usize = 64;

coded! {
    /// Why a token is refused. No text quotes the token.
    #[derive(Debug, thiserror::Error)]
    pub enum TokenError {
        /// No token, or not one.
        #[error("the request has no token of a ServiceAccount in its header Authorization")]
        [KS512] Missing,
        /// Another kind of signature, above all none, or one that a public key would verify.
        #[error("the token is signed with {algorithm}, which is not for the cluster's key {kid:?}")]
        [KS512] Algorithm {
            /// `alg` of the token.
            algorithm: String,
            /// The key that it names.
            kid: String,
        },
        /// A key that the cluster does not publish.
        #[error("the cluster publishes no key {kid:?}")]
        [KS512] UnknownKey {
            /// The key that it names.
            kid: String,
        },
        /// Somebody else signed it, or it was changed.
        #[error("the token's signature is not valid")]
        [KS512] Signature,
        /// Of another cluster.
        #[error("the token's issuer is {found:?}, and the cluster's is {expected:?}")]
        [KS512] Issuer {
            /// `iss` of the token.
            found: String,
            /// That of the cluster.
            expected: String,
        },
        /// For somebody else.
        #[error("the token's audience is not {PLAN_AUDIENCE}")]
        [KS512] Audience,
        /// `exp` is over.
        #[error("the token expired {seconds} s ago")]
        [KS512] Expired {
            /// Since when.
            seconds: i64,
        },
        /// `nbf` is to come.
        #[error("the token is valid in {seconds} s")]
        [KS512] NotYet {
            /// In how long.
            seconds: i64,
        },
        /// Requested by a person or a controller, not projected into a pod.
        #[error("the token is not bound to a pod")]
        [KS512] NoPod,
        /// Subject and claims of Kubernetes disagree.
        #[error("the token's subject is not the ServiceAccount in its claims")]
        [KS512] Subject,
    }
}

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Caller {
    pub(in crate::server) namespace: String,
    pub(in crate::server) service_account: String,
    pub(in crate::server) pod: String,
    /// Seconds since 1970.
    pub(in crate::server) expires: i64,
}

/// What a cluster signs tokens with.
pub(in crate::server) struct KeySet {
    issuer: String,
    keys: HashMap<String, (Vec<Algorithm>, DecodingKey)>,
}

impl KeySet {
    /// The keys of a set that sign, each with the algorithms that fit it.
    pub(in crate::server) fn new(issuer: String, set: &JwkSet) -> Self {
        let keys = set.keys.iter().take(MAX_KEYS).filter_map(|jwk| {
            let is_for_signatures =
                jwk.common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature);
            let key = DecodingKey::from_jwk(jwk).ok().filter(|_| is_for_signatures)?;
            Some((jwk.common.key_id.clone()?, (algorithms(jwk), key)))
        });
        Self { issuer, keys: keys.collect() }
    }

    pub(in crate::server) fn has(&self, kid: &str) -> bool {
        self.keys.contains_key(kid)
    }

    /// Whose the token is, `now` in seconds since 1970.
    ///
    /// # Errors
    /// [`TokenError`] for any token that the cluster did not make for this audience and this time,
    /// and a pod.
    pub(in crate::server) fn verify(&self, token: &str, now: i64) -> Result<Caller, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Missing)?;
        let kid = header.kid.unwrap_or_default();
        let Some((algorithms, key)) = self.keys.get(&kid) else {
            return Err(TokenError::UnknownKey { kid: shown(&kid) });
        };
        if !algorithms.contains(&header.alg) {
            let algorithm = format!("{:?}", header.alg);
            return Err(TokenError::Algorithm { algorithm, kid: shown(&kid) });
        }
        let mut validation = Validation::new(header.alg);
        // Time, audience and issuer are checked below, in words.
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) =
            (false, false, false);
        validation.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation);
        let claims = claims.map_err(|_| TokenError::Signature)?.claims;
        self.check(claims, now)
    }

    fn check(&self, claims: Claims, now: i64) -> Result<Caller, TokenError> {
        if claims.iss != self.issuer {
            let (found, expected) = (shown(&claims.iss), self.issuer.clone());
            return Err(TokenError::Issuer { found, expected });
        }
        if !claims.aud.has(PLAN_AUDIENCE) {
            return Err(TokenError::Audience);
        }
        if claims.exp <= now {
            return Err(TokenError::Expired { seconds: now.saturating_sub(claims.exp) });
        }
        if let Some(seconds) = claims
            .nbf
            .map(|nbf| nbf.saturating_sub(now))
            .filter(|seconds| *seconds > LEEWAY_SECONDS)
        {
            return Err(TokenError::NotYet { seconds });
        }
        let Some(Kubernetes { namespace, pod: Some(pod), serviceaccount: Some(account) }) =
            claims.kubernetes
        else {
            return Err(TokenError::NoPod);
        };
        if claims.sub != format!("system:serviceaccount:{namespace}:{}", account.name) {
            return Err(TokenError::Subject);
        }
        Ok(Caller { namespace, service_account: account.name, pod: pod.name, expires: claims.exp })
    }
}

/// The key that a token names; nothing is verified.
///
/// # Errors
/// [`TokenError::Missing`] for what is not a token, and [`TokenError::Algorithm`] for a signature
/// that the jsonwebtoken crate does not know, such as none.
pub(in crate::server) fn kid(token: &str) -> Result<String, TokenError> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Missing)?;
    Ok(header.kid.unwrap_or_default())
}

/// A public key verifies the signatures of its own family alone; a shared secret is none.
fn algorithms(jwk: &Jwk) -> Vec<Algorithm> {
    match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => vec![Algorithm::RS256, Algorithm::RS384, Algorithm::RS512],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn shown(text: &str) -> String {
    crate::bounded::bounded(text, 100)
}

/// What a token says of itself.
#[derive(Debug, Deserialize)]
struct Claims {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    aud: Audience,
    #[serde(default)]
    exp: i64,
    nbf: Option<i64>,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Kubernetes>,
}

#[derive(Debug, Deserialize)]
struct Kubernetes {
    namespace: String,
    pod: Option<Named>,
    serviceaccount: Option<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Audience {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Several(several) => several.iter().any(|one| one == name),
        }
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
