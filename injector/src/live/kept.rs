//! The Plan in force, on the private tmpfs: a container that is restarted goes on with it.

use crate::control::RunDirectory;
use crate::log;
use keysluice_plan::Plan;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

const PLAN_FILE: &str = "plan.json";

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Kept<'a> {
    /// Of the environment's Plan that it came from.
    base: u64,
    etag: Option<String>,
    plan: Cow<'a, Plan>,
}

impl<'a> Kept<'a> {
    /// A Plan that came from the one with this hash.
    pub(crate) fn new(base: u64, etag: Option<&str>, plan: &'a Plan) -> Self {
        Self { base, etag: etag.map(str::to_owned), plan: Cow::Borrowed(plan) }
    }

    /// Keeps it.
    pub(crate) fn write(&self, run: &RunDirectory) {
        run.replace(PLAN_FILE, &serde_json::to_vec(self).unwrap_or_default());
    }
}

/// The Plan to go on with, its entity tag, and the hash of the environment's. What was kept counts
/// only where it came from the same one: the environment of a pod does not change, so another one
/// is another pod's.
pub(crate) fn resume(plan: Plan, run: &RunDirectory) -> (Plan, Option<String>, u64) {
    let base = hash(&plan);
    let bytes = if plan.source.is_some() { run.read(PLAN_FILE) } else { Vec::new() };
    match serde_json::from_slice::<Kept<'_>>(&bytes) {
        Ok(kept) if kept.base == base && kept.plan.check().is_ok() => {
            log::info("the Plan is the one that an edited class made");
            (kept.plan.into_owned(), kept.etag, base)
        }
        kept => {
            if kept.is_err() && !bytes.is_empty() {
                log::info("the Plan that an edited class made cannot be read; the pod's is used");
            }
            (plan, None, base)
        }
    }
}

fn hash(plan: &Plan) -> u64 {
    let mut hasher = DefaultHasher::new();
    serde_json::to_vec(plan).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}
