//! What is held for callers, and the one rule by which a limit is shared.
//!
//! Bytes of connections and of reviews are shared between source addresses ([`ByteBudget`]), waits
//! for the API server between namespaces ([`LookupBudget`]), places in the queue of decisions
//! between namespaces (`turns`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether a holder of `own` of the `all` that is taken may take this much more.
///
/// Three quarters are given in the order of requests: one holder may have all of them. The last
/// quarter is for holders of little, a sixteenth of the whole, so that a crowd of one caller (or of
/// one namespace) leaves room for the others.
pub(super) fn has_room(limit: usize, all: usize, own: usize, amount: usize) -> bool {
    let all = all + amount;
    all <= limit / 4 * 3 || (all <= limit && own + amount <= limit / 16)
}

/// Bytes taken of a limit.
#[derive(Debug)]
pub(super) struct ByteBudget {
    pub(super) taken: AtomicUsize,
    pub(super) limit_bytes: usize,
    /// Requests whose bodies are there and whose answers have not left.
    pub(super) places: AtomicUsize,
}

impl ByteBudget {
    pub(super) fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), limit_bytes, places: AtomicUsize::new(0) })
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// How much is being waited for, by namespace.
#[derive(Debug)]
pub(super) struct LookupBudget {
    counts: Mutex<Counts>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_namespace: HashMap<Box<str>, usize>,
}

/// Counted as long as it lives, also when the client goes away in between.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    budget: &'a LookupBudget,
    namespace: Box<str>,
    count: usize,
}

impl LookupBudget {
    pub(super) fn new(limit: usize) -> Self {
        Self { counts: Mutex::default(), limit }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` if too much is waited for already: in all, or by this namespace.
    pub(super) fn enter(&self, namespace: &str, count: usize) -> Option<Reservation<'_>> {
        let mut counts = self.lock();
        let own = counts.by_namespace.get(namespace).copied().unwrap_or_default();
        // A single one may always wait.
        if counts.all > 0 && !has_room(self.limit, counts.all, own, count) {
            return None;
        }
        counts.all += count;
        counts.by_namespace.insert(namespace.into(), own + count);
        drop(counts);
        Some(Reservation { budget: self, namespace: namespace.into(), count })
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut counts = self.budget.lock();
        counts.all -= self.count;
        if let Some(own) = counts.by_namespace.get_mut(&self.namespace) {
            *own -= self.count;
            if *own == 0 {
                counts.by_namespace.remove(&self.namespace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_waits_for_much_leaves_room_for_others() {
        let lookups = LookupBudget::new(64);
        let greedy: Vec<_> = (0..64).map_while(|_| lookups.enter("greedy", 1)).collect();
        assert_eq!(greedy.len(), 48);
        let modest: Vec<_> = (0..64).map_while(|_| lookups.enter("modest", 1)).collect();
        assert_eq!(modest.len(), 4);
        drop((greedy, modest));
        let counts = lookups.lock();
        assert_eq!((counts.all, counts.by_namespace.len()), (0, 0));
    }
}
