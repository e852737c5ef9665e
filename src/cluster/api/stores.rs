//! Where the certificates and the path of reviews are kept: one Secret.

use super::client::{Client, OBJECTS};
use super::error::ApiError;
use super::event::Metadata;
use super::is_name;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use keysluice_certs::{Data, ResourceVersion, SecretStore, StoreError, Stored};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

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
        let parts =
            text.split_once('/').filter(|(namespace, name)| is_name(namespace) && is_name(name));
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
        let secret: Secret<'_> =
            serde_json::from_slice(&body).map_err(|error| failed(error.into()))?;
        // The API server takes nothing but base64; what is none all the same is as good as empty.
        let data = secret
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, BASE64_STANDARD.decode(value).unwrap_or_default()));
        Ok(Some(Stored {
            data: Data(data.collect()),
            version: ResourceVersion::from(&*secret.metadata.resource_version),
        }))
    }

    async fn write(
        &self,
        data: &Data,
        version: Option<&ResourceVersion>,
    ) -> Result<(), StoreError> {
        let data: BTreeMap<&String, String> =
            data.0.iter().map(|(key, value)| (key, BASE64_STANDARD.encode(value))).collect();
        let written = match version {
            None => {
                let labels = json!({"app.kubernetes.io/name": "keysluice",
                    "app.kubernetes.io/managed-by": "keysluice"});
                let SecretName { namespace, name } = &self.name;
                let metadata = json!({"name": name, "namespace": namespace, "labels": labels});
                let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata,
                    "type": "Opaque", "data": data});
                self.client.create(&self.collection(), bytes(&secret)).await.map(drop)
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

/// With another version by now, the API server answers 409 and changes nothing.
pub(super) fn at_version(version: &ResourceVersion) -> Value {
    json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version.as_str()})
}

pub(super) fn bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

pub(super) fn failed(error: ApiError) -> StoreError {
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
