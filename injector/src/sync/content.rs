//! The content of a Secret, made from files.

use crate::content::{Content, ContentError, tls};
use crate::fault::{Class, Fault};
use crate::volume::Volume;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keysluice_plan::reason::KS647;
use keysluice_plan::{Layout, Plan, RelativePath, SecretKey, SyncedSecret, Volume as Planned};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

const TLS: &str = "kubernetes.io/tls";

/// Values by key, in base64; prints none, zeroised when dropped.
#[derive(Default, Clone)]
pub(crate) struct Data {
    pub(super) values: BTreeMap<String, Zeroizing<String>>,
    /// Keys of files that an edited class has added and that were not fetched yet: their values in
    /// the Secret stay, as a replica that has the files may have written them.
    pub(super) awaited: BTreeSet<String>,
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (key, value) in &self.values {
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
    let (secret, mut data) = (&plan.secrets[secret], Data::default());
    for key in &secret.data {
        let index = plan.volumes.iter().position(|volume| volume.name == key.volume);
        let Some((index, volume)) = index.and_then(|index| Some((index, volumes.get(index)?)))
        else {
            continue;
        };
        if let Some(file) = volume.read(&key.path).map_err(|error| error.fault())? {
            let value = value(secret, key, &file)?;
            data.values.insert(key.key.clone(), Zeroizing::new(STANDARD.encode(value.expose())));
        } else if is_awaited(&plan.volumes[index], volume, &key.path)? {
            data.awaited.insert(key.key.clone());
        }
    }
    Ok(data)
}

/// Whether a file that is not there is to come: its entry is not optional, and has no file at all.
fn is_awaited(planned: &Planned, volume: &Volume, path: &RelativePath) -> Result<bool, Fault> {
    // What a selection does not bring is gone.
    let Some(index) = Layout::of(planned).file_of(path) else { return Ok(false) };
    // After the files come the templates.
    let Some(file) = planned.files.get(index) else { return Ok(true) };
    let newest = file.history.and_then(|_| file.path.followed_by("/0").ok());
    let newest = newest.as_ref().unwrap_or(&file.path);
    Ok(!file.optional && !volume.has_file(newest).map_err(|error| error.fault())?)
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
