//! Objects that are expired or not active yet: a warning, since the vault serves them.

use super::{Problem, Status};
use crate::clock::Time;
use crate::fault::Fault;
use crate::item::Item;
use crate::refresh::event::Report;
use crate::vault::Lifetime;

/// Of one item.
#[derive(Debug, Clone, Default)]
pub(super) struct LifetimeRow {
    /// As the vault last said.
    lifetime: Lifetime,
    /// What was warned of, and of which version.
    warned_of: Option<(Problem, Option<String>)>,
}

impl LifetimeRow {
    /// Seconds since 1970.
    pub(super) fn begins(&self) -> Option<u64> {
        self.lifetime.begins()
    }

    /// Seconds since 1970.
    pub(super) fn ends(&self) -> Option<u64> {
        self.lifetime.ends()
    }

    pub(super) fn problem(&self) -> Option<&Problem> {
        self.warned_of.as_ref().map(|(problem, _)| problem)
    }

    fn has_warned_of(&self, fault: &Fault, version: Option<&String>) -> bool {
        let known = self.warned_of.as_ref();
        known.is_some_and(|(problem, of)| problem.fault == *fault && of.as_ref() == version)
    }

    fn warns_of(&self, message: &str) -> bool {
        self.problem().is_some_and(|problem| problem.fault.message == message)
    }
}

impl Status {
    /// From when until when the object of an item may be used.
    pub(crate) fn lifetime(&mut self, volume: usize, item: usize, lifetime: Lifetime, now: Time) {
        self.boot = lifetime.boot(now).or(self.boot);
        self.volumes[volume].items[item].lifetime.lifetime = lifetime;
    }

    /// Whether it may be used now; what is news of that. A warning comes once per version, also
    /// where several items are made of the object.
    pub(crate) fn look_at_lifetime(
        &mut self,
        volume: usize,
        item: usize,
        now: Time,
    ) -> Option<Report> {
        let row = &self.volumes[volume].items[item];
        let unix = self.boot.map(|boot| boot.saturating_add_unsigned(now.as_secs()));
        let unix = unix.and_then(|unix| u64::try_from(unix).ok());
        let from = Item::at(&self.plan.volumes[volume], item);
        let fault = unix.and_then(|unix| row.lifetime.lifetime.fault(&from.source(), unix));
        let files = row.pending.as_ref().map_or(&row.files, |(files, _)| files);
        // A selection has many versions, and its warning names the secret.
        let version = match from {
            Item::File(_) => files.first().map(|(_, version)| version.clone()),
            Item::Selection(_) => None,
        };
        let Some(fault) = fault else {
            let (before, _) = self.volumes[volume].items[item].lifetime.warned_of.take()?;
            let message = before.fault.message;
            let object = message.split_once(": ").map_or(&*message, |(object, _)| object);
            return (!self.rows().any(|row| row.warns_of(&message)))
                .then(|| Report::Info(format!("{object}: valid again")));
        };
        if row.lifetime.has_warned_of(&fault, version.as_ref()) {
            return None;
        }
        let is_known = self.rows().any(|row| row.has_warned_of(&fault, version.as_ref()));
        let problem = Problem { fault: fault.clone(), first: String::new(), at: now };
        self.volumes[volume].items[item].lifetime.warned_of = Some((problem, version));
        (!is_known).then_some(Report::Warn(fault))
    }

    fn rows(&self) -> impl Iterator<Item = &LifetimeRow> {
        self.volumes.iter().flat_map(|volume| &volume.items).map(|item| &item.lifetime)
    }
}
