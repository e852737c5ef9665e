//! The `objects` document: its form, its size, and the places of its files.

use super::*;
use crate::provider_class::additions::Additions;

/// The files of an `objects` document, through every check.
fn specs(text: &str) -> Result<Vec<FilePlan>, String> {
    with_warnings(text, false).map(|(files, _)| files)
}

fn with_warnings(text: &str, split: bool) -> Result<(Vec<FilePlan>, Vec<String>), String> {
    let mut doubts = Doubts::default();
    let files = checked_files(text, split, &mut doubts).map_err(|error| error.to_string())?;
    Ok((
        files,
        doubts
            .into_warnings()
            .into_iter()
            .map(|warning| format!("{} {}", warning.reason, warning.text))
            .collect(),
    ))
}

fn checked_files(
    text: &str,
    split: bool,
    doubts: &mut Doubts,
) -> Result<Vec<FilePlan>, ClassError> {
    let (cloud, limits) = (Cloud::well_known("").unwrap(), Allowlist::default());
    let objects = parse(text, doubts)?;
    let files = files(objects, &cloud.vault_url("kv-1").unwrap(), &cloud, &limits, split, doubts)?;
    path_set(&files, &[], &Layout::new(files.iter().map(FilePlan::paths), []))?;
    Ok(files)
}

/// The files of one object of these lines.
fn all(lines: &str) -> Result<Vec<FilePlan>, String> {
    specs(&format!("array:\n  - |\n    {}", lines.replace('\n', "\n    ")))
}

/// The one file of one object of these lines.
pub(super) fn one(lines: &str) -> Result<FilePlan, String> {
    all(lines).map(|mut files| files.remove(0))
}

#[test]
fn elements_are_strings_however_they_are_written() {
    for text in [
        "array:\n  - |\n    objectName: a\n    objectType: secret\n",
        "array:\r\n  - |\r\n    objectName: a\r\n    objectType: secret\r\n",
        "array:\n- |\n  objectName: a\n  objectType: secret",
        "array:\n  - \"objectName: a\\nobjectType: secret\"",
        "array:\n  - '{\"objectName\": \"a\", \"objectType\": \"secret\"}'",
        "array: ['{objectName: a, objectType: secret}']",
        "{\"array\": [\"{objectName: a, objectType: secret}\"]}",
        "array:\n  # comment\n  - | # comment\n    objectName: a # comment\n    objectType: \
         secret\nother: [ignored]\n",
        "array:\n  - |\n    objectName:\ta\n    objectType:  secret\t\n",
        "array:\n  -\n  - &x |\n    objectName: a\n    objectType: secret\n",
    ] {
        let found = specs(text.trim()).unwrap();
        assert_eq!(found.len(), 1, "{text:?}");
        assert_eq!(
            (found[0].name.as_str(), found[0].object_type),
            ("a", ObjectType::Secret),
            "{text:?}"
        );
    }
    // A null element is dropped, but counted.
    assert_eq!(specs("array: [~, '{objectName: a, objectType: key}']").unwrap()[0].index, 1);
}

