//! JSON objects in a file of manifests.

use crate::yaml::{self, Parsed};
use serde_json::Value;
use std::collections::HashMap;

/// JSON objects one after the other, if that is what the text is. One alone is YAML as well.
pub(super) fn json_objects(text: &str) -> Option<Vec<Parsed>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let (mut objects, mut line, mut end) = (Vec::new(), 1, 0);
    while let Some(value) = values.next() {
        // White space before it, then its own lines.
        let rest = &text[end..];
        line += newlines(&rest[..rest.len() - rest.trim_start().len()]);
        let lines = HashMap::from([(String::new(), line)]);
        objects.push(Parsed { value: value.ok()?, lines, ..Parsed::default() });
        line += newlines(text[end..values.byte_offset()].trim_start());
        end = values.byte_offset();
    }
    if objects.len() == 1
        && let Ok(parsed) = yaml::parse(text, 1)
    {
        return Some(vec![parsed]);
    }
    Some(objects)
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}
