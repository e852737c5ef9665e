use super::*;

/// Reads `key: SOURCE` as the provider's string and int32 fields are read.
fn field<T>(
    source: &str,
    read: fn(&Document<'_>, NodeId) -> Result<Option<T>, YamlError>,
) -> Result<Option<T>, String> {
    let text = format!("key: {source}");
    let document = Document::parse(&text, 100).map_err(|error| error.to_string())?;
    let fields = document.fields("types.KeyVaultObject").map_err(|error| error.to_string())?;
    read(&document, fields[0].1).map_err(|error| error.to_string())
}

fn string(document: &Document<'_>, id: NodeId) -> Result<Option<String>, YamlError> {
    Ok(document.string(id)?.map(str::to_owned))
}

fn int32(document: &Document<'_>, id: NodeId) -> Result<Option<i32>, YamlError> {
    document.int32(id)
}

#[test]
fn scalars_keep_their_source_text() {
    for (source, expected) in [
        ("0755", Some("0755")),
        ("0123", Some("0123")),
        ("1e5", Some("1e5")),
        ("2024-01-01", Some("2024-01-01")),
        ("007", Some("007")),
        ("true", Some("true")),
        ("yes", Some("yes")),
        ("3.0", Some("3.0")),
        ("1_000", Some("1_000")),
        ("a#b", Some("a#b")),
        ("x # comment", Some("x")),
        ("\"null\"", Some("null")),
        ("''", Some("")),
        ("'it''s'", Some("it's")),
        ("\"a\\tb\\u0041\"", Some("a\tbA")),
        ("!!str null", Some("null")),
        ("!!int 5", Some("5")),
        ("!mine x", Some("x")),
        ("&anchor v", Some("v")),
        ("|\n  a\n  b", Some("a\nb")),
        (">-\n  a\n  b", Some("a b")),
        ("null", None),
        ("Null", None),
        ("NULL", None),
        ("~", None),
        ("", None),
        ("# comment", None),
    ] {
        let text = field(source, string);
        assert_eq!(text.as_ref().map(Option::as_deref), Ok(expected), "{source}");
    }
}

#[test]
fn numbers_are_read_as_yaml_v3_reads_them_into_an_int32() {
    for (source, expected) in [
        ("5", Some(5)),
        ("3.0", Some(3)),
        ("3.9", Some(3)),
        ("-1", Some(-1)),
        ("+4", Some(4)),
        ("0x10", Some(16)),
        ("0o17", Some(15)),
        ("010", Some(8)),
        ("09", Some(9)),
        ("0b11", Some(3)),
        ("1_000", Some(1000)),
        ("1e3", Some(1000)),
        (".5", Some(0)),
        ("5.", Some(5)),
        ("!!int \"5\"", Some(5)),
        ("~", None),
        ("", None),
    ] {
        assert_eq!(field(source, int32), Ok(expected), "{source}");
    }
    for (source, expected) in [
        ("\"5\"", "cannot unmarshal !!str `5` into int32"),
        ("five", "cannot unmarshal !!str `five` into int32"),
        ("true", "cannot unmarshal !!bool `true` into int32"),
        ("_1", "cannot unmarshal !!str `_1` into int32"),
        ("<<", "cannot unmarshal !!merge `<<` into int32"),
        ("99999999999", "cannot unmarshal !!int `9999999...` into int32"),
        ("1e99", "cannot unmarshal !!float `1e99` into int32"),
        ("1e999", "cannot unmarshal !!str `1e999` into int32"),
        ("0x", "cannot unmarshal !!str `0x` into int32"),
        ("-", "block sequence entries are not allowed in this context"),
        ("[1]", "cannot unmarshal !!seq into int32"),
        ("{a: 1}", "cannot unmarshal !!map into int32"),
    ] {
        let error = field(source, int32).unwrap_err();
        assert!(error.contains(expected), "{source}: {error}");
    }
}

#[test]
fn what_is_no_string_is_named_by_its_tag() {
    for (source, expected) in [
        ("[a]", "yaml: unmarshal errors: line 1: cannot unmarshal !!seq into string"),
        ("{a: b}", "yaml: unmarshal errors: line 1: cannot unmarshal !!map into string"),
        ("\n  a: b", "yaml: unmarshal errors: line 2: cannot unmarshal !!map into string"),
        ("!!binary aGk=", "yaml: line 1: !!binary is not supported here"),
    ] {
        let error = field(source, string);
        assert_eq!(error, Err(expected.to_owned()), "{source}");
    }
}

/// The keys of a mapping.
fn keys(text: &str) -> Result<Vec<String>, String> {
    let document = Document::parse(text, 100).map_err(|error| error.to_string())?;
    let fields = document.fields("types.KeyVaultObject").map_err(|error| error.to_string())?;
    Ok(fields.into_iter().map(|(key, _)| key.to_owned()).collect())
}

#[test]
fn keys_are_unique_plain_and_case_sensitive() {
    for (text, expected) in [
        ("a: 1\nA: 2\n\"b\": 3\n4: 5", Ok(vec!["a", "A", "b", "4"])),
        ("{\"a\":1,\"b\":null}", Ok(vec!["a", "b"])),
        ("a: 1\r\nb: 2\r\n", Ok(vec!["a", "b"])),
        ("a:\t1\nb: 2\t# comment", Ok(vec!["a", "b"])),
        ("---\na: 1\n---\nb: 2", Ok(vec!["a"])),
        ("~: 1\na: 2", Ok(vec!["a"])),
        ("", Ok(vec![])),
        ("# nothing", Ok(vec![])),
        ("~", Ok(vec![])),
        ("a: 1\n'a': 2", Err("line 2: mapping key \"a\" already defined at line 1")),
        ("x", Err("cannot unmarshal !!str `x` into types.KeyVaultObject")),
        ("5", Err("cannot unmarshal !!int `5` into types.KeyVaultObject")),
        ("- a", Err("cannot unmarshal !!seq into types.KeyVaultObject")),
        ("[a]: b", Err("cannot unmarshal !!seq into string")),
        ("<<: {a: b}", Err("a merge key (<<) is not supported")),
        ("a: b: c", Err("yaml: line 1: mapping values are not allowed in this context")),
        ("a: \"b", Err("yaml: line 1")),
        ("a:\n\tb: c", Err("yaml: line 2")),
        ("*nowhere", Err("unknown anchor")),
    ] {
        match (keys(text), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text:?}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{text:?}: {error}"),
            (found, expected) => panic!("{text:?}: {found:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn aliases_are_followed_and_cycles_are_harmless() {
    let document = Document::parse("a: &x secret\nb: *x\nc: &y [*y]", 100).unwrap();
    let fields = document.fields("types.KeyVaultObject").unwrap();
    assert_eq!(document.string(fields[1].1), Ok(Some("secret")));
    assert_eq!(document.items(fields[2].1).unwrap(), &[fields[2].1]);
    let deep = format!("a: {}", "[".repeat(100_000));
    assert!(matches!(Document::parse(&deep, 1 << 20), Err(YamlError::Syntax { line: 1, .. })));
}
