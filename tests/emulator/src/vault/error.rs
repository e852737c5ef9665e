//! The errors of Key Vault, in its words, and those of a seed.

use std::fmt;

use http::StatusCode;
use serde_json::json;

use crate::reply::Reply;
use crate::route::Collection;

/// Why a vault refused a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VaultError {
    #[error("AKV10000: Request is missing a Bearer or PoP token.")]
    NoToken,
    #[error("AKV10001: {0}")]
    BadToken(&'static str),
    #[error("AKV10046: Unable to resolve the key used for signature validation.")]
    UnknownKey,
    #[error("AKV10022: Invalid audience. Expected {expected}, found: {found}.")]
    Audience { expected: String, found: String },
    #[error("AKV10032: Invalid issuer. Expected one of {expected}, found {found}.")]
    Issuer { expected: String, found: String },
    #[error("[TokenExpired] Error validating token: 'S2S12005'.")]
    Expired,
    #[error("{0}")]
    Rbac(Box<Refusal>),
    #[error("Operation {operation} is not allowed on a disabled {}.", .collection.noun())]
    Disabled { collection: Collection, operation: &'static str },
    #[error(
        "A {} with (name/id) {id} was not found in this key vault. If you recently deleted this \
         {} you may be able to recover it using \
         the correct recovery command. For help resolving this issue, please see \
         https://go.microsoft.com/fwlink/?linkid=2125182",
        .collection.noun(), .collection.noun()
    )]
    NotFound { collection: Collection, id: String },
    #[error("The vault '{0}' does not exist here. In Azure its name would not resolve.")]
    NoVault(String),
    #[error("The request URI contains an invalid name: {0}")]
    Name(String),
    #[error("api-version must be specified")]
    NoApiVersion,
    #[error(
        "The specified version ({0}) is not recognized. Consider using the latest supported \
         version (2026-04-01)."
    )]
    ApiVersion(String),
    #[error("The maxresults parameter must be between 1 and 25.")]
    MaxResults,
    #[error("The skiptoken is invalid.")]
    SkipToken,
    #[error("Property has invalid value: {0}")]
    Body(String),
    #[error("The emulator does not do {0} on this path.")]
    Unsupported(String),
    #[error("Injected fault.")]
    Injected(StatusCode),
    #[error(
        "Request was not processed because too many requests were received. Reason: \
         VaultRequestTypeLimitReached"
    )]
    Throttled,
}

/// Who may not do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(super) client_id: String,
    pub(super) object_id: String,
    pub(super) issuer: String,
    pub(super) action: String,
    pub(super) resource: String,
    pub(super) vault: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client_id, object_id, issuer, action, resource, vault } = self;
        write!(
            f,
            "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny \
             assignments or role definitions were \
             changed recently, please observe propagation time.\r\nCaller: \
             appid={client_id};oid={object_id};iss={issuer}\r\n\
             Action: '{action}'\r\nResource: '{resource}'\r\nAssignment: (not \
             found)\r\nDenyAssignmentId: null\r\n\
             DecisionReason: null \r\nVault: {vault};location=emulator\r\n"
        )
    }
}

impl VaultError {
    /// An injected fault in the shape that the service gives the status.
    pub(super) fn injected(status: StatusCode) -> Self {
        if status == StatusCode::TOO_MANY_REQUESTS {
            Self::Throttled
        } else {
            Self::Injected(status)
        }
    }

