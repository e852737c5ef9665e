//! The ways to a token.

use super::assertion_source::AssertionSource;
use super::error::IdentityError;
use super::exchange::{Client, TokenRequest};
use super::token::Grant;
use super::{exchange, imds};
use crate::foreign::without_user_info;
use crate::http::Http;
use crate::plan_source::below;
use keysluice_plan::TokenProxy;
use std::path::{Path, PathBuf};

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
        /// Takes the request in the place of the authority.
        proxy: Option<Box<TokenProxy>>,
    },
    /// The credentials of a mounted Secret, at Entra.
    Principal { directory: PathBuf, tenant_id: String, authority: String },
    /// The node's managed identity, from the instance metadata service (IMDS).
    ManagedIdentity {
        /// Of a user-assigned identity.
        client_id: Option<String>,
        /// Base URL of IMDS.
        endpoint: String,
    },
}

impl Credential {
    /// As the Plan states it; a token file or a mounted Secret lies below `root`.
    pub(super) fn of(planned: &keysluice_plan::Credential, root: &Path) -> Self {
        use keysluice_plan::Credential as Planned;
        match planned.clone() {
            Planned::Federated { client_id, tenant_id, authority, token_file, token_proxy } => {
                let assertion = AssertionSource::File(below(root, &token_file));
                let mut proxy = token_proxy;
                if let Some(path) = proxy.as_mut().and_then(|proxy| proxy.ca_file.as_mut()) {
                    *path = below(root, path).to_string_lossy().into_owned();
                }
                Self::Federated { client_id, tenant_id, authority, assertion, proxy }
            }
            Planned::ServicePrincipal { tenant_id, directory, authority } => {
                Self::Principal { directory: below(root, &directory), tenant_id, authority }
            }
            Planned::ManagedIdentity { client_id, endpoint } => {
                Self::ManagedIdentity { client_id, endpoint }
            }
        }
    }

    /// Requests one token.
    pub(super) async fn token(&self, http: &Http, scope: &str) -> Result<Grant, IdentityError> {
        match self {
            Self::Federated { client_id, tenant_id, authority, assertion, proxy } => {
                let client = Client::Federated { client_id, assertion };
                let proxy = proxy.as_deref();
                let request = TokenRequest { client, tenant_id, authority, proxy, scope };
                exchange::token(http, request).await
            }
            Self::Principal { directory, tenant_id, authority } => {
                let client = Client::Principal(directory);
                let proxy = None;
                let request = TokenRequest { client, tenant_id, authority, proxy, scope };
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
            Self::Federated { tenant_id, authority, .. }
            | Self::Principal { tenant_id, authority, .. } => {
                format!("{}/{tenant_id}", authority.trim_end_matches('/'))
            }
            Self::ManagedIdentity { endpoint, .. } => without_user_info(endpoint),
        }
    }

    /// Whether IMDS gives the tokens.
    pub(super) fn is_imds(&self) -> bool {
        matches!(self, Self::ManagedIdentity { .. })
    }
}
