//! What is known of every Secret, and of the reaction.

use super::{Problem, error_report, note};
use crate::clock::Time;
use crate::fault::Fault;
use crate::report::{ReactionReport, SecretReport};
use keysluice_plan::SyncedSecret;

/// The table, one row per Secret of the Plan.
#[derive(Debug, Default)]
pub(super) struct SecretRows(Vec<Row>);

#[derive(Debug, Clone, Default)]
struct Row {
    /// When it was last seen to be as it should.
    made_at: Option<Time>,
    problem: Option<Problem>,
}

impl SecretRows {
    pub(super) fn new(count: usize) -> Self {
        Self(vec![Row::default(); count])
    }

    /// It is as it should be; whether it failed before.
    pub(super) fn made(&mut self, secret: usize, at: Time) -> bool {
        let row = &mut self.0[secret];
        row.made_at = Some(at);
        row.problem.take().is_some()
    }

    /// It could not be made; whether that is news.
    pub(super) fn failed(&mut self, secret: usize, fault: &Fault, at: Time) -> bool {
        note(&mut self.0[secret].problem, fault, at)
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
        let report = |(secret, row): (&'a SyncedSecret, &'a Row)| SecretReport {
            name: secret.name.as_str().into(),
            age_seconds: row.made_at.map(|at| now.saturating_sub(at).as_secs()),
            error: row.problem.as_ref().map(|problem| error_report(problem, now)),
        };
        secrets.iter().zip(&self.0).map(report).collect()
    }
}

/// What is known of the reaction.
#[derive(Debug, Default)]
pub(super) struct ReactionRow {
    count: u64,
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
        note(&mut self.problem, fault, at)
    }

    pub(super) fn report(&self, now: Time) -> ReactionReport<'_> {
        ReactionReport {
            count: self.count,
            age_seconds: self.done_at.map(|at| now.saturating_sub(at).as_secs()),
            error: self.problem.as_ref().map(|problem| error_report(problem, now)),
        }
    }
}
