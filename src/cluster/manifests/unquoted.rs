//! Booleans and numbers where Kubernetes wants text: `labels: {use: true}`. kubectl and the API
//! server refuse the object.

use super::files::Document;
use serde_json::Value;

/// Most that is told of one object.
const MAX_TOLD: usize = 4;

/// Maps whose values are text, lists whose elements are, and fields that are text themselves,
/// within a pod and its metadata.
const TEXT_MAPS: &[&str] =
    &["labels", "annotations", "nodeSelector", "matchLabels", "volumeAttributes"];
const TEXT_LISTS: &[&str] = &["command", "args", "values"];
const TEXTS: &[&str] = &[
    "value",
    "key",
    "name",
    "generateName",
    "namespace",
    "image",
    "serviceAccountName",
    "mountPath",
    "subPath",
    "secretName",
    "claimName",
    "hostname",
    "nodeName",
    "workingDir",
    "priorityClassName",
];

/// What is not text below the pointers: paths, values, file and line, and the fix. `None` if all is
/// text.
pub(crate) fn unquoted(document: &Document, pointers: &[&str]) -> Option<String> {
    let mut found = Vec::new();
    for pointer in pointers {
        if let Some(value) = document.value.pointer(pointer) {
            walk(value, "", &mut (*pointer).to_owned(), &mut found);
        }
    }
    let (told, quoted): (Vec<_>, Vec<_>) =
        found.iter().take(MAX_TOLD).filter_map(|pointer| told(document, pointer)).unzip();
    let them = if told.len() > 1 { "them" } else { "it" };
    (!told.is_empty())
        .then(|| format!("{}; hint: quote {them}: {}", told.join(", "), quoted.join(", ")))
}

/// What stands there, and how it is written right.
fn told(document: &Document, pointer: &str) -> Option<(String, String)> {
    let value = document.value.pointer(pointer)?;
    let kind = if value.is_boolean() { "a boolean" } else { "a number" };
    let written = document.written(pointer);
    let text = written.map_or_else(|| value.to_string(), |written| written.text.clone());
    let line = written.map_or_else(String::new, |written| format!(", line {}", written.line));
    let (path, origin) = (dotted(pointer), &document.origin);
    Some((format!("{path} is {text}, {kind} ({origin}{line})"), format!("\"{text}\"")))
}

fn walk(value: &Value, key: &str, pointer: &mut String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let all = TEXT_MAPS.contains(&key);
            for (name, item) in fields {
                let wants_text = all || TEXTS.contains(&name.as_str());
                walk_item(item, name, wants_text, pointer, found);
            }
        }
        Value::Array(items) => {
            let all = TEXT_LISTS.contains(&key);
            for (index, item) in items.iter().enumerate() {
                walk_item(item, &index.to_string(), all, pointer, found);
            }
        }
        _ => {}
    }
}

fn walk_item(
    item: &Value,
    name: &str,
    wants_text: bool,
    pointer: &mut String,
    found: &mut Vec<String>,
) {
    let length = pointer.len();
    *pointer += "/";
    *pointer += &name.replace('~', "~0").replace('/', "~1");
    if wants_text && (item.is_boolean() || item.is_number()) {
        found.push(pointer.clone());
    } else {
        walk(item, name, pointer, found);
    }
    pointer.truncate(length);
}

/// A JSON pointer as people write it: `spec.template.spec.containers[0].env[1].value`.
pub(crate) fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        if step.bytes().all(|byte| byte.is_ascii_digit()) && !step.is_empty() {
            path += &format!("[{step}]");
        } else if path.is_empty() {
            path = step;
        } else {
            path = format!("{path}.{step}");
        }
    }
    path
}
