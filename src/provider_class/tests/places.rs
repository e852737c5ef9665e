//! Where the files of a class go: directories of their own, collisions and odd names.

use super::*;

#[test]
fn a_selection_needs_no_objects_and_its_directory_is_no_file() {
    let plan =
        bare(&with(&[("objects", ""), ("select", "namePrefix: app-\ndirectory: config")])).unwrap();
    assert_eq!((plan.files.len(), plan.selections.len(), plan.warnings), (0, 1, vec![]));
    for (directory, refused) in [("db", true), ("db/x", true), ("d", false)] {
        let result =
            bare(&with(&[("select", &format!("{{namePrefix: a, directory: {directory}}}"))]));
        let error = result.err().map(|error| error.to_string()).unwrap_or_default();
        let expected =
            if refused { "KS128 select: directory db is a file of objects[0]; hint: " } else { "" };
        assert!(error.starts_with(expected) && error.is_empty() != refused, "{directory}: {error}");
    }
}

/// What two objects of these fields come to, certificates split.
fn two(first: &str, second: &str) -> Result<Vec<&'static str>, String> {
    let objects = format!(
        "array: ['{{objectName: a, objectType: secret, {first}}}', '{{objectName: b, objectType: \
         secret, {second}}}']"
    );
    let plan = bare(&with(&[("objects", &objects), ("writeCertAndKeyInSeparateFiles", "true")]));
    plan.map(|plan| codes(&plan)).map_err(|error| error.to_string())
}

#[test]
fn a_history_is_a_directory_of_its_own() {
    for (first, second) in [
        ("objectVersionHistory: 2", "objectAlias: a/0"),
        ("objectVersionHistory: 2", "objectAlias: a/2"),
        ("objectVersionHistory: 2", "objectAlias: a"),
        ("objectAlias: d/x", "objectAlias: d, objectVersionHistory: 2"),
        ("objectVersionHistory: 2", "objectAlias: a/0.crt"),
        ("parts: [cert, key]", "objectAlias: a.key"),
    ] {
        let error = two(first, second).unwrap_err();
        assert!(error.starts_with("KS128 objects[1]: path "), "{first} {second}: {error}");
    }
    assert_eq!(two("objectVersionHistory: 2", "objectAlias: a.crt"), Ok(vec![]));
    assert_eq!(two("parts: [cert, key]", "objectAlias: a, jsonKey: x"), Ok(vec![]));
}

#[test]
fn the_halves_of_a_certificate_have_places_of_their_own() {
    for (first, second, expected) in [
        (
            "optional: true",
            "objectAlias: a.crt",
            "objects[0]: if it backs a certificate, its file a.crt collides with path a.crt of \
             objects[1]",
        ),
        (
            "objectAlias: tls.crt",
            "objectAlias: tls",
            "objects[1]: if it backs a certificate, its file tls.crt collides with path tls.crt \
             of objects[0]",
        ),
        (
            "optional: true",
            "objectAlias: a.key/x",
            "objects[0]: if it backs a certificate, its file a.key collides with path a.key/x of \
             objects[1]",
        ),
        (
            "optional: true",
            "objectAlias: a.key, objectVersionHistory: 2",
            "objects[0]: if it backs a certificate, its file a.key collides with path a.key of \
             objects[1]",
        ),
        (
            "optional: true",
            "objectAlias: a.crt, jsonKey: x",
            "objects[0]: if it backs a certificate, its file a.crt collides with path a.crt of \
             objects[1]",
        ),
    ] {
        let error = two(first, second).unwrap_err();
        assert!(
            error.starts_with(&format!("KS143 {expected}; hint: ")),
            "{first} {second}: {error}"
        );
    }
    assert_eq!(two("optional: true", "objectAlias: a.pem"), Ok(vec![]));
    let error = bare(&with(&[
        ("select", "{directory: db.key}"),
        ("writeCertAndKeyInSeparateFiles", "true"),
    ]))
    .unwrap_err();
    assert!(
        error.to_string().starts_with("KS128 select: directory db.key is a file of objects[0]"),
        "{error}"
    );
}

