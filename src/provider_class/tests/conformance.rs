//! The Azure provider's own unit cases that concern reading a class, under the names they have
//! there, and the cases that were found by running its parser (what is fetched and written is the
//! sidecar's business). Its table of pod UIDs in target paths has no counterpart: no path of the
//! kubelet is read here.

use super::*;

fn error_of(parameters: &[(&str, &str)]) -> String {
    bare(&with(parameters)).unwrap_err().to_string()
}

fn object(lines: &str) -> Result<FilePlan, String> {
    let objects = format!("array:\n  - |\n    {}", lines.replace('\n', "\n    "));
    bare(&with(&[("objects", &objects)]))
        .map(|plan| plan.files[0].clone())
        .map_err(|error| error.to_string())
}

#[test]
fn test_get_vault_url() {
    for (name, cloud, expected) in [
        ("longer-than-twenty-four-characters", "", Err("must be between 3 and 24 chars")),
        ("kv", "", Err("must be between 3 and 24 chars")),
        ("kv_test", "", Err("must match [-a-zA-Z0-9]{3,24}")),
        ("testkv", "", Ok("https://testkv.vault.azure.net/")),
        ("testkv", "AzurePublicCloud", Ok("https://testkv.vault.azure.net/")),
        ("testkv", "AzureUSGovernmentCloud", Ok("https://testkv.vault.usgovcloudapi.net/")),
        ("testkv", "AzureChinaCloud", Ok("https://testkv.vault.azure.cn/")),
        ("testkv", "AzureGermanCloud", Ok("https://testkv.vault.microsoftazure.de/")),
    ] {
        let plan = bare(&with(&[("keyvaultName", name), ("cloudName", cloud)]));
        match expected {
            Ok(url) => assert_eq!(plan.unwrap().files[0].vault.as_str(), url),
            Err(text) => assert!(plan.unwrap_err().to_string().contains(text), "{name}"),
        }
    }
}

#[test]
fn test_parse_azure_environment() {
    for name in
        ["", "AzurePublicCloud", "AZUREPUBLICCLOUD", "AzureUSGovernmentCloud", "AzureChinaCloud"]
    {
        assert!(bare(&with(&[("cloudName", name)])).is_ok(), "{name}");
    }
    for name in ["AzurePublicCloudz", "AzureStackCloud"] {
        assert!(
            error_of(&[("cloudName", name)])
                .starts_with(&format!("KS116 cloudName {name} is not valid, error: "))
        );
    }
}

#[test]
fn test_parse_azure_environment_azure_stack_cloud() {
    let stack = r#"{"name":"Stack","activeDirectoryEndpoint":"https://login.stack.example/",
        "keyVaultEndpoint":"https://vault.stack.example/",
        "keyVaultDNSSuffix":"vault.stack.example"}"#;
    let (clouds, limits) = (Clouds::new(Cloud::from_json(stack).unwrap()), Allowlist::default());
    let context = context(&clouds, &limits);
    let plan =
        resolve(&with(&[("cloudName", "AzureStackCloud")]), &BTreeMap::new(), &context).unwrap();
    assert_eq!(plan.files[0].vault.as_str(), "https://kv-1.vault.stack.example/");
}

#[test]
fn test_get_secrets_store_object_content() {
    let cases: &[(Pairs, &str)] = &[
        (&[("keyvaultName", "")], "keyvaultName is not provided"),
        (&[("tenantID", "")], "tenantId is not provided"),
        (
            &[("usePodIdentity", "tru")],
            "failed to parse usePodIdentity flag, error: strconv.ParseBool: parsing \"tru\": \
             invalid syntax",
        ),
        (
            &[("useVMManagedIdentity", "tru")],
            "failed to parse useVMManagedIdentity flag, error: strconv.ParseBool: parsing \
             \"tru\": invalid syntax",
        ),
        (
            &[("useAzureTokenProxy", "tru")],
            "failed to parse useAzureTokenProxy flag, error: strconv.ParseBool: parsing \"tru\": \
             invalid syntax",
        ),
        (
            &[("cloudName", "AzureCloudz")],
            "cloudName AzureCloudz is not valid, error: autorest/azure: There is no cloud \
             environment matching the name \"AZURECLOUDZ\"",
        ),
        (
            &[("objects", "invalid")],
            "failed to yaml unmarshal objects, error: yaml: unmarshal errors: line 1: cannot \
             unmarshal !!str `invalid` into types.StringArray",
        ),
        (
            &[("objects", "array:\n  - |\n    objectName: [x]\n")],
            "unmarshal failed for keyVaultObjects at index 0, error: yaml: unmarshal errors: line \
             1: cannot unmarshal !!seq into string",
        ),
        (
            &[(
                "objects",
                "array:\n  - |\n    objectName: s\n    objectType: secret\n    objectFormat: \
                 pkcs\n    objectVersion: v1\n",
            )],
            "failed to get objectType:secret, objectName:s, objectVersion:v1: invalid \
             objectFormat: pkcs, should be PEM or PFX",
        ),
        (
            &[(
                "objects",
                "array:\n  - |\n    objectName: s\n    objectType: secret\n    objectEncoding: \
                 utf-16\n",
            )],
            "failed to get objectType:secret, objectName:s, objectVersion:: invalid \
             objectEncoding: utf-16, should be hex, base64 or utf-8",
        ),
        (
            &[("keyvaultName", "kv_test")],
            "failed to get vault: Invalid vault name: \"kv_test\", must match [-a-zA-Z0-9]{3,24}",
        ),
    ];
    for (parameters, expected) in cases {
        let error = error_of(parameters);
        assert!(error.contains(expected), "{parameters:?}: {error}");
    }
    let empty = bare(&with(&[("objects", "array: []")])).unwrap();
    assert_eq!(empty.files, vec![]);
}

