//! The cursor against `serde_json`: what is accepted, and what is read.

use super::*;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Any document, read through every step of the cursor.
#[derive(Debug, Default, PartialEq)]
struct Any(Value);

impl<'a> Read<'a> for Any {
    fn read_into(&mut self, cursor: &mut Cursor<'a>) -> Result<(), JsonError> {
        self.0 = match cursor.peek()? {
            b'{' => {
                let mut map = Map::new();
                cursor.object(|key, cursor| {
                    let key = String::from_utf8(key.to_vec()).unwrap();
                    map.insert(key, Self::read(cursor)?.0);
                    Ok(())
                })?;
                Value::Object(map)
            }
            b'[' => {
                let mut list = Vec::new();
                cursor.array(|_, cursor| {
                    list.push(Self::read(cursor)?.0);
                    Ok(())
                })?;
                Value::Array(list)
            }
            b'"' => Value::from(&*Text::read(cursor)?),
            b't' | b'f' => Value::from(bool::read(cursor)?),
            b'n' => Option::<bool>::read(cursor).map(|_| Value::Null)?,
            _ => {
                let number = Quantity::read(cursor)?.0;
                serde_json::from_str(&number).map_err(|_| cursor.error(Problem::Number))?
            }
        };
        Ok(())
    }
}

/// What JSON allows between its tokens.
const BLANKS: &[u8] = b" \n\r\t";

/// Both readers accept or both refuse; where they accept, they read the same. What is skipped is
/// accepted if its brackets close.
fn compare(document: &[u8]) {
    if std::str::from_utf8(document).is_err() {
        assert_eq!(from_slice::<Present>(document).unwrap_err().problem(), Problem::Utf8);
        return assert!(serde_json::from_slice::<Value>(document).is_err());
    }
    let ours = from_slice::<Any>(document);
    match serde_json::from_slice::<Value>(document) {
        Ok(theirs) => assert_eq!(ours.unwrap().0, theirs),
        Err(theirs) => {
            assert!(ours.is_err(), "accepted what serde_json refuses ({theirs}): {ours:?}");
        }
    }
    let ours = from_slice::<Present>(document);
    if serde_json::from_slice::<serde::de::IgnoredAny>(document).is_ok() {
        assert!(ours.is_ok(), "{ours:?}");
    }
    let start = document.iter().position(|byte| !BLANKS.contains(byte)).unwrap_or(document.len());
    let skipped = match document.get(start) {
        Some(b'{' | b'[') => end_of_brackets(&document[start..])
            .is_some_and(|end| document[start + end..].iter().all(|byte| BLANKS.contains(byte))),
        // Scalars and strings are checked as serde_json checks them.
        _ => serde_json::from_slice::<serde::de::IgnoredAny>(document).is_ok(),
    };
    assert_eq!(ours.is_ok(), skipped, "skipping {}: {ours:?}", document.escape_ascii());
}

/// Where the bracket that comes first is closed, found byte by byte.
fn end_of_brackets(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    for (index, byte) in bytes.iter().enumerate() {
        // A backslash takes a quote's meaning; outside of strings there is none in JSON.
        let is_escaped = escaped;
        escaped = *byte == b'\\' && !is_escaped;
        match byte {
            b'"' if !is_escaped => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(index + 1);
        }
    }
    None
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        "[\"\\\\\u{0}-\u{20}a\u{7f}\u{10ffff}]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("\\PC{0,5}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// At least this many cases; `PROPTEST_CASES` asks for more.
fn cases(least: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases.max(least), failure_persistence: None, ..default }
}

/// A place, what happens there, and a byte that matters in JSON more often than not.
fn cut() -> impl Strategy<Value = (prop::sample::Index, u8, u8)> {
    let marks = proptest::sample::select(&b"{}[]\",:\\u0dDe+-.ntf \n"[..]);
    (any::<prop::sample::Index>(), 0_u8..3, prop_oneof![any::<u8>(), marks])
}