#[test]
fn every_file_that_an_object_makes_has_a_path() {
    let (long, deep) = ("x".repeat(253), "d/".repeat(31) + "d");
    for (first, expected) in [
        (
            format!("objectAlias: {long}"),
            Some("KS125 objects[0]: writeCertAndKeyInSeparateFiles: file name \"xxx"),
        ),
        (format!("objectAlias: {long}, jsonKey: x"), None),
        (format!("objectAlias: {long}, objectVersionHistory: 2"), None),
        (format!("objectAlias: {deep}"), None),
        (
            format!("objectAlias: {deep}, objectVersionHistory: 2"),
            Some("KS125 objects[0]: objectVersionHistory: file name \"d/d"),
        ),
        (
            format!("objectAlias: {}, parts: [cert, key]", "x".repeat(252)),
            Some("KS125 objects[0]: parts: file name"),
        ),
    ] {
        let result = two(&first, "parts: key");
        let error = result.as_ref().err().map(String::as_str).unwrap_or_default();
        assert!(
            error.starts_with(expected.unwrap_or_default())
                && error.is_empty() == expected.is_none(),
            "{first}: {error}"
        );
    }
    let error = bare(&with(&[("select", &format!("{{directory: {deep}}}"))])).unwrap_err();
    assert!(error.to_string().starts_with("KS125 select: directory: file name \"d/d"), "{error}");
}

#[test]
fn a_directory_where_a_selected_secret_would_be_gives_a_warning() {
    let text = "select: a secret app-db would have no place: app-db is a directory of objects[0]";
    for (alias, select, expected) in [
        ("objectVersionHistory: 3", "{namePrefix: app-}", true),
        ("objectVersionHistory: 3", "{namePrefix: APP-}", true),
        ("objectVersionHistory: 3", "{tags: {a: b}}", true),
        ("objectVersionHistory: 3", "{namePrefix: web-}", false),
        ("objectVersionHistory: 3", "{namePrefix: app-, directory: d}", false),
        (
            "objectVersionHistory: 3, objectAlias: d/App-db",
            "{namePrefix: app-, directory: d}",
            true,
        ),
        ("objectVersionHistory: 1", "{namePrefix: app-}", false),
        ("objectAlias: app-db/x", "{namePrefix: app-}", true),
        ("objectAlias: app-db/x", "{tags: {a: b}}", false),
        ("objectAlias: app_db/x", "{namePrefix: app}", false),
    ] {
        let objects = format!("array: ['{{objectName: app-db, objectType: secret, {alias}}}']");
        let warnings = bare(&with(&[("objects", &objects), ("select", select)])).unwrap().warnings;
        let is_warned = warnings
            .iter()
            .any(|warning| warning.reason.code == "KS146" && warning.text.to_lowercase() == text);
        assert_eq!(is_warned, expected, "{alias} {select}");
    }
}

#[test]
fn invisible_characters_of_a_file_name_give_a_warning() {
    for (alias, expected) in [
        (
            "a\u{200B}b",
            Some("objects[0]: the file name \"a\\u{200b}b\" holds the invisible character U+200B"),
        ),
        ("a\u{202E}txt", Some("U+202E")),
        ("\"a\\uFEFF\"", Some("U+FEFF")),
        ("\"a\\nb\"", Some("U+000A")),
        ("caf\u{E9} \u{6D4B}\u{8BD5}", None),
        ("soft\u{AD}hyphen", None),
    ] {
        let objects = format!(
            "array:\n  - |\n    objectName: a\n    objectType: key\n    objectAlias: {alias}\n"
        );
        let warnings = bare(&with(&[("objects", &objects)])).unwrap().warnings;
        assert_eq!(warnings.len(), usize::from(expected.is_some()), "{alias:?}: {warnings:?}");
        for warning in &warnings {
            assert_eq!(warning.reason.code, "KS145", "{alias:?}");
            assert!(warning.text.contains(expected.unwrap()), "{alias:?}: {warning:?}");
        }
    }
}
