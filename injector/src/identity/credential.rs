//! The ways to a token.

use super::assertion_source::AssertionSource;
use super::error::IdentityError;
use super::exchange::TokenRequest;
use super::token::Grant;
use super::{exchange, imds};
use crate::http::Http;
use crate::plan_source::below;
use std::path::Path;

/// A way to obtain tokens, for any scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Credential {
    /// An assertion, exchanged at Entra.
    Federated {
        client_id: String,
        tenant_id: String,
        /// `https://login.microsoftonline.com/`
        authority: String,
        assertion: AssertionSource,
    },
    /// The node's managed identity, from the instance metadata service (IMDS).
    ManagedIdentity {
        /// Of a user-assigned identity.
        client_id: Option<String>,
        /// Base URL of IMDS.
        endpoint: String,
    },
}

impl Credential {
    /// As the Plan states it; a token file lies below `root`.
    pub(super) fn of(planned: &keysluice_plan::Credential, root: &Path) -> Self {
        use keysluice_plan::Credential as Planned;
        match planned.clone() {
            Planned::Federated { client_id, tenant_id, authority, token_file } => {
                let assertion = AssertionSource::File(below(root, &token_file));
                Self::Federated { client_id, tenant_id, authority, assertion }
            }
            Planned::ManagedIdentity { client_id, endpoint } => {
                Self::ManagedIdentity { client_id, endpoint }
            }
        }
    }

    /// Requests one token.
    pub(super) async fn token(&self, http: &Http, scope: &str) -> Result<Grant, IdentityError> {
        match self {
            Self::Federated { client_id, tenant_id, authority, assertion } => {
                let request = TokenRequest { client_id, tenant_id, authority, assertion, scope };
                exchange::token(http, request).await
            }
            Self::ManagedIdentity { client_id, endpoint } => {
                imds::token(http, endpoint, client_id.as_deref(), scope).await
            }
        }
    }

    /// What a `Retry-After` applies to: Entra counts requests per tenant.
    pub(super) fn endpoint(&self) -> String {
        match self {
            Self::Federated { tenant_id, authority, .. } => {
                format!("{}/{tenant_id}", authority.trim_end_matches('/'))
            }
            Self::ManagedIdentity { endpoint, .. } => endpoint.clone(),
        }
    }

    /// Whether IMDS gives the tokens.
    pub(super) fn is_imds(&self) -> bool {
        matches!(self, Self::ManagedIdentity { .. })
    }
}
