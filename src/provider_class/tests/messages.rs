//! Faults of real classes: what is said of them, a table a kind.

use super::super::YamlError;
use super::super::document::Document;
use super::*;

fn error_of(parameters: &[(&str, &str)]) -> String {
    bare(&with(parameters)).unwrap_err().to_string()
}

fn object(lines: &str) -> Result<(ClassPlan, String), String> {
    let objects = format!("array:\n  - |\n    {}", lines.replace('\n', "\n    "));
    let plan = bare(&with(&[("objects", &objects)])).map_err(|error| error.to_string())?;
    let warnings: Vec<_> = plan
        .warnings
        .iter()
        .map(|warning| format!("{} {}", warning.reason, warning.text))
        .collect();
    let warnings = warnings.join("\n");
    Ok((plan, warnings))
}

#[test]
fn kind_f1_glued_comments_in_objects_are_comments() {
    let objects = "array:\n  - |# the first\n    objectName: one\n    objectType: \"secret\"# \
        newest\n  - |-#2\n    objectName: 'two'#x\n    \
                   objectType: secret\n    objectAlias: a#b\n  - \"{objectName: three, \
                   objectType: 'secret'}\"#c\n";
    let plan = bare(&with(&[("objects", objects)])).unwrap();
    let files: Vec<_> =
        plan.files.iter().map(|file| (file.name.as_str(), file.path.as_str())).collect();
    assert_eq!(files, [("one", "one"), ("two", "a#b"), ("three", "three")]);
    let plan = bare(&with(&[("select", "[{namePrefix: 'app-'}]#c\n")])).unwrap();
    assert_eq!(plan.selections[0].name_prefix.as_deref(), Some("app-"));
}

/// The strings below `array`.
fn strings_of(text: &str) -> Result<Vec<String>, YamlError> {
    let document = Document::parse(text, usize::MAX)?;
    let mut strings = Vec::new();
    for (key, value) in document.fields("types.StringArray")? {
        for item in if key == "array" { document.items(value)? } else { &[] } {
            strings.extend(document.string(*item)?.map(str::to_owned));
        }
    }
    Ok(strings)
}

#[test]
fn kind_f1_objects_documents_are_read_as_the_provider_reads_them() {
    let mut read = 0;
    for line in include_str!("../../../tests/data/yaml/objects.jsonl").lines() {
        let case: Vec<serde_json::Value> = serde_json::from_str(line).unwrap();
        let text = case[0].as_str().unwrap();
        match (strings_of(text), case.get(1)) {
            (Ok(found), Some(expected)) => {
                assert_eq!(serde_json::json!(found), *expected, "{text:?}");
                read += 1;
            }
            (Err(_), None) => {}
            (found, expected) => panic!("{text:?}: {found:?} is not {expected:?}"),
        }
    }
    assert!(read > 250, "{read}");
}

#[test]
fn kind_placeholder_is_ks108_wherever_an_id_or_a_name_is_wanted() {
    for value in [
        "__X__",
        "$X",
        "${{ x }}",
        "#{X}#",
        "YOUR_X",
        "REPLACE_ME",
        "<x>",
        "{{ x }}",
        "$(X)",
        "%X%",
    ] {
        for (parameters, field) in [
            (&[("keyvaultName", value)][..], "keyvaultName"),
            (&[("keyvaultName", ""), ("vaultUrl", value)], "vaultUrl"),
            (&[("tenantID", value)], "tenantID"),
            (&[("tenantID", ""), ("tenantId", value)], "tenantId"),
            (&[("clientID", value)], "clientID"),
            (&[("cloudName", value)], "cloudName"),
            (
                &[("useVMManagedIdentity", "true"), ("userAssignedIdentityID", value)],
                "userAssignedIdentityID",
            ),
        ] {
            let expected =
                format!("KS108 {field} still holds a placeholder: {value:?}; hint: replace it");
            let error = error_of(parameters);
            assert!(error.starts_with(&expected), "{error}");
        }
        let error = object(&format!("objectName: '{value}'\nobjectType: secret")).unwrap_err();
        assert!(
            error.starts_with(&format!(
                "KS108 objects[0]: objectName still holds a placeholder: {value:?}"
            )),
            "{error}"
        );
    }
}

#[test]
fn kind_id_of_a_class_that_is_not_a_guid_is_a_warning() {
    const GUID: &str = "8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8";
    for (parameters, expected) in [
        (
            &[("clientID", "client_id"), ("tenantID", GUID)][..],
            &["parameter clientID: \"client_id\" is not a GUID"][..],
        ),
        (
            &[("clientID", GUID), ("tenantID", "your-tenant-id")],
            &["parameter tenantID: \"your-tenant-id\" is not a GUID or a domain"],
        ),
        (
            &[("clientID", GUID), ("tenantID", ""), ("tenantId", "tid")],
            &["parameter tenantId: \"tid\""],
        ),
        (&[("clientID", GUID), ("tenantID", "contoso.onmicrosoft.com")], &[]),
        (&[("clientID", GUID), ("tenantID", "adfs")], &[]),
        (
            &[("useVMManagedIdentity", "true"), ("userAssignedIdentityID", "mi")],
            &["parameter userAssignedIdentityID: \"mi\""],
        ),
        (&[("useVMManagedIdentity", "true"), ("userAssignedIdentityID", GUID)], &[]),
        (&[("useVMManagedIdentity", "true")], &[]),
    ] {
        let (clouds, limits) = (clouds(), Allowlist::default());
        let context =
            Context { client_id: Some("x"), tenant_id: Some("y"), ..context(&clouds, &limits) };
        let warnings = resolve(&with(parameters), &BTreeMap::new(), &context).unwrap().warnings;
        let texts: Vec<_> = warnings
            .iter()
            .filter(|warning| warning.reason.code == "KS150")
            .map(|warning| &warning.text)
            .collect();
        assert_eq!(texts.len(), expected.len(), "{parameters:?}: {texts:?}");
        assert!(
            texts.iter().zip(expected).all(|(text, expected)| text.starts_with(expected)),
            "{texts:?}"
        );
    }
}

