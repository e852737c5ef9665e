//! Where the certificates are kept: one Secret, and `caBundle` of one webhook configuration.

use super::client::{ApiError, Client, METADATA, OBJECTS};
use super::event::Metadata;
use super::{Pace, is_name};
use crate::cluster::api::backoff::{Backoff, random};
use crate::reason::KS707;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use keysluice_certs::{BundleStore, Data, Published, ResourceVersion, SecretStore, StoreError, Stored};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
/// A watch that lasted this long was a good one.
const GOOD: Duration = Duration::from_secs(20);

/// `NAMESPACE/NAME` of the Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName {
    namespace: String,
    name: String,
}

/// The text that names no Secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not NAMESPACE/NAME")]
pub struct SecretNameError(String);

impl FromStr for SecretName {
    type Err = SecretNameError;
    fn from_str(text: &str) -> Result<Self, SecretNameError> {
        let parts = text.split_once('/').filter(|(namespace, name)| is_name(namespace) && is_name(name));
        let (namespace, name) = parts.ok_or_else(|| SecretNameError(text.to_owned()))?;
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// The Secret that all replicas share; type Opaque, created where there is none.
#[derive(Debug, Clone)]
pub struct CertificateSecret {
    client: Client,
    name: SecretName,
}

impl CertificateSecret {
    /// By this client.
    pub fn new(client: Client, name: SecretName) -> Self {
        Self { client, name }
    }

    fn collection(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.name.namespace)
    }
}

#[derive(Deserialize)]
struct Secret<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

impl SecretStore for CertificateSecret {
    async fn read(&self) -> Result<Option<Stored>, StoreError> {
        let path = format!("{}/{}", self.collection(), self.name.name);
        let body = match self.client.read(&path, OBJECTS).await {
            Err(error) if error.status() == Some(404) => return Ok(None),
            answer => answer.map_err(failed)?,
        };
        let secret: Secret<'_> = serde_json::from_slice(&body).map_err(|error| failed(error.into()))?;
        // The API server takes nothing but base64; what is none all the same is as good as empty.
        let decode = |(key, value): (String, String)| (key, BASE64_STANDARD.decode(value).unwrap_or_default());
        let data = Data(secret.data.unwrap_or_default().into_iter().map(decode).collect());
        Ok(Some(Stored { data, version: ResourceVersion::from(&*secret.metadata.resource_version) }))
    }

    async fn write(&self, data: &Data, version: Option<&ResourceVersion>) -> Result<(), StoreError> {
        let data: BTreeMap<&String, String> =
            data.0.iter().map(|(key, value)| (key, BASE64_STANDARD.encode(value))).collect();
        let written = match version {
            None => {
                let labels =
                    json!({"app.kubernetes.io/name": "keysluice", "app.kubernetes.io/managed-by": "keysluice"});
                let metadata = json!({"name": self.name.name, "namespace": self.name.namespace, "labels": labels});
                let secret =
                    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data});
                self.client.create(&self.collection(), bytes(&secret)).await
            }
            Some(version) => {
                let path = format!("{}/{}", self.collection(), self.name.name);
                let data = json!({"op": "add", "path": "/data", "value": data});
                self.client.patch(&path, bytes(&json!([at_version(version), data]))).await
            }
        };
        written.map_err(failed)
    }
}

/// `caBundle` of every entry of one MutatingWebhookConfiguration.
#[derive(Debug)]
pub struct BundleConfiguration {
    client: Client,
    path: String,
    name: String,
    /// How many entries it had, and when.
    read: Mutex<Option<(ResourceVersion, usize)>>,
}

impl BundleConfiguration {
    /// By this client.
    pub fn new(client: Client, name: &str) -> Self {
        Self { client, path: format!("{CONFIGURATIONS}/{name}"), name: name.to_owned(), read: Mutex::default() }
    }

