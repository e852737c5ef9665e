//! What only we read.

use super::*;

/// One object of type secret with these lines added.
fn files(lines: &str) -> Result<Vec<FilePlan>, String> {
    of_type("secret", lines)
}

fn of_type(object_type: &str, lines: &str) -> Result<Vec<FilePlan>, String> {
    let lines = lines.replace('\n', "\n    ");
    let objects =
        format!("array:\n  - |\n    objectName: tls\n    objectType: {object_type}\n    {lines}\n");
    bare(&with(&[("objects", &objects)])).map(|plan| plan.files).map_err(|error| error.to_string())
}

/// The one file of an object of this type with these lines added.
fn file(object_type: &str, lines: &str) -> FilePlan {
    of_type(object_type, lines).unwrap().remove(0)
}

#[test]
fn certificates_pfx_and_histories_are_taken() {
    assert_eq!(file("cert", "").object_type, ObjectType::Cert);
    let pfx = file(
        "secret",
        "objectFormat: PFX\nobjectEncoding: base64\nobjectVersionHistory: 7\nobjectVersion: v1",
    );
    assert_eq!(
        (pfx.format, pfx.encoding, pfx.history),
        (ObjectFormat::Pfx, ObjectEncoding::Base64, Some(7))
    );
    assert_eq!(pfx.version.unwrap().as_str(), "v1", "where the history begins");
    assert_eq!(file("cert", "objectVersionHistory: 2").history, Some(2));
    assert_eq!(file("key", "objectVersion: latest\nobjectVersionHistory: 2").version, None);
}

#[test]
fn parts_are_files_of_the_certificates_secret() {
    use ObjectType::{Cert, Secret};
    let cases: &[(&str, &str, ObjectType, &[(&str, Part)])] = &[
        ("secret", "parts: key", Secret, &[("tls", Part::Key)]),
        ("secret", "parts: [chain]\nobjectAlias: a/b.pem", Secret, &[("a/b.pem", Part::Chain)]),
        ("secret", "parts: cert, key", Secret, &[("tls.crt", Part::Cert), ("tls.key", Part::Key)]),
        (
            "secret",
            "parts:\n  - cert\n  - chain\n  - key\n  - ca\n  - pfx\nobjectAlias: d/x",
            Secret,
            &[
                ("d/x.crt", Part::Cert),
                ("d/x.chain.crt", Part::Chain),
                ("d/x.key", Part::Key),
                ("d/x.ca.crt", Part::Ca),
                ("d/x.pfx", Part::Pfx),
            ],
        ),
        ("cert", "parts: cert", Cert, &[("tls", Part::Cert)]),
        ("cert", "parts: cert,key", Secret, &[("tls.crt", Part::Cert), ("tls.key", Part::Key)]),
        ("cert", "parts: ca", Secret, &[("tls", Part::Ca)]),
        // What the provider needs for a binary PFX stays without effect on a part.
        (
            "secret",
            "parts: pfx\nobjectFormat: pfx\nobjectEncoding: base64",
            Secret,
            &[("tls", Part::Pfx)],
        ),
    ];
    for (object_type, lines, fetched, expected) in cases {
        let files = of_type(object_type, lines).unwrap();
        let found: Vec<_> =
            files.iter().map(|file| (file.path.as_str(), file.part.unwrap())).collect();
        assert_eq!(found, *expected, "{lines}");
        for file in &files {
            assert_eq!(file.object_type, *fetched, "{lines}");
            let form = (file.format, file.encoding, file.split);
            assert_eq!(form, (ObjectFormat::Pem, ObjectEncoding::Utf8, false), "{lines}");
        }
    }
    let empty = files("parts: []").unwrap();
    assert_eq!((empty.len(), empty[0].part), (1, None));
}

