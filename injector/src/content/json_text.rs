//! The text of a JSON string, written once and into memory that is wiped: `serde_json` would leave
//! a copy in a buffer of its own.

use serde_json::value::RawValue;
use std::str::Chars;
use zeroize::Zeroizing;

/// `None` when the value is no string, or holds half of a surrogate pair.
pub(super) fn text(value: &RawValue) -> Option<Zeroizing<String>> {
    let mut rest = value.get().strip_prefix('"')?.strip_suffix('"')?;
    // Nothing is longer than its escape, so the buffer never grows.
    let mut text = Zeroizing::new(String::with_capacity(rest.len()));
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut letters = escape.chars();
        text.push(match letters.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => unicode(&mut letters)?,
            itself => itself,
        });
        rest = letters.as_str();
    }
    text.push_str(rest);
    Some(text)
}

/// What stands for a character after `\u`, or for two halves of one.
fn unicode(letters: &mut Chars<'_>) -> Option<char> {
    let first = unit(letters)?;
    if !(0xD800..0xDC00).contains(&first) {
        return char::from_u32(first.into());
    }
    *letters = letters.as_str().strip_prefix("\\u")?.chars();
    char::decode_utf16([first, unit(letters)?]).next()?.ok()
}

fn unit(letters: &mut Chars<'_>) -> Option<u16> {
    let (digits, rest) = letters.as_str().split_at_checked(4)?;
    *letters = rest.chars();
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn agrees(json: &str) {
        let Ok(raw) = serde_json::from_str::<&RawValue>(json) else { return };
        let (ours, theirs) = (text(raw), serde_json::from_str::<String>(json).ok());
        assert_eq!(ours.as_deref(), theirs.as_ref(), "{json}");
        if let Some(ours) = ours {
            assert_eq!(ours.capacity(), json.len() - 2, "a buffer that grows leaves copies behind");
        }
    }

    #[test]
    fn every_escape_is_read_as_serde_json_reads_it() {
        for json in [
            r#""""#,
            r#""a\"b\\c\/d\be\ff\ng\rh\ti""#,
            r#""-----BEGIN A-----\nAAEC\n-----END A-----\n""#,
            r#""\u0000\u00e4\u20AC\uFFFF""#,
            r#""\ud83d\ude00 ß😀""#,
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83dx""#,
            r#""\ud83d\n""#,
            r#""\ud83d\ud83d""#,
            r#""\ud83d\u0041""#,
            "5",
            "null",
            "[\"a\"]",
        ] {
            agrees(json);
        }
    }

    proptest! {
        #[test]
        fn any_string_comes_back(value: String) {
            let json = serde_json::to_string(&value).unwrap();
            let raw: &RawValue = serde_json::from_str(&json).unwrap();
            prop_assert!(text(raw).is_some_and(|text| *text == value));
        }

        #[test]
        fn whatever_stands_between_quotes_is_read_as_serde_json_reads_it(
            inner in r#"(\\u[dD][89abcdef][0-9]{2}|\\[nrtbfu"/\\]|[0-9a-f+]|ß|\\u00e4){0,12}"#,
        ) {
            agrees(&format!("\"{inner}\""));
        }
    }
}
