//! When to fetch, commit, retry and give up: a pure machine over (state, event, now).
//!
//! It knows volumes and files by index only. Whoever drives it performs the [`Action`]s, reports
//! back with [`Event`]s and sleeps until [`Schedule::wake_at`]; there is no clock, I/O or
//! randomness of its own (the seed of the jitter is part of the state).

mod event;
mod volume_state;

pub use event::{Action, Event, Outcome, Swap};

use super::replan::Origin;
use crate::backoff::{self, Jitter};
use crate::clock::Time;
use crate::fault::Class;
use std::time::Duration;
use volume_state::{FileState, VolumeState};

/// What cannot be removed is tried again so often.
const LONGEST_REMOVAL: Duration = Duration::from_secs(300);

/// A start has its last try so long before its deadline, if the back-off would wait for longer.
const LAST_TRY: Duration = Duration::from_secs(1);

/// Longer than any start.
pub(super) const NEVER: Duration = Duration::from_secs(30 * 86_400);

/// What does not change while the process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The first generation of every volume must be there by then; `None` waits for ever.
    pub start_timeout: Option<Duration>,
    /// How long the previous generation stays after a swap.
    pub linger: Duration,
    /// Seed of the jitter.
    pub seed: u64,
}

/// One volume as it is at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Number of files.
    pub files: usize,
    /// Time between refreshes.
    pub interval: Duration,
    /// Whether a complete generation is there already (the container was restarted).
    pub complete: bool,
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    linger: Duration,
    deadline: Option<Time>,
    jitter: Jitter,
    volumes: Vec<VolumeState>,
    ready: bool,
    on_demand: bool,
    over: bool,
}

impl Schedule {
    /// The state at `now`, before the first [`Event::Tick`].
    pub fn new(settings: &Settings, volumes: &[VolumeSpec], now: Time) -> Self {
        let volumes = volumes.iter().map(|spec| VolumeState::new(spec, now)).collect();
        Self {
            linger: settings.linger,
            deadline: settings.start_timeout.map(|timeout| now + timeout),
            jitter: Jitter::new(settings.seed),
            volumes,
            ready: false,
            on_demand: false,
            over: false,
        }
    }

    /// When a file is asked for next, if nothing else happens; `None` while it is, or never.
    pub fn next_fetch(&self, volume: usize, file: usize) -> Option<Time> {
        let VolumeState { files, next_refresh, .. } = &self.volumes[volume];
        let FileState { in_flight, retry_at, not_before, .. } = files[file];
        let first = [*next_refresh, retry_at].into_iter().flatten().min();
        first.filter(|_| !in_flight).map(|at| at.max(not_before))
    }

    /// Whether a volume has its first generation.
    pub fn has_generation(&self, volume: usize) -> bool {
        self.volumes[volume].ready
    }

    /// Whether a file neither is under way nor failed last nor waits.
    pub fn is_settled(&self, volume: usize, file: usize) -> bool {
        let FileState { in_flight, failures, retry_at, .. } = self.volumes[volume].files[file];
        !in_flight && failures == 0 && retry_at.is_none()
    }

    /// Whether every volume has its first generation.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether a refresh on demand is under way.
    pub fn is_on_demand(&self) -> bool {
        self.on_demand
    }

    /// Whether nothing is to be done before the deadline.
    pub fn is_out_of_time(&self) -> bool {
        let next = self.volumes.iter().flat_map(VolumeState::times).min();
        self.deadline.is_some_and(|deadline| next.is_none_or(|next| next >= deadline))
    }

    /// The one step: takes an event, answers with what to do.
    pub fn on(&mut self, event: Event, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.over {
            return actions;
        }
        match event {
            Event::Tick => {}
            Event::Refresh => {
                self.on_demand = true;
                for volume in &mut self.volumes {
                    volume.next_refresh = volume.next_refresh.map(|_| now);
                    volume.files.iter_mut().for_each(|file| file.again = file.in_flight);
                }
            }
            Event::Fetched { volume, outcomes } => {
                self.fetched(volume, &outcomes, now, &mut actions);
            }
            Event::PermanentFailure { volume } => self.permanent_failure(volume, &mut actions),
            Event::Committed { volume, result } => {
                self.committed(volume, result, now, &mut actions);
            }
            Event::NotRemoved { volume } => {
                let state = &mut self.volumes[volume];
                let delay = self.linger * 2_u32.saturating_pow(state.removal_failures.min(8));
                state.removal_failures = state.removal_failures.saturating_add(1);
                state.removals.push(now + delay.min(LONGEST_REMOVAL));
                state.removals.sort_unstable();
            }
            Event::Removed { volume } => self.volumes[volume].removal_failures = 0,
        }
        self.advance(now, &mut actions);
        actions
    }

    /// When the next [`Event::Tick`] is due, if nothing else happens.
    pub fn wake_at(&self) -> Option<Time> {
        let deadline = self.deadline.filter(|_| !self.ready);
        self.volumes
            .iter()
            .flat_map(VolumeState::times)
            .chain(deadline)
            .min()
            .filter(|_| !self.over)
    }

