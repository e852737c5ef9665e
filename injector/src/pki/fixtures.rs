//! Certificates, keys and PKCS#12 files made by `scripts/certificate_fixtures.py`.

use super::pem::blocks;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::Path;

pub(crate) fn file(name: &str) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/certificates");
    std::fs::read(directory.join(name)).unwrap()
}

pub(crate) fn pem(name: &str) -> String {
    String::from_utf8(file(&format!("{name}.pem"))).unwrap()
}

/// The texts of several, one after the other.
pub(crate) fn pems(names: &[&str]) -> String {
    names.iter().map(|name| pem(name)).collect()
}

pub(crate) fn der(name: &str) -> Vec<u8> {
    blocks(&pem(name)).remove(0).der.to_vec()
}

pub(crate) fn pfx(name: &str) -> Vec<u8> {
    file(&format!("{name}.pfx"))
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
