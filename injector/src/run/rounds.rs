//! What rounds bring: to the outputs, the status and, when it is time, the machine.

use super::{Sidecar, THROTTLE_FILE};
use crate::clock::since_boot;
use crate::fault::Class;
use crate::fetch::Results;
use crate::item::Item;
use crate::log;
use crate::outputs::{is_of_two_versions, of_two_versions};
use crate::refresh::{Event, Outcome, Time};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::yield_now;

/// Files of one refresh change together, however slow their vaults; those of a vault that answers
/// nothing for so long are left behind.
const SILENCE: Duration = Duration::from_secs(3);
/// Before the first generation there is nothing to change: what failed is tried again although
/// others are under way.
const QUIET: Duration = Duration::from_millis(700);

/// What the machine has not been told of a volume yet.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Rounds under way.
    pub(super) rounds: usize,
    /// Items under way, and since when.
    asked: BTreeMap<usize, Time>,
    outcomes: Vec<(usize, Outcome)>,
    /// When the last of them came.
    at: Time,
}

impl News {
    /// A round begins.
    pub(super) fn ask(&mut self, items: &[usize]) {
        self.rounds += 1;
        let now = since_boot();
        self.asked.extend(items.iter().map(|&index| (index, now)));
    }

    fn add(&mut self, index: usize, outcome: Outcome) {
        self.asked.remove(&index);
        self.outcomes.push((index, outcome));
        self.at = since_boot();
    }
}

impl Sidecar {
    /// When what came of a volume does not wait any longer for the others.
    fn due(&self, volume: usize) -> Option<Time> {
        let News { asked, outcomes, at, .. } = &self.news[volume];
        if outcomes.is_empty() {
            return None;
        }
        if !self.machine.has_generation(volume) {
            return Some(*at + QUIET);
        }
        if asked.iter().any(|(&index, &since)| self.fetcher.has_answered(volume, index, since)) {
            return None;
        }
        asked.values().max().map(|&last| last + SILENCE)
    }

    /// When the first of the volumes is.
    pub(super) fn next_due(&self) -> Option<Time> {
        (0..self.news.len()).filter_map(|volume| self.due(volume)).min()
    }

    pub(super) fn fetched(&mut self, volume: usize, results: Results) -> Event {
        let now = since_boot();
        let mut event = Event::Tick;
        for (index, result) in results {
            let plan = &self.plan.volumes[volume];
            let accepted = result.and_then(|brought| {
                let files = &brought.fetched.files;
                let versions = files
                    .iter()
                    .map(|file| (file.path.clone(), file.version.clone()))
                    .collect::<Vec<_>>();
                let kept: Vec<_> = brought.kept.iter().map(|(path, _)| path.clone()).collect();
                let warnings = brought.fetched.warnings.clone();
                let accepted = self.outputs[volume].accept(plan, index, brought);
                let fault = accepted.inspect_err(|_| self.fetcher.forget(volume, &[index]))?;
                self.status.fetched(volume, index, versions, &kept, now);
                Ok((warnings, fault))
            });
            let outcome = match accepted {
                Ok((warnings, fault)) => {
                    for warning in self.status.warned(volume, index, warnings) {
                        log::note(&warning);
                    }
                    match fault {
                        None => {
                            self.works(volume, index);
                            Outcome::Fetched
                        }
                        Some(fault) => {
                            if self.status.failed(volume, index, &fault, now) {
                                log::warn(&fault);
                            }
                            Outcome::Partly { class: fault.class, retry_after: fault.retry_after }
                        }
                    }
                }
                Err(fault) => {
                    self.outputs[volume].failed(plan, index, &fault);
                    if self.status.failed(volume, index, &fault, now) {
                        log::warn(&fault);
                    }
                    if fault.class == Class::Permanent {
                        event = Event::Hopeless { volume };
                    }
                    Outcome::of(&fault)
                }
            };
            self.news[volume].add(index, outcome);
        }
        self.tell_reasons();
        let throttle = self.fetcher.throttle_state();
        if throttle != self.throttle {
            self.run.replace(THROTTLE_FILE, &serde_json::to_vec(&throttle).unwrap_or_default());
            self.throttle = throttle;
        }
        event
    }

    pub(super) fn unchanged(&mut self, volume: usize, items: &[usize], asked: bool) -> Event {
        for &index in items {
            if asked {
                self.status.confirmed(volume, index, since_boot());
                self.works(volume, index);
            }
            self.news[volume].add(index, Outcome::Unchanged);
        }
        Event::Tick
    }

    /// What was told of an item does not hold any longer. That its certificate has two versions
    /// does until they agree: each new try fetches both of them.
    fn works(&mut self, volume: usize, index: usize) {
        let told = self.status.fault_of(volume, index);
        if told.is_some_and(is_of_two_versions) && self.outputs[volume].is_disagreeing(index) {
            return;
        }
        if self.status.works(volume, index) {
            log::info(&format!(
                "file {}: works again",
                Item::at(&self.plan.volumes[volume], index).path()
            ));
        }
    }

    /// What came of a volume whose other items are of vaults that are silent.
    pub(super) async fn quiet(&mut self) -> Event {
        // An answer may be here that nobody has read yet: the first turn sees that it is, the
        // second reads it.
        for _ in 0..2 {
            yield_now().await;
        }
        if !self.progress.is_empty() {
            return Event::Tick;
        }
        let now = since_boot();
        let due = |&volume: &usize| self.due(volume).is_some_and(|due| due <= now);
        (0..self.news.len()).find(due).map_or(Event::Tick, |volume| self.outcomes(volume))
    }

    /// What is known since the last time. Files of one certificate that are of different versions,
    /// although none of them fails or is still under way, are fetched again.
    pub(super) fn outcomes(&mut self, volume: usize) -> Event {
        let mut outcomes = std::mem::take(&mut self.news[volume].outcomes);
        let settled = |item: &usize| match outcomes.iter().rev().find(|(index, _)| index == item) {
            Some((_, outcome)) => matches!(outcome, Outcome::Fetched | Outcome::Unchanged),
            None => self.machine.is_settled(volume, *item),
        };
        let disagreeing = self.outputs[volume]
            .disagreeing()
            .map(|items| (items.to_vec(), items.iter().all(settled)));
        for (mut items, settled) in disagreeing.collect::<Vec<_>>() {
            if settled {
                let fault = of_two_versions(&self.plan.volumes[volume], items[0]);
                for &item in &items {
                    if self.status.failed(volume, item, &fault, since_boot()) {
                        log::warn(&fault);
                    }
                }
            } else if !self.machine.has_generation(volume) {
                // A first generation has all of them, so what came counts for nothing yet.
                items.retain(|&item| outcomes.contains(&(item, Outcome::Fetched)));
            } else {
                continue;
            }
            self.fetcher.forget(volume, &items);
            outcomes.retain(|(index, _)| !items.contains(index));
            outcomes.extend(items.into_iter().map(|item| (item, Outcome::Held)));
        }
        let fetched = outcomes
            .iter()
            .filter(|(_, outcome)| *outcome == Outcome::Fetched)
            .map(|(index, _)| *index);
        for index in fetched.collect::<Vec<_>>() {
            self.works(volume, index);
        }
        self.tell_reasons();
        Event::Fetched { volume, outcomes }
    }
}
