//! One check per fuzz target: it takes any bytes and panics where the program is wrong.

#![expect(clippy::unwrap_used, reason = "a panic is how a check fails")]

mod class;
mod template;
mod vault;
mod webhook;

pub use class::class;
pub use template::template;
pub use vault::{answer, pkcs12, plan};
pub use webhook::{cursor, manifest, review};

/// Name and check of each target; the name is that of its corpus folder, too.
pub const CHECKS: [(&str, fn(&[u8])); 8] = [
    ("answer", answer),
    ("class", class),
    ("cursor", cursor),
    ("manifest", manifest),
    ("pkcs12", pkcs12),
    ("plan", plan),
    ("review", review),
    ("template", template),
];
