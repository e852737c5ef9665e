//! How a value is written in other formats, so that their readers read it back.

use super::{RenderProblem, Text};

/// Each character, or what stands for it.
pub(super) fn escaped(
    text: &str,
    out: &mut Text,
    escape: impl Fn(char) -> Option<String>,
) -> Result<(), RenderProblem> {
    text.chars().try_for_each(|c| match escape(c) {
        Some(escaped) => out.push(escaped.as_bytes()),
        None => out.push_char(c),
    })
}

pub(super) fn quoted(
    text: &str,
    quote: &str,
    out: &mut Text,
    escape: impl Fn(char) -> Option<String>,
) -> Result<(), RenderProblem> {
    out.push(quote.as_bytes())?;
    escaped(text, out, escape)?;
    out.push(quote.as_bytes())
}

/// RFC 8259.
pub(super) fn json(text: &str, out: &mut Text) -> Result<(), RenderProblem> {
    quoted(text, "\"", out, |c| match c {
        '"' | '\\' => Some(format!("\\{c}")),
        '\n' => Some("\\n".to_owned()),
        '\r' => Some("\\r".to_owned()),
        '\t' => Some("\\t".to_owned()),
        // U+007F to U+009F and the line separators: legal in JSON, but not in YAML.
        c if c.is_control() || ['\u{2028}', '\u{2029}', '\u{feff}'].contains(&c) => {
            Some(format!("\\u{:04x}", u32::from(c)))
        }
        _ => None,
    })
}

/// As `java.util.Properties.store` writes a value.
pub(super) fn properties(text: &str, out: &mut Text) -> Result<(), RenderProblem> {
    for (at, c) in text.char_indices() {
        match c {
            ' ' if at == 0 => out.push(b"\\ ")?,
            '\n' => out.push(b"\\n")?,
            '\r' => out.push(b"\\r")?,
            '\t' => out.push(b"\\t")?,
            '\u{c}' => out.push(b"\\f")?,
            '\\' | '=' | ':' | '#' | '!' => out.push(format!("\\{c}").as_bytes())?,
            ' '..='~' => out.push_char(c)?,
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push(format!("\\u{unit:04X}").as_bytes())?;
                }
            }
        }
    }
    Ok(())
}

/// `DbConnectionStringBuilder`: quotes where the value would be read otherwise without them.
pub(super) fn adonet(text: &str, out: &mut Text) -> Result<(), RenderProblem> {
    // Keys of Azure services end with `=`, and readers of their connection strings know no quotes.
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~+/@=".contains(c));
    if is_plain && !text.is_empty() && !text.starts_with('=') {
        return out.push(text.as_bytes());
    }
    quoted(text, "\"", out, |c| (c == '"').then(|| "\"\"".to_owned()))
}

/// A value of a `.env` file. Shells and the usual readers take single quotes literally. Where they
/// cannot, double quotes with escapes: python-dotenv reads doubled backslashes in single quotes as
/// one, and Compose a backslash before the closing quote as an escape.
pub(super) fn dotenv(text: &str, out: &mut Text) -> Result<(), RenderProblem> {
    let has_escape = text.contains("\\\\") || text.ends_with('\\');
    // Only shells read `\$` as `$`.
    let is_expanded = text.contains(['$', '`']);
    if !text.contains('\'') && (is_expanded || !has_escape) {
        return quoted(text, "'", out, |_| None);
    }
    quoted(text, "\"", out, |c| ['\\', '"', '$', '`'].contains(&c).then(|| format!("\\{c}")))
}

/// Text or an attribute of XML 1.0; `false` where it has a character that XML does not have.
///
/// A reader makes a space of a line end in an attribute, and LF of CR in a text, unless they are
/// written as references.
pub(super) fn xml(text: &str, out: &mut Text) -> Result<bool, RenderProblem> {
    if text.contains(is_foreign_to_xml) {
        return Ok(false);
    }
    escaped(text, out, |c| {
        let entity = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            '\'' => "&#39;",
            '\t' => "&#9;",
            '\n' => "&#10;",
            '\r' => "&#13;",
            _ => return None,
        };
        Some(entity.to_owned())
    })?;
    Ok(true)
}

const fn is_foreign_to_xml(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        c => c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}'),
    }
}