#[test]
fn kind_m_an_object_without_a_name_is_told_how_the_field_is_spelled() {
    for (lines, expected) in [
        (
            "ObjectName: db\nobjectType: secret",
            "file name must not be empty; hint: objectName is not set; did you mean objectName \
             for \"ObjectName\"?",
        ),
        (
            "object_name: db\nobjectType: secret",
            "hint: objectName is not set; did you mean objectName for \"object_name\"?",
        ),
        (
            "name: db\nobjectType: secret",
            "hint: objectName is not set; did you mean objectName for \"name\"?",
        ),
        (
            "objectType: secret",
            "file name must not be empty; hint: objectName is not set: write objectName: NAME",
        ),
        (
            "objectAlias: db\nobjectType: secret",
            "KS126 objects[0]: objectName is missing; hint: objectName is not set: write",
        ),
        (
            "objectname: db\nobjectAlias: db\nobjectType: secret",
            "KS126 objects[0]: objectName is missing; hint: objectName is not set; did you mean \
             objectName for \"objectname\"?",
        ),
        (
            "objectName: A_B\nobjectType: secret",
            "hint: Key Vault has no underscores in names: A-B?",
        ),
        (
            "objectName: dev-*\nobjectType: secret",
            "hint: there are no wildcards: the parameter select takes",
        ),
        (
            "objectName: \"db\u{200B}\"\nobjectType: secret",
            "\"db\\u{200b}\" holds the invisible character U+200B",
        ),
        (
            "objectName: https://kv.vault.azure.net/secrets/db\nobjectAlias: db\nobjectType: \
             secret",
            "not its URL",
        ),
    ] {
        let error = object(lines).unwrap_err();
        assert!(
            error.contains(expected) && error.matches("; hint: ").count() == 1,
            "{lines}: {error}"
        );
    }
}

#[test]
fn kind_invisible_character_in_a_type_is_shown() {
    for (object_type, expected) in [
        (
            "\"secret\u{200B}\"",
            "hint: objectType \"secret\\u{200b}\" holds the invisible character U+200B: type it \
             anew",
        ),
        (
            "\"sec\u{FEFF}ret\"",
            "hint: objectType \"sec\\u{feff}ret\" holds the invisible character U+FEFF",
        ),
        ("Secret", "hint: did you mean secret? Write secret, key or cert, in lower case"),
        ("certificate", "hint: did you mean cert?"),
        ("secrets", "hint: did you mean secret?"),
        ("password", "hint: correct objectType: secret, key or cert, in lower case"),
    ] {
        let error = object(&format!("objectName: db\nobjectType: {object_type}")).unwrap_err();
        assert!(error.starts_with("KS122 ") && error.contains(expected), "{object_type}: {error}");
    }
}

#[test]
fn kind_synonym_of_a_field_or_a_setting_of_the_driver_is_a_warning() {
    for (line, meant) in [
        ("alias: a", "objectAlias"),
        ("fileName: a", "objectAlias"),
        ("version: a", "objectVersion"),
        ("type: cert", "objectType"),
        ("encoding: base64", "objectEncoding"),
        ("permission: 0400", "filePermission"),
    ] {
        let (_, warnings) = object(&format!("objectName: db\nobjectType: secret\n{line}")).unwrap();
        assert!(
            warnings.starts_with("KS141 objects[0]: ")
                && warnings.contains(&format!("did you mean {meant:?}?")),
            "{warnings}"
        );
    }
    for key in ["rotationPollInterval", "enableSecretRotation", "rotationpollinterval"] {
        let plan = bare(&with(&[(key, "2m")])).unwrap();
        let warning = &plan.warnings[0];
        assert_eq!(warning.reason.code, "KS142");
        assert!(warning.text.ends_with("hint: set refreshInterval"), "{}", warning.text);
    }
}

#[test]
fn kind_o_a_misspelt_provider_is_named() {
    for (provider, expected) in [
        ("Azure", "hint: provider is \"Azure\"; did you mean azure?"),
        ("azure ", "hint: provider is \"azure \"; did you mean azure?"),
        ("azrue", "hint: set spec.provider to azure"),
        ("aws", "hint: set spec.provider to azure"),
        ("", "KS109 provider not set in ns/c; hint: set spec.provider to azure"),
    ] {
        let class = ProviderClass {
            namespace: "ns".into(),
            name: "c".into(),
            provider: provider.into(),
            ..with(&[])
        };
        let error = bare(&class).unwrap_err().to_string();
        assert!(error.starts_with("KS109 ") && error.contains(expected), "{provider}: {error}");
    }
}

#[test]
fn kind_array_beside_objects_is_told_to_indent() {
    let manifest =
        serde_json::json!({"metadata": {"name": "c"}, "spec": {"parameters": {"array": ["x"]}}});
    let error = ProviderClass::from_value(&manifest).unwrap_err().to_string();
    assert_eq!(
        error,
        "KS102 parameters.array is a list, not a string; hint: indent array: below objects: |, by \
         two spaces more"
    );
}

#[test]
fn library_words_stay_out_of_an_objects_document() {
    for text in ["array:\n  - x\nplain\n", "array:\n- |\n  a\n b\n"] {
        let error = error_of(&[("objects", text)]);
        assert!(error.starts_with("KS106 ") && !error.contains("simple key"), "{error}");
    }
}
