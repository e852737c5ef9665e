//! The inputs of the schedule, and the actions that it returns.

use crate::fault::{Class, Fault};
use std::time::Duration;

/// How the fetch of one file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its content is at hand.
    Fetched,
    /// The vault has what the current generation, or what was fetched for the next one, has.
    Unchanged,
    /// It failed.
    Failed {
        /// How likely another try helps.
        class: Class,
        /// What the other side asked us to wait.
        retry_after: Option<Duration>,
    },
    /// Content is at hand, but some of its objects failed and are to be tried again.
    Partly {
        /// How likely another try helps.
        class: Class,
        /// What the other side asked us to wait.
        retry_after: Option<Duration>,
    },
    /// Its content is at hand, but does not fit what another file has: both are to be fetched again
    /// before they are committed.
    HeldBack,
    /// It was not asked for: an earlier Retry-After is not over.
    Waiting {
        /// The rest of that wait.
        rest: Duration,
    },
}

impl Outcome {
    /// Of a fetch that brought nothing.
    pub fn of(fault: &Fault) -> Self {
        match (fault.waiting, fault.retry_after) {
            (true, Some(rest)) => Self::Waiting { rest },
            (_, retry_after) => Self::Failed { class: fault.class, retry_after },
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The process is up, or a time came that [`Schedule::wake_at`] named.
    Tick,
    /// A refresh of everything was requested.
    Refresh,
    /// Files of a volume were fetched, and may be committed although others are still under way.
    Fetched {
        /// Index of the volume.
        volume: usize,
        /// File and outcome.
        outcomes: Vec<(usize, Outcome)>,
    },
    /// While a volume is being fetched one of its files turned out never to work.
    PermanentFailure {
        /// Index of the volume.
        volume: usize,
    },
    /// The commit of a volume ended.
    Committed {
        /// Index of the volume.
        volume: usize,
        /// Whether it worked.
        result: Result<Swap, Class>,
    },
    /// A generation that lingered is gone.
    Removed {
        /// Index of the volume.
        volume: usize,
    },
    /// A generation that lingers could not be removed.
    NotRemoved {
        /// Index of the volume.
        volume: usize,
    },
}

/// What a commit that worked did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// Nothing lingers: nothing differed, or it was the first generation.
    Clean,
    /// A new generation is visible and the previous one lingers.
    Lingers,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Fetch these files and answer with [`Event::Fetched`].
    Fetch {
        /// Index of the volume.
        volume: usize,
        /// The files that are due.
        files: Vec<usize>,
    },
    /// Write a generation from what was fetched and, for the others, the last good files; answer
    /// with [`Event::Committed`].
    Commit {
        /// Index of the volume.
        volume: usize,
    },
    /// Remove the oldest generation that lingers.
    RemovePrevious {
        /// Index of the volume.
        volume: usize,
    },
    /// Every volume has its first generation: open the gate.
    Ready,
    /// A refresh on demand is over.
    Refreshed,
    /// End the process: no first generation in time, or (permanent) never.
    GiveUp {
        /// Whether another start cannot help.
        permanent: bool,
    },
}