#[test]
fn test_validate_object_format_and_encoding() {
    for (lines, expected) in [
        ("objectType: cert", None),
        (
            "objectType: secret\nobjectFormat: pkcs",
            Some("invalid objectFormat: pkcs, should be PEM or PFX"),
        ),
        (
            "objectType: cert\nobjectFormat: pfx",
            Some("PFX format only supported for objectType: secret"),
        ),
        ("objectType: cert\nobjectFormat: PFX", None),
        ("objectType: secret\nobjectFormat: PFX", None),
        ("objectType: secret\nobjectFormat: pfx", None),
        (
            "objectType: secret\nobjectEncoding: utf-16",
            Some("invalid objectEncoding: utf-16, should be hex, base64 or utf-8"),
        ),
        (
            "objectType: cert\nobjectEncoding: base64",
            Some("objectEncoding only supported for objectType: secret"),
        ),
        ("objectType: secret\nobjectEncoding: BasE64", None),
        ("objectType: secret\nobjectEncoding: base64", None),
        ("objectType: secret\nobjectFormat: pfx\nobjectEncoding: base64", None),
        // Format before encoding before path.
        (
            "objectType: key\nobjectFormat: x\nobjectEncoding: x\nobjectAlias: /x",
            Some("invalid objectFormat"),
        ),
        (
            "objectType: key\nobjectEncoding: x\nobjectAlias: /x",
            Some("objectEncoding only supported"),
        ),
    ] {
        let error = object(&format!("objectName: a\n{lines}")).err();
        assert_eq!(error.is_some(), expected.is_some(), "{lines}: {error:?}");
        assert!(error.unwrap_or_default().contains(expected.unwrap_or_default()), "{lines}");
    }
}

#[test]
fn test_validate_file_path() {
    for (path, expected) in [
        ("/secret1", Some("file name must be a relative path")),
        ("secret1/..", Some("file name must not contain '..'")),
        ("../secret1", Some("file name must not contain '..'")),
        ("a..b", Some("file name must not contain '..'")),
        ("..a", Some("file name must not contain '..'")),
        ("secret1", None),
        ("a b", None),
        ("dir/sub/file", None),
        // These the provider lets through, and the driver refuses.
        ("a//b", Some("file name \"a//b\"")),
        ("./a", Some("file name \"./a\"")),
        ("a/", Some("file name \"a/\"")),
        ("'.'", Some("file name \".\"")),
    ] {
        let error =
            object(&format!("objectName: a\nobjectType: secret\nobjectAlias: {path}")).err();
        assert_eq!(error.is_some(), expected.is_some(), "{path}: {error:?}");
        assert!(error.unwrap_or_default().contains(expected.unwrap_or_default()), "{path}");
    }
    assert!(object("objectType: secret").unwrap_err().contains("file name must not be empty"));
}

#[test]
fn test_format_key_vault_object_trims_every_text() {
    let lines = "objectName: ' a '\nobjectAlias: \"\\u00a0b\\t\"\nobjectVersion: ' v1 \
        '\nobjectType: ' secret '\nobjectFormat: ' PFX '\n\
                 objectEncoding: ' base64 '\nfilePermission: ' 0600 '\nobjectVersionHistory: 5";
    let file = object(lines).unwrap();
    assert_eq!((file.name.as_str(), file.path.as_str(), file.mode.bits()), ("a", "b", 0o600));
    assert_eq!((file.format, file.encoding), (ObjectFormat::Pfx, ObjectEncoding::Base64));
    assert_eq!((file.version.unwrap().as_str(), file.history), ("v1", Some(5)));
}

