//! What rounds bring: to the outputs, the status and, when it is time, the schedule.

use super::outputs::{is_of_two_versions, of_two_versions};
use super::pending::PendingOutcomes;
use super::schedule::{self, Outcome};
use super::{Action, Machine, Policy, Report};
use crate::clock::Time;
use crate::fault::{Class, Fault};
use crate::fetch::{ItemUpdate, Results};
use crate::item::Item;
use std::time::Duration;

/// Files of one refresh change together, however slow their vaults; those of a vault that answers
/// nothing for so long are left behind.
pub(super) const SILENCE: Duration = Duration::from_secs(3);
/// A process that wakes so late stood still: its CPU was taken away, or its node was suspended.
pub(super) const LATE: Duration = Duration::from_millis(300);
/// Before the first generation there is nothing to change: what failed is tried again although
/// others are under way.
pub(super) const QUIET: Duration = Duration::from_millis(700);

impl Machine {
    /// Gives vaults their time again after this process stood still: no request went out meanwhile.
    pub(super) fn resume_if_late(&mut self, now: Time) {
        if self.wake_at().is_some_and(|wake| wake + LATE <= now) {
            self.resumed = now;
        }
    }

    /// When what came of a volume does not wait any longer for the others.
    pub(super) fn due(&self, volume: usize) -> Option<Time> {
        let PendingOutcomes { asked, outcomes, at, .. } = &self.pending[volume];
        if outcomes.is_empty() {
            return None;
        }
        if !self.schedule.has_generation(volume) {
            return Some(*at + QUIET);
        }
        if asked.iter().any(|(&index, &since)| self.has_answered(volume, index, since)) {
            return None;
        }
        asked.values().max().map(|&last| last.max(self.resumed) + SILENCE)
    }

    /// Whether the vault of an item has answered anything since then.
    fn has_answered(&self, volume: usize, index: usize, since: Time) -> bool {
        let vault = Item::at(&self.plan.volumes[volume], index).vault();
        self.answered.get(vault).is_some_and(|at| *at >= since)
    }

    pub(super) fn fetched(
        &mut self,
        volume: usize,
        results: Results,
        now: Time,
        actions: &mut Vec<Action>,
    ) -> schedule::Event {
        let mut event = schedule::Event::Tick;
        for (index, result) in results {
            let outcome =
                match result.and_then(|update| self.accept(volume, index, update, now, actions)) {
                    Ok(None) => {
                        self.works(volume, index, actions);
                        Outcome::Fetched
                    }
                    Ok(Some(fault)) if self.policy == Policy::AllOrNothing => {
                        self.outputs[volume].forget(index);
                        self.failed(volume, index, &fault, now, actions);
                        Outcome::of(&fault)
                    }
                    Ok(Some(fault)) => {
                        self.failed(volume, index, &fault, now, actions);
                        Outcome::Partly { class: fault.class, retry_after: fault.retry_after }
                    }
                    Err(fault) => {
                        self.outputs[volume].failed(&self.plan.volumes[volume], index, &fault);
                        self.failed(volume, index, &fault, now, actions);
                        if fault.class == Class::Permanent {
                            event = schedule::Event::PermanentFailure { volume };
                        }
                        Outcome::of(&fault)
                    }
                };
            self.pending[volume].add(index, outcome, now);
        }
        event
    }

    /// Takes what was fetched for an item; answers with the worst that some of its objects failed
    /// with while their files stay.
    fn accept(
        &mut self,
        volume: usize,
        index: usize,
        update: ItemUpdate,
        now: Time,
        actions: &mut Vec<Action>,
    ) -> Result<Option<Fault>, Fault> {
        let new = update.fetched.files.iter();
        let versions = new.map(|file| (file.path.clone(), file.version.clone())).collect();
        let kept: Vec<_> = update.kept.iter().map(|(path, _)| path.clone()).collect();
        let warnings = update.fetched.warnings.clone();
        let (updated, lifetime) = (update.fetched.updated, update.fetched.lifetime.clone());
        let accepted = self.outputs[volume].accept(&self.plan.volumes[volume], index, update);
        if accepted.is_err() {
            actions.push(Action::Forget { volume, items: vec![index] });
        }
        let fault = accepted?;
        self.status.fetched(volume, index, versions, &kept, now);
        self.status.updated(volume, index, updated);
        self.status.lifetime(volume, index, lifetime, now);
        let news = self.status.warned(volume, index, warnings).into_iter();
        actions.extend(news.map(|warning| Action::Report(Report::Note(warning))));
        actions.extend(self.status.look_at_lifetime(volume, index, now).map(Action::Report));
        Ok(fault)
    }

