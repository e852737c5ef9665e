//! One volume within the machine: what is due, and what may be committed.

use super::{Action, Time, VolumeSpec};
use crate::backoff::{Jitter, Stage};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct FileState {
    /// Content was fetched, or stands in the current generation.
    pub(super) present: bool,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Next try after a failure.
    pub(super) retry_at: Option<Time>,
    /// Retry-After: not even a refresh on demand asks before.
    pub(super) not_before: Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    Fetching,
    Committing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VolumeState {
    pub(super) interval: Duration,
    pub(super) files: Vec<FileState>,
    pub(super) phase: Phase,
    /// A first generation is there.
    pub(super) ready: bool,
    /// Something was fetched that is not committed yet.
    pub(super) dirty: bool,
    pub(super) commit_failures: u32,
    pub(super) commit_at: Option<Time>,
    /// Next time all files are due; `None` for a volume without files.
    pub(super) next_refresh: Option<Time>,
    /// A refresh on demand came while a round was under way.
    pub(super) again: bool,
    pub(super) removals: Vec<Time>,
}

impl VolumeState {
    pub(super) fn new(spec: &VolumeSpec, now: Time) -> Self {
        Self {
            interval: spec.interval,
            files: vec![FileState { present: spec.complete, ..FileState::default() }; spec.files],
            phase: Phase::Idle,
            ready: spec.complete && spec.files > 0,
            dirty: spec.files == 0,
            commit_failures: 0,
            commit_at: (spec.files == 0).then_some(now),
            next_refresh: (spec.files > 0).then_some(now),
            again: false,
            removals: Vec::new(),
        }
    }

    pub(super) fn stage(&self) -> Stage {
        if self.ready { Stage::Running { interval: self.interval } } else { Stage::Start }
    }

    /// A commit that can be made goes before the next fetch.
    pub(super) fn next(&mut self, index: usize, now: Time, jitter: &mut Jitter) -> Option<Action> {
        if self.phase != Phase::Idle {
            return None;
        }
        if self.can_commit() && self.commit_at.is_some_and(|at| at <= now) {
            self.phase = Phase::Committing;
            return Some(Action::Commit { volume: index });
        }
        let everything = self.again || self.next_refresh.is_some_and(|at| at <= now);
        self.again = false;
        if everything && !self.files.is_empty() {
            self.next_refresh = Some(now + jitter.spread(self.interval));
        }
        let due =
            |file: &FileState| (everything || file.retry_at.is_some_and(|at| at <= now)) && file.not_before <= now;
        let files: Vec<usize> = (0..self.files.len()).filter(|&file| due(&self.files[file])).collect();
        if files.is_empty() {
            return None;
        }
        self.phase = Phase::Fetching;
        Some(Action::Fetch { volume: index, files })
    }

    fn can_commit(&self) -> bool {
        self.dirty && self.files.iter().all(|file| file.present)
    }

    pub(super) fn times(&self) -> impl Iterator<Item = Time> {
        let idle = self.phase == Phase::Idle;
        let commit = self.commit_at.filter(|_| idle && self.can_commit());
        let retries = self.files.iter().filter_map(move |file| file.retry_at.filter(|_| idle));
        let refresh = self.next_refresh.filter(|_| idle);
        retries.chain(commit).chain(refresh).chain(self.removals.first().copied())
    }
}