    /// HTTP status, `code` and `innererror.code`.
    fn codes(&self) -> (StatusCode, &'static str, Option<&'static str>) {
        match self {
            Self::NoToken
            | Self::BadToken(_)
            | Self::UnknownKey
            | Self::Audience { .. }
            | Self::Issuer { .. }
            | Self::Expired => (StatusCode::UNAUTHORIZED, "Unauthorized", None),
            Self::Rbac(_) => (StatusCode::FORBIDDEN, "Forbidden", Some("ForbiddenByRbac")),
            Self::Disabled { collection, .. } => {
                let inner = match collection {
                    Collection::Secrets => "SecretDisabled",
                    Collection::Keys => "KeyDisabled",
                    Collection::Certificates => "CertificateDisabled",
                };
                (StatusCode::FORBIDDEN, "Forbidden", Some(inner))
            }
            Self::NotFound { collection, .. } => {
                let code = match collection {
                    Collection::Secrets => "SecretNotFound",
                    Collection::Keys => "KeyNotFound",
                    Collection::Certificates => "CertificateNotFound",
                };
                (StatusCode::NOT_FOUND, code, None)
            }
            Self::NoVault(_) => (StatusCode::NOT_FOUND, "VaultNotFound", None),
            Self::Name(_)
            | Self::NoApiVersion
            | Self::ApiVersion(_)
            | Self::MaxResults
            | Self::SkipToken
            | Self::Body(_) => (StatusCode::BAD_REQUEST, "BadParameter", None),
            Self::Unsupported(_) => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", None),
            Self::Throttled => (StatusCode::TOO_MANY_REQUESTS, "Throttled", None),
            Self::Injected(status) => match status.as_u16() {
                401 => (*status, "Unauthorized", None),
                403 => (*status, "Forbidden", Some("ForbiddenByFirewall")),
                404 => (*status, "SecretNotFound", None),
                503 => (*status, "ServiceUnavailable", None),
                400..500 => (*status, "BadParameter", None),
                _ => (*status, "InternalServerError", None),
            },
        }
    }

    /// The answer on the wire, without the challenge.
    pub(super) fn reply(&self) -> Reply {
        let (status, code, inner) = self.codes();
        let mut error = json!({"code": code, "message": self.to_string()});
        if let Some(inner) = inner {
            error["innererror"] = json!({"code": inner});
        }
        Reply::json(status, &json!({"error": error}))
    }
}

impl Collection {
    /// One object of it, in messages.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Secrets => "secret",
            Self::Keys => "key",
            Self::Certificates => "certificate",
        }
    }
}

/// Why a seed was refused. The message names vault and object, never a value.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// A vault that nobody seeded.
    #[error("vault {0:?} does not exist; hint: seed it first")]
    NoVault(String),
    /// A client certificate that does not parse.
    #[error(
        "app {client_id:?}: a client certificate is no PEM of an X.509 certificate with an RSA key"
    )]
    ClientCertificate {
        /// The application.
        client_id: String,
    },
    /// Key Vault does not take the name.
    #[error("vault {vault:?}: name {name:?} is not 1 to 127 letters, digits and hyphens")]
    Name {
        /// The vault.
        vault: String,
        /// The name.
        name: String,
    },
    /// A secret without a value.
    #[error("vault {vault:?}: secret {name:?} has neither `value` nor `versions`")]
    NoValue {
        /// The vault.
        vault: String,
        /// The secret.
        name: String,
    },
    /// A key that cannot be.
    #[error("vault {vault:?}: key {name:?}: {reason}")]
    Key {
        /// The vault.
        vault: String,
        /// The key.
        name: String,
        /// Why.
        reason: KeyReason,
    },
    /// A certificate that cannot be.
    #[error("vault {vault:?}: certificate {name:?}: {reason}")]
    Certificate {
        /// The vault.
        vault: String,
        /// The certificate.
        name: String,
        /// Why.
        reason: CertificateReason,
    },
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyReason {
    /// Nothing says what key it is.
    #[error("neither `kty` nor a `jwk` with one is given")]
    NoType,
    /// An unknown type.
    #[error("key type {0:?} is neither RSA nor EC")]
    Type(String),
    /// An unknown RSA size.
    #[error("size {0} is none of 2048, 3072, 4096")]
    Size(u32),
    /// An unknown curve.
    #[error("curve {0:?} is none of P-256, P-384, P-521")]
    Curve(String),
    /// The generator gave no key.
    #[error("cannot generate the key")]
    Generate,
}

/// What is wrong with a certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateReason {
    /// `cer` does not decode.
    #[error("`cer` is not base64")]
    Base64,
    /// Nothing holds the leaf.
    #[error("`secret` holds no PEM certificate; hint: give `cer`, the base64 DER of the leaf")]
    NoLeaf,
    /// The leaf does not parse.
    #[error("the leaf is not an X.509 certificate")]
    NotX509,
    /// A certificate could not be made.
    #[error("cannot make it: {0}")]
    Make(#[from] rcgen::Error),
}
