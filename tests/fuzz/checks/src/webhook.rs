//! What the webhook and its commands read.

use keysluice::admission;
use keysluice::cloud::Cloud;
use keysluice::cluster::manifests::parse_documents;
use keysluice::json::{self, Present, Quantity, StringMap, Text};
use keysluice::mutate::Facts;
use keysluice::settings::Settings;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The cursor accepts what `serde_json` accepts, and reads the same strings and numbers.
///
/// # Panics
/// Where the two differ.
pub fn cursor(bytes: &[u8]) {
    let theirs = serde_json::from_slice::<Value>(bytes);
    if json::from_slice::<Present>(bytes).is_err() {
        // Not the other way round: the cursor only looks for the end of what it skips.
        assert!(theirs.is_err(), "a valid document is refused");
    }
    match theirs {
        Ok(Value::String(text)) => assert_eq!(*json::from_slice::<Text<'_>>(bytes).unwrap(), *text),
        Ok(Value::Number(number)) if number.is_i64() && !bytes.contains(&b'.') => {
            assert_eq!(json::from_slice::<i64>(bytes).ok(), number.as_i64());
        }
        Ok(Value::Number(_)) => assert!(json::from_slice::<Quantity<'_>>(bytes).is_ok()),
        // Read as a map of strings, not looked at as a `Value`: that keeps only the last of
        // repeated keys, and an earlier one of another type makes the map invalid, as for the API
        // server.
        Ok(Value::Object(_)) => {
            if let Ok(map) = serde_json::from_slice::<BTreeMap<String, String>>(bytes) {
                let ours = json::from_slice::<StringMap<'_>>(bytes).unwrap();
                assert!(map.iter().all(|(key, value)| ours.find(key) == Some(value)));
            }
        }
        Ok(_) => {}
        Err(_) => {
            assert!(json::from_slice::<Text<'_>>(bytes).is_err());
            assert!(json::from_slice::<i64>(bytes).is_err());
        }
    }
}

/// An `AdmissionReview` gets an error or an answer.
///
/// # Panics
/// Never, if the admission path is right.
pub fn review(bytes: &[u8]) {
    let settings = Settings::new(Cloud::well_known("AzurePublicCloud").unwrap());
    if let Ok(incoming) = admission::read(bytes) {
        let _ = incoming.needs(&settings);
        let _ = incoming.answer(&settings, &Facts::default());
    }
}

/// A manifest is refused, or read into documents.
///
/// # Panics
/// Never, if the reader is right.
pub fn manifest(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(parse_documents(text, Path::new("manifest.yaml")));
    }
}
