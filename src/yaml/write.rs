//! Objects as YAML that kubectl, and a reader of YAML 1.2, read back as they were.

use super::scalar::{self, Scalar};
use serde_json::Value;
use std::fmt::Write as _;

/// A document of block collections, with a line break at its end.
pub(crate) fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => write_map(&mut out, fields, 0, false),
        Value::Array(items) if !items.is_empty() => write_list(&mut out, items, 0),
        other => {
            write_scalar(&mut out, other, 0);
            out.push('\n');
        }
    }
    out
}

/// `inline`: the first key stands on a line that has begun.
fn write_map(
    out: &mut String,
    fields: &serde_json::Map<String, Value>,
    indent: usize,
    inline: bool,
) {
    for (index, (key, value)) in fields.iter().enumerate() {
        if index > 0 || !inline {
            pad(out, indent);
        }
        out.push_str(&text(key));
        out.push(':');
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                out.push('\n');
                write_map(out, fields, indent + 2, false);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                write_list(out, items, indent + 2);
            }
            other => {
                out.push(' ');
                write_scalar(out, other, indent + 2);
                out.push('\n');
            }
        }
    }
}

fn write_list(out: &mut String, items: &[Value], indent: usize) {
    for item in items {
        pad(out, indent);
        out.push('-');
        match item {
            Value::Object(fields) if !fields.is_empty() => {
                out.push(' ');
                write_map(out, fields, indent + 2, true);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                write_list(out, items, indent + 2);
            }
            other => {
                out.push(' ');
                write_scalar(out, other, indent + 2);
                out.push('\n');
            }
        }
    }
}

/// `indent` is that of the lines of a block scalar.
fn write_scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(text) if is_block(text) => {
            let trailing = text.len() - text.trim_end_matches('\n').len();
            out.push_str(["|-", "|", "|+"][trailing.min(2)]);
            for line in text[..text.len() - trailing].split('\n') {
                out.push('\n');
                if !line.is_empty() {
                    pad(out, indent);
                    out.push_str(line);
                }
            }
            // The line break behind the scalar is the first of these.
            out.extend(std::iter::repeat_n('\n', trailing.saturating_sub(1)));
        }
        Value::String(string) => out.push_str(&text(string)),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

fn pad(out: &mut String, columns: usize) {
    out.extend(std::iter::repeat_n(' ', columns));
}

/// Several lines that a block scalar holds as they are.
fn is_block(text: &str) -> bool {
    let content = text.trim_end_matches('\n');
    content.contains('\n')
        && !content.starts_with([' ', '\t', '\n'])
        && !content.ends_with([' ', '\t'])
        && content.split('\n').all(|line| line.is_empty() || !line.trim().is_empty())
        && text.chars().all(|c| c == '\n' || c == '\t' || (!c.is_control() && !is_special(c)))
}

/// A string on one line: plain where it cannot be read as another type.
fn text(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

fn is_plain(text: &str) -> bool {
    let begins = text.starts_with(|c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '$' | '(' | '.')
    });
    let number_like =
        text.bytes().all(|byte| byte.is_ascii_hexdigit() || b"_.:+-xXoO".contains(&byte))
            && text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let date_like = text.len() > 4
        && text.bytes().take(4).all(|byte| byte.is_ascii_digit())
        && text.as_bytes()[4] == b'-';
    begins
        && !number_like
        && !date_like
        && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
        && !text.starts_with("...")
        && scalar::resolve(text) == Scalar::Text
}

/// As JSON has it, and what YAML does not take raw escaped.
fn quoted(text: &str) -> String {
    let json = Value::String(text.to_owned()).to_string();
    let mut quoted = String::with_capacity(json.len());
    for c in json.chars() {
        if is_special(c) {
            let _ = write!(quoted, "\\u{:04x}", c as u32);
        } else {
            quoted.push(c);
        }
    }
    quoted
}

/// Control characters above ASCII's, further line breaks, and what no reader of YAML takes.
fn is_special(c: char) -> bool {
    matches!(
        c,
        '\u{7F}'..='\u{9F}' | '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}'
    )
}