proptest! {
    #![proptest_config(cases(4096))]

    #[test]
    fn documents_read_as_serde_json_reads_them(document in document(), pretty in any::<bool>()) {
        let text = if pretty {
            serde_json::to_vec_pretty(&document)
        } else {
            serde_json::to_vec(&document)
        };
        compare(&text.unwrap());
    }

    #[test]
    fn broken_documents_are_refused_where_serde_json_refuses_them(
        document in document(),
        cuts in proptest::collection::vec(cut(), 1..4),
    ) {
        let mut text = serde_json::to_vec(&document).unwrap();
        for (place, how, byte) in cuts {
            let place = place.index(text.len() + 1);
            match how {
                0 => text.insert(place, byte),
                1 => text.truncate(place),
                _ if place < text.len() => text[place] = byte,
                _ => {}
            }
        }
        compare(&text);
    }

    #[test]
    fn any_text_of_json_characters(text in "[\\[\\]{}\",:\\\\u0-9dDeE+.ntrfalse \u{1}-]{0,24}") {
        compare(text.as_bytes());
    }

    #[test]
    fn long_brackets_end_where_they_end(
        text in "[\\[\\]{}\"\\\\ax]{0,300}",
        rest in "[\\[{\"\\\\} ]{0,3}",
    ) {
        let list = format!("[{text}]{rest}");
        let object = format!("{{\"a\":\"{text}\"}}{rest}");
        for text in [list, object, format!("[\"{text}")] {
            let mut cursor = Cursor::new(&text);
            let skipped = cursor.skip().is_ok().then_some(cursor.at);
            prop_assert_eq!(skipped, end_of_brackets(text.as_bytes()), "{}", text);
        }
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        compare(&bytes);
    }
}

#[test]
fn the_corners_of_the_grammar() {
    for text in [
        "",
        " ",
        "nul",
        "nulll",
        "tru",
        "truE",
        "-",
        "-0",
        "0",
        "00",
        "01",
        "-01",
        "1.",
        "1.e1",
        ".5",
        "1e",
        "1e+",
        "1E-2",
        "1.5e3",
        "+1",
        "9223372036854775807",
        "-9223372036854775808",
        "123456789012345678901234567890",
        "[",
        "[]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[]]",
        "{",
        "{}",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{\"a\" 1}",
        "{\"a\":1]",
        "[1}",
        "{\"a\":1 \"b\":2}",
        "\"",
        "\"\\\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\\uD83D\"",
        "\"\\uDE00\"",
        "\"\\uD83D\\u0041\"",
        "\"\\uD83Dx\"",
        "\"\\uD83D\\n\"",
        "\"a\tb\"",
        "\"a\u{7f}b\"",
        "\u{feff}1",
        "1 ",
        "1 2",
        "\"a\"b",
        "{\"a\":1,\"a\":2}",
        "{\"\\u0061\":1}",
        "\t\r\n 1",
        "\u{b}1",
        "\u{a0}1",
    ] {
        compare(text.as_bytes());
    }
    for bytes in [&b"\"\xff\""[..], b"\"\xc3\xa9\"", b"\"\xed\xa0\x80\"", b"\"\xc3\"", b"\xff"] {
        let ours = from_slice::<Any>(bytes);
        assert_eq!(ours.is_ok(), serde_json::from_slice::<Value>(bytes).is_ok(), "{ours:?}");
    }
}

#[test]
fn nesting_is_bounded_for_what_is_read_and_needs_no_stack_for_what_is_skipped() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for (levels, fits) in [(127, true), (128, false), (1_000_000, false)] {
            let text = open.repeat(levels) + "1" + &close.repeat(levels);
            let read = from_slice::<Any>(text.as_bytes());
            assert_eq!(read.is_ok(), fits, "{levels}");
            assert_eq!(serde_json::from_slice::<Value>(text.as_bytes()).is_ok(), fits);
            if let Err(error) = read {
                assert_eq!(error.problem(), Problem::Depth);
            }
            assert!(from_slice::<Present>(text.as_bytes()).is_ok());
            assert!(from_slice::<Present>(&text.as_bytes()[..text.len() - 1]).is_err());
        }
    }
}
