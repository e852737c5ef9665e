//! The current Plan of running pods: what the sidecar is given to ask with, and what it is told.
//!
//! A Plan changes only because a class has changed since it was made. The new one is made by the
//! code that makes it at admission, from the parts of the pod that stand in the [`basis`].

mod basis;
mod update;

pub(super) use basis::{Made, source};
pub use update::{RequestError, etag, read, update};

use super::entries::MountEntry;
use super::names::{PLAN_DIRECTORY, PLAN_VOLUME};
use crate::settings::PLAN_AUDIENCE;
use serde_json::{Value, json};

/// Where sidecars ask.
pub const PLAN_PATH: &str = "/v1/plan";
/// The kubelet renews the token when 80 % of this have passed.
const TOKEN_SECONDS: u32 = 3600;

/// The volume with the token for the webhook.
pub(super) fn volume() -> Value {
    json!({"name": PLAN_VOLUME, "projected": {"sources": [{"serviceAccountToken": {
        "path": "token", "expirationSeconds": TOKEN_SECONDS, "audience": PLAN_AUDIENCE}}]}})
}

/// Its mount in the sidecar.
pub(super) fn mount() -> MountEntry<'static> {
    MountEntry { name: PLAN_VOLUME, mount_path: PLAN_DIRECTORY, read_only: true }
}

#[cfg(test)]
mod tests;
