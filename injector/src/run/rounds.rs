//! What rounds bring: to the outputs, the status and, when it is time, the machine.

use super::{Sidecar, THROTTLE_FILE};
use crate::clock::since_boot;
use crate::fault::Class;
use crate::fetch::Results;
use crate::item::Item;
use crate::log;
use crate::outputs::of_two_versions;
use crate::refresh::{Event, Outcome, Time};
use std::time::Duration;

/// Files of one refresh change together; those of a vault that gives no answer for so long are left behind.
const QUIET: Duration = Duration::from_millis(700);

/// What the machine has not been told of a volume yet.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Rounds under way.
    pub(super) rounds: usize,
    outcomes: Vec<(usize, Outcome)>,
    /// When the last of them came.
    at: Time,
}

impl News {
    /// When they do not wait any longer for the others.
    pub(super) fn due(&self) -> Option<Time> {
        (!self.outcomes.is_empty()).then_some(self.at + QUIET)
    }

    fn add(&mut self, index: usize, outcome: Outcome) {
        self.outcomes.push((index, outcome));
        self.at = since_boot();
    }
}

impl Sidecar {
    pub(super) fn fetched(&mut self, volume: usize, results: Results) -> Event {
        let now = since_boot();
        let mut event = Event::Tick;
        for (index, result) in results {
            let plan = &self.plan.volumes[volume];
            let accepted = result.and_then(|brought| {
                let files = &brought.fetched.files;
                let versions = files.iter().map(|file| (file.path.clone(), file.version.clone())).collect::<Vec<_>>();
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

    fn works(&mut self, volume: usize, index: usize) {
        if self.status.works(volume, index) {
            log::info(&format!("file {}: works again", Item::at(&self.plan.volumes[volume], index).path()));
        }
    }

    /// What came of a volume, when nothing more did for a moment.
    pub(super) fn quiet(&mut self) -> Event {
        let now = since_boot();
        let due = |news: &News| news.due().is_some_and(|due| due <= now);
        self.news.iter().position(due).map_or(Event::Tick, |volume| self.outcomes(volume))
    }

    /// What is known since the last time. Files of one certificate that are of different versions, although none of them fails or
    /// is still under way, are fetched again.
    pub(super) fn outcomes(&mut self, volume: usize) -> Event {
        let mut outcomes = std::mem::take(&mut self.news[volume].outcomes);
        let settled = |item: &usize| match outcomes.iter().rev().find(|(index, _)| index == item) {
            Some((_, outcome)) => matches!(outcome, Outcome::Fetched | Outcome::Unchanged),
            None => self.machine.is_settled(volume, *item),
        };
        let disagreeing = self.outputs[volume].disagreeing().map(|items| (items.to_vec(), items.iter().all(settled)));
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
        self.tell_reasons();
        Event::Fetched { volume, outcomes }
    }
}
