//! The errors of the token endpoint, each with its AADSTS code.

use http::StatusCode;
use serde_json::json;

use crate::moment;
use crate::random;
use crate::reply::Reply;

/// Why no token was issued. The text of each is Entra's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error(
        "No matching federated identity record found for presented assertion issuer '{0}'. Please \
         check your federated identity \
         credential Subject, Audience and Issuer against the presented assertion. \
         https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
    )]
    Issuer(String),
    #[error(
        "No matching federated identity record found for presented assertion audience '{0}'. \
         Please check your federated identity \
         credential Subject, Audience and Issuer against the presented assertion. \
         https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
    )]
    Audience(String),
    #[error(
        "No matching federated identity record found for presented assertion subject '{0}'. Check \
         your federated identity credential \
         Subject, Audience and Issuer against the presented assertion. \
         https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
    )]
    Subject(String),
    #[error(
        "No matching federated identity record found for presented assertion subject '{0}'. The \
         subject matches the configured value \
         case-insensitively, but not case-sensitively. Check your federated identity credential \
         Subject, Audience and Issuer against \
         the presented assertion. \
         https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
    )]
    SubjectCase(String),
    #[error("The client '{0}' has no configured federated identity credentials.")]
    NoFederatedCredential(String),
    #[error(
        "Client assertion is not within its valid time range. Current time: {now}, assertion \
         valid from {not_before}, expiry time of \
         assertion {expires}. Review the documentation at \
         https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
    )]
    Time { now: String, not_before: String, expires: String },
    #[error("Client assertion failed signature validation. {0}")]
    Signature(&'static str),
    #[error("Client assertion audience claim does not match Realm issuer.")]
    AssertionAudience,
    #[error("JWT token is invalid or malformed.")]
    Malformed,
    #[error("Client assertion type '{0}' is not supported.")]
    AssertionType(String),
    #[error(
        "Application with identifier '{client_id}' was not found in the directory '{tenant}'. \
         This can happen if the application has \
         not been installed by the administrator of the tenant or consented to by any user in the \
         tenant. You may have sent your \
         authentication request to the wrong tenant."
    )]
    UnknownApplication { client_id: String, tenant: String },
    #[error(
        "Tenant '{0}' not found. Check to make sure you have the correct tenant ID and are \
         signing into the correct cloud. Check with \
         your subscription administrator, this may happen if there are no active subscriptions \
         for the tenant."
    )]
    UnknownTenant(String),
    #[error("The request body must contain the following parameter: '{0}'.")]
    MissingParameter(&'static str),
    #[error(
        "The provided request must include a 'scope' input parameter. The provided value for the \
         input parameter 'scope' is not valid. \
         The scope {0} is not valid."
    )]
    Scope(String),
    #[error("The app requested an unsupported grant type '{0}'.")]
    GrantType(String),
    #[error(
        "The request body must contain the following parameter: 'client_assertion' or \
         'client_secret'."
    )]
    NoCredential,
    #[error(
        "Invalid client secret provided. Ensure the secret being sent in the request is the \
         client secret value, not the client secret \
         ID, for a secret added to app '{0}'."
    )]
    WrongSecret(String),
    #[error("The endpoint only accepts POST requests. Received a {0} request.")]
    Method(String),
}

impl TokenError {
    /// The number after `AADSTS`.
    pub(crate) fn code(&self) -> u32 {
        match self {
            Self::Issuer(_) => 700_211,
            Self::Audience(_) => 700_212,
            Self::Subject(_) => 700_213,
            Self::SubjectCase(_) => 7_002_138,
            Self::NoFederatedCredential(_) => 70_025,
            Self::Time { .. } => 700_024,
            Self::Signature(_) => 700_027,
            Self::AssertionAudience => 700_023,
            Self::Malformed => 50_027,
            Self::AssertionType(_) => 90_023,
            Self::UnknownApplication { .. } => 700_016,
            Self::UnknownTenant(_) => 90_002,
            Self::MissingParameter(_) => 900_144,
            Self::Scope(_) => 70_011,
            Self::GrantType(_) => 70_003,
            Self::NoCredential => 7_000_218,
            Self::WrongSecret(_) => 7_000_215,
            Self::Method(_) => 900_561,
        }
    }

    fn error(&self) -> &'static str {
        match self {
            Self::Issuer(_)
            | Self::Audience(_)
            | Self::Subject(_)
            | Self::SubjectCase(_)
            | Self::NoFederatedCredential(_)
            | Self::Time { .. }
            | Self::Signature(_)
            | Self::AssertionAudience
            | Self::NoCredential
            | Self::WrongSecret(_) => "invalid_client",
            Self::UnknownApplication { .. } => "unauthorized_client",
            Self::Scope(_) => "invalid_scope",
            Self::GrantType(_) => "unsupported_grant_type",
            Self::Malformed
            | Self::AssertionType(_)
            | Self::UnknownTenant(_)
            | Self::MissingParameter(_)
            | Self::Method(_) => "invalid_request",
        }
    }

    /// The answer on the wire: 401 for `invalid_client`, else 400.
    pub(crate) fn reply(&self, now: i64) -> Reply {
        let status = if self.error() == "invalid_client" {
            StatusCode::UNAUTHORIZED
        } else {
            StatusCode::BAD_REQUEST
        };
        body(status, self.error(), self.code(), &self.to_string(), now)
    }
}

/// Any error of the token endpoint, injected ones included.
pub(crate) fn body(status: StatusCode, error: &str, code: u32, text: &str, now: i64) -> Reply {
    let (trace, correlation, timestamp) = (random::guid(), random::guid(), moment::entra(now));
    Reply::json(
        status,
        &json!({
            "error": error,
            "error_description":
                format!("AADSTS{code}: {text} Trace ID: {trace} Correlation ID: {correlation} \
                    Timestamp: {timestamp}"),
            "error_codes": [code],
            "timestamp": timestamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
        }),
    )
}
