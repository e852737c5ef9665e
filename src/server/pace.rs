//! How often per second something is done, in all and for each of those who ask.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(1);

/// Counts within one second.
#[derive(Debug)]
pub(super) struct Pace<K> {
    most: u32,
    most_of_one: u32,
    begun: Option<Instant>,
    all: u32,
    each: HashMap<K, u32>,
}

impl<K: Hash + Eq> Pace<K> {
    /// So many in all, and an eighth of that for one.
    pub(super) fn new(most: u32) -> Self {
        Self { most, most_of_one: (most / 8).max(1), begun: None, all: 0, each: HashMap::new() }
    }

    /// Whether this one may have its turn now.
    pub(super) fn admits(&mut self, who: K, now: Instant) -> bool {
        self.admits_many(who, 1, now)
    }

    /// The same for something that counts as several; the first of a second is never too much.
    pub(super) fn admits_many(&mut self, who: K, count: u32, now: Instant) -> bool {
        if self.begun.is_none_or(|begun| now.duration_since(begun) >= WINDOW) {
            (self.begun, self.all) = (Some(now), 0);
            self.each.clear();
        }
        if self.all >= self.most {
            return false;
        }
        let own = self.each.entry(who).or_default();
        if *own >= self.most_of_one {
            return false;
        }
        *own = own.saturating_add(count.max(1));
        self.all = self.all.saturating_add(count.max(1));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_asks_much_leaves_room_for_others_within_each_second() {
        let (mut pace, now) = (Pace::new(16), Instant::now());
        assert_eq!((0..100).filter(|_| pace.admits("greedy", now)).count(), 2);
        assert!(pace.admits("modest", now));
        assert_eq!(
            (0..100)
                .filter(|index| pace.admits(Box::leak(index.to_string().into_boxed_str()), now))
                .count(),
            13
        );
        assert!(pace.admits("greedy", now + WINDOW));
    }
}
