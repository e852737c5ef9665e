//! One volume within the machine: what is due, and what may be committed.

use super::{Action, Origin, VolumeSpec};
use crate::backoff::{self, Jitter, Stage};
use crate::clock::Time;
use crate::fault::Class;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct FileState {
    /// Content was fetched, or stands in the current generation.
    pub(super) present: bool,
    /// Asked for, and no answer yet.
    pub(super) in_flight: bool,
    /// A refresh on demand came meanwhile.
    pub(super) again: bool,
    /// Its outcome came when the refresh of everything was due already: that one passes it over.
    pub(super) fresh: bool,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Next try after a failure.
    pub(super) retry_at: Option<Time>,
    /// Retry-After: not even a refresh on demand asks before.
    pub(super) not_before: Time,
}

impl FileState {
    /// Whether it is to be fetched now; with `everything` the refresh of all files is due.
    fn is_due(&self, everything: bool, now: Time) -> bool {
        !self.in_flight
            && (everything && !self.fresh || self.retry_at.is_some_and(|at| at <= now))
            && self.not_before <= now
    }

    /// Whether it was asked for since it is in the Plan.
    pub(super) fn was_answered(&self) -> bool {
        !self.in_flight && (self.failures > 0 || self.retry_at.is_none())
    }

    /// One failure more.
    pub(super) fn failed(
        &mut self,
        jitter: &mut Jitter,
        (stage, class): (Stage, Class),
        retry_after: Option<Duration>,
        now: Time,
        next_refresh: Option<Time>,
    ) {
        self.failures = self.failures.saturating_add(1);
        let delay = jitter.spread(backoff::delay(stage, class, self.failures));
        self.not_before = retry_after.map_or(Time::ZERO, |wait| now + wait);
        self.retry_at =
            retry_at(stage, (now + delay).max(self.not_before), self.not_before, next_refresh);
    }
}

/// A retry shortly before the refresh of everything, or after it, is left to that: an outage costs
/// no second round in each interval. Not so where the refresh comes before the demanded wait is
/// over.
fn retry_at(stage: Stage, at: Time, not_before: Time, next_refresh: Option<Time>) -> Option<Time> {
    let Stage::Running { interval } = stage else { return Some(at) };
    let covered =
        next_refresh.is_some_and(|refresh| not_before <= refresh && at + interval / 4 > refresh);
    (!covered).then_some(at)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VolumeState {
    pub(super) interval: Duration,
    pub(super) files: Vec<FileState>,
    pub(super) committing: bool,
    /// A first generation is there.
    pub(super) ready: bool,
    /// Something was fetched that is not committed yet.
    pub(super) dirty: bool,
    pub(super) commit_failures: u32,
    pub(super) commit_at: Option<Time>,
    /// Next time all files are due; `None` for a volume without files.
    pub(super) next_refresh: Option<Time>,
    /// When all files were asked for last.
    pub(super) asked_at: Time,
    pub(super) removals: Vec<Time>,
    /// In a row.
    pub(super) removal_failures: u32,
}

impl VolumeState {
    pub(super) fn new(spec: &VolumeSpec, now: Time) -> Self {
        Self {
            interval: spec.interval,
            files: vec![FileState { present: spec.complete, ..FileState::default() }; spec.files],
            committing: false,
            ready: spec.complete && spec.files > 0,
            dirty: spec.files == 0,
            commit_failures: 0,
            commit_at: (spec.files == 0).then_some(now),
            next_refresh: (spec.files > 0).then_some(now),
            asked_at: now,
            removals: Vec::new(),
            removal_failures: 0,
        }
    }

    /// What is new is fetched at once. What is gone goes with the files that replace it, or when
    /// these have been asked for and cannot be had; at once only where nothing replaces it. A new
    /// file that cannot be had does not hold up the others.
    pub(super) fn replan(
        &mut self,
        origins: &[Origin],
        interval: Duration,
        is_less: bool,
        now: Time,
    ) {
        let files = origins.iter().map(|origin| match origin {
            Origin::Same(index) => self.files[*index].clone(),
            Origin::Stands | Origin::New => {
                FileState { present: self.ready, retry_at: Some(now), ..FileState::default() }
            }
        });
        let files: Vec<_> = files.collect();
        let is_more = origins.iter().any(|origin| !matches!(origin, Origin::Same(_)));
        if is_less && self.ready {
            self.dirty = true;
            self.commit_at = if is_more { self.commit_at } else { Some(now) };
        } else if files.is_empty() {
            (self.dirty, self.commit_at) = (true, Some(now));
        }
        self.next_refresh = match self.next_refresh {
            _ if files.is_empty() => None,
            Some(at) if interval >= self.interval => Some(at),
            Some(at) => Some(at.min(now + interval)),
            None => Some(now),
        };
        (self.files, self.interval) = (files, interval);
    }

    pub(super) fn stage(&self) -> Stage {
        if self.ready { Stage::Running { interval: self.interval } } else { Stage::Start }
    }

    /// Nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        !self.committing && !self.files.iter().any(|file| file.in_flight)
    }

    /// A commit that can be made goes before the next fetch. Files that are under way hold up
    /// neither: a vault that hangs is no reason not to ask another one.
    pub(super) fn next(&mut self, index: usize, now: Time, jitter: &mut Jitter) -> Option<Action> {
        if self.committing {
            return None;
        }
        if self.can_commit() && self.commit_at.is_some_and(|at| at <= now) {
            self.committing = true;
            return Some(Action::Commit { volume: index });
        }
        let everything = self.next_refresh.is_some_and(|at| at <= now);
        if everything && !self.files.is_empty() {
            self.next_refresh = Some(now + jitter.spread(self.interval));
            self.asked_at = now;
        }
        let files: Vec<usize> = (0..self.files.len())
            .filter(|&file| self.files[file].is_due(everything, now))
            .collect();
        if everything {
            self.files.iter_mut().for_each(|file| file.fresh = false);
        }
        for &file in &files {
            self.files[file].in_flight = true;
        }
        (!files.is_empty()).then_some(Action::Fetch { volume: index, files })
    }

    fn can_commit(&self) -> bool {
        self.dirty && self.files.iter().all(|file| file.present)
    }

    pub(super) fn times(&self) -> impl Iterator<Item = Time> {
        let commit = self.commit_at.filter(|_| !self.committing && self.can_commit());
        let retries =
            self.files.iter().filter(|file| !file.in_flight).filter_map(|file| file.retry_at);
        let refresh = self.next_refresh;
        retries.chain(commit).chain(refresh).chain(self.removals.first().copied())
    }
}
