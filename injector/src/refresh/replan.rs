//! Another Plan for the same volumes: what stays as it is keeps its state, what is new is fetched,
//! and what is gone is left out of the next generation.

use super::pending::PendingOutcomes;
use super::{Action, Machine, Outputs, Report};
use crate::clock::Time;
use crate::fault::Fault;
use crate::item::{Item, unchanged_items};
use keysluice_plan::{Plan, Volume};
use std::sync::Arc;
use std::time::Duration;

/// What an item of the new Plan begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It is this one of the Plan before.
    Same(usize),
    /// It is another one, and files of the Plan before stand where its own go.
    Stands,
    /// It has no files yet.
    New,
}

impl Machine {
    /// Whether nothing is under way that knows items by the index of the present Plan.
    pub(crate) fn is_quiet(&self) -> bool {
        self.pending.iter().all(PendingOutcomes::is_empty)
            && self.schedule.is_quiet()
            && self.secrets.is_quiet()
    }

    /// What is known of the current Plan.
    pub(super) fn plan_answered(
        &mut self,
        result: Result<(), Fault>,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        let report = match result {
            Ok(()) if self.status.plan_current(now) => {
                Report::Info("the Plan in force is the current one again".to_owned())
            }
            Err(fault) if self.status.plan_failed(&fault, now) => Report::Warn(fault),
            _ => return,
        };
        actions.push(Action::Report(report));
    }

    /// Takes another Plan with the same volumes, while [`Machine::is_quiet`].
    pub(super) fn plan_changed(&mut self, plan: &Arc<Plan>, now: Time) {
        let before = std::mem::replace(&mut self.plan, Arc::clone(plan));
        for (index, new) in plan.volumes.iter().enumerate() {
            let same = unchanged_items(&before, plan, index);
            let outputs = std::mem::replace(&mut self.outputs[index], Outputs::none());
            let old = &before.volumes[index];
            let (outputs, origins) = outputs.replanned(new, &same);
            self.outputs[index] = outputs;
            let mut items = Item::all(new).zip(&origins);
            let is_less = old.templates != new.templates
                || Item::count(old) > same.iter().flatten().count()
                || !items.all(|(item, origin)| looks_alike(item, *origin, old));
            let interval = Duration::from_secs(new.refresh_interval_seconds);
            self.schedule.replan(index, &origins, interval, is_less, now);
            self.status.replan_volume(index, &origins);
        }
        let origins: Vec<_> = plan
            .secrets
            .iter()
            .map(|secret| {
                let index = before.secrets.iter().position(|known| known.name == secret.name);
                (index, index.is_some_and(|index| before.secrets[index] == *secret))
            })
            .collect();
        self.secrets.replan(plan, &origins, now);
        self.status.replan(Arc::clone(plan), &origins);
    }
}

/// Whether the files of an item keep their mode and group.
fn looks_alike(item: Item<'_>, origin: Origin, old: &Volume) -> bool {
    match origin {
        Origin::Same(index) => {
            let known = Item::at(old, index);
            known.mode() == item.mode() && known.group() == item.group()
        }
        Origin::Stands | Origin::New => true,
    }
}
