//! JSON patch (RFC 6902), written by hand: `add`, and `replace` where a volume or mount changes in place. Never `remove`.

use serde::Serialize;
use serde_json::Value;

/// The operations, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Patch(Vec<Operation>);

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Operation {
    op: Kind,
    path: String,
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Add,
    Replace,
}

impl Patch {
    /// Adds a member, inserts before an index, or appends (`…/-`).
    pub fn add(&mut self, path: String, value: Value) {
        self.0.push(Operation { op: Kind::Add, path, value });
    }

    /// Replaces what is at `path`.
    pub fn replace(&mut self, path: String, value: Value) {
        self.0.push(Operation { op: Kind::Replace, path, value });
    }

    /// Inserts `value` before `index` of a list of `length` entries, or makes the list where there is none.
    ///
    /// `length` is `None` where the field is absent; the caller counts entries that it added itself.
    pub fn insert(&mut self, list: &str, length: Option<usize>, index: usize, value: Value) {
        match length {
            None => self.add(list.to_owned(), Value::Array(vec![value])),
            Some(length) if index >= length => self.add(format!("{list}/-"), value),
            Some(_) => self.add(format!("{list}/{index}"), value),
        }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes that go into the response (before base64).
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and JSON values always serialise")
    }

    /// For tests and `explain`: the typed operations of the `json-patch` crate.
    pub fn to_json_patch(&self) -> json_patch::Patch {
        serde_json::from_slice(&self.to_json()).expect("our operations are RFC 6902")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn insert_makes_the_list_appends_or_inserts() {
        let mut patch = Patch::default();
        patch.insert("/a", None, 0, json!(1));
        patch.insert("/b", Some(2), 2, json!(2));
        patch.insert("/c", Some(2), 1, json!(3));
        assert_eq!(
            String::from_utf8(patch.to_json()).unwrap(),
            r#"[{"op":"add","path":"/a","value":[1]},{"op":"add","path":"/b/-","value":2},{"op":"add","path":"/c/1","value":3}]"#
        );
        let mut document = json!({"b": [0, 1], "c": [0, 1]});
        json_patch::patch(&mut document, &patch.to_json_patch()).unwrap();
        assert_eq!(document, json!({"a": [1], "b": [0, 1, 2], "c": [0, 3, 1]}));
    }
}
