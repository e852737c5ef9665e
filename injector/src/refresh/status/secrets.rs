//! What is known of every Secret, of the reaction, and of the current Plan.

use super::{Problem, error_report, note};
use crate::clock::Time;
use crate::fault::{Class, Fault};
use crate::report::{PlanReport, ReactionReport, SecretReport};
use keysluice_plan::SyncedSecret;

/// The table, one row per Secret of the Plan.
#[derive(Debug, Default)]
pub(super) struct SecretRows(Vec<Row>);

#[derive(Debug, Clone, Default)]
struct Row {
    /// When it was last seen to be as it should.
    made_at: Option<Time>,
    written: u32,
    unchanged: u32,
    failed: u32,
    problem: Option<Problem>,
}

impl SecretRows {
    pub(super) fn new(count: usize) -> Self {
        Self(vec![Row::default(); count])
    }

    /// Those of another Plan: for each the one it was before.
    pub(super) fn replan(&mut self, origins: &[(Option<usize>, bool)]) {
        let rows = origins.iter().map(|(index, _)| {
            index.and_then(|index| self.0.get(index).cloned()).unwrap_or_default()
        });
        self.0 = rows.collect();
    }

    /// It is as it should be; whether it failed before.
    pub(super) fn made(&mut self, secret: usize, is_written: bool, at: Time) -> bool {
        let row = &mut self.0[secret];
        let count = if is_written { &mut row.written } else { &mut row.unchanged };
        *count = count.wrapping_add(1);
        row.made_at = Some(at);
        row.problem.take().is_some()
    }

    /// It could not be made; whether that is news.
    pub(super) fn failed(&mut self, secret: usize, fault: &Fault, at: Time) -> bool {
        let row = &mut self.0[secret];
        row.failed = row.failed.wrapping_add(1);
        note(&mut row.problem, fault, at)
    }

    /// What those fail with that were never made.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Problem> {
        let waiting = self.0.iter().filter(|row| row.made_at.is_none());
        waiting.filter_map(|row| row.problem.as_ref())
    }

    pub(super) fn report<'a>(
        &'a self,
        secrets: &'a [SyncedSecret],
        now: Time,
    ) -> Vec<SecretReport<'a>> {
        let reports = secrets.iter().zip(&self.0).map(|(secret, row)| SecretReport {
            name: secret.name.as_str().into(),
            age_seconds: row.made_at.map(|at| now.saturating_sub(at).as_secs()),
            written: row.written,
            unchanged: row.unchanged,
            failed: row.failed,
            error: row.problem.as_ref().map(|problem| error_report(problem, now)),
        });
        reports.collect()
    }
}

/// What is known of the reaction.
#[derive(Debug, Default)]
pub(super) struct ReactionRow {
    count: u64,
    failed: u32,
    /// When the application was told last.
    done_at: Option<Time>,
    problem: Option<Problem>,
}

impl ReactionRow {
    pub(super) fn done(&mut self, at: Time) {
        (self.count, self.done_at, self.problem) = (self.count + 1, Some(at), None);
    }

    /// It failed; whether that is news.
    pub(super) fn failed(&mut self, fault: &Fault, at: Time) -> bool {
        self.failed = self.failed.wrapping_add(1);
        note(&mut self.problem, fault, at)
    }

    pub(super) fn report(&self, now: Time) -> ReactionReport<'_> {
        ReactionReport {
            count: self.count,
            failed: self.failed,
            age_seconds: self.done_at.map(|at| now.saturating_sub(at).as_secs()),
            error: self.problem.as_ref().map(|problem| error_report(problem, now)),
        }
    }
}

/// What is known of the current Plan.
#[derive(Debug, Default)]
pub(super) struct PlanRow {
    /// When the webhook gave its last answer.
    answered_at: Option<Time>,
    problem: Option<Problem>,
}

impl PlanRow {
    /// The Plan in force is the current one; whether it was not before.
    pub(super) fn current(&mut self, at: Time) -> bool {
        self.answered_at = Some(at);
        self.problem.take().is_some()
    }

    /// It may not be; whether that is news. Each problem of a class is one of its own.
    pub(super) fn failed(&mut self, fault: &Fault, at: Time) -> bool {
        let is_other =
            self.problem.as_ref().is_some_and(|known| known.fault.message != fault.message);
        note(&mut self.problem, fault, at) || is_other
    }

    /// Whether it fails for a reason that does not pass by itself. A webhook that is away leaves
    /// the Plan in force, and nothing is wrong with the files.
    pub(super) fn is_failing(&self) -> bool {
        self.problem.as_ref().is_some_and(|problem| problem.fault.class != Class::Transient)
    }

    pub(super) fn report(&self, now: Time) -> PlanReport<'_> {
        PlanReport {
            age_seconds: self.answered_at.map(|at| now.saturating_sub(at).as_secs()),
            error: self.problem.as_ref().map(|problem| error_report(problem, now)),
        }
    }
}
