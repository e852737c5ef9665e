//! What an earlier run left in a volume.

use super::Outputs;
use keysluice_plan::{RelativePath, Volume};
use std::collections::BTreeSet;
use std::time::Duration;

/// A volume as it is when the process starts.
#[derive(Debug)]
pub(crate) struct Found {
    /// What the items have written in an earlier run.
    pub(crate) outputs: Outputs,
    /// The generation of an earlier run, if it is complete.
    pub(crate) complete: Option<Resumed>,
}

/// A complete generation of an earlier run.
#[derive(Debug)]
pub(crate) struct Resumed {
    /// Its name.
    pub(crate) generation: Option<String>,
    /// How long ago it was written.
    pub(crate) age: Duration,
}

impl Found {
    /// A volume with the files of an earlier run; `generation` is asked only when they are a
    /// complete generation, and may still find that they are not.
    pub(crate) fn of(
        volume: &Volume,
        left: Option<&BTreeSet<RelativePath>>,
        generation: impl FnOnce(&Outputs) -> Option<Resumed>,
    ) -> Self {
        let nothing = BTreeSet::new();
        let (outputs, complete) = Outputs::of(volume, left.unwrap_or(&nothing));
        let complete = if complete && left.is_some() { generation(&outputs) } else { None };
        Self { outputs, complete }
    }
}
