//! Events of `tracing` as lines: rare, and somebody may be waiting for them.

use super::append;
use super::line::Line;
use crate::reason;
use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Writes every event.
pub(super) struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            _ => "debug",
        };
        append(true, |bytes| {
            let (code, message) = fields.message();
            let mut line = Line::begin(super::format(), now, level, code, message, bytes);
            for (name, value) in &fields.others {
                match value {
                    Value::Text(text) => line.text(name, text),
                    Value::Plain(text) => line.plain(name, text),
                }
            }
            line.end();
        });
    }
}

/// What an event holds.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

enum Value {
    Text(String),
    /// A number or a boolean.
    Plain(String),
}

impl Fields {
    /// The code with which the message begins, and the rest of it.
    fn message(&self) -> (Option<&str>, &str) {
        match self.message.split_once(' ') {
            Some((code, rest)) if reason::find(code).is_some_and(|known| known.code == code) => {
                (Some(code), rest)
            }
            _ => (None, &self.message),
        }
    }

    fn plain(&mut self, field: &Field, value: &impl ToString) {
        self.others.push((field.name(), Value::Plain(value.to_string())));
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.others.push((field.name(), Value::Text(value.to_owned())));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_before_the_message_is_a_field_of_its_own() {
        for (message, expected) in [
            ("KS707 no certificate", (Some("KS707"), "no certificate")),
            ("ks707 no certificate", (None, "ks707 no certificate")),
            ("KS000 no code", (None, "KS000 no code")),
            ("serving", (None, "serving")),
        ] {
            let fields = Fields { message: message.to_owned(), others: Vec::new() };
            assert_eq!(fields.message(), expected);
        }
    }
}
