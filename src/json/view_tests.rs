//! Views: fields, limits, errors.

use super::*;

#[allow(unreachable_pub, reason = "views are public")]
mod sample {
    use super::*;

    view! {
    /// For the tests below.
    pub struct Sample<'a> {
        /// Text.
        "aText" text: Text<'a>,
        /// A number.
        "aNumber" number: Option<i64>,
        /// A flag.
        "flag" flag: bool,
        /// More of it.
        "children" children: Vec<Sample<'a>>,
        /// Strings.
        "strings" strings: StringMap<'a>,
    }
    }
}
use sample::Sample;

#[test]
fn a_view_reads_its_fields_and_skips_the_rest() {
    let text = r#" { "other" : [1, {"aText": 2}], "aText":"x\ny", "\u0061Number" : -0, "flag":true,
        "children":[{"aText":"z"}, null, {}],
        "strings":{"a":"1\u0031","b":null,"a":"\ud83d\ude00"} } "#;
    let sample: Sample<'_> = from_slice(text.as_bytes()).unwrap();
    assert_eq!((&*sample.text, sample.number, sample.flag), ("x\ny", Some(0), true));
    let children: Vec<&str> = sample.children.iter().map(|child| &*child.text).collect();
    assert_eq!(children, ["z", "", ""]);
    assert_eq!(sample.strings.iter().collect::<Vec<_>>(), [("a", "11"), ("b", ""), ("a", "😀")]);
    assert_eq!((sample.strings.find("a"), sample.strings.find("c")), (Some("😀"), None));
}

fn with_children(count: usize) -> String {
    format!(r#"{{"children":[{}]}}"#, vec!["{}"; count].join(","))
}

#[test]
fn the_entries_of_one_document_are_bounded() {
    let entry_limit = ENTRY_LIMIT as usize;
    let text = with_children(entry_limit);
    assert_eq!(from_slice::<Sample<'_>>(text.as_bytes()).unwrap().children.len(), entry_limit);
    let text = with_children(entry_limit + 1);
    let error = from_slice::<Sample<'_>>(text.as_bytes()).unwrap_err();
    assert_eq!(error.problem(), Problem::Entries);
    let pairs = vec![r#""":"""#; entry_limit].join(",");
    let text = format!(r#"{{"children":[{{}}],"strings":{{{pairs}}}}}"#);
    let error = from_slice::<Sample<'_>>(text.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("strings: more than 20000 entries"), "{error}");
    let skipped = with_children(10 * entry_limit).replace("children", "other");
    assert!(from_slice::<Sample<'_>>(skipped.as_bytes()).is_ok(), "what is skipped does not count");
}

#[test]
fn errors_name_the_field_and_what_was_expected() {
    for (text, expected) in [
        (
            r#"{"children":[{},{"aNumber":"3"}]}"#,
            "children[1].aNumber: invalid type: string, expected an integer at byte 27",
        ),
        (r#"{"children":{}}"#, "children: invalid type: map, expected a list at byte 12"),
        (
            r#"{"strings":{"a":true}}"#,
            "strings: invalid type: boolean, expected a string at byte 16",
        ),
        (
            r#"{"strings":[]}"#,
            "strings: invalid type: sequence, expected an object of strings at byte 11",
        ),
        (r#"{"flag":1}"#, "flag: invalid type: number, expected a boolean at byte 8"),
        (r#"{"aText":1}"#, "aText: invalid type: number, expected a string at byte 9"),
        (r#"{"aText":"a","aText":"b"}"#, "aText: duplicate field at byte 21"),
        (r#"{"aNumber":1.5}"#, "aNumber: the number is not a 64-bit integer at byte 11"),
        (
            r#"{"aNumber":9223372036854775808}"#,
            "aNumber: the number is not a 64-bit integer at byte 11",
        ),
        (r#"{"aText":"\ud800"}"#, "aText: invalid escape in a string at byte 10"),
        ("[]", "invalid type: sequence, expected an object at byte 0"),
        ("{\"aText\":\"\n\"}", "aText: control character in a string at byte 10"),
        ("{\"aText\":\"", "aText: unexpected end of the JSON text at byte 10"),
        ("{} x", "invalid JSON, expected nothing more after the value at byte 3"),
    ] {
        assert_eq!(
            from_slice::<Sample<'_>>(text.as_bytes()).unwrap_err().to_string(),
            expected,
            "{text}"
        );
    }
}
