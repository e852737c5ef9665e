//! What the sidecar reads.

use keysluice_injector::content::produce;
use keysluice_plan::{File, JsonPath, Part, Plan};
use serde_json::json;
use std::fmt::Write;

/// A body as Key Vault's answer for a key, a certificate and a secret, and a text as a JSON secret,
/// give files or an error.
///
/// # Panics
/// Never, if the readers are right.
pub fn answer(bytes: &[u8]) {
    for kind in ["key", "cert", "secret"] {
        let file = file(&json!({"type": kind}));
        let _ = produce(&file, &file.path, bytes);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let body = json!({"value": text, "id": "i/1"}).to_string();
        for path in ["a", "a[0].b", r"[1].a\.b"] {
            let file = file(&json!({"type": "secret", "jsonKey": path}));
            let _ = produce(&file, &file.path, body.as_bytes());
        }
    }
}

/// A PKCS#12 file or PEM in a vault gives files or an error, whichever part is asked for.
///
/// # Panics
/// Never, if the readers are right.
pub fn pkcs12(bytes: &[u8]) {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if text.contains("-----BEGIN ") => text.to_owned(),
        _ => base64(bytes),
    };
    let body = json!({
        "value": text, "id": "i/1", "kid": "k", "contentType": "application/x-pkcs12",
    });
    let body = body.to_string();
    let mut file = file(&json!({"type": "secret", "split": true}));
    for part in [None, Some(Part::Chain), Some(Part::Key), Some(Part::Ca), Some(Part::Pfx)] {
        file.part = part;
        let _ = produce(&file, &file.path, body.as_bytes());
    }
}

/// A Plan, and the path of a JSON field, are refused or written back as they were read.
///
/// # Panics
/// Where what is written is read differently.
pub fn plan(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(plan) = Plan::from_json(text) {
        let written = serde_json::to_string(&plan).unwrap();
        assert_eq!(Plan::from_json(&written).unwrap(), plan);
    }
    if let Ok(path) = text.parse::<JsonPath>() {
        assert!(!path.steps().is_empty());
        assert_eq!(path.to_string(), text);
    }
}

fn file(extra: &serde_json::Value) -> File {
    let mut file = json!({
        "path": "p", "mode": "0644", "identity": "a", "vault": "https://v/", "name": "n",
    });
    file.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(file).unwrap()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, &byte| word << 8 | u32::from(byte));
        let word = word << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let letter = char::from(LETTERS[(word >> (18 - 6 * at) & 63) as usize]);
            write!(text, "{}", if at <= chunk.len() { letter } else { '=' }).unwrap();
        }
    }
    text
}
