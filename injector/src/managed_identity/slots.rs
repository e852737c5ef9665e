//! Which token a request gets, and when another one is requested. Pure: each step takes the time
//! since boot.

use crate::clock::Time;
use crate::fault::Fault;
use crate::identity::{AccessToken, TokenSource};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Most tokens that are kept. An application asks for a handful of resources; one that asks for
/// ever others gets the tokens, and the oldest are forgotten.
pub(super) const MAX_TOKENS: usize = 64;
/// A token with less to live is not given while another one is requested.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);
/// Between two renewals that brought no new token.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);
/// Who asks again within this time gets the same failure, without a request to Entra. SDKs retry
/// after a second, and then ever later.
const FAILURE_LIFE: Duration = Duration::from_secs(2);

/// The tokens of all identities, by resource.
#[derive(Debug)]
pub(super) struct Slots {
    of_identities: Vec<BTreeMap<String, Slot>>,
    clock: u64,
}

#[derive(Debug)]
struct Slot {
    source: Arc<TokenSource>,
    token: Option<Arc<AccessToken>>,
    renew_at: Time,
    failure: Option<(Time, Fault)>,
    is_renewing: bool,
    /// When it was last used, in requests.
    used: u64,
}

/// What a request does.
#[derive(Debug)]
pub(super) enum Step {
    /// Gets this token.
    Token(Arc<AccessToken>),
    /// Gets this token, and has another one requested for those who come later.
    Renew(Arc<AccessToken>, Arc<TokenSource>),
    /// Waits for a token.
    Wait(Arc<TokenSource>),
    /// Fails as the last one did.
    Fail(Fault),
}

impl Slots {
    /// For so many identities.
    pub(super) fn new(identities: usize) -> Self {
        Self { of_identities: (0..identities).map(|_| BTreeMap::new()).collect(), clock: 0 }
    }

    /// The step of a request for a token of this identity; `source` makes what gives it tokens.
    pub(super) fn step(
        &mut self,
        identity: usize,
        resource: &str,
        now: Time,
        source: impl FnOnce() -> TokenSource,
    ) -> Step {
        self.clock += 1;
        let used = self.clock;
        if let Some(slot) = self.of_identities[identity].get_mut(resource) {
            slot.used = used;
            return slot.step(now);
        }
        if self.of_identities.iter().map(BTreeMap::len).sum::<usize>() >= MAX_TOKENS {
            self.forget_oldest();
        }
        let source = Arc::new(source());
        let slot = Slot {
            source: Arc::clone(&source),
            token: None,
            renew_at: now,
            failure: None,
            is_renewing: false,
            used,
        };
        self.of_identities[identity].insert(resource.to_owned(), slot);
        Step::Wait(source)
    }

    /// A request to Entra ended. Whether its failure is news.
    pub(super) fn done(
        &mut self,
        identity: usize,
        resource: &str,
        result: &Result<Arc<AccessToken>, Fault>,
        now: Time,
    ) -> bool {
        let Some(slot) = self.of_identities[identity].get_mut(resource) else { return true };
        slot.is_renewing = false;
        match result {
            Ok(token) => {
                // While its renewal fails, the old token comes again.
                slot.renew_at = token.times().renewal.max(now + RENEWAL_PAUSE);
                slot.token = Some(Arc::clone(token));
                slot.failure = None;
                false
            }
            Err(fault) => {
                let before = slot.failure.replace((now, fault.clone()));
                !before.is_some_and(|(_, before)| before.reads_like(fault))
            }
        }
    }

    fn forget_oldest(&mut self) {
        let all = self.of_identities.iter().enumerate().flat_map(|(identity, slots)| {
            slots.iter().map(move |(resource, slot)| (slot.used, identity, resource))
        });
        let oldest = all.min().map(|(_, identity, resource)| (identity, resource.clone()));
        if let Some((identity, resource)) = oldest
            && let Some(slot) = self.of_identities[identity].remove(&resource)
        {
            slot.source.forget();
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.of_identities.iter().map(BTreeMap::len).sum()
    }
}

impl Slot {
    fn step(&mut self, now: Time) -> Step {
        if let Some(token) = &self.token
            && now + SHORTEST_LIFE < token.times().expiry
        {
            let token = Arc::clone(token);
            if now < self.renew_at || self.is_renewing {
                return Step::Token(token);
            }
            self.is_renewing = true;
            return Step::Renew(token, Arc::clone(&self.source));
        }
        match &self.failure {
            Some((at, fault)) if now < *at + FAILURE_LIFE => Step::Fail(fault.clone()),
            _ => Step::Wait(Arc::clone(&self.source)),
        }
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