    fn failed(
        &mut self,
        volume: usize,
        index: usize,
        fault: &Fault,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        // What ends the process is logged as its end.
        let ends = self.policy == Policy::AllOrNothing && fault.class != Class::Transient;
        if self.status.failed(volume, index, fault, now) && !ends {
            actions.push(Action::Report(Report::Warn(fault.clone())));
        }
    }

    pub(super) fn unchanged(
        &mut self,
        volume: usize,
        items: &[usize],
        asked: bool,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        for &index in items {
            if asked {
                self.status.confirmed(volume, index, now);
                self.works(volume, index, actions);
            }
            actions.extend(self.status.look_at_lifetime(volume, index, now).map(Action::Report));
            self.pending[volume].add(index, Outcome::Unchanged, now);
        }
    }

    /// What was reported of an item does not hold any longer. That its certificate has two versions
    /// does until they agree: each new try fetches both of them.
    fn works(&mut self, volume: usize, index: usize, actions: &mut Vec<Action>) {
        let known = self.status.fault_of(volume, index);
        if known.is_some_and(is_of_two_versions) && self.outputs[volume].is_disagreeing(index) {
            return;
        }
        if self.status.works(volume, index) {
            let path = Item::at(&self.plan.volumes[volume], index).path();
            actions.push(Action::Report(Report::Info(format!("file {path}: works again"))));
        }
    }

    /// What is known since the last time. Files of one certificate that are of different versions,
    /// although none of them fails or is still under way, are fetched again.
    pub(super) fn outcomes(
        &mut self,
        volume: usize,
        now: Time,
        actions: &mut Vec<Action>,
    ) -> schedule::Event {
        let mut outcomes = std::mem::take(&mut self.pending[volume].outcomes);
        let disagreeing = self.outputs[volume].disagreeing().map(|items| {
            let settled = items.iter().all(|item| {
                match outcomes.iter().rev().find(|(index, _)| index == item) {
                    Some((_, outcome)) => matches!(outcome, Outcome::Fetched | Outcome::Unchanged),
                    None => self.schedule.is_settled(volume, *item),
                }
            });
            (items.to_vec(), settled)
        });
        for (mut items, settled) in disagreeing.collect::<Vec<_>>() {
            if settled {
                let fault = of_two_versions(&self.plan.volumes[volume], items[0]);
                for &item in &items {
                    self.failed(volume, item, &fault, now, actions);
                }
            } else if !self.schedule.has_generation(volume) {
                // A first generation has all of them, so what came counts for nothing yet.
                items.retain(|&item| outcomes.contains(&(item, Outcome::Fetched)));
            } else {
                continue;
            }
            outcomes.retain(|(index, _)| !items.contains(index));
            outcomes.extend(items.iter().map(|&item| (item, Outcome::HeldBack)));
            actions.push(Action::Forget { volume, items });
        }
        let fetched = outcomes
            .iter()
            .filter(|(_, outcome)| *outcome == Outcome::Fetched)
            .map(|(index, _)| *index);
        for index in fetched.collect::<Vec<_>>() {
            self.works(volume, index, actions);
        }
        let is_slow = outcomes
            .iter()
            .any(|(_, outcome)| matches!(outcome, Outcome::Failed { class: Class::Slow, .. }));
        if self.policy == Policy::AllOrNothing && is_slow {
            self.over = true;
            actions.extend(self.fault().cloned().map(Action::GiveUp));
        }
        schedule::Event::Fetched { volume, outcomes }
    }
}
