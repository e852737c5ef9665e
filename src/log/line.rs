//! The line of a decision, by hand: about a tenth of what a general JSON formatter costs.

use super::{Format, Level};
use crate::bounded::shortened;
use keysluice_plan::civil_date;
use std::io::Write as _;
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
            super::append(false, |line| self.write(super::format(), level, now, line));
        }
    }

    /// `now` since 1970.
    fn write(&self, format: Format, level: Level, now: Duration, bytes: &mut Vec<u8>) {
        let level = if level == Level::Warn { "warn" } else { "info" };
        let mut line = Line::begin(format, now, level, self.reason, "review", bytes);
        line.text("namespace", shortened(self.namespace, MAX_NAME_BYTES));
        line.text("pod", shortened(self.pod, MAX_NAME_BYTES));
        line.text("service_account", shortened(self.service_account, MAX_NAME_BYTES));
        line.text("outcome", self.outcome);
        if let Some(message) = self.message {
            line.text("error", message);
        }
        if let Some(because) = self.because {
            line.text("because", because);
        }
        let microseconds = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX);
        line.number("microseconds", microseconds);
        line.end();
    }
}

/// The line that says how many others are missing.
pub(super) fn dropped(format: Format, count: u64, now: Duration, bytes: &mut Vec<u8>) {
    let message = "log lines dropped: the reader is too slow";
    let mut line = Line::begin(format, now, "warn", None, message, bytes);
    line.number("lines", count);
    line.end();
}

/// The line of a panic, and where it was.
pub(super) fn panicked(
    format: Format,
    message: &str,
    place: &str,
    now: Duration,
    bytes: &mut Vec<u8>,
) {
    let mut line = Line::begin(format, now, "error", None, "panicked; this is a bug", bytes);
    line.text("error", message);
    line.text("place", place);
    line.end();
}

/// A line that is being written: time, level, code and message, then its fields.
pub(super) struct Line<'b> {
    bytes: &'b mut Vec<u8>,
    format: Format,
}

impl<'b> Line<'b> {
    /// `now` since 1970.
    pub(super) fn begin(
        format: Format,
        now: Duration,
        level: &str,
        code: Option<&str>,
        message: &str,
        bytes: &'b mut Vec<u8>,
    ) -> Self {
        if format == Format::Text {
            timestamp(now, bytes);
            // The longest level has five letters.
            let _ = write!(bytes, " {level:<5} ");
            if let Some(code) = code {
                let _ = write!(bytes, "{code} ");
            }
            bytes.extend(message.chars().map(printable).collect::<String>().into_bytes());
            return Self { bytes, format };
        }
        bytes.extend_from_slice(br#"{"timestamp":""#);
        timestamp(now, bytes);
        bytes.extend_from_slice(br#"","level":""#);
        bytes.extend_from_slice(level.as_bytes());
        bytes.push(b'"');
        let mut line = Self { bytes, format };
        if let Some(code) = code {
            line.text("code", code);
        }
        line.text("message", message);
        line
    }

    /// Names are ours, values may hold anything.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        string(self.format, value, self.bytes);
    }

    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        number(value, 1, self.bytes);
    }

    /// A value that needs no quotes: a number, a boolean.
    pub(super) fn plain(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        let _ = write!(self.bytes, "{value}");
    }

    fn name(&mut self, name: &str) {
        let (before, after): (&[u8], &[u8]) = match self.format {
            Format::Json => (b",\"", b"\":"),
            Format::Text => (b" ", b"="),
        };
        self.bytes.extend_from_slice(before);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(after);
    }

    pub(super) fn end(self) {
        self.bytes.extend_from_slice(if self.format == Format::Json { b"}\n" } else { b"\n" });
    }
}

/// A JSON string; names come from a request and may hold anything. A text that is one word needs no
/// quotes for people.
fn string(format: Format, text: &str, line: &mut Vec<u8>) {
    if format == Format::Text && is_word(text) {
        line.extend_from_slice(text.as_bytes());
        return;
    }
    if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        // Writing to a Vec does not fail.
        let _ = serde_json::to_writer(&mut *line, text);
        return;
    }
    line.push(b'"');
    line.extend_from_slice(text.as_bytes());
    line.push(b'"');
}

/// Whether a text needs no quotes.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'=')
}

/// A terminal obeys control characters, and a line break would make another line.
fn printable(character: char) -> char {
    if character.is_control() { ' ' } else { character }
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
        decision.write(Format::Json, Level::Warn, now, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_line_is_json_whatever_the_names_are() {
        let line = line(&DECISION, Duration::from_micros(1_772_366_400_000_012));
        assert!(line.ends_with("}\n") && line.lines().count() == 1, "{line}");
        let expected = serde_json::json!({"timestamp": "2026-03-01T12:00:00.000012Z",
            "level": "warn", "code": "KS207", "message": "review",
            "namespace": "shop", "pod": "api-\"1\"\n", "service_account": "default",
            "outcome": "denied",
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
        allowed.write(Format::Json, Level::Info, Duration::ZERO, &mut text);
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.starts_with(r#"{"timestamp":"1970-01-01T00:00:00.000000Z","level":"info""#),
            "{text}"
        );
        assert!(text.ends_with("\"microseconds\":0}\n") && !text.contains("error"), "{text}");
        let mut text = Vec::new();
        dropped(Format::Json, 12, Duration::ZERO, &mut text);
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&text).unwrap()["lines"], 12);
    }

    #[test]
    fn for_people_a_line_has_the_same_fields_in_the_same_order() {
        let mut line = Vec::new();
        DECISION.write(Format::Text, Level::Warn, Duration::from_micros(12), &mut line);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "1970-01-01T00:00:00.000012Z warn  KS207 review namespace=shop \
             pod=\"api-\\\"1\\\"\\n\" service_account=default outcome=denied error=\"KS207 no\" \
             microseconds=17\n"
        );
        let mut line = Vec::new();
        Line::begin(Format::Text, Duration::ZERO, "error", None, "a\nb\x1b[1m", &mut line).end();
        assert!(line.ends_with(b"Z error a b [1m\n"), "{line:?}");
    }
}
