//! Tokens that were verified, by their hash until they expire: a sidecar shows the same one for
//! most of an hour.

use super::token::Caller;
use crate::server::budget::has_room;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What a token takes here: its hash, whose it is, and the table's own.
const ENTRY_BYTES: usize = 512;

/// The hash of a token.
pub(super) type Hash = [u8; 32];

/// Verified tokens; the last quarter of the room is for namespaces with few.
#[derive(Debug)]
pub(super) struct Verified {
    most: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    callers: HashMap<Hash, Arc<Caller>>,
    by_namespace: HashMap<String, usize>,
    /// Nothing expires before.
    sweep_at: i64,
}

pub(super) fn hash(token: &str) -> Hash {
    Sha256::digest(token).into()
}

impl Verified {
    /// With room for this many bytes.
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { most: limit_bytes / ENTRY_BYTES, inner: Mutex::default() }
    }

    /// Whose the token is, if it was verified and has not expired.
    pub(super) fn get(&self, hash: &Hash, now: i64) -> Option<Arc<Caller>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.callers.get(hash).filter(|caller| caller.expires > now).cloned()
    }

    /// Remembers a token where there is room.
    pub(super) fn keep(&self, hash: Hash, caller: &Arc<Caller>, now: i64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { callers, by_namespace, sweep_at } = &mut *inner;
        if *sweep_at <= now {
            callers.retain(|_, caller| caller.expires > now);
            by_namespace.clear();
            for caller in callers.values() {
                *by_namespace.entry(caller.namespace.clone()).or_default() += 1;
            }
            *sweep_at = now + 60;
        }
        let own = by_namespace.get(&caller.namespace).copied().unwrap_or_default();
        if has_room(self.most, callers.len(), own, 1)
            && callers.insert(hash, Arc::clone(caller)).is_none()
        {
            by_namespace.insert(caller.namespace.clone(), own + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(namespace: &str, expires: i64) -> Arc<Caller> {
        Arc::new(Caller {
            namespace: namespace.to_owned(),
            service_account: "a".to_owned(),
            pod: "p".to_owned(),
            expires,
        })
    }

    #[test]
    fn a_token_counts_until_it_expires_and_one_namespace_leaves_room_for_others() {
        let verified = Verified::new(64 * ENTRY_BYTES);
        for index in 0..100 {
            verified.keep(hash(&format!("{index}")), &caller("greedy", 1000), 0);
        }
        let kept = (0..100).filter(|index| verified.get(&hash(&index.to_string()), 0).is_some());
        assert_eq!(kept.count(), 48);
        verified.keep(hash("x"), &caller("modest", 1000), 0);
        assert_eq!(verified.get(&hash("x"), 999).unwrap().namespace, "modest");
        assert!(verified.get(&hash("x"), 1000).is_none());
        verified.keep(hash("late"), &caller("greedy", 3000), 2000);
        assert!(verified.get(&hash("late"), 2000).is_some(), "what expired makes room");
    }
}
