//! A Secret as the API server has it.

use super::Data;
use keysluice_plan::{
    CLASS_ANNOTATION, DRIVER_LABEL, KEEP_ANNOTATION, MANAGED_LABEL, SyncedSecret,
};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// What is read of it.
#[derive(Deserialize)]
pub(super) struct Found {
    metadata: Metadata,
    #[serde(rename = "type", default)]
    pub(super) secret_type: String,
    #[serde(default)]
    pub(super) immutable: bool,
    #[serde(default, deserialize_with = "or_empty")]
    data: BTreeMap<String, Value>,
}

/// Zeroised when dropped.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Value(Zeroizing<String>);

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    uid: String,
    #[serde(default)]
    resource_version: String,
    #[serde(default, deserialize_with = "or_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_empty")]
    owner_references: Vec<OwnerReference>,
    deletion_timestamp: Option<String>,
}

#[derive(Deserialize)]
struct OwnerReference {
    uid: String,
}

/// Whose a Secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holder {
    /// This class's.
    Class,
    OtherClass(String),
    /// The Secrets Store CSI driver wrote it last.
    Driver,
    /// Neither marked it.
    Nobody,
}

impl Found {
    /// From the API server's answer; `None` when it is not a Secret.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    pub(super) fn uid(&self) -> &str {
        &self.metadata.uid
    }

    /// `metadata.resourceVersion`.
    pub(super) fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    /// Whether it is being deleted.
    pub(super) fn is_going(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether it stays whatever becomes of its workloads.
    pub(super) fn is_kept(&self) -> bool {
        self.metadata.annotations.contains_key(KEEP_ANNOTATION)
    }

    pub(super) fn is_owned_by(&self, uid: &str) -> bool {
        self.metadata.owner_references.iter().any(|owner| owner.uid == uid)
    }

    pub(super) fn holder(&self, class: &str) -> Holder {
        let Metadata { labels, annotations, .. } = &self.metadata;
        match annotations.get(CLASS_ANNOTATION) {
            Some(of) if labels.contains_key(MANAGED_LABEL) && of != class => {
                Holder::OtherClass(of.clone())
            }
            // One that a manifest made for us to fill has no class yet.
            _ if labels.contains_key(MANAGED_LABEL) => Holder::Class,
            _ if labels.contains_key(DRIVER_LABEL) => Holder::Driver,
            _ => Holder::Nobody,
        }
    }

    /// Whether a key, the type, a label or an annotation is not as it should be.
    pub(super) fn differs(&self, secret: &SyncedSecret, data: &Data) -> bool {
        let mut wanted = data.values.iter();
        self.secret_type != secret.secret_type
            || !wanted.all(|(key, value)| self.data.get(key).is_some_and(|have| have.0 == *value))
            || !has_all(&self.metadata.labels, &secret.labels)
            || !has_all(&self.metadata.annotations, &secret.annotations)
    }

    /// Whether it has keys that the class does not have.
    pub(super) fn has_more(&self, data: &Data) -> bool {
        self.data.keys().any(|key| !data.values.contains_key(key))
    }

    /// The content with what it has for keys whose files are awaited; `None` where that is nothing.
    pub(super) fn kept_in(&self, data: &Data) -> Option<Data> {
        let kept = data.awaited.iter().filter_map(|key| Some((key, self.data.get(key)?)));
        let kept: Vec<_> = kept.map(|(key, value)| (key.clone(), value.0.clone())).collect();
        let mut all = if kept.is_empty() { return None } else { data.clone() };
        all.values.extend(kept);
        Some(all)
    }
}

/// Whether all wanted labels or annotations are there.
fn has_all(have: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(name, value)| have.get(name) == Some(value))
}

/// `null` as nothing.
fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
