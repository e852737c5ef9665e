//! The line of a decision, by hand: about a tenth of what a general JSON formatter costs.

use super::Level;
use crate::bounded::shortened;
use keysluice_plan::civil_date;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Kubernetes allows 253, but checks only after the webhooks.
const MAX_NAME_BYTES: usize = 256;

/// What is logged of a decision.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'a> {
    /// Of the request.
    pub namespace: &'a str,
    /// Name, or prefix of the name to come.
    pub pod: &'a str,
    /// The pod's.
    pub service_account: &'a str,
    /// `mutated`, `unchanged`, `denied`.
    pub outcome: &'static str,
    /// Code of a denial.
    pub reason: Option<&'static str>,
    /// Text of a denial.
    pub message: Option<&'a str>,
    /// Why the pod, or a volume of it, was left alone.
    pub because: Option<&'a str>,
    /// From the whole request read to the answer made.
    pub duration: Duration,
}

impl Decision<'_> {
    /// Logs it: at `info`, a denial at `warn`.
    pub fn log(&self) {
        let level = if self.reason.is_some() { Level::Warn } else { Level::Info };
        if super::level() <= level {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            super::append(false, |line| self.write(level, now, line));
        }
    }

    /// `now` since 1970.
    fn write(&self, level: Level, now: Duration, line: &mut Vec<u8>) {
        begin(now, line);
        line.extend_from_slice(if level == Level::Warn { b"WARN" } else { b"INFO" });
        line.extend_from_slice(br#"","message":"review","namespace":"#);
        string(shortened(self.namespace, MAX_NAME_BYTES), line);
        line.extend_from_slice(br#","pod":"#);
        string(shortened(self.pod, MAX_NAME_BYTES), line);
        line.extend_from_slice(br#","service_account":"#);
        string(shortened(self.service_account, MAX_NAME_BYTES), line);
        line.extend_from_slice(br#","outcome":""#);
        line.extend_from_slice(self.outcome.as_bytes());
        line.push(b'"');
        if let Some(reason) = self.reason {
            line.extend_from_slice(br#","reason":""#);
            line.extend_from_slice(reason.as_bytes());
            line.push(b'"');
        }
        if let Some(message) = self.message {
            line.extend_from_slice(br#","error":"#);
            string(message, line);
        }
        if let Some(because) = self.because {
            line.extend_from_slice(br#","because":"#);
            string(because, line);
        }
        line.extend_from_slice(br#","microseconds":"#);
        number(u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX), 1, line);
        line.extend_from_slice(b"}\n");
    }
}

/// The line that says how many others are missing.
pub(super) fn dropped(count: u64, now: Duration, line: &mut Vec<u8>) {
    begin(now, line);
    line.extend_from_slice(
        br#"WARN","message":"log lines dropped: the reader is too slow","lines":"#,
    );
    number(count, 1, line);
    line.extend_from_slice(b"}\n");
}

/// The line of a panic, and where it was.
pub(super) fn panicked(message: &str, place: &str, now: Duration, line: &mut Vec<u8>) {
    begin(now, line);
    line.extend_from_slice(br#"ERROR","message":"panicked; this is a bug","error":"#);
    string(message, line);
    line.extend_from_slice(br#","place":"#);
    string(place, line);
    line.extend_from_slice(b"}\n");
}

fn begin(now: Duration, line: &mut Vec<u8>) {
    line.extend_from_slice(br#"{"timestamp":""#);
    timestamp(now, line);
    line.extend_from_slice(br#"","level":""#);
}

/// A JSON string; names come from a request and may hold anything.
fn string(text: &str, line: &mut Vec<u8>) {
    if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        // Writing to a Vec does not fail.
        let _ = serde_json::to_writer(&mut *line, text);
        return;
    }
    line.push(b'"');
    line.extend_from_slice(text.as_bytes());
    line.push(b'"');
}

/// `2026-03-01T12:00:00.123456Z`.
fn timestamp(since_1970: Duration, line: &mut Vec<u8>) {
    let seconds = since_1970.as_secs();
    let (year, month, day) = civil_date(seconds / 86_400);
    for (value, width, separator) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (seconds / 3600 % 24, 2, b':'),
        (seconds / 60 % 60, 2, b':'),
        (seconds % 60, 2, b'.'),
        (u64::from(since_1970.subsec_micros()), 6, b'Z'),
    ] {
        number(value, width, line);
        line.push(separator);
    }
}

/// Decimal, with leading zeros up to `width`.
fn number(mut value: u64, width: usize, line: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    while value > 0 {
        start -= 1;
        digits[start] += u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
    }
    line.extend_from_slice(&digits[start.min(digits.len() - width)..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECISION: Decision<'_> = Decision {
        namespace: "shop",
        pod: "api-\"1\"\n",
        service_account: "default",
        outcome: "denied",
        reason: Some("KS207"),
        message: Some("KS207 no"),
        because: None,
        duration: Duration::from_micros(17),
    };

    fn line(decision: &Decision<'_>, now: Duration) -> String {
        let mut line = Vec::new();
        decision.write(Level::Warn, now, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_line_is_json_whatever_the_names_are() {
        let line = line(&DECISION, Duration::from_micros(1_772_366_400_000_012));
        assert!(line.ends_with("}\n") && line.lines().count() == 1, "{line}");
        let expected = serde_json::json!({"timestamp": "2026-03-01T12:00:00.000012Z",
            "level": "WARN", "message": "review",
            "namespace": "shop", "pod": "api-\"1\"\n", "service_account": "default",
            "outcome": "denied", "reason": "KS207",
            "error": "KS207 no", "microseconds": 17});
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), expected);
        let long = "x".repeat(1000);
        assert!(self::line(&Decision { pod: &long, ..DECISION }, Duration::ZERO).len() < 600);
        let left = Decision { because: Some("volume \"v\": left"), ..DECISION };
        let left: serde_json::Value =
            serde_json::from_str(&self::line(&left, Duration::ZERO)).unwrap();
        assert_eq!(left["because"], "volume \"v\": left");
        let allowed =
            Decision { reason: None, message: None, duration: Duration::ZERO, ..DECISION };
        let mut text = Vec::new();
        allowed.write(Level::Info, Duration::ZERO, &mut text);
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.starts_with(r#"{"timestamp":"1970-01-01T00:00:00.000000Z","level":"INFO""#),
            "{text}"
        );
        assert!(text.ends_with("\"microseconds\":0}\n") && !text.contains("error"), "{text}");
        let mut text = Vec::new();
        dropped(12, Duration::ZERO, &mut text);
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&text).unwrap()["lines"], 12);
    }
}
