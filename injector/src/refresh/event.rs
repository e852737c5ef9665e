//! The inputs of the machine, and the actions that it returns.

use super::Swap;
use crate::fault::Fault;
use crate::fetch::Progress;
use crate::react::Attempt;
use crate::sync::Synced;
use keysluice_plan::{Plan, RelativePath};
use std::sync::Arc;

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The process is up, or a time came that [`super::Machine::wake_at`] named.
    Wake,
    /// Everything is to be fetched now.
    Refresh,
    /// A fetch goes on.
    Progress(Progress),
    /// The commit of a volume ended.
    Committed {
        /// Index of the volume.
        volume: usize,
        /// Whether it worked.
        result: Result<Written, Fault>,
    },
    /// All volumes were written, after [`Action::CommitAll`].
    CommittedAll,
    /// The removal of a previous generation ended.
    Removed {
        /// Index of the volume.
        volume: usize,
        /// Whether it worked.
        result: Result<(), Fault>,
    },
    /// A Secret was made, or not.
    Synced {
        /// Index of the Secret.
        secret: usize,
        /// What was done.
        result: Result<Synced, Fault>,
    },
    /// The webhook was asked for the current Plan: whether the one in force is it.
    PlanAnswered(Result<(), Fault>),
    /// From now on this Plan is in force, which has the same volumes. Only while the machine is
    /// quiet.
    PlanChanged(Arc<Plan>),
    /// The application was told of changed files: what was done.
    Reacted(Result<String, Fault>),
}

/// A commit that worked.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) swap: Swap,
    /// Name of the current generation.
    pub(crate) generation: Option<String>,
    /// Its files that differ from the generation before.
    pub(crate) changed: Vec<RelativePath>,
    /// Why a template could not be filled; its last file stays.
    pub(crate) fault: Option<Fault>,
}

/// What to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Fetch these items and answer with [`Event::Progress`].
    Fetch { volume: usize, items: Vec<usize> },
    /// Whatever a list tells, the next fetch of these items asks for the objects themselves.
    Forget { volume: usize, items: Vec<usize> },
    /// Write a generation of [`super::Machine::entries`]; answer with [`Event::Committed`].
    Commit { volume: usize },
    /// Write all volumes: all or nothing was asked for, and all is there; answer with
    /// [`Event::CommittedAll`].
    CommitAll,
    /// Remove the oldest generation that lingers; answer with [`Event::Removed`].
    RemovePrevious { volume: usize },
    /// Write a line to the log.
    Report(Report),
    /// Make this Secret of the current generations; answer with [`Event::Synced`].
    Sync { secret: usize },
    /// Tell the application that files have changed; answer with [`Event::Reacted`].
    React { attempt: Attempt },
    /// Every volume has its first generation, and every Secret was made: open the gate.
    Ready,
    /// A refresh on demand is over.
    Refreshed,
    /// End the process.
    GiveUp(Fault),
}

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// Progress.
    Info(String),
    /// Something works, but perhaps not as it was meant.
    Note(String),
    /// A failure, and the process goes on.
    Warn(Fault),
}