    /// A volume changed, so the others are asked at once: their files change together. One that
    /// was just asked is asked again `pause` after that: its answer may be older than the change.
    pub(super) fn ask_others(&mut self, changed: usize, pause: Duration, now: Time) {
        for (index, other) in self.volumes.iter_mut().enumerate() {
            if index != changed {
                let soon = now.max(other.asked_at + pause);
                other.next_refresh = other.next_refresh.map(|at| at.min(soon));
            }
        }
    }

    /// Whether nothing is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.volumes.iter().all(VolumeState::is_idle)
    }

    /// The files of a volume are others: with `is_less` some are gone, or have another mode.
    pub(super) fn replan(
        &mut self,
        volume: usize,
        origins: &[Origin],
        interval: Duration,
        is_less: bool,
        now: Time,
    ) {
        self.volumes[volume].replan(origins, interval, is_less, now);
    }

    fn fetched(
        &mut self,
        volume: usize,
        outcomes: &[(usize, Outcome)],
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        let state = &mut self.volumes[volume];
        let life = state.stage();
        // The round took longer than the interval; another of these files at once would ignore the
        // delays below.
        let late = state.next_refresh.is_some_and(|at| at <= now);
        let next_refresh = if late { Some(now + state.interval) } else { state.next_refresh };
        // One draw per round: files that failed together are tried again together, over the same
        // connections.
        let jitter = self.jitter.clone();
        self.jitter.spread(Duration::ZERO);
        let last_try = self.deadline.filter(|_| !state.ready).map(|at| at.saturating_sub(LAST_TRY));
        for &(index, outcome) in outcomes {
            let file = &mut state.files[index];
            file.in_flight = false;
            match outcome {
                Outcome::Fetched => {
                    *file = FileState { present: true, again: file.again, ..FileState::default() };
                    state.dirty = true;
                    state.commit_at = Some(now);
                }
                Outcome::Unchanged => {
                    *file = FileState { present: true, again: file.again, ..FileState::default() }
                }
                Outcome::Failed { class, retry_after } => {
                    if class == Class::Permanent && !state.ready {
                        return self.permanent_failure(volume, actions);
                    }
                    file.failed(&mut jitter.clone(), (life, class), retry_after, now, next_refresh);
                }
                Outcome::Partly { class, retry_after } => {
                    file.present = true;
                    file.failed(&mut jitter.clone(), (life, class), retry_after, now, next_refresh);
                    (state.dirty, state.commit_at) = (true, Some(now));
                }
                Outcome::HeldBack => {
                    file.present &= state.ready;
                    file.failed(
                        &mut jitter.clone(),
                        (life, Class::Transient),
                        None,
                        now,
                        next_refresh,
                    );
                }
                Outcome::Waiting { rest } => {
                    file.not_before = now + rest;
                    file.retry_at = Some(file.not_before);
                }
            }
            if let Some(last_try) = last_try.filter(|at| *at > now) {
                file.retry_at = file.retry_at.map(|at| at.min(last_try.max(file.not_before)));
            }
            file.fresh = late;
            if std::mem::take(&mut file.again) {
                file.retry_at = Some(now.max(file.not_before));
            }
        }
        // What an edited class took away goes, although what it added cannot be had.
        if state.dirty && state.files.iter().all(FileState::was_answered) {
            state.commit_at.get_or_insert(now);
        }
    }

    /// A running pod keeps its last good files; a start ends.
    fn permanent_failure(&mut self, volume: usize, actions: &mut Vec<Action>) {
        if !self.volumes[volume].ready {
            self.over = true;
            actions.push(Action::GiveUp { permanent: true });
        }
    }

    fn committed(
        &mut self,
        volume: usize,
        result: Result<Swap, Class>,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        let state = &mut self.volumes[volume];
        state.committing = false;
        match result {
            Ok(swap) => {
                state.ready = true;
                state.dirty = false;
                state.commit_at = None;
                state.commit_failures = 0;
                if swap == Swap::Lingers {
                    state.removals.push(now + self.linger);
                }
            }
            Err(Class::Permanent) if !state.ready => self.permanent_failure(volume, actions),
            Err(class) => {
                state.commit_failures = state.commit_failures.saturating_add(1);
                let delay = backoff::delay(state.stage(), class, state.commit_failures);
                state.commit_at = Some(now + self.jitter.spread(delay));
            }
        }
    }

    /// Everything that is due now.
    fn advance(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.over {
            return;
        }
        for (index, volume) in self.volumes.iter_mut().enumerate() {
            actions.extend(volume.next(index, now, &mut self.jitter));
            while volume.removals.first().is_some_and(|&at| at <= now) {
                volume.removals.remove(0);
                actions.push(Action::RemovePrevious { volume: index });
            }
        }
        if !self.ready && self.volumes.iter().all(|volume| volume.ready) {
            self.ready = true;
            actions.push(Action::Ready);
        }
        if self.on_demand && self.volumes.iter().all(VolumeState::is_idle) {
            self.on_demand = false;
            actions.push(Action::Refreshed);
        }
        if !self.ready && self.deadline.is_some_and(|deadline| deadline <= now) {
            self.over = true;
            actions.push(Action::GiveUp { permanent: false });
        }
    }
}

#[cfg(test)]
#[allow(clippy::unchecked_time_subtraction)] // a test that goes back in time may panic
mod hours;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
