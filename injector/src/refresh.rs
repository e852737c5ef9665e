//! The item table and the machine that owns it: what is due, what is committed, what is reported.
//!
//! Pure: it takes events and the time since boot, and returns [`Action`]s. `run` performs them and
//! reports back. [`schedule`] knows when items are due; [`outputs`] what they have written;
//! [`status`] what a user is told of them.

mod event;
mod found;
mod outputs;
mod pending;
mod reaction;
mod replan;
mod rounds;
pub mod schedule;
mod secrets;
pub mod status;
mod syncing;
#[cfg(test)]
mod tests;

pub(crate) use event::{Action, Event, Report, Written};
pub(crate) use found::{Found, Resumed};
pub(crate) use outputs::Outputs;
pub use schedule::{Settings, Swap};

use crate::clock::Time;
use crate::fault::{Class, Fault};
use crate::fetch::Progress;
use crate::item::Item;
use crate::volume::Entry;
use keysluice_plan::reason::KS603;
use keysluice_plan::{Plan, RelativePath, VaultUrl};
use pending::PendingOutcomes;
use reaction::{Reaction, TOGETHER};
use schedule::{NEVER, Schedule, VolumeSpec};
use secrets::Secrets;
use status::Status;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What the process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Each volume as soon as it is complete, then kept fresh.
    KeepFresh,
    /// All volumes at once, or none. What another try soon does not help ends it.
    AllOrNothing,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Machine {
    plan: Arc<Plan>,
    policy: Policy,
    /// How long a start may take.
    patience: Duration,
    /// Volumes that can be committed, where all are to be at once.
    complete: BTreeSet<usize>,
    over: bool,
    /// Whether all volumes are written, where all are to be at once.
    committed_all: bool,
    schedule: Schedule,
    /// What the items have written; per volume.
    outputs: Vec<Outputs>,
    /// What the schedule has not been told of the rounds under way; per volume.
    pending: Vec<PendingOutcomes>,
    secrets: Secrets,
    reaction: Reaction,
    /// Whether the gate was opened.
    open: bool,
    /// Whether files are refreshed on demand, and Secrets may not be yet.
    refreshed: bool,
    status: Status,
    /// When a vault gave its last complete answer.
    answered: BTreeMap<VaultUrl, Time>,
    /// When this process last went on after it had stood still.
    resumed: Time,
    started: Time,
}

impl Machine {
    /// The state at `now`, before the first [`Event::Wake`].
    pub(crate) fn new(
        plan: &Arc<Plan>,
        policy: Policy,
        settings: &Settings,
        found: Vec<Found>,
        now: Time,
    ) -> Self {
        let mut status = Status::new(Arc::clone(plan));
        let (mut outputs, mut specs) = (Vec::new(), Vec::new());
        for (index, (volume, found)) in plan.volumes.iter().zip(found).enumerate() {
            let complete = found.complete.is_some();
            if let Some(Resumed { generation, age }) = found.complete {
                status.committed(index, generation, &[], None, now);
                status.standing(index, now.saturating_sub(age));
            }
            let interval = match policy {
                Policy::KeepFresh => Duration::from_secs(volume.refresh_interval_seconds),
                Policy::AllOrNothing => NEVER,
            };
            specs.push(VolumeSpec { files: Item::count(volume), interval, complete });
            outputs.push(found.outputs);
        }
        Self {
            plan: Arc::clone(plan),
            policy,
            patience: settings.start_timeout.unwrap_or_default(),
            complete: BTreeSet::new(),
            over: false,
            committed_all: false,
            schedule: Schedule::new(settings, &specs, now),
            pending: outputs.iter().map(|_| PendingOutcomes::default()).collect(),
            outputs,
            secrets: Secrets::new(plan, settings, now),
            reaction: Reaction::new(plan, settings),
            open: false,
            refreshed: false,
            status,
            answered: BTreeMap::new(),
            resumed: now,
            started: now,
        }
    }

