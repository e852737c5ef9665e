//! A PKCS#12 file, or PEM, in a vault: files or an error, never a panic, whatever part is asked
//! for.
//!
//! Start from the files the tests have: `cargo +nightly fuzz run --fuzz-dir fuzz pkcs12
//! ../injector/tests/data/certificates`.

#![no_main]

use keysluice_injector::content::produce;
use keysluice_plan::{File, Part};
use libfuzzer_sys::fuzz_target;
use std::fmt::Write;

fuzz_target!(|bytes: &[u8]| {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if text.contains("-----BEGIN ") => text.to_owned(),
        _ => base64(bytes),
    };
    let value = serde_json::Value::String(text);
    let body = format!(r#"{{"value":{value},"id":"i/1","kid":"k","contentType":"application/x-pkcs12"}}"#);
    let mut file: File = serde_json::from_str(
        r#"{"path":"p","mode":"0644","identity":"a","vault":"https://v/","type":"secret","name":"n","split":true}"#,
    )
    .unwrap();
    for part in [None, Some(Part::Chain), Some(Part::Key), Some(Part::Ca), Some(Part::Pfx)] {
        file.part = part;
        let _ = produce(&file, &file.path, body.as_bytes());
    }
});

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let letter = char::from(LETTERS[(word >> (18 - 6 * at) & 63) as usize]);
            write!(text, "{}", if at <= chunk.len() { letter } else { '=' }).unwrap();
        }
    }
    text
}
