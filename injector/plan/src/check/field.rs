//! Which field of a Plan serde refuses: it tells line and column only.

/// What is wrong with the text, and in which field.
pub(super) fn problem(text: &str, error: &serde_json::Error) -> String {
    let message = error.to_string();
    let path = path(text, offset(text, error), is_of_value(&message));
    if path.is_empty() || error.is_eof() {
        return message;
    }
    if error.is_syntax() {
        return format!("{path}: {message}");
    }
    let place = format!(" at line {} column {}", error.line(), error.column());
    format!("{path}: {}", message.strip_suffix(&place).unwrap_or(&message))
}

/// What a type says of its value: serde tells it after the end of the object where the value is the
/// last one.
fn is_of_value(message: &str) -> bool {
    !["missing ", "unknown ", "duplicate ", "invalid "].iter().any(|own| message.starts_with(own))
}

/// How many bytes were read.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    lines.map(str::len).sum::<usize>() + error.column()
}

/// An object or array that is open.
enum Open<'a> {
    /// With the last key.
    Object(&'a str),
    /// With the number of elements that have begun.
    Array(usize),
}

/// The field that begins last before `end`, such as `volumes[0].files[0].mode`. Where an object
/// ends right there it is the object, or `last` its last field.
fn path(text: &str, end: usize, last: bool) -> String {
    let (mut open, mut closed) = (Vec::new(), None);
    let (mut at, mut is_key) = (0, false);
    let bytes = text.as_bytes();
    while at < end.min(bytes.len()) {
        let byte = bytes[at];
        let start = at;
        at += 1;
        if byte.is_ascii_whitespace() {
            continue;
        }
        closed = None;
        let is_value = !matches!(byte, b'}' | b']' | b',' | b':');
        if let (true, Some(Open::Array(begun))) =
            (is_value && is_new(bytes, start), open.last_mut())
        {
            *begun += 1;
        }
        match byte {
            b'"' => {
                at = end_of_string(bytes, at);
                if let (true, Some(Open::Object(key))) = (is_key, open.last_mut()) {
                    *key = text.get(start + 1..at.saturating_sub(1)).unwrap_or_default();
                }
            }
            b'{' => open.push(Open::Object("")),
            b'[' => open.push(Open::Array(0)),
            b'}' | b']' => closed = open.pop(),
            _ => {}
        }
        // A comma in an array is before a value, which is not used as a key.
        is_key = matches!(byte, b'{' | b',');
    }
    open.extend(closed.filter(|closed| last && matches!(closed, Open::Object(_))));
    let mut path = String::new();
    for open in open {
        match open {
            Open::Object("") | Open::Array(0) => {}
            Open::Object(key) if path.is_empty() => path.push_str(key),
            Open::Object(key) => path.extend([".", key]),
            Open::Array(begun) => path.push_str(&format!("[{}]", begun - 1)),
        }
    }
    path
}

/// Whether a value begins here: numbers and words have several bytes.
fn is_new(bytes: &[u8], at: usize) -> bool {
    let before = bytes[..at].iter().rev().find(|byte| !byte.is_ascii_whitespace());
    before.is_some_and(|byte| matches!(byte, b'[' | b','))
}

/// Behind the quote that ends the string; `at` is behind the one that begins it.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_field_is_found_where_reading_stopped() {
        let text = r#"{"a": [1, 23, {"b": "x\"]}", "c": {"d": true}}], "e": 5}"#;
        let after = |part: &str| text.find(part).unwrap() + part.len();
        for (end, last, expected) in [
            (after("{"), false, ""),
            (after(r#"{"a""#), false, "a"),
            (after("[1"), false, "a[0]"),
            // A comma alone begins nothing.
            (after("[1, "), false, "a[0]"),
            (after("23"), false, "a[1]"),
            (after(r#""x\"]}""#), false, "a[2].b"),
            (after("true"), false, "a[2].c.d"),
            (after("true}"), false, "a[2].c"),
            (after("true}"), true, "a[2].c.d"),
            (after("}}"), true, "a[2].c"),
            (after("}}]"), false, "a"),
            (after("5"), true, "e"),
            (after("5}"), false, ""),
            (after("5}"), true, "e"),
            (9999, false, ""),
        ] {
            assert_eq!(path(text, end, last), expected, "{end} {last}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "[a\\[\\]{}\",:\\\\ ü\n]{0,40}", end in 0_usize..50) {
            path(&text, end, true);
            if let Err(error) = serde_json::from_str::<crate::Plan>(&text) {
                problem(&text, &error);
            }
        }
    }
}
