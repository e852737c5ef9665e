//! The fingerprint of a class: what a running pod's Plan was made of, in a few bytes.

use super::ProviderClass;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Of provider, parameters and secret objects: a changed label of the class changes no Plan.
pub(super) fn of(class: &ProviderClass) -> String {
    let mut hash = Hash(Sha256::new());
    hash.text(&class.provider);
    hash.texts(&class.parameters);
    hash.count(class.secret_objects.len());
    for object in &class.secret_objects {
        hash.text(&object.secret_name);
        hash.text(&object.secret_type);
        hash.texts(&object.labels);
        hash.texts(&object.annotations);
        hash.count(object.data.len());
        for datum in &object.data {
            hash.text(&datum.object_name);
            hash.text(&datum.key);
        }
    }
    let digest = hash.0.finalize();
    hex(&digest[..16])
}

/// Bytes in lower-case digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Every text with its length, so that no two classes run into one.
struct Hash(Sha256);

impl Hash {
    fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.update(text);
    }

    fn texts(&mut self, texts: &BTreeMap<String, String>) {
        self.count(texts.len());
        for (key, value) in texts {
            self.text(key);
            self.text(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fingerprint(
        parameters: &serde_json::Value,
        name: &str,
        objects: &serde_json::Value,
    ) -> String {
        let class = json!({"metadata": {"name": name, "labels": {"a": name}},
            "spec": {"provider": "azure", "parameters": parameters, "secretObjects": objects}});
        ProviderClass::from_value(&class).unwrap().fingerprint().to_owned()
    }

    #[test]
    fn what_a_plan_depends_on_changes_the_fingerprint_and_nothing_else_does() {
        let first = fingerprint(&json!({"a": "b"}), "one", &json!([]));
        assert_eq!(first, fingerprint(&json!({"a": "b"}), "two", &json!([])));
        assert_eq!(first.len(), 32);
        let object = json!([{"secretName": "s", "type": "Opaque", "data": []}]);
        let others = [
            fingerprint(&json!({"a": "c"}), "one", &json!([])),
            fingerprint(&json!({"ab": ""}), "one", &json!([])),
            fingerprint(&json!({"": "ab"}), "one", &json!([])),
            fingerprint(&json!({"a": "b"}), "one", &object),
        ];
        for (index, other) in others.iter().enumerate() {
            assert!(*other != first && !others[..index].contains(other));
        }
    }
}
