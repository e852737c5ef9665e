//! One JSON line per event on stderr. A logging framework would cost 100 KiB in every pod for these
//! thirty lines.

#![allow(clippy::disallowed_methods, reason = "this room stamps log lines")]

use crate::clock::Utc;
use crate::fault::Fault;
use crate::redact::redact;
use serde::Serialize;
use std::io::Write;
use std::time::SystemTime;

#[derive(Serialize)]
struct Line<'a> {
    ts: &'a str,
    level: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

/// Something a reader of the log may want to know.
pub(crate) fn info(message: &str) {
    write(&Line { ts: &now(), level: "info", code: None, message, hint: None });
}

/// Something that works, but perhaps not as intended.
pub(crate) fn note(message: &str) {
    write(&Line { ts: &now(), level: "warn", code: None, message, hint: None });
}

/// A failure we go on from.
pub(crate) fn warn(fault: &Fault) {
    failure("warn", fault);
}

/// The failure we end with.
pub(crate) fn error(fault: &Fault) {
    failure("error", fault);
}

fn failure(level: &str, fault: &Fault) {
    let (code, hint) = (Some(fault.reason.code), Some(fault.reason.fix));
    write(&Line { ts: &now(), level, code, message: &fault.message, hint });
}

fn now() -> String {
    Utc::of(SystemTime::now()).rfc3339()
}

fn write(line: &Line<'_>) {
    let line = &Line { message: &redact(line.message), ..*line };
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    // A closed stderr is no reason to stop serving files.
    let _ = std::io::stderr().write_all(&text);
}
