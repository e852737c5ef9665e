//! The share of reviews of workloads in what reviews may hold.

use super::budget::LookupBudget;
use super::limits::Load;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What reviews of workloads may hold.
#[derive(Debug)]
pub(super) struct WorkloadShare {
    bytes: AtomicUsize,
    limit_bytes: usize,
    /// Requests at once whose bodies are there, of pods and of workloads.
    pub(super) places: usize,
    pub(super) lookups: LookupBudget,
}

/// Bytes of a body, until they are given back.
pub(super) struct Held<'s>(&'s WorkloadShare, usize);

impl WorkloadShare {
    /// An eighth of the memory, a quarter of the places and a thirty-second of the look-ups that
    /// reviews of pods may have.
    pub(super) fn of(load: &Load) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            limit_bytes: load.body_bytes / 8,
            places: load.requests / 4,
            lookups: LookupBudget::new(load.lookups / 32),
        }
    }

    /// Room for so much of a body; `None` if there is none.
    pub(super) fn hold(&self, bytes: usize) -> Option<Held<'_>> {
        let held = Held(self, bytes);
        let all = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (all <= self.limit_bytes).then_some(held)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.bytes.fetch_sub(self.1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_hold_an_eighth_of_the_memory_of_reviews() {
        let share = WorkloadShare::of(&Load { body_bytes: 8000, ..Load::default() });
        let first = share.hold(600);
        assert!(first.is_some() && share.hold(401).is_none() && share.hold(400).is_some());
        drop(first);
        assert!(share.hold(1000).is_some());
        assert_eq!(share.bytes.load(Ordering::Relaxed), 0);
    }
}