    /// Tells `changed` whenever the configuration may have changed; never ends. A `caBundle` that somebody overwrote fails every
    /// review, so nobody should have to wait for the next look.
    pub fn watch(&self, changed: std::sync::Arc<Notify>, pace: Pace) -> impl Future<Output = ()> + Send + 'static {
        let (client, name) = (self.client.clone(), self.name.clone());
        async move {
            let mut backoff = Backoff::new(pace.first_retry, pace.longest_retry);
            let mut failures = 0_u32;
            loop {
                let begun = Instant::now();
                match watch_once(&client, &name, &changed, pace).await {
                    Ok(()) => failures = 0,
                    Err(error) => {
                        failures = failures.saturating_add(1);
                        let configuration = &*name;
                        // Without the right to watch this goes on for ever; the regular look still mends the bundle.
                        if failures == 1 {
                            tracing::warn!(configuration, %error, "{KS707} a changed caBundle is seen only at the next regular look");
                        } else {
                            tracing::debug!(configuration, failures, %error, "the watch of the webhook configuration failed again");
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
}

/// Each piece of the answer is part of an event, and every event is about our one object: what it says is read anew anyway.
async fn watch_once(client: &Client, name: &str, changed: &Notify, pace: Pace) -> Result<(), ApiError> {
    let path = format!("{CONFIGURATIONS}?watch=true&fieldSelector=metadata.name%3D{name}&timeoutSeconds=420");
    let mut body = Box::pin(client.open(&path, METADATA)).await?;
    // Bookmarks are not asked for, so silence may last as long as the watch.
    let patience = pace.silence.max(Duration::from_secs(480));
    while super::client::next_chunk(&mut body, patience).await?.is_some() {
        changed.notify_one();
    }
    Ok(())
}

#[derive(Deserialize)]
struct Configuration<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(default)]
    webhooks: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    client_config: ClientConfig,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClientConfig {
    ca_bundle: Option<String>,
}

impl BundleStore for BundleConfiguration {
    async fn read(&self) -> Result<Published, StoreError> {
        let body = match self.client.read(&self.path, OBJECTS).await {
            // Not there yet, as in the first seconds of an installation: no entry, nobody to tell.
            Err(error) if error.status() == Some(404) => return Ok(Published::read([], ResourceVersion::from(""))),
            answer => answer.map_err(failed)?,
        };
        let configuration: Configuration<'_> = serde_json::from_slice(&body).map_err(|error| failed(error.into()))?;
        let entry = |entry: Entry| BASE64_STANDARD.decode(entry.client_config.ca_bundle.unwrap_or_default());
        let entries: Vec<Vec<u8>> =
            configuration.webhooks.unwrap_or_default().into_iter().map(|one| entry(one).unwrap_or_default()).collect();
        let version = ResourceVersion::from(&*configuration.metadata.resource_version);
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some((version.clone(), entries.len()));
        Ok(Published::read(entries.iter().map(Vec::as_slice), version))
    }

    async fn patch(&self, bundle: &str, version: &ResourceVersion) -> Result<(), StoreError> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((_, entries)) = read.filter(|(read, _)| read == version) else { return Err(StoreError::Conflict) };
        let bundle = BASE64_STANDARD.encode(bundle);
        let entry = |index: usize| json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": bundle});
        let operations: Vec<Value> = std::iter::once(at_version(version)).chain((0..entries).map(entry)).collect();
        self.client.patch(&self.path, bytes(&Value::from(operations))).await.map_err(failed)
    }
}

/// With another version by now, the API server answers 409 and changes nothing.
fn at_version(version: &ResourceVersion) -> Value {
    json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version.as_str()})
}

fn bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

fn failed(error: ApiError) -> StoreError {
    match error.status() {
        // Another version by now, or created by somebody else.
        Some(409) => StoreError::Conflict,
        _ => StoreError::Failed(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_named_by_namespace_and_name() {
        assert_eq!("keysluice/tls".parse::<SecretName>().unwrap().to_string(), "keysluice/tls");
        for bad in ["", "tls", "/tls", "keysluice/", "a/b/c", "../x/y", "Keysluice/tls"] {
            assert_eq!(bad.parse::<SecretName>(), Err(SecretNameError(bad.to_owned())));
        }
    }
}