#[test]
fn the_other_fields_reach_the_file() {
    let file =
        files("optional: true\njsonKey: database.password\nfileOwner: 1000\nfileGroup: \"3000\"")
            .unwrap()
            .remove(0);
    assert_eq!((file.optional, file.owner, file.group), (true, Some(1000), Some(3000)));
    assert_eq!(file.json_key.unwrap().to_string(), "database.password");
    let file = files("optional: ~\njsonKey: ''\nparts: ''\nfileOwner: \nfileGroup: ' '")
        .unwrap()
        .remove(0);
    assert_eq!(
        (file.optional, file.owner, file.group, file.json_key, file.part),
        (false, None, None, None, None)
    );
    for (spelling, optional) in
        [("T", true), ("'1'", true), ("True", true), ("F", false), ("'0'", false)]
    {
        assert_eq!(
            files(&format!("optional: {spelling}")).unwrap()[0].optional,
            optional,
            "{spelling}"
        );
    }
}

#[test]
fn refused_additions_name_object_and_field() {
    let long = format!("parts: cert,key\nobjectAlias: {}", "x".repeat(253));
    for (object_type, lines, expected) in [
        (
            "secret",
            "optional: yes",
            "KS110 objects[0]: optional \"yes\" is neither true nor false; hint: ",
        ),
        (
            "secret",
            "optional: [true]",
            "KS121 objects[0]: optional: unmarshal failed for keyVaultObjects at index 0, error: ",
        ),
        (
            "secret",
            "jsonKey: a..b",
            "KS135 objects[0]: jsonKey \"a..b\" is not a path such as database.password",
        ),
        (
            "key",
            "jsonKey: a",
            "KS135 objects[0]: jsonKey: an object of type key is not a JSON document",
        ),
        ("cert", "jsonKey: a", "KS135"),
        (
            "secret",
            "jsonKey: a\nparts: key",
            "KS135 objects[0]: jsonKey and parts exclude each other",
        ),
        (
            "secret",
            "parts: key,leaf",
            "KS136 objects[0]: parts: \"leaf\" is not cert, chain, key, ca or pfx; hint: ",
        ),
        ("secret", "parts: [Key]", "KS136 objects[0]: parts: \"Key\" is not"),
        ("secret", "parts: cert,", "KS136 objects[0]: parts: \"\" is not"),
        ("secret", "parts: [key, key]", "KS136 objects[0]: parts: key is there twice"),
        ("secret", "parts: {key: true}", "KS121 objects[0]: parts: "),
        ("key", "parts: cert", "KS136 objects[0]: parts: an object of type key has none"),
        ("secret", long.as_str(), "KS125 objects[0]: parts: file name"),
        (
            "secret",
            "fileOwner: app",
            "KS137 objects[0]: fileOwner \"app\" is not a numeric id; hint: ",
        ),
        ("secret", "fileGroup: -1", "KS137 objects[0]: fileGroup \"-1\""),
        (
            "secret",
            "vaultUrl: https://kv.evil.org/",
            "KS139 objects[0]: vaultUrl \"https://kv.evil.org/\" is not below vault.azure.net",
        ),
        (
            "secret",
            "keyvaultName: kv",
            "KS117 objects[0]: failed to get vault: Invalid vault name: \"kv\"",
        ),
        // The provider's own error first.
        ("key", "optional: maybe\nobjectFormat: pfx", "KS123"),
    ] {
        let error = of_type(object_type, lines).unwrap_err();
        assert!(error.starts_with(expected), "{lines}: {error}");
        assert_eq!(error.matches("; hint: ").count(), 1, "{error}");
    }
}

#[test]
fn a_class_an_object_or_a_selection_names_its_vault_by_url() {
    let objects = "array: ['{objectName: a, objectType: key}', '{objectName: b, objectType: key, \
        keyvaultName: KV-2}', \
                   '{objectName: c, objectType: key, vaultUrl: \"https://kv-3.vault.azure.net\"}']";
    let plan = bare(&with(&[
        ("keyvaultName", ""),
        ("vaultUrl", " https://KV-1.vault.azure.net/ "),
        ("objects", objects),
        ("select", "[{namePrefix: a}, {namePrefix: b, vaultUrl: 'https://kv-4.vault.azure.net/'}]"),
    ]));
    let plan = plan.unwrap();
    let vaults = plan
        .files
        .iter()
        .map(|file| &file.vault)
        .chain(plan.selections.iter().map(|selection| &selection.vault));
    let hosts: Vec<_> = vaults.map(|vault| vault.host().split('.').next().unwrap()).collect();
    assert_eq!(hosts, ["kv-1", "kv-2", "kv-3", "kv-1", "kv-4"]);
    let limits = Allowlist { vaults: vec!["kv-1".to_owned()], tenants: vec![] };
    let (clouds, class) = (clouds(), with(&[("objects", objects)]));
    let context = context(&clouds, &limits);
    let error = resolve(&class, &BTreeMap::new(), &context).unwrap_err().to_string();
    assert!(
        error.starts_with("KS118 objects[1]: keyvaultName \"KV-2\" is not among the vaults"),
        "{error}"
    );
}

