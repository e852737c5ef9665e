//! Access tokens: one call per identity, kept until shortly before it ends, the old one used while a renewal fails.

mod assertion;
mod entra_error;
mod error;
mod federated;
mod managed_identity;
mod token;

pub use assertion::Claims;
pub use entra_error::EntraError;
pub(crate) use entra_error::short;
pub use error::IdentityError;
pub use token::AccessToken;

use crate::backoff::Jitter;
use crate::fault::Fault;
use crate::http::Http;
use crate::plan_source::below;
use keysluice_plan::{Credential, Identity};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Between two attempts to renew while the old token still works.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// Gives tokens for one identity of the Plan.
#[derive(Debug)]
pub struct TokenSource {
    identity: Identity,
    root: PathBuf,
    http: Arc<Http>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    jitter: Jitter,
    held: Option<Held>,
    /// The last failure and when it was known: whoever was waiting by then shares it.
    failure: Option<(Instant, Fault)>,
}

#[derive(Debug)]
struct Held {
    token: Arc<AccessToken>,
    renew_at: Instant,
    expires_at: Instant,
}

impl TokenSource {
    /// For `identity`; its token file lies below `root`.
    pub fn new(identity: Identity, root: &Path, http: Arc<Http>, seed: u64) -> Self {
        let state = Mutex::new(State { jitter: Jitter::new(seed), held: None, failure: None });
        Self { identity, root: root.to_owned(), http, state }
    }

    /// The scope tokens are for.
    pub fn scope(&self) -> &str {
        &self.identity.scope
    }

    /// A token that is valid now: the held one, or a new one. Callers that come together share one request, and its failure.
    pub async fn token(&self) -> Result<Arc<AccessToken>, Fault> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        let now = Instant::now();
        if let Some(held) = state.held.as_ref().filter(|held| now < held.renew_at) {
            return Ok(Arc::clone(&held.token));
        }
        if let Some((at, fault)) = &state.failure {
            let rest = fault.retry_after.map(|wait| (*at + wait).saturating_duration_since(now));
            if *at >= asked || rest.is_some_and(|rest| !rest.is_zero()) {
                return Err(Fault { retry_after: rest, ..fault.clone() });
            }
        }
        match self.request().await {
            Ok(grant) => {
                state.failure = None;
                let received = Instant::now();
                let token = Arc::new(grant.token);
                let renew_in = state.jitter.spread(grant.lifetime.renew_in()).min(grant.lifetime.latest());
                state.held = Some(Held {
                    token: Arc::clone(&token),
                    renew_at: received + renew_in,
                    expires_at: received + grant.lifetime.expires_in,
                });
                Ok(token)
            }
            Err(error) => {
                let fault = error.fault(&self.identity.name);
                let now = Instant::now();
                if let Some(held) = state.held.as_mut().filter(|held| now < held.expires_at) {
                    held.renew_at = (now + fault.retry_after.unwrap_or(RENEWAL_PAUSE)).min(held.expires_at);
                    crate::log::warn(&fault);
                    return Ok(Arc::clone(&held.token));
                }
                state.failure = Some((now, fault.clone()));
                Err(fault)
            }
        }
    }

    /// The vault did not accept `token`: the next caller gets another one.
    pub async fn reject(&self, token: &Arc<AccessToken>) {
        let mut state = self.state.lock().await;
        if state.held.as_ref().is_some_and(|held| Arc::ptr_eq(&held.token, token)) {
            state.held = None;
        }
    }

    async fn request(&self) -> Result<token::Grant, IdentityError> {
        match &self.identity.credential {
            Credential::Federated { client_id, tenant_id, authority, token_file } => {
                let token_file = &below(&self.root, token_file);
                let scope = &self.identity.scope;
                let request = federated::Request { client_id, tenant_id, authority, token_file, scope };
                federated::token(&self.http, &request).await
            }
            Credential::ManagedIdentity { client_id, endpoint } => {
                managed_identity::token(&self.http, endpoint, client_id.as_deref(), &self.identity.scope).await
            }
        }
    }
}
