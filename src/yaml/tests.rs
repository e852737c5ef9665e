//! Compared with what kubectl's reader makes of the same text (`tests/data/yaml`), and with itself.

use super::*;
use serde_json::{Value, json};

const KUBECTL: &str = include_str!("../../tests/data/yaml/kubectl.jsonl");

/// A number without a fraction is an integer in the table.
fn is_same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_same(a, b)))
        }
        _ => found == expected,
    }
}

#[test]
fn kind_f4_documents_and_scalars_are_read_as_kubectl_reads_them() {
    let mut read = 0;
    for line in KUBECTL.lines() {
        let case: Vec<Value> = serde_json::from_str(line).unwrap();
        let text = case[0].as_str().unwrap();
        match (parse(text, 1), case.get(1)) {
            (Ok(parsed), Some(expected)) => {
                assert!(
                    is_same(&parsed.value, expected),
                    "{text:?}: {} is not {expected}",
                    parsed.value
                );
                read += 1;
            }
            (Err(_), None) => {}
            (parsed, expected) => panic!("{text:?}: {parsed:?} is not {expected:?}"),
        }
    }
    assert!(read > 1500, "{read}");
}

#[test]
fn kind_f4_what_is_printed_is_read_back_as_it_was_whatever_the_text() {
    let texts = KUBECTL.lines().flat_map(|line| {
        let case: Vec<Value> = serde_json::from_str(line).unwrap();
        let text = case[0].as_str().unwrap();
        let scalar = text.trim_start_matches("a: ").trim_end().to_owned();
        [text.to_owned(), scalar]
    });
    let extra = [
        "0400",
        "yes",
        "on",
        "1:30",
        "2001-01-01",
        "\u{2028}",
        "\u{85}",
        "\u{7f}",
        "\0",
        "é",
        "a\r\nb",
        " a\nb",
        "a\nb\n\n",
        "\n",
    ];
    for text in texts.chain(extra.map(str::to_owned)) {
        for value in [
            json!({"k": text}),
            json!([text]),
            json!({text.as_str(): 1}),
            json!({"a": [[text], {"b": text, "c": {}}]}),
        ] {
            let written = write(&value);
            assert_eq!(parse(&written, 1).unwrap().value, value, "{written}");
        }
    }
    for value in [
        json!({}),
        json!([]),
        json!(null),
        json!({"a": [[], {}], "b": 1.5, "c": -0.25, "d": u64::MAX, "e": true}),
    ] {
        assert_eq!(parse(&write(&value), 1).unwrap().value, value);
    }
}

#[test]
fn kind_f1_a_comment_that_touches_a_token_is_a_comment() {
    for (text, expected) in [
        ("a: \"x\"#c\n", json!({"a": "x"})),
        ("a: 'x'#c\n", json!({"a": "x"})),
        ("a: |#c\n  x\n", json!({"a": "x\n"})),
        ("a: |-#c\n  x # text\n", json!({"a": "x # text"})),
        ("a: >2#c\n    x\n", json!({"a": "  x\n"})),
        ("a: [x]#c\nb: {c: d}#e\n", json!({"a": ["x"], "b": {"c": "d"}})),
        ("a: [x,#c\n  'y'#d\n  ]#e\n", json!({"a": ["x", "y"]})),
        ("a: &x \"y\"#c\nb: !!str 'z'#d\n", json!({"a": "y", "b": "z"})),
        ("- \"x\"#c\n- - 'y'#c\n", json!(["x", ["y"]])),
        ("a:\n  - |#c\n    b: |#text\n  - \"d\"#c\n", json!({"a": ["b: |#text\n", "d"]})),
        // Text: within a plain scalar, within quotes, within a block.
        ("a: x#c\nb: \"y\"#c\n", json!({"a": "x#c", "b": "y"})),
        ("a: x\n  \"y\"#text\nb: 'y'#c\n", json!({"a": "x \"y\"#text", "b": "y"})),
        ("a: \"b\"#it's\nc: 'd'#\"\n", json!({"a": "b", "c": "d"})),
        ("a: |\n  \"x\"#text\nb: 'y'#c\n", json!({"a": "\"x\"#text\n", "b": "y"})),
        ("a: \"x\"#c\r\nb: z\r\n", json!({"a": "x", "b": "z"})),
    ] {
        assert_eq!(parse(text, 1).map(|parsed| parsed.value), Ok(expected), "{text:?}");
    }
    // Errors for the peers as well.
    for text in ["a: &x#c y\nb: *x\n", "a: *x#c\n", "a: \"x\"c#\n"] {
        assert!(parse(text, 1).is_err(), "{text:?}");
    }
}

