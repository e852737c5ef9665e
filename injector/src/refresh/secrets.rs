//! When the Secrets of the Plan are made, and when they are looked at again.
//!
//! A Secret is due when a generation with its files was committed, and at times after a round that
//! found its files unchanged: what this pod has seen last is then what the vault has, so replicas
//! never write an old value over a new one. The Secrets Store CSI driver writes over the owners of
//! others, and its last pod may take the Secret with it: where it is, each such round looks.

use super::schedule::Settings;
use crate::backoff::{self, Jitter, Stage};
use crate::clock::Time;
use crate::fault::{Class, Fault};
use keysluice_plan::Plan;
use std::time::Duration;

/// A Secret is looked at again after this many intervals of its volumes,
const INTERVALS: u32 = 5;
/// or this time if that is shorter, but not before one interval is over.
const LONGEST_CHECK: Duration = Duration::from_secs(300);
/// By then the new files of an edited class have been fetched, or cannot be.
const UNTIL_FETCHED: Duration = Duration::from_secs(5);

/// All Secrets, by their index in the Plan.
#[derive(Debug)]
pub(super) struct Secrets {
    rows: Vec<Row>,
    jitter: Jitter,
    deadline: Option<Time>,
    has_driver: bool,
}

#[derive(Debug)]
struct Row {
    volumes: Vec<usize>,
    interval: Duration,
    /// Made at least once, by this process or an earlier one.
    done: bool,
    in_flight: bool,
    /// To be made as soon as possible.
    due_at: Option<Time>,
    failures: u32,
    looked_at: Option<Time>,
}

impl Secrets {
    /// None was made.
    pub(super) fn new(plan: &Plan, settings: &Settings, now: Time) -> Self {
        Self {
            rows: rows(plan),
            jitter: Jitter::new(settings.seed.wrapping_add(1)),
            has_driver: plan.kubernetes.as_ref().is_some_and(|kubernetes| kubernetes.has_driver),
            deadline: settings.start_timeout.map(|timeout| now + timeout),
        }
    }

    /// Whether none is being made.
    pub(super) fn is_quiet(&self) -> bool {
        self.rows.iter().all(|row| !row.in_flight)
    }

    /// The Secrets of another Plan: for each the one it was before, and whether it is the same. One
    /// that is not is made anew; where its files are new too, when they are there.
    pub(super) fn replan(&mut self, plan: &Plan, origins: &[(Option<usize>, bool)], now: Time) {
        let rows = std::mem::replace(&mut self.rows, rows(plan));
        for (row, (index, is_same)) in self.rows.iter_mut().zip(origins) {
            let Some(known) = index.and_then(|index| rows.get(index)) else { continue };
            row.done = known.done;
            (row.due_at, row.failures) = (known.due_at, known.failures);
            row.looked_at = known.looked_at.filter(|_| *is_same);
            if !is_same && row.due_at.is_none() {
                row.due_at = Some(now + UNTIL_FETCHED);
            }
        }
    }

    /// An earlier process has made this one.
    pub(super) fn was_made(&mut self, secret: usize) {
        if let Some(row) = self.rows.get_mut(secret) {
            row.done = true;
        }
    }

    /// Whether nothing is under way, or due.
    pub(super) fn are_settled(&self, now: Time) -> bool {
        self.rows.iter().all(|row| !row.in_flight && row.due_at.is_none_or(|at| at > now))
    }

    /// Whether each was tried since its files changed.
    pub(super) fn are_tried(&self) -> bool {
        self.rows.iter().all(|row| !row.in_flight && (row.due_at.is_none() || row.failures > 0))
    }

    /// Whether nothing is under way, due or to be tried again.
    pub(super) fn are_idle(&self) -> bool {
        self.rows.iter().all(|row| !row.in_flight && row.due_at.is_none())
    }

    /// Whether all were made at least once.
    pub(super) fn are_done(&self) -> bool {
        self.rows.iter().all(|row| row.done)
    }

    /// Those that were made at least once.
    pub(super) fn done(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().enumerate().filter(|(_, row)| row.done).map(|(index, _)| index)
    }

