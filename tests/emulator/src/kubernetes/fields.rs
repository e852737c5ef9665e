//! The fields of a Secret that managers own.

use std::collections::BTreeMap;

use serde_json::Value;

/// A field: `data/password`, `metadata/labels/app`, `metadata/ownerReferences/UID`, `type`.
pub(super) type Field = (&'static str, String);

/// What an object sets.
pub(super) fn of(object: &Value) -> BTreeMap<Field, Value> {
    let mut fields = BTreeMap::new();
    let metadata = &object["metadata"];
    for (section, values) in [
        ("data", &object["data"]),
        ("labels", &metadata["labels"]),
        ("annotations", &metadata["annotations"]),
    ] {
        for (key, value) in values.as_object().into_iter().flatten() {
            fields.insert((section, key.clone()), value.clone());
        }
    }
    for owner in metadata["ownerReferences"].as_array().into_iter().flatten() {
        let uid = owner["uid"].as_str().unwrap_or_default().to_owned();
        fields.insert(("owners", uid), owner.clone());
    }
    for name in ["type", "immutable"] {
        if !object[name].is_null() {
            fields.insert((name, String::new()), object[name].clone());
        }
    }
    fields
}
