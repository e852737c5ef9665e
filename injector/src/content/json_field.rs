//! `jsonKey`: one field of a secret that is a JSON document, as text.

use super::{Content, ContentError, json_text};
use keysluice_plan::{JsonPath, JsonStep};
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Strings as they are, numbers and booleans as they are written, objects and arrays without white
/// space.
pub(super) fn field(document: &[u8], path: &JsonPath) -> Result<Content, ContentError> {
    let error = |problem| ContentError::JsonField { path: path.to_string(), problem };
    let mut value: &RawValue = serde_json::from_slice(without_mark(document))
        .map_err(|_| error("the secret is not JSON"))?;
    for step in path.steps() {
        value = step_into(value, step).ok_or_else(|| error("there is no such field"))?;
    }
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => json_text::text(value)
            .map(Content::text)
            .ok_or_else(|| error("the field is not valid text")),
        Some(b'n') => Err(error("the field is null")),
        _ => Ok(Content::new(compact(text))),
    }
}

/// Without the byte-order mark that some editors and shells write into a file.
fn without_mark(document: &[u8]) -> &[u8] {
    document.strip_prefix("\u{feff}".as_bytes()).unwrap_or(document)
}

/// Without the white space between values; what is in strings stays.
fn compact(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = byte == b'"';
        }
        bytes.push(byte);
    }
    bytes
}

fn step_into<'de>(value: &'de RawValue, step: &JsonStep) -> Option<&'de RawValue> {
    // Not into a string: the unescaped copy would never be wiped.
    value.get().starts_with(['{', '[']).then_some(())?;
    Step(step).deserialize(&mut serde_json::Deserializer::from_str(value.get())).ok()?
}

/// Looks for one member or element and passes over the others. Of members with one name the last
/// counts.
struct Step<'s>(&'s JsonStep);

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<String>()? {
            if matches!(self.0, JsonStep::Member(wanted) if *wanted == name) {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let JsonStep::Element(wanted) = self.0 else {
            while elements.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(None);
        };
        let mut found = None;
        for index in 0_usize.. {
            if index == *wanted {
                found = elements.next_element()?;
            } else if elements.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(document: &str, path: &str) -> Result<String, String> {
        match field(document.as_bytes(), &path.parse().unwrap()) {
            Ok(content) => Ok(String::from_utf8(content.expose().to_vec()).unwrap()),
            Err(error) => Err(error.to_string()),
        }
    }

    const DOCUMENT: &str = r#"
        {"password": "p\u00e4ss \"w\" \\", "port": 5432, "ratio": 1.50e3,
         "big": 123456789012345678901234567890, "tls": true, "none": null,
         "hosts": [{"name": "a b", "x": [ 1, 2 ]}, "second"], "a.b": "dotted", "empty": "",
         "": "no name",
         "twice": 1, "twice": 2}"#;

    #[test]
    fn fields_are_text_as_it_is_written() {
        for (path, expected) in [
            ("password", "päss \"w\" \\"),
            ("port", "5432"),
            ("ratio", "1.50e3"),
            ("big", "123456789012345678901234567890"),
            ("tls", "true"),
            ("hosts[0].name", "a b"),
            ("hosts[1]", "second"),
            ("hosts[0]", r#"{"name":"a b","x":[1,2]}"#),
            ("hosts[0].x[1]", "2"),
            (r"a\.b", "dotted"),
            ("empty", ""),
            ("twice", "2"),
        ] {
            assert_eq!(text(DOCUMENT, path).as_deref(), Ok(expected), "{path}");
        }
        assert_eq!(text("\u{feff}{\"a\": 1}", "a").unwrap(), "1", "with a byte-order mark");
        assert_eq!(text(r#"[{"a":"\\\" "}, 2]"#, "[0]").unwrap(), r#"{"a":"\\\" "}"#);
    }

    #[test]
    fn what_is_not_there_is_named_by_its_path() {
        for (document, path, expected) in [
            (DOCUMENT, "absent", "jsonKey absent: there is no such field"),
            (DOCUMENT, "hosts[2]", "jsonKey hosts[2]: there is no such field"),
            (DOCUMENT, "port.x", "jsonKey port.x: there is no such field"),
            (DOCUMENT, "hosts.name", "jsonKey hosts.name: there is no such field"),
            (DOCUMENT, "password[0]", "jsonKey password[0]: there is no such field"),
            (DOCUMENT, "none", "jsonKey none: the field is null"),
            ("canary", "a", "jsonKey a: the secret is not JSON"),
            (r#"{"a": "canary""#, "a", "jsonKey a: the secret is not JSON"),
            (r#"{"a": "\ud800"}"#, "a", "jsonKey a: the field is not valid text"),
            ("", "a", "jsonKey a: the secret is not JSON"),
        ] {
            assert_eq!(text(document, path).unwrap_err(), expected, "{document}");
        }
    }

    #[test]
    fn a_document_of_any_depth_needs_no_stack() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(text(&deep, "[0][0]").unwrap().len(), 199_997);
        let open = "[{\"a\":".repeat(100_000);
        assert_eq!(text(&open, "[0].a").unwrap_err(), "jsonKey [0].a: the secret is not JSON");
    }

    proptest! {
        #[test]
        fn no_document_makes_it_fail(document in r#"([\[\]{}",:a0 \\]|null){0,40}"#) {
            let _ = text(&document, "a[0].a");
        }

        #[test]
        fn any_text_comes_back(value: String) {
            let document = serde_json::json!({"a": [0, {"b": &value}]}).to_string();
            prop_assert_eq!(text(&document, "a[1].b").unwrap(), value);
        }
    }
}