    /// A generation of a volume was committed.
    pub(super) fn committed(&mut self, volume: usize, now: Time) {
        for row in self.rows.iter_mut().filter(|row| row.volumes.contains(&volume)) {
            (row.due_at, row.failures) = (Some(now), 0);
        }
    }

    /// A round is over that found all files of the Secrets that `are_unchanged` as they are; with
    /// `at_once` somebody asked for it.
    pub(super) fn confirmed(
        &mut self,
        volume: usize,
        are_unchanged: impl Fn(usize) -> bool,
        at_once: bool,
        now: Time,
    ) {
        let rows = self.rows.iter_mut().enumerate();
        for (_, row) in
            rows.filter(|(index, row)| row.volumes.contains(&volume) && are_unchanged(*index))
        {
            let rest = (row.interval * INTERVALS).min(LONGEST_CHECK).max(row.interval);
            let is_over = row.looked_at.is_none_or(|at| at + rest <= now);
            if (at_once || is_over || self.has_driver) && row.due_at.is_none() {
                row.due_at = Some(now);
            }
        }
    }

    /// The one to be made now, if none is under way: a Secret and its answer may take a mebibyte
    /// each several times over. It waits until its volumes have a generation.
    pub(super) fn take_due(
        &mut self,
        now: Time,
        has_generation: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        if self.rows.iter().any(|row| row.in_flight) {
            return None;
        }
        let due = self.rows.iter().enumerate().filter(|(_, row)| {
            let is_due = row.due_at.is_some_and(|at| at <= now) || !row.done && row.failures == 0;
            is_due && row.volumes.iter().all(|&volume| has_generation(volume))
        });
        let (index, _) = due.min_by_key(|(_, row)| row.due_at)?;
        let row = &mut self.rows[index];
        (row.in_flight, row.due_at) = (true, None);
        Some(index)
    }

    /// One was made, or not.
    pub(super) fn made(&mut self, secret: usize, result: Result<(), &Fault>, now: Time) {
        let row = &mut self.rows[secret];
        row.in_flight = false;
        let Err(fault) = result else {
            (row.done, row.failures, row.looked_at) = (true, 0, Some(now));
            return;
        };
        row.failures = row.failures.saturating_add(1);
        let stage = if row.done { Stage::Running { interval: row.interval } } else { Stage::Start };
        // What is wrong is mended by a person, and a pod that waits for it is to see that soon.
        let class = if row.done { fault.class } else { Class::Transient };
        let delay = self.jitter.spread(backoff::delay(stage, class, row.failures));
        let at = now + delay.max(fault.retry_after.unwrap_or_default());
        row.due_at = Some(row.due_at.map_or(at, |due| due.max(at)));
    }

    /// Whether the start has taken too long.
    pub(super) fn is_out_of_time(&self, now: Time) -> bool {
        !self.are_done() && self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// When something is due; with `is_waiting` files have arrived, and only Secrets are missing.
    pub(super) fn wake_at(&self, is_waiting: bool) -> Option<Time> {
        // The end of the one under way wakes the others.
        let is_busy = self.rows.iter().any(|row| row.in_flight);
        let due = self.rows.iter().filter(|_| !is_busy).filter_map(|row| row.due_at);
        let deadline = self.deadline.filter(|_| is_waiting && !self.are_done());
        due.chain(deadline).min()
    }
}

/// None of them made.
fn rows(plan: &Plan) -> Vec<Row> {
    let rows = plan.secrets.iter().map(|secret| {
        let volumes = plan.volumes.iter().enumerate();
        let volumes =
            volumes.filter(|(_, volume)| secret.data.iter().any(|key| key.volume == volume.name));
        let seconds = volumes.clone().map(|(_, volume)| volume.refresh_interval_seconds).min();
        // A Plan without volumes makes no Secret.
        let interval = Duration::from_secs(seconds.unwrap_or(1));
        Row {
            volumes: volumes.map(|(index, _)| index).collect(),
            interval,
            done: false,
            in_flight: false,
            due_at: None,
            failures: 0,
            looked_at: None,
        }
    });
    rows.collect()
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
