//! One line per event on stderr, as JSON or as text, with the fields of docs/operate.md. A logging
//! framework would cost 100 KiB in every pod for this.

#![allow(clippy::disallowed_methods, reason = "this room stamps log lines")]

use crate::clock::Utc;
use crate::fault::Fault;
use crate::redact::redact;
use serde::Serialize;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Text,
}

static TEXT: AtomicBool = AtomicBool::new(false);

/// Chooses how lines are written.
pub(crate) fn set_format(format: Format) {
    TEXT.store(format == Format::Text, Ordering::Relaxed);
}

#[derive(Serialize)]
struct Line<'a> {
    timestamp: &'a str,
    level: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

/// Something a reader of the log may want to know.
pub(crate) fn info(message: &str) {
    write(&Line { timestamp: &now(), level: "info", code: None, message, hint: None });
}

/// Something that works, but perhaps not as intended.
pub(crate) fn note(message: &str) {
    write(&Line { timestamp: &now(), level: "warn", code: None, message, hint: None });
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
    write(&Line { timestamp: &now(), level, code, message: &fault.message, hint });
}

fn now() -> String {
    Utc::of(SystemTime::now()).rfc3339()
}

fn write(line: &Line<'_>) {
    let line = &Line { message: &redact(line.message), ..*line };
    let mut text = if TEXT.load(Ordering::Relaxed) {
        for_people(line).into_bytes()
    } else {
        serde_json::to_vec(line).unwrap_or_default()
    };
    text.push(b'\n');
    // A closed stderr is no reason to stop serving files.
    let _ = std::io::stderr().write_all(&text);
}

/// Time, level, code, message, then `name=value`.
fn for_people(line: &Line<'_>) -> String {
    let Line { timestamp, level, code, message, hint } = line;
    let code = code.map(|code| format!("{code} ")).unwrap_or_default();
    let hint = hint.map(|hint| format!(" hint={hint:?}")).unwrap_or_default();
    let text = format!("{timestamp} {level:<5} {code}{message}{hint}");
    // A terminal obeys control characters, and a line break would make another line.
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_have_the_same_fields() {
        let line = Line {
            timestamp: "2026-03-01T12:00:00.000012Z",
            level: "warn",
            code: Some("KS404"),
            message: "secret \"db\"\nis not there",
            hint: Some("create it"),
        };
        assert_eq!(
            for_people(&line),
            "2026-03-01T12:00:00.000012Z warn  KS404 secret \"db\" is not there hint=\"create it\""
        );
        let json = serde_json::to_string(&line).unwrap();
        let expected = concat!(
            r#"{"timestamp":"2026-03-01T12:00:00.000012Z","level":"warn","code":"KS404","#,
            r#""message":"secret \"db\"\nis not there","hint":"create it"}"#
        );
        assert_eq!(json, expected);
        let now = now();
        assert!(now.len() == 27 && now.ends_with('Z') && now.contains('.'), "{now}");
    }
}
