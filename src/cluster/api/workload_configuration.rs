//! The configuration of reviews of workloads: its `caBundle` and path follow those of the
//! configuration of reviews of pods.
//!
//! The rotation decides by the latter alone: one that nothing depends on must not hold it up. Who
//! trusts the last but one `caBundle` verifies what is served, so there is time to follow.

use super::client::Client;
use super::configuration::{Configuration, Kind, set_bundle, set_path};
use super::stores::{at_version, bytes, failed};
use crate::reason::KS716;
use keysluice_certs::{ServicePath, StoreError};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Longest time between two looks; also where a configuration cannot be watched.
const POLL: Duration = Duration::from_secs(30);
/// After another replica was faster.
const SOON: Duration = Duration::from_millis(500);

/// A ValidatingWebhookConfiguration that follows a MutatingWebhookConfiguration.
#[derive(Debug)]
pub struct WorkloadConfiguration {
    client: Client,
    name: String,
    followed: String,
}

impl WorkloadConfiguration {
    /// By this client.
    pub fn new(client: &Client, name: &str, followed: &str) -> Self {
        let (name, followed) = (name.to_owned(), followed.to_owned());
        Self { client: client.clone(), name, followed }
    }

    /// Follows; `changed` says when one of the two may have changed. Never ends.
    pub async fn run(self, changed: Arc<Notify>) {
        let (name, mut is_told) = (&*self.name, false);
        loop {
            let mut pause = POLL;
            match self.follow().await {
                Ok(_) => is_told = false,
                Err(StoreError::Conflict) => pause = SOON,
                Err(error) => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(name, %error, "{KS716} workloads get no warnings until it \
                            is");
                    }
                }
            }
            // A look that is due all the same.
            let _ = tokio::time::timeout(pause, changed.notified()).await;
        }
    }

    /// Looks once; whether something was written.
    async fn follow(&self) -> Result<bool, StoreError> {
        let Some(followed) = self.read(Kind::Mutating, &self.followed).await? else {
            return Ok(false);
        };
        let Some(own) = self.read(Kind::Validating, &self.name).await? else {
            return Ok(false);
        };
        let operations = differences(&followed, &own);
        if operations.is_empty() {
            return Ok(false);
        }
        let version = std::iter::once(at_version(&own.version()));
        let patch: Value = version.chain(operations).collect();
        let address = Configuration::path(Kind::Validating, &self.name);
        self.client.patch(&address, bytes(&patch)).await.map_err(failed)?;
        tracing::info!(name = self.name, "caBundle and path are those of the pods' configuration");
        Ok(true)
    }

    async fn read(&self, kind: Kind, name: &str) -> Result<Option<Configuration>, StoreError> {
        Configuration::read(&self.client, kind, name).await.map_err(failed)
    }
}

/// What to write into `own`. Without any `caBundle` yet there is nothing to follow.
fn differences(followed: &Configuration, own: &Configuration) -> Vec<Value> {
    let Some(first) = followed.entries().first() else { return Vec::new() };
    let bundle = first.client_config.ca_bundle.as_deref().filter(|bundle| !bundle.is_empty());
    let path = first.client_config.path().parse().ok();
    let path = path.map(|path: ServicePath| path.of_workloads());
    let mut operations = Vec::new();
    for (index, entry) in own.entries().iter().enumerate() {
        let config = &entry.client_config;
        if let Some(bundle) = bundle.filter(|bundle| config.ca_bundle.as_deref() != Some(*bundle)) {
            operations.push(set_bundle(index, bundle));
        }
        if let Some(path) = path.as_deref()
            && config.service.is_some()
            && config.path() != path
        {
            operations.push(set_path(index, path));
        }
    }
    operations
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz012345";

    fn configuration(bundle: &str, path: &str) -> Configuration {
        let service = json!({"name": "s", "path": path});
        let entry = json!({"name": "e", "clientConfig": {"service": service, "caBundle": bundle}});
        serde_json::from_value(json!({"metadata": {}, "webhooks": [entry]})).unwrap()
    }

    /// The operation that adds this field of the first webhook.
    fn added(field: &str, value: &str) -> Value {
        let path = format!("/webhooks/0/clientConfig/{field}");
        json!({"op": "add", "path": path, "value": value})
    }

    #[test]
    fn bundle_and_path_are_taken_over_where_they_differ() {
        let (pods, workloads) = (format!("/mutate/{LETTERS}"), format!("/validate/{LETTERS}"));
        for (followed, own, expected) in [
            (("QQ==", &*pods), ("QQ==", &*workloads), vec![]),
            (("QQ==", &pods), ("Qg==", &workloads), vec![added("caBundle", "QQ==")]),
            (
                ("QQ==", &pods),
                ("", ""),
                vec![added("caBundle", "QQ=="), added("service/path", &workloads)],
            ),
            // Not yet published, or a path that is not ours.
            (("", ""), ("QQ==", "/validate-v1-pod"), vec![]),
            (("QQ==", "/mutate-v1-pod"), ("QQ==", "/validate-v1-pod"), vec![]),
        ] {
            let found =
                differences(&configuration(followed.0, followed.1), &configuration(own.0, own.1));
            assert_eq!(found, expected, "{followed:?} {own:?}");
        }
    }
}
