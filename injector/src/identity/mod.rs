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
use crate::throttle::Throttle;
use keysluice_plan::{Credential, Identity};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Between two attempts to renew while the old token still works.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// Between two renewals because a vault did not accept the token: one that never does must not cost a call each time.
const REJECTION_PAUSE: Duration = Duration::from_secs(3600);

/// Gives tokens for one identity of the Plan.
#[derive(Debug)]
pub struct TokenSource {
    identity: Identity,
    root: PathBuf,
    http: Arc<Http>,
    throttle: Arc<Throttle>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    jitter: Jitter,
    held: Option<Held>,
    /// The last failure and when it was known: whoever was waiting by then shares it.
    failure: Option<(Instant, Fault)>,
    /// When a vault last had us renew a token before its time.
    rejected_at: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    token: Arc<AccessToken>,
    renew_at: Instant,
    expires_at: Instant,
}

impl TokenSource {
    /// For `identity`; its token file lies below `root`.
    pub fn new(identity: Identity, root: &Path, http: Arc<Http>, throttle: Arc<Throttle>, seed: u64) -> Self {
        let state = Mutex::new(State { jitter: Jitter::new(seed), held: None, failure: None, rejected_at: None });
        Self { identity, root: root.to_owned(), http, throttle, state }
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
        if let Some((_, fault)) = state.failure.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(fault.clone());
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
                let mut fault = error.fault(&self.identity.name);
                if !fault.waiting {
                    fault.retry_after = fault.retry_after.map(|wait| self.throttle.note(&self.endpoint(), wait));
                }
                let now = Instant::now();
                if let Some(held) = state.held.as_mut().filter(|held| now < held.expires_at) {
                    held.renew_at = (now + fault.retry_after.unwrap_or(RENEWAL_PAUSE)).min(held.expires_at);
                    if !fault.waiting {
                        crate::log::warn(&fault);
                    }
                    return Ok(Arc::clone(&held.token));
                }
                state.failure = Some((now, fault.clone()));
                Err(fault)
            }
        }
    }

    /// Another token than the one a vault did not accept, if there is one to be had now. Other vaults go on with the old one
    /// while no new one comes.
    pub async fn instead_of(&self, token: &Arc<AccessToken>) -> Option<Arc<AccessToken>> {
        {
            let mut state = self.state.lock().await;
            let State { held, rejected_at, .. } = &mut *state;
            let now = Instant::now();
            let held = held.as_mut().filter(|held| Arc::ptr_eq(&held.token, token) && now < held.renew_at);
            if let Some(held) = held {
                if rejected_at.is_some_and(|at| now < at + REJECTION_PAUSE) {
                    return None;
                }
                (held.renew_at, *rejected_at) = (now, Some(now));
            }
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
                let request = federated::Request { client_id, tenant_id, authority, token_file, scope };
                federated::token(&self.http, &request).await
            }
            Credential::ManagedIdentity { client_id, endpoint } => {
                managed_identity::token(&self.http, endpoint, client_id.as_deref(), &self.identity.scope).await
            }
        }
    }
}
