//! What a log says: who read what, which grants are unused, which workloads use an old version, and
//! which calls are nobody's.

use super::assignments::Assignment;
use super::attribution::Reason;
use super::ledger::{CallKey, Ledger, Malformed, StrangerKey, Tally, Totals};
use super::names::OTHERS;
use super::unused::Unused;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Workloads that are named beside a caller who could not be told.
const NAMED_WORKLOADS: usize = 3;

/// Microseconds since 1970; written in RFC 3339 with seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = OffsetDateTime::from_unix_timestamp(self.0.div_euclid(1_000_000)).ok();
        f.write_str(&time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default())
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// All of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The log itself.
    pub log: Log,
    /// Who called what.
    pub calls: Vec<Calls>,
    /// Grants that nobody used.
    pub unused: Unused,
    /// Workloads whose last read gave a version that is not the newest.
    pub old_versions: Vec<OldVersion>,
    /// Calls of nobody who could be told, by caller.
    pub unattributed: Vec<Stranger>,
}

/// What was read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// How many records there are of each kind.
    #[serde(flatten)]
    pub totals: Totals,
    /// The first record that is not readable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_malformed: Option<Malformed>,
    /// Pods that are known.
    pub pods: usize,
    /// Pods that are left out because there are too many.
    pub pods_left_out: usize,
    /// The first record.
    pub first: Option<Moment>,
    /// The last record.
    pub last: Option<Moment>,
}

/// Calls alike of a workload.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Calls {
    /// `Deployment shop/web`.
    pub workload: String,
    /// `shop.vault.azure.net/secrets/db`, or the vault alone.
    pub object: String,
    /// `SecretGet`.
    pub operation: String,
    /// The version, if the log tells it.
    pub version: Option<String>,
    /// Whether the request named the version.
    pub pinned: bool,
    /// How many.
    pub calls: u64,
    /// How many of them were refused.
    pub failed: u64,
    /// The first.
    pub first: Moment,
    /// The last.
    pub last: Moment,
}

/// A workload that uses an old version.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OldVersion {
    /// `Deployment shop/web`.
    pub workload: String,
    /// `shop.vault.azure.net/secrets/db`.
    pub object: String,
    /// The version that it read last.
    pub version: String,
    /// Whether it asked for this version.
    pub pinned: bool,
    /// How many of its pods.
    pub pods: usize,
    /// When one of them read it last.
    pub last_read: Moment,
    /// The newest version that the log shows.
    pub newest: String,
    /// When the log first shows it.
    pub newest_since: Moment,
}

/// A caller who could not be told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stranger {
    /// Why, for programs.
    pub reason: &'static str,
    /// Why, for people.
    #[serde(skip)]
    pub text: &'static str,
    /// Its client id.
    pub app_id: Option<String>,
    /// Its object id.
    pub object_id: Option<String>,
    /// Its address.
    pub address: String,
    /// Workloads whose sidecars sign in with this client id, three at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub identity_of: Vec<String>,
    /// How many calls.
    pub calls: u64,
    /// How many of them were refused.
    pub failed: u64,
    /// The first.
    pub first: Moment,
    /// The last.
    pub last: Moment,
}

impl Ledger {
    /// The report, with grants that are unused for so many days.
    pub fn report(&self, days: u32, assignments: Option<&[Assignment]>) -> Report {
        Report {
            log: self.log(),
            calls: self.calls(),
            unused: self.unused(days, assignments),
            old_versions: self.old_versions(),
            unattributed: self.strangers(),
        }
    }

    fn log(&self) -> Log {
        let Totals { span, .. } = self.totals;
        Log {
            totals: self.totals,
            first_malformed: self.first_malformed.clone(),
            pods: self.pods.len(),
            pods_left_out: self.pods.left_out,
            first: span.map(|(first, _)| Moment(first)),
            last: span.map(|(_, last)| Moment(last)),
        }
    }

    fn calls(&self) -> Vec<Calls> {
        let mut rows: Vec<Calls> =
            self.calls.iter().map(|(key, tally)| self.calls_row(key, tally)).collect();
        rows.sort_unstable();
        rows
    }

    fn calls_row(&self, key: &CallKey, tally: &Tally) -> Calls {
        Calls {
            workload: self.workloads.text(key.workload).to_owned(),
            object: self.objects.text(key.object).to_owned(),
            operation: self.operations.text(key.operation).to_owned(),
            version: (key.version != OTHERS).then(|| self.versions.text(key.version).to_owned()),
            pinned: key.is_pinned,
            calls: tally.calls,
            failed: tally.failed,
            first: Moment(tally.first),
            last: Moment(tally.last),
        }
    }

    fn old_versions(&self) -> Vec<OldVersion> {
        let mut found = BTreeMap::<(String, String, String, bool), OldVersion>::new();
        for (&(pod, object), reader) in &self.readers {
            let Some(current) = self.current.get(&object) else { continue };
            // A pod that has ended uses nothing.
            if current.version == reader.version || self.pods.is_running(pod) == Some(false) {
                continue;
            }
            let old = OldVersion {
                workload: self.pods.pod(pod).record.title(),
                object: self.objects.text(object).to_owned(),
                version: self.versions.text(reader.version).to_owned(),
                pinned: reader.is_pinned,
                pods: 0,
                last_read: Moment(reader.time),
                newest: self.versions.text(current.version).to_owned(),
                newest_since: Moment(current.since),
            };
            let key = (old.workload.clone(), old.object.clone(), old.version.clone(), old.pinned);
            let entry = found.entry(key).or_insert(old);
            entry.pods += 1;
            entry.last_read = entry.last_read.max(Moment(reader.time));
        }
        found.into_values().collect()
    }

    fn strangers(&self) -> Vec<Stranger> {
        let users = self.pods.users();
        let mut all: Vec<(&StrangerKey, &Tally)> = self.strangers.iter().collect();
        all.sort_by_key(|(key, tally)| {
            let address = self.address(key.address);
            (std::cmp::Reverse(tally.calls), key.reason, key.app, key.principal, address)
        });
        all.into_iter()
            .map(|(key, tally)| Stranger {
                reason: Reason::as_str(key.reason),
                text: key.reason.text(),
                app_id: key.app.map(|id| id.to_string()),
                object_id: key.principal.map(|id| id.to_string()),
                address: self.address(key.address).to_owned(),
                identity_of: key
                    .app
                    .and_then(|app| users.get(&app))
                    .map(|all| all.iter().take(NAMED_WORKLOADS).cloned().collect())
                    .unwrap_or_default(),
                calls: tally.calls,
                failed: tally.failed,
                first: Moment(tally.first),
                last: Moment(tally.last),
            })
            .collect()
    }
}