#[test]
fn kind_f1_setting_comments_apart_changes_no_line_and_ends_whatever_the_text() {
    let pieces = [
        "\"", "'", "#", "|", ">", "-", ": ", "a", "\n", " ", "[", "]", "{", "}", ",", "\\", "é",
        "\r\n", "2", "---", "&", "? ",
    ];
    // A fixed sequence: the same texts at every run.
    let mut state = 1_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..12 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            text += pieces[usize::try_from(state >> 33).unwrap() % pieces.len()];
        }
        let separated = comments::separate(&text);
        assert_eq!(separated.lines().count(), text.lines().count(), "{text:?}");
        assert_eq!(separated.replace(' ', ""), text.replace(' ', ""), "{text:?}");
        assert_eq!(comments::separate(&separated), separated, "{text:?}");
    }
}

#[test]
fn kind_f1_a_large_text_of_such_comments_is_read_in_two_passes() {
    let text = "- \"a\"#c\n".repeat(100_000);
    assert_eq!(parse(&text, 1).unwrap().value.as_array().map(Vec::len), Some(100_000));
}

#[test]
fn kind_f3_of_repeated_keys_the_last_counts_and_both_are_told() {
    let parsed = parse("a: 1\nb: {c: yes, c: 0400}\nd:\n- e: x\n  e: 'y'\na: 2\n", 1).unwrap();
    assert_eq!(parsed.value, json!({"a": 2, "b": {"c": 256}, "d": [{"e": "y"}]}));
    let repeated: Vec<_> =
        parsed.repeated.iter().map(|key| (key.path.as_str(), key.line)).collect();
    assert_eq!(repeated, [("b.c", 2), ("d[0].e", 5), ("a", 6)]);
    assert_eq!(parsed.written["/b/c"], Written { text: "0400".to_owned(), line: 2 });
    let merged = parse("x: &x {a: 1}\nz: {<<: *x, a: 2}\n", 1).unwrap();
    assert_eq!((merged.value["z"]["a"].as_i64(), merged.repeated.len()), (Some(2), 0));
}

#[test]
fn kind_l_values_are_kept_as_they_are_written() {
    let parsed = parse("labels:\n  a/b~c: yes\n  v: 1.10\nlist: [x, True]\n", 10).unwrap();
    for (pointer, expected) in [
        ("/labels/a~1b~0c", Some(("yes", 11))),
        ("/labels/v", Some(("1.10", 12))),
        ("/list/1", Some(("True", 13))),
        ("/list/0", None),
    ] {
        let written = parsed.written.get(pointer);
        let written = written.map(|written| (written.text.as_str(), written.line));
        assert_eq!(written, expected, "{pointer}");
    }
}

#[test]
fn aliases_that_would_fill_the_memory_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let below = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", "));
    }
    assert!(parse(&text, 1).unwrap_err().message.contains("aliases"), "ten to the ninth");
    assert!(parse("a: &a [*a]\n", 1).is_err());
    assert!(parse(&format!("a: {}", "[".repeat(100_000)), 1).is_err());
}

#[test]
fn faults_name_the_line_of_the_file_and_know_a_template() {
    for (text, line, message, template) in [
        ("a:\n\tc: d\n", 11, "a tab where spaces must indent", false),
        ("a:\n  b: c\n\td: e\n", 12, "a tab where spaces must indent", false),
        ("a:\n  b: c\n  d:\n\t  e: f\n", 13, "a tab where spaces must indent", false),
        ("a:\n\n\n\tb: c\n", 13, "a tab where spaces must indent", false),
        ("a: [b\nc: d\n", 11, "", false),
        ("a: \"b\n", 10, "a quote that is never closed", false),
        ("a: b: c\n", 10, "a colon where no key can be", false),
        ("a: {{ .Values.b }}\n", 10, "", true),
        ("{{- if .Values.b }}\na: b\n{{- end }}\n", 10, "", true),
        ("a: .inf\n", 10, "infinity", false),
        ("a: b\n~: c\n", 11, "a key that is null", false),
        ("a: *b\n", 10, "an alias (*name) without its anchor", false),
    ] {
        let fault = parse(text, 10).unwrap_err();
        assert!(fault.message.starts_with(message), "{text:?}: {fault}");
        assert_eq!(
            (fault.template, fault.hint().contains("helm template")),
            (template, template),
            "{text:?}: {fault}"
        );
        assert!(message.is_empty() || fault.line == line, "{text:?}: {fault}");
    }
    let unread = parse("a: b\n...\nc: d\n", 1).unwrap();
    assert_eq!((unread.value, unread.unread_from), (json!({"a": "b"}), Some(3)));
    let unread = parse("  a: b\nc: d\n", 1).unwrap();
    assert_eq!((unread.value, unread.unread_from), (json!({"a": "b"}), Some(2)));
}
