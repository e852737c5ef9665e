//! Any body as the vault's answer for a key, a certificate and a secret, and any text as a JSON
//! secret: files or an error, never a panic.

#![no_main]

use keysluice_injector::content::produce;
use keysluice_plan::File;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|bytes: &[u8]| {
    for kind in ["key", "cert", "secret"] {
        let file = file(json!({"type": kind}));
        let _ = produce(&file, &file.path, bytes);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let body = json!({"value": text, "id": "i/1"}).to_string();
        for path in ["a", "a[0].b", r"[1].a\.b"] {
            let file = file(json!({"type": "secret", "jsonKey": path}));
            let _ = produce(&file, &file.path, body.as_bytes());
        }
    }
});

fn file(extra: serde_json::Value) -> File {
    let mut file = json!({"path": "p", "mode": "0644", "identity": "a", "vault": "https://v/", "name": "n"});
    file.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(file).unwrap()
}
