//! What is known of every item: for `status`, for the reason a gate waits, and for what is worth a
//! log line.

mod lifetimes;
mod newest;
mod secrets;

use super::replan::Origin;
use crate::calls;
use crate::clock::Time;
use crate::fault::Fault;
use crate::item::Item;
use crate::redact::redact;
use crate::report::{ErrorReport, FileReport, OutputReport, Report, VolumeReport};
use keysluice_plan::{Plan, RelativePath};
use secrets::{PlanRow, ReactionRow, SecretRows};
use std::borrow::Cow;
use std::sync::Arc;

/// When an item of a volume is asked for next, by their indices.
pub(super) type Next<'n> = &'n dyn Fn(usize, usize) -> Option<Time>;

/// The table, one row per item.
#[derive(Debug)]
pub struct Status {
    plan: Arc<Plan>,
    volumes: Vec<VolumeRow>,
    secrets: SecretRows,
    reaction: ReactionRow,
    current: PlanRow,
    /// What the clock of the vaults showed at boot; seconds since 1970.
    boot: Option<i64>,
}

#[derive(Debug, Clone, Default)]
struct VolumeRow {
    ready: bool,
    generation: Option<String>,
    items: Vec<ItemRow>,
    /// Of the last commit.
    problem: Option<Problem>,
    /// Of the last removal of a previous generation.
    remains: Option<Fault>,
}

#[derive(Debug, Clone, Default)]
struct ItemRow {
    /// Path and version of what the current generation has of it.
    files: Vec<(RelativePath, String)>,
    /// When the vault was last seen to have that.
    confirmed_at: Option<Time>,
    /// What was fetched for the next generation, and when.
    pending: Option<(Vec<(RelativePath, String)>, Time)>,
    newest: newest::NewestRow,
    lifetime: lifetimes::LifetimeRow,
    warnings: Vec<String>,
    problem: Option<Problem>,
}

#[derive(Debug, Clone)]
struct Problem {
    fault: Fault,
    /// Text at the first failure with this code: later ones differ in request ids only, which is
    /// nothing new to a reader.
    first: String,
    at: Time,
}

/// Notes a fault; whether it is news.
fn note(problem: &mut Option<Problem>, fault: &Fault, at: Time) -> bool {
    match problem {
        Some(known) if known.fault.reads_like(fault) => {
            (known.fault, known.at) = (fault.clone(), at);
            false
        }
        _ => {
            *problem = Some(Problem { fault: fault.clone(), first: fault.to_string(), at });
            true
        }
    }
}

impl Status {
    /// Nothing is known but the generations on the volumes.
    pub fn new(plan: Arc<Plan>) -> Self {
        let volumes = plan.volumes.iter().map(|volume| VolumeRow {
            items: vec![ItemRow::default(); Item::count(volume)],
            ..VolumeRow::default()
        });
        let volumes = volumes.collect();
        let secrets = SecretRows::new(plan.secrets.len());
        let (reaction, current) = (ReactionRow::default(), PlanRow::default());
        Self { plan, volumes, secrets, reaction, current, boot: None }
    }

    /// The items of a volume are others.
    pub(super) fn replan_volume(&mut self, volume: usize, origins: &[Origin]) {
        let row = &mut self.volumes[volume];
        let items = origins.iter().map(|origin| match origin {
            Origin::Same(index) => row.items[*index].clone(),
            Origin::Stands | Origin::New => ItemRow::default(),
        });
        row.items = items.collect();
    }

    /// Another Plan, after [`Status::replan_volume`] for each of its volumes.
    pub(super) fn replan(&mut self, plan: Arc<Plan>, secrets: &[(Option<usize>, bool)]) {
        self.plan = plan;
        self.secrets.replan(secrets);
    }

    /// The Plan in force is the current one; whether it was not before.
    pub fn plan_current(&mut self, at: Time) -> bool {
        self.current.current(at)
    }

    /// The current Plan cannot be had or followed; whether that is news.
    pub fn plan_failed(&mut self, fault: &Fault, at: Time) -> bool {
        self.current.failed(fault, at)
    }

