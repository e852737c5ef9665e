//! JSON patch (RFC 6902), written by hand: `add`, and `replace` where a volume or mount changes in
//! place. Never `remove`.
//!
//! What etcd could not store is not written to the end: a patch is one of many containers, each
//! with strings of the pod.

use crate::json::{Path, write};
use serde::Serialize;
use std::fmt;

/// The operations, in order, as the bytes that go into the response.
#[derive(Clone, PartialEq, Eq)]
pub struct Patch {
    /// A whole JSON array at any time.
    json: Vec<u8>,
    is_too_large: bool,
}

/// Most that etcd stores of one object.
pub const STORED_LIMIT_BYTES: usize = 1536 << 10;

/// A list that an operation adds to an object that had none.
#[derive(Serialize)]
#[serde(transparent)]
struct List<T>([T; 1]);

impl Default for Patch {
    fn default() -> Self {
        Self { json: b"[]".to_vec(), is_too_large: false }
    }
}

// Paths are tuples of texts and numbers; values are small structs: references would only be noise.
#[allow(clippy::needless_pass_by_value)]
impl Patch {
    /// Adds a member, inserts before an index, or appends (`…/-`).
    pub(crate) fn add(&mut self, path: impl Path, value: impl Serialize) {
        self.operation(br#"{"op":"add","path":""#, &path, &value);
    }

    /// Replaces what is at `path`.
    pub(crate) fn replace(&mut self, path: impl Path, value: impl Serialize) {
        self.operation(br#"{"op":"replace","path":""#, &path, &value);
    }

    /// Inserts `value` before `index` of a list of `length` entries, or makes the list where there
    /// is none.
    ///
    /// `length` is `None` where the field is absent; the caller counts entries that it added
    /// itself.
    pub(crate) fn insert(
        &mut self,
        list: impl Path,
        length: Option<usize>,
        index: usize,
        value: impl Serialize,
    ) {
        match length {
            None => self.add(list, List([value])),
            Some(length) if index >= length => self.add((list, "/-"), value),
            Some(_) => self.add((list, "/", index), value),
        }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.json.len() == b"[]".len()
    }

    /// Whether it would have been larger than [`STORED_LIMIT_BYTES`]; it is empty then.
    pub fn is_too_large(&self) -> bool {
        self.is_too_large
    }

    /// The bytes that go into the response (before base64).
    pub fn to_json(&self) -> &[u8] {
        &self.json
    }

    /// For tests and `explain`: the typed operations of the `json-patch` crate.
    pub fn to_json_patch(&self) -> json_patch::Patch {
        serde_json::from_slice(&self.json).expect("our operations are RFC 6902")
    }

    fn operation(&mut self, start: &[u8], path: &impl Path, value: &impl Serialize) {
        if self.is_too_large {
            return;
        }
        let json = &mut self.json;
        if json.capacity() < 1024 {
            // A labelled pod's patch fits: no growing in steps.
            json.reserve(2048);
        }
        json.pop();
        if json.len() > 1 {
            json.push(b',');
        }
        json.extend_from_slice(start);
        path.append_to(json);
        json.extend_from_slice(br#"","value":"#);
        write::append(json, value).expect("strings, numbers, lists and objects are written");
        json.extend_from_slice(b"}]");
        // Names and ids are bounded before, the Plan is: no single operation is large.
        if json.len() > STORED_LIMIT_BYTES {
            *self = Self { is_too_large: true, ..Self::default() };
        }
    }
}

impl fmt::Debug for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn insert_makes_the_list_appends_or_inserts() {
        let mut patch = Patch::default();
        assert!(patch.is_empty() && patch.to_json() == b"[]");
        patch.insert("/a", None, 0, json!(1));
        patch.insert("/b", Some(2), 2, json!(2));
        patch.insert("/c", Some(2), 1, json!(3));
        assert_eq!(
            String::from_utf8_lossy(patch.to_json()),
            concat!(
                r#"[{"op":"add","path":"/a","value":[1]},{"op":"add","path":"/b/-","value":2},"#,
                r#"{"op":"add","path":"/c/1","value":3}]"#
            )
        );
        let mut document = json!({"b": [0, 1], "c": [0, 1]});
        json_patch::patch(&mut document, &patch.to_json_patch()).unwrap();
        assert_eq!(document, json!({"a": [1], "b": [0, 1, 2], "c": [0, 3, 1]}));
    }

    #[test]
    fn a_patch_ends_where_etcd_could_not_store_it() {
        let (mut patch, id) = (Patch::default(), "x".repeat(10_000));
        let mut largest = 0;
        for index in 0..100_000 {
            patch.add(("/", index), &id);
            largest = largest.max(patch.json.capacity());
        }
        assert!(
            patch.is_too_large() && patch.is_empty() && largest <= 2 * STORED_LIMIT_BYTES,
            "{largest}"
        );
    }

    #[test]
    fn values_are_escaped() {
        let mut patch = Patch::default();
        patch.add("/metadata/annotations/a", "\"\u{1}ü");
        patch.replace(("/", 1), true);
        let expected = json!([
            {"op": "add", "path": "/metadata/annotations/a", "value": "\"\u{1}ü"},
            {"op": "replace", "path": "/1", "value": true}]);
        assert_eq!(serde_json::from_slice::<serde_json::Value>(patch.to_json()).unwrap(), expected);
    }
}
