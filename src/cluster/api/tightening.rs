//! From a first installation that refuses nothing to one that lets nothing pass: `failurePolicy` of
//! our entries from `Ignore` to `Fail`, and the guard from warning to refusing, once a review has
//! been answered. Never back.
//!
//! No policy can bound changes of a policy's binding (the API server evaluates none there), so the
//! webhook may not change one: the binding that refuses looks whether a Secret of the webhook's has
//! a key, and that key is what is written.

use super::client::Client;
use super::configuration::{Configuration, Entry, Kind};
use super::stores::{CertificateSecret, SecretName, at_version, bytes, failed};
use crate::reason::KS715;
use keysluice_certs::{ResourceVersion, SecretStore as _, StoreError};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// With this key in its Secret the guard refuses; the chart's policy reads it, and
/// [`Rotator`](keysluice_certs::Rotator) keeps it.
const GUARD_KEY: &str = "guard";
/// Longest time between two looks; also where the configuration cannot be watched.
const POLL: Duration = Duration::from_secs(30);
/// After a change of the configuration: the Secret, which is not watched, may come with the same
/// upgrade a moment later.
const SOON: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(3)];

/// What becomes strict once a review has been answered.
#[derive(Debug)]
pub struct Tightening {
    client: Client,
    configuration: String,
    entries: Vec<&'static str>,
    guard: Option<CertificateSecret>,
}

/// What was tightened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tightened {
    /// `failurePolicy` of this entry.
    Entry(String),
    /// The guard.
    Guard,
}

impl Tightening {
    /// Of these entries of a configuration, and of the guard that looks into this Secret.
    pub fn new(
        client: Client,
        configuration: &str,
        entries: Vec<&'static str>,
        guard: Option<SecretName>,
    ) -> Self {
        let guard = guard.map(|name| CertificateSecret::new(client.clone(), name));
        Self { client, configuration: configuration.to_owned(), entries, guard }
    }

    /// Waits for the first review, then tightens what is loose, also what somebody loosens later;
    /// `changed` says when the configuration may have changed. Never ends.
    pub async fn run(self, mut reviewed: watch::Receiver<bool>, changed: Arc<Notify>) {
        if reviewed.wait_for(|reviewed| *reviewed).await.is_err() {
            return std::future::pending().await;
        }
        let (mut looks, mut is_told) = (0, false);
        loop {
            let (done, error) = self.tighten().await;
            for one in done {
                match one {
                    Tightened::Entry(entry) => {
                        tracing::info!(entry, "failurePolicy is Fail from now on");
                    }
                    Tightened::Guard => tracing::info!("the guard refuses from now on"),
                }
            }
            let mut pause = SOON.get(looks).copied().unwrap_or(POLL);
            match error {
                None => is_told = false,
                // Another replica was faster, or another client is changing it.
                Some(StoreError::Conflict) => pause = SOON[0],
                Some(error) => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(%error, "{KS715} pods may pass without the webhook until \
                            it is");
                    }
                }
            }
            looks += 1;
            if tokio::time::timeout(pause, changed.notified()).await.is_ok() {
                looks = 0;
            }
        }
    }

    /// Looks once, and tightens what is loose; each on its own, so that one that is refused keeps
    /// no other from it. Each patch is for the version that was read before it.
    async fn tighten(&self) -> (Vec<Tightened>, Option<StoreError>) {
        let (mut done, mut error, mut tried) = (Vec::new(), None, Vec::new());
        loop {
            let read = Configuration::read(&self.client, Kind::Mutating, &self.configuration);
            let configuration = match read.await {
                Ok(Some(configuration)) => configuration,
                Ok(None) => break,
                Err(unread) => {
                    error = Some(failed(unread));
                    break;
                }
            };
            let mut loose = loose(configuration.entries(), &self.entries).into_iter();
            let Some((index, name)) = loose.find(|(_, name)| !tried.contains(name)) else { break };
            match self.tighten_entry(index, &configuration.version()).await {
                Ok(()) => done.push(Tightened::Entry(name.clone())),
                Err(refused) => error = Some(refused),
            }
            tried.push(name);
        }
        match self.tighten_guard().await {
            Ok(true) => done.push(Tightened::Guard),
            Ok(false) => {}
            Err(refused) => error = Some(refused),
        }
        (done, error)
    }

    async fn tighten_entry(
        &self,
        index: usize,
        version: &ResourceVersion,
    ) -> Result<(), StoreError> {
        let policy = format!("/webhooks/{index}/failurePolicy");
        let strict = json!({"op": "replace", "path": policy, "value": "Fail"});
        let patch = json!([at_version(version), strict]);
        self.client
            .patch(&Configuration::path(Kind::Mutating, &self.configuration), bytes(&patch))
            .await
            .map_err(failed)
    }

    async fn tighten_guard(&self) -> Result<bool, StoreError> {
        // One that is not there is made by whoever makes it: the rotation, or an upgrade of the
        // chart.
        let Some(guard) = &self.guard else { return Ok(false) };
        let Some(mut stored) = guard.read().await? else { return Ok(false) };
        if stored.data.0.contains_key(GUARD_KEY) {
            return Ok(false);
        }
        stored.data.0.insert(GUARD_KEY.to_owned(), b"Deny".to_vec());
        guard.write(&stored.data, Some(&stored.version)).await?;
        Ok(true)
    }
}

/// Index and name of the entries that are to fail and do not; without the field they do.
fn loose(entries: &[Entry], wanted: &[&str]) -> Vec<(usize, String)> {
    entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| {
            wanted.contains(&&*entry.name)
                && entry.failure_policy.as_deref().is_some_and(|policy| policy != "Fail")
        })
        .map(|(index, entry)| (index, entry.name.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_entries_asked_for_are_tightened() {
        let entries: Vec<Entry> = serde_json::from_value(json!([
            {"name": "pods.keysluice.dev", "failurePolicy": "Ignore"},
            {"name": "csi-volumes.keysluice.dev", "failurePolicy": "Fail"},
            {"name": "ephemeral-containers.keysluice.dev", "failurePolicy": "Ignore"},
            {"name": "other.keysluice.dev"},
        ]))
        .unwrap();
        let wanted = ["pods.keysluice.dev", "csi-volumes.keysluice.dev", "other.keysluice.dev"];
        assert_eq!(loose(&entries, &wanted), [(0, "pods.keysluice.dev".to_owned())]);
        assert_eq!(loose(&entries, &[]), []);
    }
}
