//! Decisions that wait for the API server, shared by namespace.

use super::pool::has_room;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How much is being waited for, by namespace.
#[derive(Debug)]
pub(super) struct Lookups {
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
pub(super) struct Waiting<'a> {
    lookups: &'a Lookups,
    namespace: Box<str>,
    count: usize,
}

impl Lookups {
    pub(super) fn new(limit: usize) -> Self {
        Self { counts: Mutex::default(), limit }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` if too much is waited for already: in all, or by this namespace.
    pub(super) fn enter(&self, namespace: &str, count: usize) -> Option<Waiting<'_>> {
        let mut counts = self.lock();
        let own = counts.by_namespace.get(namespace).copied().unwrap_or_default();
        // A single one may always wait.
        if counts.all > 0 && !has_room(self.limit, counts.all, own, count) {
            return None;
        }
        counts.all += count;
        counts.by_namespace.insert(namespace.into(), own + count);
        drop(counts);
        Some(Waiting { lookups: self, namespace: namespace.into(), count })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut counts = self.lookups.lock();
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
        let lookups = Lookups::new(64);
        let greedy: Vec<_> = (0..64).map_while(|_| lookups.enter("greedy", 1)).collect();
        assert_eq!(greedy.len(), 48);
        let modest: Vec<_> = (0..64).map_while(|_| lookups.enter("modest", 1)).collect();
        assert_eq!(modest.len(), 4);
        drop((greedy, modest));
        let counts = lookups.lock();
        assert_eq!((counts.all, counts.by_namespace.len()), (0, 0));
    }
}
