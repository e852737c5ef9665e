//! One document of a file with edits, checked against what is wanted.

use super::edit;
use crate::coded::coded;
use crate::reason;
use crate::yaml;
use serde_json::Value;

coded! {
    /// Why a file is not written. `Display` gives code, message and hint, as the user reads it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
    pub enum FileError {
        /// The text cannot be edited line by line.
        #[error(
            "{} its text cannot be edited without changing more than that; hint: {}",
            reason::KS763,
            reason::KS763.fix
        )]
        [KS763] Edit,
    }
}

/// The text of a document that says `wanted` instead of `old`, and nothing else. Both are as the
/// API server keeps them, without fields that have no value.
///
/// # Errors
/// [`FileError::Edit`] where edits of lines do not come to that: anchors, merges, unusual keys.
pub fn edited(document: &str, old: &Value, wanted: &Value) -> Result<String, FileError> {
    if old == wanted {
        return Ok(document.to_owned());
    }
    let text = edit::edited(document, old, wanted).filter(|text| says(text, wanted));
    text.ok_or(FileError::Edit)
}

fn says(text: &str, wanted: &Value) -> bool {
    yaml::parse(text, 1).is_ok_and(|parsed| {
        let mut value = parsed.value;
        prune(&mut value);
        value == *wanted
    })
}

/// Leaves out fields without a value.
pub(crate) fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(prune);
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}
