//! Our webhook configuration: what the webhook reads of it, `caBundle` and path that it writes, and
//! the watch.

use super::Pace;
use super::backoff::{Backoff, random};
use super::client::{Client, METADATA, OBJECTS};
use super::error::ApiError;
use super::stores::{at_version, bytes, failed};
use crate::reason::KS707;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keysluice_certs::{
    BundleStore, EntryPath, Publication, Published, ResourceVersion, StoreError,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
/// A watch that lasted this long was a good one.
const GOOD: Duration = Duration::from_secs(20);
/// How the chart says that the webhook writes the path. Without it a path of [`EARLIER`] stays: the
/// configuration is that of an earlier version, whose replicas may be running and answer no other.
const MARK: (&str, &str) = ("keysluice.dev/path", "written-by-webhook");
const EARLIER: [&str; 2] = ["/mutate", "/mutate-v1-pod"];

/// Which of the two kinds of webhook configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of reviews of pods.
    Mutating,
    /// Of reviews of workloads.
    Validating,
}

impl Kind {
    fn collection(self) -> String {
        let plural = match self {
            Self::Mutating => "mutatingwebhookconfigurations",
            Self::Validating => "validatingwebhookconfigurations",
        };
        format!("{GROUP}/{plural}")
    }
}

/// What the webhook needs of a configuration.
#[derive(Debug, Deserialize)]
pub(super) struct Configuration {
    metadata: Metadata,
    #[serde(default)]
    webhooks: Option<Vec<Entry>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// One entry.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) failure_policy: Option<String>,
    #[serde(default)]
    pub(super) client_config: ClientConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ClientConfig {
    pub(super) ca_bundle: Option<String>,
    pub(super) service: Option<Service>,
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Service {
    #[serde(default)]
    path: Option<String>,
}

impl Entry {
    /// Its `caBundle`, decoded; empty where it has none.
    fn bundle(&self) -> Vec<u8> {
        let text = self.client_config.ca_bundle.as_deref().unwrap_or_default();
        BASE64_STANDARD.decode(text).unwrap_or_default()
    }
}

impl Configuration {
    /// Reads it; `None` where there is none.
    pub(super) async fn read(
        client: &Client,
        kind: Kind,
        name: &str,
    ) -> Result<Option<Self>, ApiError> {
        match client.read(&Self::path(kind, name), OBJECTS).await {
            Err(error) if error.status() == Some(404) => Ok(None),
            answer => Ok(Some(serde_json::from_slice(&answer?)?)),
        }
    }

    /// Its own path.
    pub(super) fn path(kind: Kind, name: &str) -> String {
        format!("{}/{name}", kind.collection())
    }

    pub(super) fn entries(&self) -> &[Entry] {
        self.webhooks.as_deref().unwrap_or_default()
    }

    pub(super) fn version(&self) -> ResourceVersion {
        ResourceVersion::from(&*self.metadata.resource_version)
    }

    fn entry_paths(&self) -> impl Iterator<Item = EntryPath> {
        let (key, value) = MARK;
        let is_marked = self
            .metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(key))
            .is_some_and(|one| one == value);
        self.entries().iter().map(move |entry| {
            let path = entry.client_config.path();
            let is_replaceable =
                entry.client_config.service.is_some() && (is_marked || !EARLIER.contains(&path));
            EntryPath::new(path, is_replaceable)
        })
    }
}

impl ClientConfig {
    /// What the API server calls.
    pub(super) fn path(&self) -> &str {
        match (&self.service, &self.url) {
            (Some(service), _) => service.path.as_deref().unwrap_or_default(),
            (None, Some(url)) => {
                let rest = url.split_once("://").map_or(&**url, |(_, rest)| rest);
                let path = rest.find('/').map_or("", |at| &rest[at..]);
                path.split(['?', '#']).next().unwrap_or_default()
            }
            (None, None) => "",
        }
    }
}

/// `caBundle` and path of every entry of one MutatingWebhookConfiguration.
#[derive(Debug)]
pub struct BundleConfiguration {
    client: Client,
    name: String,
    /// Which entries of it may get a path, and when.
    read: Mutex<Option<(ResourceVersion, Vec<bool>)>>,
}

impl BundleConfiguration {
    /// By this client.
    pub fn new(client: Client, name: &str) -> Self {
        Self { client, name: name.to_owned(), read: Mutex::default() }
    }
}

impl BundleStore for BundleConfiguration {
    async fn read(&self) -> Result<Published, StoreError> {
        let Some(configuration) =
            Configuration::read(&self.client, Kind::Mutating, &self.name).await.map_err(failed)?
        else {
            // Not there yet, as in the first seconds of an installation: no entry, and none to
            // report.
            return Ok(Published::read([], ResourceVersion::from("")));
        };
        let (bundles, paths): (Vec<Vec<u8>>, Vec<EntryPath>) = (
            configuration.entries().iter().map(Entry::bundle).collect(),
            configuration.entry_paths().collect(),
        );
        let version = configuration.version();
        let replaceable = paths.iter().map(EntryPath::is_replaceable).collect();
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((version.clone(), replaceable));
        Ok(Published::read(bundles.iter().map(Vec::as_slice), version).naming(paths))
    }

