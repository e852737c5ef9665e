//! One Secret with its field managers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::fields::{self, Field};

/// A Secret, as the stand-in of the API server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    namespace: String,
    name: String,
    uid: String,
    pub(super) version: u64,
    values: BTreeMap<Field, Value>,
    managers: BTreeMap<String, BTreeSet<Field>>,
}

/// What is not done, as a `Status` says it.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) field: Option<&'static str>,
}

impl Refused {
    fn conflict(message: impl Into<String>) -> Self {
        Self { code: 409, reason: "Conflict", message: message.into(), field: None }
    }

    fn invalid(field: &'static str) -> Self {
        let message = format!("{field}: Invalid value: field is immutable");
        Self { code: 422, reason: "Invalid", message, field: Some(field) }
    }
}

impl Stored {
    pub(super) fn new(namespace: &str, name: &str, number: u64, version: u64) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: format!("00000000-0000-0000-0000-{number:012}"),
            version,
            values: BTreeMap::new(),
            managers: BTreeMap::new(),
        }
    }

    /// `metadata.resourceVersion`.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The whole object.
    pub fn object(&self) -> Value {
        let section = |wanted: &str| -> Map<String, Value> {
            let values = self.values.iter().filter(|((section, _), _)| *section == wanted);
            values.map(|((_, key), value)| (key.clone(), value.clone())).collect()
        };
        let owners: Vec<Value> = section("owners").into_iter().map(|(_, owner)| owner).collect();
        let mut object = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"namespace": self.namespace, "name": self.name, "uid": self.uid,
                "resourceVersion": self.version.to_string(), "labels": section("labels"),
                "annotations": section("annotations"), "ownerReferences": owners,
                "managedFields": self.managers.keys().map(|manager| json!({"manager": manager}))
                    .collect::<Vec<_>>()},
            "type": self.value("type").cloned().unwrap_or_else(|| "Opaque".into()),
            "data": section("data")});
        if let Some(immutable) = self.value("immutable") {
            object["immutable"] = immutable.clone();
        }
        object
    }

    fn value(&self, name: &'static str) -> Option<&Value> {
        self.values.get(&(name, String::new()))
    }

    /// The preconditions of an apply.
    pub(super) fn check(&self, object: &Value, exists: bool) -> Result<(), Refused> {
        let metadata = &object["metadata"];
        let modified = "the object has been modified; please apply your changes to the latest";
        match metadata["resourceVersion"].as_str() {
            Some(version) if exists && version != self.version.to_string() => {
                return Err(Refused::conflict(modified));
            }
            _ => {}
        }
        match metadata["uid"].as_str() {
            Some(uid) if uid != self.uid => Err(Refused::conflict("uid mismatch")),
            _ => Ok(()),
        }
    }

    /// Server-side apply.
    pub(super) fn apply(
        &mut self,
        manager: &str,
        force: bool,
        object: &Value,
    ) -> Result<(), Refused> {
        let wanted = fields::of(object);
        self.check_unchangeable(&wanted)?;
        for (field, value) in &wanted {
            if self.values.get(field).is_none_or(|have| have == value) {
                continue;
            }
            for (other, owned) in &mut self.managers {
                if other != manager && owned.contains(field) {
                    if !force {
                        let message = format!(
                            "Apply failed with 1 conflict: conflict with \"{other}\" using v1: \
                             .{}.{}",
                            field.0, field.1
                        );
                        return Err(Refused::conflict(message));
                    }
                    owned.remove(field);
                }
            }
        }
        let before = self.managers.remove(manager).unwrap_or_default();
        for field in before.iter().filter(|field| !wanted.contains_key(*field)) {
            if !self.managers.values().any(|owned| owned.contains(field)) {
                self.values.remove(field);
            }
        }
        self.managers.insert(manager.to_owned(), wanted.keys().cloned().collect());
        self.values.extend(wanted);
        self.managers.retain(|_, owned| !owned.is_empty());
        Ok(())
    }

    /// A merge patch of labels, annotations and data.
    pub(super) fn merge(&mut self, patch: &Value) {
        let wanted = fields::of(patch);
        for (field, value) in wanted {
            if self.values.get(&field) == Some(&value) {
                continue;
            }
            for owned in self.managers.values_mut() {
                owned.remove(&field);
            }
            if value.is_null() {
                self.values.remove(&field);
            } else {
                self.managers.entry("merge".to_owned()).or_default().insert(field.clone());
                self.values.insert(field, value);
            }
        }
        self.managers.retain(|_, owned| !owned.is_empty());
    }

    fn check_unchangeable(&self, wanted: &BTreeMap<Field, Value>) -> Result<(), Refused> {
        let new_type = wanted.get(&("type", String::new()));
        if new_type.is_some() && self.value("type").is_some() && new_type != self.value("type") {
            return Err(Refused::invalid("type"));
        }
        let is_immutable = self.value("immutable") == Some(&Value::Bool(true));
        let differs = |((section, key), value): (&Field, &Value)| {
            *section == "data" && self.values.get(&(section, key.clone())) != Some(value)
        };
        if is_immutable && wanted.iter().any(differs) {
            return Err(Refused::invalid("data"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Stored {
        Stored::new("shop", "db", 1, 1)
    }

    fn data(values: &Value) -> Value {
        json!({"type": "Opaque", "data": values})
    }

    #[test]
    fn what_a_manager_leaves_out_goes_unless_another_has_it() {
        let mut secret = stored();
        secret.apply("a", false, &data(&json!({"x": "1", "y": "1"}))).unwrap();
        secret.apply("b", false, &data(&json!({"y": "1"}))).unwrap();
        secret.apply("a", false, &data(&json!({}))).unwrap();
        assert_eq!(secret.object()["data"], json!({"y": "1"}));
    }

    #[test]
    fn a_value_of_another_manager_is_a_conflict_without_force() {
        let mut secret = stored();
        secret.apply("helm", false, &data(&json!({"x": "1"}))).unwrap();
        let refused = secret.apply("b", false, &data(&json!({"x": "2"}))).unwrap_err();
        assert_eq!((refused.code, refused.message.contains("\"helm\"")), (409, true));
        secret.apply("b", true, &data(&json!({"x": "2"}))).unwrap();
        assert_eq!(secret.object()["data"]["x"], "2");
    }

    #[test]
    fn owners_unite_and_type_and_immutable_content_stay() {
        let mut secret = stored();
        let owner = |uid: &str| json!({"metadata": {"ownerReferences": [{"uid": uid}]}});
        secret.apply("k-1", false, &owner("1")).unwrap();
        secret.apply("k-2", false, &owner("2")).unwrap();
        assert_eq!(secret.object()["metadata"]["ownerReferences"].as_array().unwrap().len(), 2);
        let immutable = json!({"type": "Opaque", "immutable": true, "data": {"x": "1"}});
        secret.apply("a", false, &immutable).unwrap();
        assert_eq!(secret.apply("a", true, &json!({"type": "tls"})).unwrap_err().code, 422);
        assert_eq!(secret.apply("a", true, &data(&json!({"x": "2"}))).unwrap_err().code, 422);
    }
}