#[test]
fn documents_that_are_no_list_of_strings_are_refused() {
    for (text, expected) in [
        (
            "- |\n  objectName: a",
            "KS106 objects: failed to yaml unmarshal objects, error: yaml: unmarshal errors: line \
             1: cannot unmarshal !!seq into types.StringArray; hint: put the key \"array:\" above \
             the list",
        ),
        (
            "array:\n  - objectName: a\n    objectType: secret",
            "KS106 objects[0]: failed to yaml unmarshal objects, error: yaml: unmarshal errors: \
             line 2: cannot unmarshal !!map into string; hint: write \"- |\" before the object",
        ),
        (
            "array:\n  - '{}'\n  - [a]",
            "KS106 objects[1]: failed to yaml unmarshal objects, error: yaml: unmarshal errors: \
             line 3: cannot unmarshal !!seq into string",
        ),
        (
            "array: x",
            "KS106 objects: failed to yaml unmarshal objects, error: yaml: unmarshal errors: line \
             1: cannot unmarshal !!str `x` into []string",
        ),
        ("array: {a: b}", "cannot unmarshal !!map into []string"),
        ("<objects>", "cannot unmarshal !!str `<objects>` into types.StringArray"),
        ("array:\n\t- |", "KS106 objects: failed to yaml unmarshal objects, error: yaml: line 2"),
        (
            "array: [\narray: [",
            "KS106 objects: failed to yaml unmarshal objects, error: yaml: line",
        ),
        ("array: []\narray: []", "mapping key \"array\" already defined at line 1"),
        (
            "array: [5]",
            "KS121 objects[0]: unmarshal failed for keyVaultObjects at index 0, error: yaml: \
             unmarshal errors: line 1: cannot unmarshal !!int `5` into types.KeyVaultObject",
        ),
        (
            "array: ['']",
            "KS125 objects[0]: failed to get objectType:, objectName:, objectVersion:: \
             objectName: file name must not be empty",
        ),
    ] {
        let error = specs(text).unwrap_err();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}

#[test]
fn hostile_documents_are_refused_by_size() {
    let long = "x".repeat(LIMIT_BYTES + 1);
    let many_aliases = format!("array: [&a \"{}\"{}]", "# ".repeat(4000), ", *a".repeat(40));
    let object = "'{objectName: a, objectType: key}',";
    for (text, expected) in [
        (
            long,
            "KS120 objects: the document is larger than 65536 bytes; hint: split the objects over \
             several classes",
        ),
        (many_aliases, "KS120 objects: the document is larger than 65536 bytes"),
        (
            format!("array: [{}]", object.repeat(1001)),
            "KS120 objects: array has more than 1000 elements",
        ),
        (
            format!("array: [{}]", "~,".repeat(1001)),
            "KS120 objects: array has more than 1000 elements",
        ),
        (
            format!("array: [{}]", "~,".repeat(30_000)),
            "KS120 objects: the document has more than 2048 elements",
        ),
        (
            format!("other: [{}]", "[],".repeat(20_000)),
            "KS120 objects: the document has more than 2048 elements",
        ),
        (
            format!("array: ['{{objectName: a, objectType: key{}}}']", ", x: y".repeat(200)),
            "KS121 objects[0]: unmarshal failed for keyVaultObjects at index 0, error: yaml: line \
             1: the document has more than 256 values",
        ),
    ] {
        let error = specs(&text).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    let objects: Vec<String> =
        (0..1000).map(|at| format!("'{{objectName: n{at}, objectType: key}}'")).collect();
    assert_eq!(specs(&format!("array: [{}]", objects.join(","))).unwrap().len(), 1000);
}

#[test]
fn fields_are_trimmed_and_none_is_lost() {
    let text = "objectName: 'name '\nobjectAlias: \"\\talias\\n\"\nobjectVersion: ' 0123 \
        '\nobjectVersionHistory: 3.0\nobjectType: ' secret'\n\
                objectFormat: ' pem '\nobjectEncoding: ' hex '\nfilePermission: ' 0600 \
                '\nObjectName: ignored";
    let raw = RawObject::parse(text, 0, &mut Doubts::default()).unwrap();
    let expected = RawObject {
        object_name: "name".into(),
        object_alias: "alias".into(),
        object_version: "0123".into(),
        object_version_history: 3,
        object_type: "secret".into(),
        object_format: "pem".into(),
        object_encoding: "hex".into(),
        file_permission: "0600".into(),
        near_name: Some("ObjectName".into()),
        additions: Ok(Additions::default()),
    };
    assert_eq!(raw, expected);
}

#[test]
fn two_objects_never_share_a_place() {
    for (paths, expected) in [
        (
            &["a", "a"][..],
            Some(
                "KS128 objects[1]: path a collides with path a of objects[0]; hint: give one of \
                 them another objectAlias",
            ),
        ),
        (
            &["s", "t", "s/0"],
            Some(
                "KS128 objects[2]: path s/0 collides with path s of objects[0]; hint: give one of \
                 them another objectAlias",
            ),
        ),
        (
            &["x/s/0", "t", "x/s"],
            Some(
                "KS128 objects[2]: path x/s collides with path x/s/0 of objects[0]; hint: give \
                 one of them another objectAlias",
            ),
        ),
        (&["s", "s0", "S", "d/a", "d/b", "d/c/e", "d/c/f"], None),
    ] {
        let items: Vec<_> = paths
            .iter()
            .map(|path| format!("'{{objectName: a, objectType: key, objectAlias: {path}}}'"))
            .collect();
        let error = specs(&format!("array: [{}]", items.join(", "))).err();
        assert_eq!(error.as_deref(), expected, "{paths:?}");
    }
}
