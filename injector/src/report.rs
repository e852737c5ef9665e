//! What `status` prints: written by the sidecar, read by the command that makes metrics of it.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The state of the sidecar.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report<'a> {
    /// Whether each volume has its first generation, and each Secret was made.
    pub(crate) ready: bool,
    /// Of the sidecar.
    pub(crate) version: Cow<'a, str>,
    /// Number of errors below, without that of a webhook that cannot be asked for the Plan.
    pub(crate) failing: usize,
    #[serde(borrow)]
    pub(crate) volumes: Vec<VolumeReport<'a>>,
    #[serde(default, borrow, skip_serializing_if = "Vec::is_empty")]
    pub(crate) secrets: Vec<SecretReport<'a>>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) reaction: Option<ReactionReport<'a>>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<PlanReport<'a>>,
    #[serde(default, borrow, skip_serializing_if = "Vec::is_empty")]
    pub(crate) calls: Vec<CallReport<'a>>,
}

/// How often a service was called since the sidecar started, by the answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CallReport<'a> {
    pub(crate) service: Cow<'a, str>,
    /// What was asked.
    pub(crate) kind: Cow<'a, str>,
    pub(crate) succeeded: u32,
    /// Status 4xx, without 429.
    pub(crate) refused: u32,
    /// Status 429.
    pub(crate) throttled: u32,
    /// Status 5xx.
    pub(crate) failed: u32,
    /// No connection, no name, or not in time.
    pub(crate) unanswered: u32,
}

/// Whether the Plan in force is the current one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanReport<'a> {
    /// Since the webhook last said that it is.
    pub(crate) age_seconds: Option<u64>,
    /// Of the last try.
    pub(crate) error: Option<ErrorReport<'a>>,
}

/// How the application was told of changed files.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReactionReport<'a> {
    /// How often since the sidecar started.
    pub(crate) count: u64,
    /// How often it failed.
    #[serde(default)]
    pub(crate) failed: u32,
    /// Since the last time.
    pub(crate) age_seconds: Option<u64>,
    /// Of the last try.
    pub(crate) error: Option<ErrorReport<'a>>,
}

/// The state of a Kubernetes Secret.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecretReport<'a> {
    pub(crate) name: Cow<'a, str>,
    /// Since it was last seen to be as it should.
    pub(crate) age_seconds: Option<u64>,
    /// How often it was written, was as it should, and could not be read or written.
    #[serde(default)]
    pub(crate) written: u32,
    #[serde(default)]
    pub(crate) unchanged: u32,
    #[serde(default)]
    pub(crate) failed: u32,
    /// Of the last try to make it.
    pub(crate) error: Option<ErrorReport<'a>>,
}

/// The state of a volume.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct VolumeReport<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) directory: Cow<'a, str>,
    /// Between two refreshes.
    #[serde(default, rename = "intervalSeconds")]
    pub(crate) interval_seconds: Option<u64>,
    pub(crate) generation: Option<Cow<'a, str>>,
    /// Of the last commit.
    pub(crate) error: Option<ErrorReport<'a>>,
    pub(crate) files: Vec<FileReport<'a>>,
}

/// The state of an item.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileReport<'a> {
    pub(crate) path: Cow<'a, str>,
    /// What it comes from.
    pub(crate) object: Cow<'a, str>,
    /// Of the one file at `path`.
    pub(crate) version: Option<Cow<'a, str>>,
    /// All files, if the item makes others than that one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) made: Vec<OutputReport<'a>>,
    /// Since the vault was last seen to have what the files hold.
    pub(crate) age_seconds: Option<u64>,
    /// Until the vault is asked next, if nothing else happens.
    #[serde(default)]
    pub(crate) next_seconds: Option<u64>,
    /// When the object becomes active by its attribute, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) starts_at: Option<u64>,
    /// When the object expires by its attribute, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<u64>,
    /// That the object is expired or not active yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) warning: Option<ErrorReport<'a>>,
    /// Of the last fetch.
    pub(crate) error: Option<ErrorReport<'a>>,
}

/// A file of an item.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OutputReport<'a> {
    pub(crate) path: Cow<'a, str>,
    pub(crate) version: Cow<'a, str>,
}

/// A failure that persists.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorReport<'a> {
    pub(crate) code: Cow<'a, str>,
    pub(crate) message: Cow<'a, str>,
    pub(crate) hint: Cow<'a, str>,
    /// Since it last occurred.
    pub(crate) age_seconds: u64,
}
