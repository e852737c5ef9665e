//! The content of a Secret, made from files.

use crate::content::{Content, ContentError, tls};
use crate::fault::{Class, Fault};
use crate::volume::Volume;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keysluice_plan::reason::KS647;
use keysluice_plan::{Plan, SecretKey, SyncedSecret};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

const TLS: &str = "kubernetes.io/tls";

/// Values by key, in base64; prints nothing, zeroised when dropped.
#[derive(Default)]
pub(crate) struct Data(pub(super) BTreeMap<String, Zeroizing<String>>);

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value.as_str())?;
        }
        map.end()
    }
}

/// A Secret as it is applied.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Object<'a> {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) metadata: Value,
    #[serde(rename = "type")]
    pub(super) secret_type: &'a str,
    pub(super) data: &'a Data,
}

/// The content of the Secret with this index, from the current generations of the volumes.
///
/// # Errors
/// KS647 for a file that does not hold what its key needs, and what the volume fails with.
pub(crate) fn data_of(plan: &Plan, volumes: &[Volume], secret: usize) -> Result<Data, Fault> {
    data(&plan.secrets[secret], |key| {
        let index = plan.volumes.iter().position(|volume| volume.name == key.volume);
        let volume = index.and_then(|index| volumes.get(index));
        let read = volume.map(|volume| volume.read(&key.path)).transpose();
        read.map(Option::flatten).map_err(|error| error.fault())
    })
}

/// The content of a Secret; `read` answers with what a file of the current generation holds. A file
/// that is optional and not there leaves its key out.
fn data(
    secret: &SyncedSecret,
    mut read: impl FnMut(&SecretKey) -> Result<Option<Content>, Fault>,
) -> Result<Data, Fault> {
    let mut data = Data::default();
    for key in &secret.data {
        if let Some(file) = read(key)? {
            let value = value(secret, key, &file)?;
            data.0.insert(key.key.clone(), Zeroizing::new(STANDARD.encode(value.expose())));
        }
    }
    Ok(data)
}

fn value(secret: &SyncedSecret, key: &SecretKey, file: &Content) -> Result<Content, Fault> {
    let bytes = file.expose();
    let (made, what) = match (secret.secret_type.as_str(), key.key.as_str()) {
        (TLS, "tls.crt") => (tls::certificates(bytes), "a certificate"),
        (TLS, "tls.key") => (tls::private_key(bytes), "a private key"),
        (TLS, "ca.crt") => (tls::authorities(bytes), "a certificate of an authority"),
        _ => return Ok(Content::new(bytes.to_vec())),
    };
    let problem = match made {
        Ok(Some(content)) => return Ok(content),
        Ok(None) => format!("has no {}", what.trim_start_matches("a ")),
        Err(error) => unreadable(&error),
    };
    let SecretKey { key, path, .. } = key;
    let text = format!("Secret {:?}: {key} needs {what}; file {path} {problem}", secret.name);
    Err(Fault::new(KS647, Class::Slow, text))
}

fn unreadable(error: &ContentError) -> String {
    format!("cannot be read: {error}")
}