/// Whether the object is split, by the parameter of its class and the choice of the operator.
fn is_split(flag: &str, operators: bool, object: &str) -> bool {
    let (clouds, limits) = (clouds(), Allowlist::default());
    let objects = format!("array: ['{object}']");
    let class = with(&[("writeCertAndKeyInSeparateFiles", flag), ("objects", &objects)]);
    let context = Context {
        clouds: &clouds,
        client_id: None,
        tenant_id: None,
        limits: &limits,
        service_principal: None,
        split_certificates: operators,
        token_proxy: TokenProxyUse::Unavailable,
    };
    resolve(&class, &BTreeMap::new(), &context).unwrap().files[0].split
}

#[test]
fn separate_files_are_the_choice_of_the_class_then_of_the_operator() {
    let secret = "{objectName: a, objectType: secret}";
    for (flag, operators, expected) in [
        ("", false, false),
        ("", true, true),
        ("true", false, true),
        ("False", true, false),
        (" T ", false, true),
    ] {
        assert_eq!(is_split(flag, operators, secret), expected, "{flag:?} {operators}");
    }
    for other in [
        "{objectName: a, objectType: key}",
        "{objectName: a, objectType: cert}",
        "{objectName: a, objectType: secret, jsonKey: b}",
    ] {
        assert!(!is_split("true", true, other), "{other}");
    }
    assert!(
        bare(&with(&[("writeCertAndKeyInSeparateFiles", "yes")]))
            .unwrap_err()
            .to_string()
            .starts_with("KS110 failed to parse writeCertAndKeyInSeparateFiles flag")
    );
}

/// What is wrong with a class of this parameter; empty if nothing is.
fn error_of(name: &str, value: &str) -> String {
    let plan = bare(&with(&[(name, value)]));
    plan.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn every_field_of_the_reference_is_read() {
    for entry in
        reference::PARAMETERS.iter().filter(|entry| entry.reader != reference::Reader::Nobody)
    {
        // Where no value is wrong, an odd one must at least change the outcome.
        let value = if entry.name.starts_with("tenant") { "a b" } else { "\u{1}" };
        let class = match entry.name {
            "tenantId" => with(&[("tenantID", ""), (entry.name, value)]),
            "userAssignedIdentityID" => {
                with(&[("useVMManagedIdentity", "true"), (entry.name, value)])
            }
            "vaultUrl" => with(&[("keyvaultName", ""), (entry.name, value)]),
            name => with(&[(name, value)]),
        };
        assert_ne!(bare(&class), bare(&with(&[])), "{}", entry.name);
    }
    for entry in reference::OBJECT_FIELDS {
        let objects = format!("array: ['{{{}: [[]]}}']", entry.name);
        let error = error_of("objects", &objects);
        let read_first = error.contains(&format!("{}: unmarshal failed", entry.name));
        assert!(
            read_first || entry.reader == reference::Reader::Keysluice,
            "{}: {error}",
            entry.name
        );
        let objects =
            format!("array: ['{{objectName: a, objectType: secret, {}: [[]]}}']", entry.name);
        let error = error_of("objects", &objects);
        assert!(error.contains(entry.name), "{}: {error}", entry.name);
    }
    for entry in reference::SELECT_FIELDS {
        let error = error_of("select", &format!("{}: [[]]", entry.name));
        assert!(
            error.starts_with(&format!("KS138 select: {}: ", entry.name)),
            "{}: {error}",
            entry.name
        );
    }
}