    /// A generation is visible that has what was fetched for these items; a template may have
    /// failed nevertheless. Answers with that fault if it is news.
    pub fn committed(
        &mut self,
        volume: usize,
        generation: Option<String>,
        items: &[usize],
        fault: Option<Fault>,
        at: Time,
    ) -> Option<Fault> {
        let row = &mut self.volumes[volume];
        (row.ready, row.generation) = (true, generation);
        if fault.is_none() {
            row.problem = None;
        }
        let news = fault.filter(|fault| note(&mut row.problem, fault, at));
        for &item in items {
            let row = &mut row.items[item];
            if let Some((files, at)) = row.pending.take() {
                (row.files, row.confirmed_at) = (files, Some(at));
                row.newest.committed();
            }
        }
        news
    }

    /// The files of an earlier run stand since `at`.
    pub fn standing(&mut self, volume: usize, at: Time) {
        for item in &mut self.volumes[volume].items {
            item.confirmed_at = Some(at);
        }
    }

    /// A commit failed; whether that is news.
    pub fn commit_failed(&mut self, volume: usize, fault: &Fault, at: Time) -> bool {
        note(&mut self.volumes[volume].problem, fault, at)
    }

    /// A previous generation was removed, or why it was not; that if it is news.
    pub fn removed(&mut self, volume: usize, fault: Option<Fault>) -> Option<Fault> {
        let known = std::mem::replace(&mut self.volumes[volume].remains, fault.clone());
        fault.filter(|fault| known.is_none_or(|known| known.message != fault.message))
    }

    /// A Secret is as it should be; whether it failed before.
    pub fn secret_made(&mut self, secret: usize, is_written: bool, at: Time) -> bool {
        self.secrets.made(secret, is_written, at)
    }

    /// A Secret could not be made; whether that is news.
    pub fn secret_failed(&mut self, secret: usize, fault: &Fault, at: Time) -> bool {
        self.secrets.failed(secret, fault, at)
    }

    /// The application was told of changed files.
    pub fn reacted(&mut self, at: Time) {
        self.reaction.done(at);
    }

    /// It could not be told; whether that is news.
    pub fn reaction_failed(&mut self, fault: &Fault, at: Time) -> bool {
        self.reaction.failed(fault, at)
    }

    /// An item was fetched for the next generation; `kept` files stay what they were.
    pub fn fetched<'a>(
        &mut self,
        volume: usize,
        item: usize,
        mut files: Vec<(RelativePath, String)>,
        kept: impl IntoIterator<Item = &'a RelativePath>,
        at: Time,
    ) {
        let row = &mut self.volumes[volume].items[item];
        let known = row.pending.take().map(|(files, _)| files);
        let known = known.as_ref().unwrap_or(&row.files);
        files.extend(
            kept.into_iter()
                .filter_map(|path| known.iter().find(|(known, _)| known == path).cloned()),
        );
        row.pending = Some((files, at));
    }

    /// The vault was seen to have what an item has, or has fetched.
    pub fn confirmed(&mut self, volume: usize, item: usize, at: Time) {
        let row = &mut self.volumes[volume].items[item];
        match &mut row.pending {
            Some((_, fetched_at)) => *fetched_at = at,
            None => row.confirmed_at = Some(at),
        }
    }

    /// An item does not fail; whether it did before.
    pub fn works(&mut self, volume: usize, item: usize) -> bool {
        self.volumes[volume].items[item].problem.take().is_some()
    }

    /// What an item fails with.
    pub fn fault_of(&self, volume: usize, item: usize) -> Option<&Fault> {
        self.volumes[volume].items[item].problem.as_ref().map(|problem| &problem.fault)
    }

    /// What an item's fetch warned of; the warnings that are news.
    pub fn warned(&mut self, volume: usize, item: usize, warnings: Vec<String>) -> Vec<String> {
        let known =
            std::mem::replace(&mut self.volumes[volume].items[item].warnings, warnings.clone());
        warnings.into_iter().filter(|warning| !known.contains(warning)).collect()
    }

    /// An item failed; whether that is news. What another item failed with already, such as its
    /// identity, is none.
    pub fn failed(&mut self, volume: usize, item: usize, fault: &Fault, at: Time) -> bool {
        let mut problems =
            self.volumes.iter().flat_map(|row| &row.items).filter_map(|item| item.problem.as_ref());
        let known = problems.any(|problem| problem.fault.message == fault.message);
        note(&mut self.volumes[volume].items[item].problem, fault, at) && !known
    }

    /// Why the gate is closed: each distinct problem of the volumes without a generation.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons: Vec<String> = Vec::new();
        for problem in self.waiting() {
            if !reasons.contains(&problem.first) {
                reasons.push(problem.first.clone());
            }
        }
        reasons
    }

    /// The one fault to end with.
    pub fn fault(&self) -> Option<&Fault> {
        self.waiting().max_by_key(|problem| problem.fault.class).map(|problem| &problem.fault)
    }

    fn waiting(&self) -> impl Iterator<Item = &Problem> {
        let volumes = self.volumes.iter().filter(|row| !row.ready).flat_map(|row| {
            row.problem.iter().chain(row.items.iter().filter_map(|item| item.problem.as_ref()))
        });
        volumes.chain(self.secrets.waiting())
    }

    /// As one line of JSON; `next` tells when an item of a volume is asked for next.
    pub fn json(&self, ready: bool, next: Next<'_>, now: Time) -> String {
        let volumes: Vec<_> = self
            .plan
            .volumes
            .iter()
            .zip(&self.volumes)
            .enumerate()
            .map(|(index, (volume, row))| {
                volume_report(volume, row, &|item| next(index, item), now)
            })
            .collect();
        let secrets = self.secrets.report(&self.plan.secrets, now);
        let reaction = self.plan.reaction.as_ref().map(|_| self.reaction.report(now));
        let plan = self.plan.source.as_ref().map(|_| self.current.report(now));
        let failing = volumes
            .iter()
            .flat_map(|volume| &volume.files)
            .filter(|file| file.error.is_some())
            .count()
            + volumes.iter().filter(|volume| volume.error.is_some()).count()
            + secrets.iter().filter(|secret| secret.error.is_some()).count()
            + usize::from(reaction.as_ref().is_some_and(|reaction| reaction.error.is_some()))
            + usize::from(plan.is_some() && self.current.is_failing());
        let version = env!("CARGO_PKG_VERSION").into();
        let calls = calls::report();
        let report = Report { ready, version, failing, volumes, secrets, reaction, plan, calls };
        serde_json::to_string(&report).unwrap_or_default()
    }
}

