//! The OIDC issuer that plays the cluster: ServiceAccount tokens, discovery and keys.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::directory::TOKEN_EXCHANGE_AUDIENCE;
use crate::moment;
use crate::random;
use crate::reply::Reply;
use crate::signing::SigningKeys;
use crate::world::World;

/// Claims of a ServiceAccount token. [`TokenClaims::new`] gives a good one; change a field to get a
/// bad one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenClaims {
    /// Namespace of the ServiceAccount.
    pub namespace: String,
    /// Name of the ServiceAccount.
    pub service_account: String,
    /// `iss`; the emulator's own if missing.
    pub issuer: Option<String>,
    /// `sub`; `system:serviceaccount:NAMESPACE:NAME` if missing.
    pub subject: Option<String>,
    /// `aud`.
    pub audiences: Vec<String>,
    /// `iat`, Unix seconds.
    pub issued_at: i64,
    /// `nbf`, Unix seconds.
    pub not_before: i64,
    /// `exp`, Unix seconds.
    pub expires: i64,
    /// Signed with a key that nobody publishes.
    pub forged: bool,
}

impl TokenClaims {
    /// A token for Entra, valid for an hour from now.
    pub fn new(namespace: impl Into<String>, service_account: impl Into<String>) -> Self {
        let now = moment::now();
        Self {
            namespace: namespace.into(),
            service_account: service_account.into(),
            issuer: None,
            subject: None,
            audiences: vec![TOKEN_EXCHANGE_AUDIENCE.to_owned()],
            issued_at: now,
            not_before: now,
            expires: now + 3600,
            forged: false,
        }
    }

    /// With this one audience.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences = vec![audience.into()];
        self
    }

    /// Expiring so long after it was issued.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.expires =
            self.issued_at.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX));
        self
    }

    /// The signed token.
    pub(crate) fn sign(&self, default_issuer: &str, keys: &SigningKeys) -> String {
        let (namespace, name) = (&self.namespace, &self.service_account);
        let subject = self
            .subject
            .clone()
            .unwrap_or_else(|| format!("system:serviceaccount:{namespace}:{name}"));
        let key = if self.forged { &keys.foreign } else { &keys.issuer };
        key.sign(&json!({
            "aud": self.audiences,
            "exp": self.expires,
            "iat": self.issued_at,
            "iss": self.issuer.as_deref().unwrap_or(default_issuer),
            "jti": random::guid(),
            "kubernetes.io": {
                "namespace": namespace,
                "pod": {"name": format!("{name}-0"), "uid": random::guid()},
                "serviceaccount": {"name": name, "uid": random::guid()},
            },
            "nbf": self.not_before,
            "sub": subject,
        }))
    }
}

/// `/.well-known/openid-configuration`
pub(crate) fn discovery(world: &World) -> Reply {
    let issuer = world.ports.issuer();
    Reply::json(
        StatusCode::OK,
        &json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/openid/v1/jwks"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }),
    )
}

/// `/openid/v1/jwks`
pub(crate) fn keys(world: &World) -> Reply {
    Reply::json(StatusCode::OK, &world.keys.issuer.jwks())
}
