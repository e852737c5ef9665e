//! What the machine does about Secrets.

use super::{Action, Machine, Policy, Report, schedule};
use crate::clock::Time;
use crate::fault::Fault;
use crate::react::Newest;
use crate::sync::Synced;
use keysluice_plan::{Layout, SecretKey};
use std::collections::BTreeSet;

impl Machine {
    /// Begins what is due, opens the gate, or gives up.
    pub(super) fn sync(&mut self, now: Time, actions: &mut Vec<Action>) {
        let due = self
            .secrets
            .take_due(now, |volume| self.committed_all || self.schedule.has_generation(volume));
        actions.extend(due.map(|secret| Action::Sync { secret }));
        if self.refreshed && self.secrets.are_settled(now) {
            self.refreshed = false;
            actions.push(Action::Refreshed);
        }
        if !self.has_all_files() || self.open {
            return;
        }
        if self.secrets.are_done() {
            self.open = true;
            if self.policy == Policy::KeepFresh {
                let after = now.saturating_sub(self.started).as_millis();
                actions.push(Action::Report(Report::Info(format!("ready after {after} ms"))));
            }
            actions.push(Action::Ready);
        } else if self.secrets.is_out_of_time(now) {
            self.open = true;
            actions.push(Action::GiveUp(self.last_fault(false)));
        }
    }

    pub(super) fn synced(
        &mut self,
        secret: usize,
        result: Result<Synced, Fault>,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        let name = &self.plan.secrets[secret].name;
        self.secrets.made(secret, result.as_ref().map(drop), now);
        match result {
            Ok(synced) => {
                let worked = !self.status.secret_made(secret, synced == Synced::Written, now);
                if synced == Synced::Unchanged {
                    self.reaction.secret_seen(now);
                }
                let news = match synced {
                    Synced::Written => {
                        self.reaction.secret_written(now);
                        "written"
                    }
                    Synced::Unchanged if !worked => "works again",
                    Synced::Unchanged => return,
                };
                actions.push(Action::Report(Report::Info(format!("Secret {name:?}: {news}"))));
            }
            Err(fault) => {
                if self.status.secret_failed(secret, &fault, now) {
                    actions.push(Action::Report(Report::Warn(fault)));
                }
            }
        }
    }

    /// Whether the Secrets do not hold up a reaction. A container that starts takes its variables
    /// from them; others are told of the files, also while a Secret cannot be written.
    pub(super) fn secrets_are_settled(&self) -> bool {
        if self.reaction.starts_containers() {
            self.secrets.are_idle()
        } else {
            self.secrets.are_tried()
        }
    }

    /// Tells the application, when its files and Secrets are there.
    pub(super) fn react(&mut self, now: Time, actions: &mut Vec<Action>) {
        let are_settled = self.secrets_are_settled();
        let attempt = self.reaction.take_due(are_settled, now);
        actions.extend(attempt.map(|attempt| Action::React { attempt }));
    }

    pub(super) fn reacted(
        &mut self,
        result: Result<String, Fault>,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        self.reaction.done(result.as_ref().err(), now);
        match result {
            Ok(done) => {
                self.status.reacted(now);
                actions.push(Action::Report(Report::Info(format!("reaction: {done}"))));
            }
            Err(fault) => {
                if self.status.reaction_failed(&fault, now) {
                    actions.push(Action::Report(Report::Warn(fault)));
                }
            }
        }
    }

    /// What the files that count for the reaction are of.
    pub(crate) fn newest(&self) -> Option<Newest> {
        self.status.newest(self.reaction.files())
    }

    /// An earlier process left a reaction undone.
    pub(crate) fn resume_reaction(&mut self, now: Time) {
        self.reaction.resume(now);
    }

    /// Whether a reaction is to come.
    pub(crate) fn has_reaction(&self) -> bool {
        self.reaction.is_pending()
    }

    /// A round is over: Secrets of the volume whose files it found unchanged may be looked at,
    /// whatever became of other files.
    pub(super) fn confirm_secrets(&mut self, event: &schedule::Event, now: Time) {
        let schedule::Event::Fetched { volume, outcomes } = event else { return };
        if outcomes.is_empty() || self.plan.secrets.is_empty() {
            return;
        }
        let unchanged: BTreeSet<usize> = outcomes
            .iter()
            .filter(|(_, outcome)| *outcome == schedule::Outcome::Unchanged)
            .map(|(item, _)| *item)
            .collect();
        let are_all = unchanged.len() == outcomes.len();
        let planned = &self.plan.volumes[*volume];
        let layout = Layout::of(planned);
        // Whose a file of a selection is, and of what a template is made, is not looked into.
        let is_unchanged = |key: &SecretKey| {
            let item = layout.file_of(&key.path).filter(|item| *item < planned.files.len());
            item.is_some_and(|item| unchanged.contains(&item))
        };
        let are_unchanged = |secret: usize| {
            let mut keys = self.plan.secrets[secret].data.iter();
            are_all || keys.all(|key| key.volume != planned.name || is_unchanged(key))
        };
        self.secrets.confirmed(*volume, are_unchanged, self.schedule.is_on_demand(), now);
    }

    /// An earlier process has made these Secrets.
    pub(crate) fn resume_secrets(&mut self, made: impl IntoIterator<Item = usize>) {
        made.into_iter().for_each(|secret| self.secrets.was_made(secret));
    }

    /// Secrets that were made at least once, for the next process.
    pub(crate) fn made_secrets(&self) -> impl Iterator<Item = usize> {
        self.secrets.done()
    }
}
