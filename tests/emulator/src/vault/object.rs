//! Objects in versions, whatever their kind.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Objects of one kind by lower-case name.
#[derive(Clone)]
pub(super) struct Objects<T>(BTreeMap<String, Object<T>>);

/// One object: the name as first written, and its versions, newest last; never empty.
#[derive(Clone)]
pub(super) struct Object<T> {
    pub(super) name: String,
    pub(super) versions: Vec<Version<T>>,
}

/// One version.
#[derive(Clone)]
pub(super) struct Version<T> {
    pub(super) id: String,
    pub(super) attributes: Attributes,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) body: T,
}

/// Times are Unix seconds.
#[derive(Debug, Clone)]
pub(super) struct Attributes {
    pub(super) enabled: bool,
    pub(super) not_before: Option<i64>,
    pub(super) expires: Option<i64>,
    pub(super) created: i64,
    pub(super) updated: i64,
}

impl Attributes {
    pub(super) fn new(enabled: Option<bool>, now: i64) -> Self {
        Self {
            enabled: enabled.unwrap_or(true),
            not_before: None,
            expires: None,
            created: now,
            updated: now,
        }
    }

    pub(super) fn json(&self) -> Value {
        let mut attributes = Map::new();
        attributes.insert("enabled".to_owned(), json!(self.enabled));
        if let Some(seconds) = self.not_before {
            attributes.insert("nbf".to_owned(), json!(seconds));
        }
        if let Some(seconds) = self.expires {
            attributes.insert("exp".to_owned(), json!(seconds));
        }
        attributes.insert("created".to_owned(), json!(self.created));
        attributes.insert("updated".to_owned(), json!(self.updated));
        attributes.insert("recoveryLevel".to_owned(), json!("Recoverable+Purgeable"));
        attributes.insert("recoverableDays".to_owned(), json!(90));
        Value::Object(attributes)
    }
}

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Objects<T> {
    pub(super) fn get(&self, name: &str) -> Option<&Object<T>> {
        self.0.get(&name.to_ascii_lowercase())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Object<T>> {
        self.0.values()
    }

    /// Adds a version, the newest from now on.
    pub(super) fn push(&mut self, name: &str, version: Version<T>) {
        self.0
            .entry(name.to_ascii_lowercase())
            .or_insert_with(|| Object { name: name.to_owned(), versions: Vec::new() })
            .versions
            .push(version);
    }

    /// Whether there was an object of this name.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        self.0.remove(&name.to_ascii_lowercase()).is_some()
    }

    /// The newest version, or the one asked for, for a change.
    pub(super) fn version_mut(&mut self, name: &str, id: Option<&str>) -> Option<&mut Version<T>> {
        let versions = &mut self.0.get_mut(&name.to_ascii_lowercase())?.versions;
        match id {
            None => versions.last_mut(),
            Some(id) => versions.iter_mut().find(|version| version.id.eq_ignore_ascii_case(id)),
        }
    }
}

impl<T> Object<T> {
    pub(super) fn newest(&self) -> &Version<T> {
        self.versions.last().expect("an object has a version")
    }

    /// The newest version, or the one asked for.
    pub(super) fn version(&self, id: Option<&str>) -> Option<&Version<T>> {
        match id {
            None => self.versions.last(),
            Some(id) => self.versions.iter().find(|version| version.id.eq_ignore_ascii_case(id)),
        }
    }
}

/// Letters, digits and hyphens, 1 to 127 of them.
pub(super) fn valid_name(name: &str) -> bool {
    (1..=127).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