    async fn patch(
        &self,
        publication: &Publication,
        version: &ResourceVersion,
    ) -> Result<(), StoreError> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((_, entries)) = read.filter(|(read, _)| read == version) else {
            return Err(StoreError::Conflict);
        };
        let mut operations = vec![at_version(version)];
        for (index, is_replaceable) in entries.into_iter().enumerate() {
            if let Some(bundle) = &publication.bundle {
                operations.push(set_bundle(index, &BASE64_STANDARD.encode(bundle)));
            }
            if let Some(path) = publication.path.as_ref().filter(|_| is_replaceable) {
                operations.push(set_path(index, path.as_str()));
            }
        }
        self.client
            .patch(
                &Configuration::path(Kind::Mutating, &self.name),
                bytes(&Value::from(operations)),
            )
            .await
            .map_err(failed)
    }
}

/// The operation that sets the `caBundle` of an entry.
pub(super) fn set_bundle(index: usize, bundle: &str) -> Value {
    set(index, "caBundle", bundle)
}

/// The operation that sets the path of an entry's service.
pub(super) fn set_path(index: usize, path: &str) -> Value {
    set(index, "service/path", path)
}

fn set(index: usize, field: &str, value: &str) -> Value {
    let path = format!("/webhooks/{index}/clientConfig/{field}");
    json!({"op": "add", "path": path, "value": value})
}

/// Tells `changed` whenever the configuration may have changed; never ends. A `caBundle` that
/// somebody overwrote fails every review, so nobody should have to wait for the next look.
pub fn watch_configuration(
    client: &Client,
    (kind, name): (Kind, &str),
    changed: Vec<Arc<Notify>>,
    pace: Pace,
) -> impl Future<Output = ()> + Send + 'static {
    let (client, name) = (client.clone(), name.to_owned());
    async move {
        let mut backoff = Backoff::new(pace.first_retry, pace.longest_retry);
        let mut failures = 0_u32;
        loop {
            let begun = Instant::now();
            match watch_once(&client, (kind, &name), &changed, pace).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let configuration = &*name;
                    // Without the right to watch this goes on for ever; the regular look still
                    // mends the bundle.
                    if failures == 1 {
                        tracing::warn!(configuration, %error, "{KS707} a changed caBundle is seen \
                            only at the next regular look");
                    } else {
                        tracing::debug!(
                            configuration, failures, %error,
                            "the watch of the webhook configuration failed again"
                        );
                    }
                }
            }
            if begun.elapsed() >= GOOD {
                backoff.reset();
            }
            tokio::time::sleep(backoff.next(None, random())).await;
        }
    }
}

/// Each piece of the answer is part of an event, and every event is about our one object: what it
/// says is read anew anyway.
async fn watch_once(
    client: &Client,
    (kind, name): (Kind, &str),
    changed: &[Arc<Notify>],
    pace: Pace,
) -> Result<(), ApiError> {
    let path = format!(
        "{}?watch=true&fieldSelector=metadata.name%3D{name}&timeoutSeconds=420",
        kind.collection()
    );
    let mut body = Box::pin(client.open(&path, METADATA)).await?;
    // Bookmarks are not asked for, so silence may last as long as the watch.
    let patience = pace.silence.max(Duration::from_secs(480));
    while super::client::next_chunk(&mut body, patience).await?.is_some() {
        for one in changed {
            one.notify_one();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(annotations: &Value, client_config: &Value) -> Vec<EntryPath> {
        let entry = json!({"name": "e", "clientConfig": client_config});
        let metadata = json!({"resourceVersion": "1", "annotations": annotations});
        let configuration: Configuration =
            serde_json::from_value(json!({"metadata": metadata, "webhooks": [entry]})).unwrap();
        configuration.entry_paths().collect()
    }

    #[test]
    fn an_entry_names_what_the_api_server_calls() {
        let marked = json!({"keysluice.dev/path": "written-by-webhook"});
        for (client_config, expected) in [
            (json!({"service": {"name": "s"}}), "/"),
            (json!({"service": {"path": ""}}), "/"),
            (json!({"service": {"path": "/a/"}}), "/a"),
            (json!({"service": {"path": "/mutate"}}), "/mutate"),
            (json!({"url": "https://a.test:8443/x/y?z=/1"}), "/x/y"),
            (json!({"url": "https://a.test"}), "/"),
            (json!({}), "/"),
        ] {
            let is_replaceable = client_config.get("service").is_some();
            let found = paths(&marked, &client_config);
            assert_eq!(found, [EntryPath::new(expected, is_replaceable)]);
        }
    }

    #[test]
    fn the_paths_of_earlier_versions_are_replaced_only_where_the_chart_says_so() {
        let unmarked =
            [json!(null), json!({}), json!({"keysluice.dev/path": "kept-until-next-upgrade"})];
        for annotations in unmarked {
            for (path, expected) in
                [("/mutate", false), ("/mutate-v1-pod", false), ("/", true), ("/other", true)]
            {
                let found = paths(&annotations, &json!({"service": {"path": path}}));
                assert_eq!(found, [EntryPath::new(path, expected)], "{annotations}");
            }
        }
        let marked = json!({"keysluice.dev/path": "written-by-webhook"});
        assert_eq!(
            paths(&marked, &json!({"service": {"path": "/mutate"}})),
            [EntryPath::new("/mutate", true)]
        );
    }
}
