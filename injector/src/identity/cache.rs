//! The tokens of this process, by credential and scope.

use super::AccessToken;
use super::credential::Credential;
use super::error::{IdentityError, named};
use super::renewal::Renewal;
use super::token::Grant;
use crate::backoff::Jitter;
use crate::clock::since_boot;
use crate::fault::Fault;
use crate::http::Http;
use crate::throttle::Throttle;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

type Key = (Credential, String);
type SharedRenewal = Arc<tokio::sync::Mutex<Renewal>>;

/// Keeps each token until shortly before it expires, and requests the next one.
#[derive(Debug)]
pub struct TokenCache {
    http: Arc<Http>,
    throttle: Arc<Throttle>,
    /// Of the jitter of renewals.
    seed: u64,
    renewals: Mutex<BTreeMap<Key, SharedRenewal>>,
}

impl TokenCache {
    /// Without tokens.
    pub fn new(http: Arc<Http>, throttle: Arc<Throttle>, seed: u64) -> Self {
        Self { http, throttle, seed, renewals: Mutex::default() }
    }

    /// A token that is valid now: the cached one, or a new one. Concurrent callers share one
    /// request, and its failure. Messages name the `identity`.
    pub(super) async fn token(&self, key: &Key, identity: &str) -> Result<Arc<AccessToken>, Fault> {
        let asked = since_boot();
        let renewal = self.renewal(key);
        let mut renewal = renewal.lock().await;
        if let Some(known) = renewal.known(asked, since_boot()) {
            return known.map_err(|fault| named(identity, fault));
        }
        let error = match self.request(key).await {
            Ok(grant) => {
                let token = renewal.granted(grant, since_boot());
                crate::redact::hold(token.expose());
                return Ok(token);
            }
            Err(error) => error,
        };
        let mut fault = error.fault();
        if !fault.waiting {
            let endpoint = key.0.endpoint();
            fault.retry_after = fault.retry_after.map(|wait| self.throttle.note(&endpoint, wait));
        }
        let result = renewal.failed(&fault, since_boot());
        let fault = named(identity, fault);
        if result.is_ok() && !fault.waiting {
            crate::log::warn(&fault);
        }
        result.map_err(|_| fault)
    }

    /// A vault rejected `token`. Whether to request another one now.
    pub(super) async fn rejected(&self, key: &Key, token: &Arc<AccessToken>) -> bool {
        self.renewal(key).lock().await.rejected(token, since_boot())
    }

    /// Drops the token. A request that is under way goes on.
    pub(super) fn forget(&self, key: &Key) {
        self.renewals.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn renewal(&self, key: &Key) -> SharedRenewal {
        let mut renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = renewals.get(key) {
            return Arc::clone(known);
        }
        // One more number for each, so that not all are renewed at once.
        let seed = u64::try_from(renewals.len()).unwrap_or_default().wrapping_add(self.seed);
        let renewal = SharedRenewal::new(Renewal::new(Jitter::new(seed)).into());
        renewals.insert(key.clone(), Arc::clone(&renewal));
        renewal
    }

    /// Number of credentials and scopes with a token.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.renewals.lock().unwrap().len()
    }

    async fn request(&self, (credential, scope): &Key) -> Result<Grant, IdentityError> {
        let endpoint = credential.endpoint();
        if let Some(wait) = self.throttle.wait(&endpoint) {
            return Err(IdentityError::Waiting { endpoint, imds: credential.is_imds(), wait });
        }
        credential.token(&self.http, scope).await
    }
}
