//! The fields of one object: which values are refused, and what those that are accepted mean.

use super::tests::one;
use super::*;
use keysluice_plan::FileMode;

#[test]
fn refused_objects_name_themselves_and_the_field() {
    let base = "objectName: a\nobjectType: secret\n";
    for (lines, expected) in [
        (
            "filePermission: rw-r--r--",
            "KS107 objects[0]: filePermission \"rw-r--r--\" is not octal; hint: write it as \
             \"0640\"",
        ),
        ("filePermission: 0999", "KS107 objects[0]: filePermission \"0999\" is not octal"),
        ("filePermission: 900", "KS107"),
        (
            "filePermission: 1777",
            "KS107 objects[0]: filePermission \"1777\" is above 0777; hint: write it as \"0640\"",
        ),
        ("filePermission: 0o644", "KS107"),
        (
            "filePermission: [6]",
            "KS121 objects[0]: filePermission: unmarshal failed for keyVaultObjects at index 0, \
             error: yaml: unmarshal errors: line 3: cannot unmarshal !!seq into string",
        ),
        (
            "objectVersionHistory: \"5\"",
            "KS121 objects[0]: objectVersionHistory: unmarshal failed for keyVaultObjects at \
             index 0, error: yaml: unmarshal errors: line 3: cannot unmarshal !!str `5` into \
             int32; hint: write a number up to 500, without quotes",
        ),
        (
            "objectName: b",
            "KS121 objects[0]: unmarshal failed for keyVaultObjects at index 0, error: yaml: \
             unmarshal errors: line 3: mapping key \"objectName\" already defined at line 1; \
             hint: delete one objectName",
        ),
        (
            "objectFormat: pkcs",
            "KS123 objects[0]: failed to get objectType:secret, objectName:a, objectVersion:: \
             invalid objectFormat: pkcs, should be PEM or PFX; hint: ",
        ),
        (
            "objectEncoding: NOT_VALID",
            "KS124 objects[0]: failed to get objectType:secret, objectName:a, objectVersion:: \
             invalid objectEncoding: NOT_VALID, should be hex, base64 or utf-8; hint: ",
        ),
        (
            "objectAlias: /a",
            "KS125 objects[0]: failed to get objectType:secret, objectName:a, objectVersion:: \
             objectAlias: file name must be a relative path",
        ),
        (
            "objectAlias: a/../b",
            "KS125 objects[0]: failed to get objectType:secret, objectName:a, objectVersion:: \
             objectAlias: file name must not contain '..'",
        ),
        ("objectAlias: a..b", "file name must not contain '..'"),
        ("objectAlias: ..a", "file name must not contain '..'"),
        ("objectAlias: a//b", "KS125"),
        ("objectAlias: ./a", "KS125"),
        (
            "objectVersion: a/b",
            "KS127 objects[0]: objectVersion: object version \"a/b\" is not a Key Vault version",
        ),
    ] {
        let error = one(&format!("{base}{lines}")).unwrap_err();
        assert!(error.contains(expected), "{lines}: {error}");
    }
}

#[test]
fn objects_need_a_name_and_a_type_that_fit_the_rest() {
    for (lines, expected) in [
        (
            "objectType: secret",
            "KS125 objects[0]: failed to get objectType:secret, objectName:, objectVersion:: \
             objectName: file name must not be empty",
        ),
        ("ObjectName: a\nobjectType: secret", "file name must not be empty"),
        ("objectName: ~\nobjectType: secret", "file name must not be empty"),
        (
            "objectName: a_b\nobjectType: secret",
            "KS126 objects[0]: objectName: object name \"a_b\" is not",
        ),
        (
            "objectName: null\nobjectAlias: x\nobjectType: secret",
            "KS126 objects[0]: objectName is missing; hint: objectName is not set",
        ),
        (
            "objectName: a",
            "KS122 objects[0]: failed to get objectType:, objectName:a, objectVersion:: Invalid \
             vaultObjectTypes. Should be secret, key, or cert; hint: ",
        ),
        (
            "objectName: a\nobjectType: Secret",
            "KS122 objects[0]: failed to get objectType:Secret, objectName:a, objectVersion:: \
             Invalid vaultObjectTypes",
        ),
        (
            "objectName: a\nobjectType: key\nobjectFormat: pfx",
            "KS123 objects[0]: failed to get objectType:key, objectName:a, objectVersion:: PFX \
             format only supported for objectType: secret",
        ),
        (
            "objectName: a\nobjectType: cert\nobjectFormat: pfx",
            "PFX format only supported for objectType: secret",
        ),
        (
            "objectName: a\nobjectType: key\nobjectEncoding: utf-8",
            "KS124 objects[0]: failed to get objectType:key, objectName:a, objectVersion:: \
             objectEncoding only supported for objectType: secret",
        ),
    ] {
        let error = one(lines).unwrap_err();
        assert!(error.contains(expected), "{lines}: {error}");
    }
}

#[test]
fn accepted_objects_mean_what_the_provider_means() {
    let base = "objectName: a\nobjectType: secret\n";
    for (lines, check) in [
        ("objectVersion: latest", (|spec| spec.version.is_none()) as fn(&FilePlan) -> bool),
        ("objectVersion: \"\"", |spec| spec.version.is_none()),
        ("objectVersion: ~", |spec| spec.version.is_none()),
        ("objectVersion: 0123", |spec| spec.version.as_ref().unwrap().as_str() == "0123"),
        ("objectVersion: 1e5", |spec| spec.version.as_ref().unwrap().as_str() == "1e5"),
        ("objectVersionHistory: 1", |spec| spec.history.is_none()),
        ("objectVersionHistory: -3", |spec| spec.history.is_none()),
        ("objectVersionHistory: ~", |spec| spec.history.is_none()),
        ("filePermission: 0755", |spec| spec.mode.bits() == 0o755),
        ("filePermission: 600", |spec| spec.mode.bits() == 0o600),
        ("filePermission: ''", |spec| spec.mode == FileMode::DEFAULT),
        ("objectFormat: PeM", |spec| spec.format == ObjectFormat::Pem),
        ("objectEncoding: UTF-8", |spec| spec.encoding == ObjectEncoding::Utf8),
        ("objectEncoding: Base64", |spec| spec.encoding == ObjectEncoding::Base64),
        ("objectEncoding: HEX", |spec| spec.encoding == ObjectEncoding::Hex),
        ("objectAlias: dir/sub/file", |spec| spec.path.as_str() == "dir/sub/file"),
        ("objectAlias: a b", |spec| spec.path.as_str() == "a b"),
        ("objectAlias: '  '", |spec| spec.path.as_str() == "a"),
        ("unknown: {nested: [values]}", |spec| spec.path.as_str() == "a"),
    ] {
        let spec = one(&format!("{base}{lines}")).unwrap();
        assert!(check(&spec), "{lines}: {spec:?}");
    }
    for name in ["007", "true", "yes", "2024-01-01"] {
        assert_eq!(
            one(&format!("objectName: {name}\nobjectType: secret")).unwrap().name.as_str(),
            name
        );
    }
    // In this spelling the provider lets the format pass on a key, and ignores it.
    assert_eq!(
        one("objectName: a\nobjectType: key\nobjectFormat: PFX").unwrap().format,
        ObjectFormat::Pem
    );
}
