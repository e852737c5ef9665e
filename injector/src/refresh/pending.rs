//! What the schedule has not been told of a volume yet.

use super::schedule::{Outcome, Time};
use std::collections::BTreeMap;

/// Outcomes of rounds under way.
#[derive(Debug, Default)]
pub(super) struct PendingOutcomes {
    /// Rounds under way.
    rounds: usize,
    /// Items under way, and since when.
    pub(super) asked: BTreeMap<usize, Time>,
    pub(super) outcomes: Vec<(usize, Outcome)>,
    /// When the last of them came.
    pub(super) at: Time,
}

impl PendingOutcomes {
    /// A round begins.
    pub(super) fn ask(&mut self, items: &[usize], now: Time) {
        self.rounds += 1;
        self.asked.extend(items.iter().map(|&index| (index, now)));
    }

    /// An item is done.
    pub(super) fn add(&mut self, index: usize, outcome: Outcome, now: Time) {
        self.asked.remove(&index);
        self.outcomes.push((index, outcome));
        self.at = now;
    }

    /// A round is over; whether it was the last one.
    pub(super) fn round_over(&mut self) -> bool {
        self.rounds -= 1;
        self.rounds == 0
    }
}