#[test]
fn test_parameters_are_trimmed() {
    let plan = bare(&with(&[
        ("keyvaultName", "\u{85} kv-1\u{3000}"),
        ("tenantID", " t\n"),
        ("clientID", "\tc"),
        ("cloudName", " AzureChinaCloud "),
        ("objects", &format!("\n\n{ONE}  \n")),
    ]));
    let plan = plan.unwrap();
    assert_eq!(plan.identity, federated("c", "t"));
    assert_eq!(plan.files[0].vault.as_str(), "https://kv-1.vault.azure.cn/");
}

#[test]
fn test_is_syncing_single_version() {
    for (history, expected) in [
        ("-1", None),
        ("0", None),
        ("1", None),
        ("~", None),
        ("2", Some(2)),
        ("4", Some(4)),
        ("3.0", Some(3)),
        ("500", Some(500)),
    ] {
        assert_eq!(
            object(&format!("objectName: a\nobjectType: secret\nobjectVersionHistory: {history}"))
                .unwrap()
                .history,
            expected
        );
    }
    for history in ["501", "2147483647"] {
        let error =
            object(&format!("objectName: a\nobjectType: cert\nobjectVersionHistory: {history}"))
                .unwrap_err();
        assert!(
            error.starts_with(&format!(
                "KS130 objects[0]: objectVersionHistory: {history} versions are more than 500"
            )),
            "{error}"
        );
    }
}

#[test]
fn test_get_file_permission() {
    for (permission, mode) in [
        ("''", Ok(0o644)),
        ("0600", Ok(0o600)),
        ("\"0600\"", Ok(0o600)),
        ("+644", Ok(0o644)),
        ("0900", Err(())),
        ("900", Err(())),
    ] {
        let file =
            object(&format!("objectName: a\nobjectType: secret\nfilePermission: {permission}"));
        assert_eq!(file.map(|file| file.mode.bits()).map_err(drop), mode, "{permission}");
    }
}

#[test]
fn scalars_keep_their_source_text() {
    for literal in ["0123", "1e5", "007", "true", "yes", "0x1F", "12e03"] {
        let file = object(&format!(
            "objectName: {literal}\nobjectType: secret\nobjectVersion: {literal} # comment"
        ))
        .unwrap();
        assert_eq!((file.name.as_str(), file.version.unwrap().as_str()), (literal, literal));
    }
    assert_eq!(
        object("objectName: 2024-01-01\nobjectType: secret").unwrap().name.as_str(),
        "2024-01-01"
    );
}

#[test]
fn what_the_parser_runs_showed() {
    let base = "objectName: a\nobjectType: secret\n";
    for (lines, expected) in [
        ("objectVersionHistory: \"5\"", Err("cannot unmarshal !!str `5` into int32")),
        ("objectName: b", Err("mapping key \"objectName\" already defined at line 1")),
        ("someday: {a: [b]}", Ok("a")),
        ("ObjectAlias: b", Ok("a")),
        ("objectAlias: ~", Ok("a")),
        ("objectAlias: 'null'", Ok("null")),
        ("filePermission: 0o644", Err("KS107")),
        ("filePermission: 0999", Err("KS107")),
        ("filePermission: rw-r--r--", Err("KS107")),
    ] {
        match (object(&format!("{base}{lines}")), expected) {
            (Ok(file), Ok(path)) => assert_eq!(file.path.as_str(), path, "{lines}"),
            (Err(error), Err(text)) => assert!(error.contains(text), "{lines}: {error}"),
            (found, _) => panic!("{lines}: {found:?}"),
        }
    }
    for (objects, expected) in [
        ("array:\n  - objectName: a\n", "cannot unmarshal !!map into string"),
        ("- |\n  objectName: a\n", "cannot unmarshal !!seq into types.StringArray"),
        (
            "array:\n  - |\n    objectName: a\n    objectType: key\n  - |\n    objectName: \
             a\n    objectType: key\n",
            "KS128 objects[1]: path a collides with path a of objects[0]",
        ),
    ] {
        let error = error_of(&[("objects", objects)]);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_class_without_parameters_is_refused_as_the_driver_does() {
    let class = ProviderClass { namespace: "ns".into(), name: "c".into(), ..class(&[]) };
    let attributes = map(&[("keyvaultName", "kv-1"), ("tenantID", "t"), ("clientID", "c")]);
    let (clouds, limits) = (clouds(), Allowlist::default());
    let context = context(&clouds, &limits);
    let error = resolve(&class, &attributes, &context).unwrap_err().to_string();
    assert!(error.starts_with("KS134 parameters not set in ns/c; hint: "), "{error}");
}