    /// A vault gave a complete answer at `at`, the last so far.
    pub(crate) fn answered(&mut self, vault: &VaultUrl, at: Time) {
        match self.answered.get_mut(vault) {
            Some(known) => *known = at,
            None => drop(self.answered.insert(vault.clone(), at)),
        }
    }

    /// The one step: takes an event, answers with what to do.
    pub(crate) fn on(&mut self, event: Event, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        let event = match event {
            Event::Wake => {
                self.resume_if_late(now);
                for volume in 0..self.pending.len() {
                    if self.due(volume).is_some_and(|due| due <= now) {
                        let event = self.outcomes(volume, now, &mut actions);
                        self.feed(event, now, &mut actions);
                    }
                }
                schedule::Event::Tick
            }
            Event::Refresh => schedule::Event::Refresh,
            Event::Progress(Progress::Items { volume, results }) => {
                self.fetched(volume, results, now, &mut actions)
            }
            Event::Progress(Progress::Unchanged { volume, items, asked }) => {
                self.unchanged(volume, &items, asked, now, &mut actions);
                schedule::Event::Tick
            }
            Event::Progress(Progress::Over { volume }) => {
                if self.pending[volume].round_over() {
                    self.outcomes(volume, now, &mut actions)
                } else {
                    schedule::Event::Tick
                }
            }
            Event::Committed { volume, result } => {
                self.committed(volume, result, now, &mut actions)
            }
            Event::CommittedAll => {
                self.committed_all = true;
                schedule::Event::Tick
            }
            Event::Removed { volume, result } => self.removed(volume, result, &mut actions),
            Event::Reacted(result) => {
                self.reacted(result, now, &mut actions);
                schedule::Event::Tick
            }
            Event::PlanChanged(plan) => {
                self.plan_changed(&plan, now);
                schedule::Event::Tick
            }
            Event::PlanAnswered(result) => {
                self.plan_answered(result, now, &mut actions);
                schedule::Event::Tick
            }
            Event::Synced { secret, result } => {
                self.synced(secret, result, now, &mut actions);
                schedule::Event::Tick
            }
        };
        self.feed(event, now, &mut actions);
        self.sync(now, &mut actions);
        self.react(now, &mut actions);
        if self.policy == Policy::AllOrNothing && !self.over {
            actions.extend(self.end());
        }
        actions
    }

    /// Whether all is there, or the next try would come too late.
    fn end(&mut self) -> Option<Action> {
        let all = self.complete.len() == self.plan.volumes.len();
        let is_idle = self.pending.iter().all(PendingOutcomes::is_empty);
        self.over = all || is_idle && self.schedule.is_out_of_time();
        match (self.over, all) {
            (false, _) => None,
            (true, true) => Some(Action::CommitAll),
            (true, false) => Some(Action::GiveUp(self.last_fault(false))),
        }
    }

    /// Tells the schedule, and passes on what it wants.
    fn feed(&mut self, event: schedule::Event, now: Time, actions: &mut Vec<Action>) {
        self.confirm_secrets(&event, now);
        for action in self.schedule.on(event, now) {
            let action = match action {
                schedule::Action::Fetch { volume, files: items } => {
                    self.pending[volume].ask(&items, now);
                    Action::Fetch { volume, items }
                }
                schedule::Action::Commit { volume } if self.policy == Policy::AllOrNothing => {
                    self.complete.insert(volume);
                    continue;
                }
                schedule::Action::Commit { volume } => Action::Commit { volume },
                schedule::Action::RemovePrevious { volume } => Action::RemovePrevious { volume },
                // The gate opens when the Secrets are made too.
                schedule::Action::Ready => continue,
                schedule::Action::Refreshed => {
                    self.refreshed = true;
                    continue;
                }
                schedule::Action::GiveUp { permanent } => {
                    Action::GiveUp(self.last_fault(permanent))
                }
            };
            actions.push(action);
        }
    }

