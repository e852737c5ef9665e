//! Goes on with another Plan where a class was edited.

use super::Sidecar;
use crate::fault::Fault;
use crate::live::{self, Kept};
use crate::log;
use crate::refresh::Event;
use crate::sync::Syncer;
use keysluice_plan::Plan;
use std::sync::Arc;

impl Sidecar {
    /// A refresh on demand is one of the current Plan.
    pub(super) fn refresh(&mut self) -> Option<Event> {
        if !self.follower.is_following() {
            return Some(Event::Refresh);
        }
        self.awaits_plan = true;
        self.follower.ask();
        None
    }

    /// Takes what the webhook said of the current Plan.
    pub(super) fn answered(&mut self, answer: Result<live::Answer, Fault>) -> Event {
        let (next, fault) = match answer {
            Ok(answer) => {
                let current = self.next_plan.as_ref().unwrap_or(&self.plan);
                self.follower.take(answer, current)
            }
            Err(fault) => (None, Some(fault)),
        };
        self.next_plan = next.map(Arc::new).or_else(|| self.next_plan.take());
        Event::PlanAnswered(fault.map_or(Ok(()), Err))
    }

    /// Goes on with the current Plan as soon as nothing of the one in force is under way; then with
    /// the refresh that waits for it.
    pub(super) fn take_next_plan(&mut self) -> Result<(), Fault> {
        if self.next_plan.is_some() && self.driver.machine.is_quiet() {
            let plan = self.next_plan.take().unwrap_or_else(|| Arc::clone(&self.plan));
            match self.replanned(&plan) {
                Ok(()) => self.step(Event::PlanChanged(plan))?,
                Err(fault) => {
                    self.follower.forget();
                    self.step(Event::PlanAnswered(Err(fault)))?;
                }
            }
        }
        if self.awaits_plan && !self.follower.is_asking() && self.next_plan.is_none() {
            self.awaits_plan = false;
            self.step(Event::Refresh)?;
        }
        Ok(())
    }

    /// Prepares for another Plan. What cannot be carried out leaves everything as it is.
    fn replanned(&mut self, plan: &Arc<Plan>) -> Result<(), Fault> {
        let fetcher = self.driver.fetcher.replanned(Arc::clone(plan), &self.options.root)?;
        let syncer = Syncer::new(&self.options.root, plan)?;
        self.driver.replan(Arc::new(fetcher), syncer);
        self.follower.follow(plan);
        Kept::new(self.base, self.follower.etag(), plan).write(&self.run);
        let before = std::mem::replace(&mut self.plan, Arc::clone(plan));
        if before.volumes != plan.volumes || before.secrets != plan.secrets {
            log::info("a class has changed: the new Plan is in force");
        }
        // Their indices may be others.
        self.made_secrets = usize::MAX;
        Ok(())
    }
}
