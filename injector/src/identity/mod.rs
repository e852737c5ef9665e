//! Access tokens: one call per identity, kept until shortly before it ends, the old one used while
//! a renewal fails.

mod assertion;
mod entra_error;
mod error;
mod federated;
mod holding;
mod managed_identity;
mod token;

pub use assertion::Claims;
pub use entra_error::EntraError;
pub use error::IdentityError;
pub use token::AccessToken;

use crate::backoff::Jitter;
use crate::clock::since_boot;
use crate::fault::Fault;
use crate::http::Http;
use crate::plan_source::below;
use crate::throttle::Throttle;
use holding::Holding;
use keysluice_plan::{Credential, Identity};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Gives tokens for one identity of the Plan.
#[derive(Debug)]
pub struct TokenSource {
    identity: Identity,
    root: PathBuf,
    http: Arc<Http>,
    throttle: Arc<Throttle>,
    holding: Mutex<Holding>,
}

impl TokenSource {
    /// For `identity`; its token file lies below `root`.
    pub fn new(
        identity: Identity,
        root: &Path,
        http: Arc<Http>,
        throttle: Arc<Throttle>,
        seed: u64,
    ) -> Self {
        let holding = Mutex::new(Holding::new(Jitter::new(seed)));
        Self { identity, root: root.to_owned(), http, throttle, holding }
    }

    /// The scope tokens are for.
    pub fn scope(&self) -> &str {
        &self.identity.scope
    }

    /// A token that is valid now: the held one, or a new one. Callers that come together share one
    /// request, and its failure.
    pub async fn token(&self) -> Result<Arc<AccessToken>, Fault> {
        let asked = since_boot();
        let mut holding = self.holding.lock().await;
        if let Some(known) = holding.known(asked, since_boot()) {
            return known;
        }
        match self.request().await {
            Ok(grant) => {
                let token = holding.granted(grant, since_boot());
                crate::redact::hold(token.expose());
                Ok(token)
            }
            Err(error) => {
                let mut fault = error.fault(&self.identity.name);
                if !fault.waiting {
                    fault.retry_after =
                        fault.retry_after.map(|wait| self.throttle.note(&self.endpoint(), wait));
                }
                let result = holding.failed(&fault, since_boot());
                if result.is_ok() && !fault.waiting {
                    crate::log::warn(&fault);
                }
                result
            }
        }
    }

    /// Another token than the one a vault did not accept, if there is one to be had now. Other
    /// vaults go on with the old one while no new one comes.
    pub async fn instead_of(&self, token: &Arc<AccessToken>) -> Option<Arc<AccessToken>> {
        if !self.holding.lock().await.rejected(token, since_boot()) {
            return None;
        }
        self.token().await.ok().filter(|other| !Arc::ptr_eq(other, token))
    }

    /// Whom a wait is about: Entra counts per tenant.
    fn endpoint(&self) -> String {
        match &self.identity.credential {
            Credential::Federated { tenant_id, authority, .. } => {
                format!("{}/{tenant_id}", authority.trim_end_matches('/'))
            }
            Credential::ManagedIdentity { endpoint, .. } => endpoint.clone(),
        }
    }

    async fn request(&self) -> Result<token::Grant, IdentityError> {
        let endpoint = self.endpoint();
        if let Some(wait) = self.throttle.wait(&endpoint) {
            let imds = matches!(self.identity.credential, Credential::ManagedIdentity { .. });
            return Err(IdentityError::Waiting { endpoint, imds, wait });
        }
        match &self.identity.credential {
            Credential::Federated { client_id, tenant_id, authority, token_file } => {
                let token_file = &below(&self.root, token_file);
                let scope = &self.identity.scope;
                let request =
                    federated::Request { client_id, tenant_id, authority, token_file, scope };
                federated::token(&self.http, &request).await
            }
            Credential::ManagedIdentity { client_id, endpoint } => {
                managed_identity::token(
                    &self.http,
                    endpoint,
                    client_id.as_deref(),
                    &self.identity.scope,
                )
                .await
            }
        }
    }
}