    /// When the next [`Event::Wake`] is due, if nothing else happens.
    pub(crate) fn wake_at(&self) -> Option<Time> {
        let due = (0..self.pending.len()).filter_map(|volume| self.due(volume));
        let secrets = self.secrets.wake_at(self.has_all_files());
        let reaction = self.reaction.wake_at().filter(|_| self.secrets_are_settled());
        due.chain(self.schedule.wake_at()).chain(secrets).chain(reaction).min()
    }

    fn committed(
        &mut self,
        volume: usize,
        result: Result<Written, Fault>,
        now: Time,
        actions: &mut Vec<Action>,
    ) -> schedule::Event {
        let result = match result {
            Ok(Written { swap, generation, changed, fault }) => {
                if swap == Swap::Lingers && self.reaction.changed(&changed, now) {
                    self.schedule.ask_others(volume, TOGETHER / 2, now);
                }
                let items = self.outputs[volume].committed();
                let fault = self.status.committed(volume, generation, &items, fault, now);
                actions.extend(fault.map(|fault| Action::Report(Report::Warn(fault))));
                self.secrets.committed(volume, now);
                Ok(swap)
            }
            Err(fault) => {
                let class = fault.class;
                if self.status.commit_failed(volume, &fault, now) {
                    actions.push(Action::Report(Report::Warn(fault)));
                }
                Err(class)
            }
        };
        schedule::Event::Committed { volume, result }
    }

    fn removed(
        &mut self,
        volume: usize,
        result: Result<(), Fault>,
        actions: &mut Vec<Action>,
    ) -> schedule::Event {
        let event = match &result {
            Ok(()) => schedule::Event::Removed { volume },
            Err(_) => schedule::Event::NotRemoved { volume },
        };
        let news = self.status.removed(volume, result.err());
        actions.extend(news.map(|fault| Action::Report(Report::Warn(fault))));
        event
    }

    fn last_fault(&self, permanent: bool) -> Fault {
        let seconds = self.patience.as_secs();
        let when = if self.policy == Policy::KeepFresh { "after" } else { "within" };
        let Some(fault) = self.status.fault().cloned() else {
            let asked = self.pending.iter().zip(&self.plan.volumes).find_map(|(known, volume)| {
                Some(Item::at(volume, *known.asked.keys().next()?).source())
            });
            let silent = asked.map(|source| format!("; no answer came for {source}"));
            let silent = crate::redact::short(&silent.unwrap_or_default());
            let message = format_args!("no object was complete within {seconds} s{silent}");
            return Fault::new(KS603, Class::Transient, message);
        };
        if permanent {
            return fault;
        }
        let message = format!("{} (gave up {when} {seconds} s)", fault.message);
        Fault { message, class: Class::Transient, ..fault }
    }

    /// Whether every volume has its first generation, and every Secret was made.
    pub(crate) fn is_ready(&self) -> bool {
        self.has_all_files() && self.secrets.are_done()
    }

    /// Whether every volume has its first generation.
    fn has_all_files(&self) -> bool {
        self.schedule.is_ready() || self.committed_all
    }

    /// The next generation of a volume.
    pub(crate) fn entries(&self, volume: usize) -> Vec<Entry<'_>> {
        self.outputs[volume].entries(&self.plan.volumes[volume])
    }

    /// Version of a file of the next generation.
    pub(crate) fn version(&self, volume: usize, path: &RelativePath) -> Option<&str> {
        self.outputs[volume].version(path)
    }

    /// What the current generation of a volume has.
    pub(crate) fn standing(&self, volume: usize) -> impl Iterator<Item = &RelativePath> {
        self.outputs[volume].standing()
    }

    /// Why the gate is closed.
    pub(crate) fn reasons(&self) -> Vec<String> {
        self.status.reasons()
    }

    /// The one fault to end with.
    pub(crate) fn fault(&self) -> Option<&Fault> {
        self.status.fault()
    }

    /// The status as one line of JSON.
    pub(crate) fn json(&self, now: Time) -> String {
        let is_ready = self.is_ready();
        self.status.json(is_ready, &|volume, item| self.schedule.next_fetch(volume, item), now)
    }
}