fn volume_report<'a>(
    volume: &'a keysluice_plan::Volume,
    row: &'a VolumeRow,
    next: &dyn Fn(usize) -> Option<Time>,
    now: Time,
) -> VolumeReport<'a> {
    let items = Item::all(volume).zip(&row.items).enumerate();
    let files = items.map(|(index, (item, row))| file_report(item, row, next(index), now));
    VolumeReport {
        name: volume.name.as_str().into(),
        directory: volume.directory.as_str().into(),
        interval_seconds: Some(volume.refresh_interval_seconds),
        generation: row.generation.as_deref().map(Cow::Borrowed),
        error: row.problem.as_ref().map(|problem| error_report(problem, now)),
        files: files.collect(),
    }
}

fn file_report<'a>(
    item: Item<'a>,
    row: &'a ItemRow,
    next: Option<Time>,
    now: Time,
) -> FileReport<'a> {
    let made = row.files.iter().map(|(path, version)| OutputReport {
        path: redact(path.as_str()),
        version: redact(version),
    });
    let version = made.clone().find(|made| made.path == item.path()).map(|made| made.version);
    let alone = row.files.len() == 1 && version.is_some();
    FileReport {
        path: item.path().into(),
        object: item.source().into(),
        version,
        made: if alone { Vec::new() } else { made.collect() },
        age_seconds: row.confirmed_at.map(|at| now.saturating_sub(at).as_secs()),
        next_seconds: next.map(|at| at.saturating_sub(now).as_secs()),
        starts_at: row.lifetime.begins(),
        expires_at: row.lifetime.ends(),
        warning: row.lifetime.problem().map(|problem| error_report(problem, now)),
        error: row.problem.as_ref().map(|problem| error_report(problem, now)),
    }
}

fn error_report(problem: &Problem, now: Time) -> ErrorReport<'_> {
    let Problem { fault, at, .. } = problem;
    ErrorReport {
        code: fault.reason.code.into(),
        message: redact(&fault.message),
        hint: fault.reason.fix.into(),
        age_seconds: now.saturating_sub(*at).as_secs(),
    }
}

#[cfg(test)]
mod tests;
