use super::*;
use crate::cloud::Cloud;
use crate::cloud::Clouds;
use crate::provider_class::{Allowlist, IdentityChoice, TemplatePlan, TokenProxyUse};
use keysluice_plan::{ObjectEncoding, ObjectFormat, ObjectType, Part};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn read<T>(
    limits: &Allowlist,
    read: impl Fn(&Context<'_>) -> Result<T, InlineError>,
) -> Result<T, String> {
    let clouds = Clouds::new(Cloud::well_known("").unwrap());
    let context = Context {
        clouds: &clouds,
        client_id: Some("c"),
        tenant_id: Some("t"),
        limits,
        service_principal: None,
        split_certificates: true,
        token_proxy: TokenProxyUse::Unavailable,
    };
    read(&context).map_err(|error| error.to_string())
}

fn entry<'a>(key: &'a str, reference: &'a str) -> Entry<'a> {
    let name = key.split_once('.').and_then(|(_, rest)| rest.split_once('.')).unwrap().1;
    Entry { key, name, reference }
}

fn file(reference: &str) -> Result<FilePlan, String> {
    let entries = [entry("keysluice.dev/file.db", reference)];
    let plan = read(&Allowlist::default(), |context| files(&entries, &[], Some("kv-0"), context))?;
    Ok(plan.files[0].clone())
}

fn env(name: &str, reference: &str, for_kubelet: bool) -> Result<FilePlan, String> {
    let key = format!("keysluice.dev/env.{name}");
    let entries = [Entry { key: &key, name, reference }];
    let read =
        read(&Allowlist::default(), |context| variables(&entries, None, for_kubelet, context));
    Ok(read?.files[0].clone())
}

#[test]
fn a_reference_names_vault_kind_object_and_version() {
    for (reference, vault, object_type, name, version) in [
        ("kv://kv-1/secrets/db", "kv-1", ObjectType::Secret, "db", None),
        ("kv://KV-1/keys/signing", "kv-1", ObjectType::Key, "signing", None),
        ("kv://kv-1/certificates/tls/0a1b", "kv-1", ObjectType::Cert, "tls", Some("0a1b")),
        ("kv://kv-1.vault.azure.net/secrets/db", "kv-1", ObjectType::Secret, "db", None),
        ("kv:///secrets/db", "kv-0", ObjectType::Secret, "db", None),
        ("secrets/db", "kv-0", ObjectType::Secret, "db", None),
        ("secrets/db/latest", "kv-0", ObjectType::Secret, "db", None),
        ("secrets/db?version=0a1b", "kv-0", ObjectType::Secret, "db", Some("0a1b")),
    ] {
        let file = file(reference).unwrap();
        assert_eq!(file.vault.as_str(), format!("https://{vault}.vault.azure.net/"), "{reference}");
        let version = version.map(|version: &str| version.parse().unwrap());
        assert_eq!(
            (file.object_type, file.name.as_str(), file.version),
            (object_type, name, version)
        );
        let (path, mode) = (file.path.as_str(), file.mode);
        assert_eq!((path, mode, file.split), ("db", FileMode::DEFAULT, false));
    }
}

#[test]
fn the_query_says_where_and_how() {
    let file = file(
        "secrets/db?mode=0400&path=a%2Fb.txt&owner=1000&group=2000&format=PFX&encoding=base64\
         &optional=true&history=3",
    )
    .unwrap();
    assert_eq!((file.path.as_str(), file.mode.bits()), ("a/b.txt", 0o400));
    assert_eq!((file.owner, file.group, file.history), (Some(1000), Some(2000), Some(3)));
    assert_eq!((file.format, file.encoding), (ObjectFormat::Pfx, ObjectEncoding::Base64));
    assert!(file.optional && file.variable.is_none());
    let chain = self::file("certificates/tls?part=chain&path=a/b").unwrap();
    assert_eq!((chain.object_type, chain.part), (ObjectType::Secret, Some(Part::Chain)));
    assert_eq!(chain.path.as_str(), "a/b");
    let field = self::file("secrets/db?json-key=a.b[0]").unwrap();
    assert_eq!(field.json_key.unwrap().to_string(), "a.b[0]");
}

#[test]
fn a_variable_is_a_file_of_its_name() {
    let variable = env("DB_PASSWORD", "kv://kv-1/secrets/db?optional=true", true).unwrap();
    assert_eq!(variable.path.as_str(), "DB_PASSWORD");
    assert_eq!(variable.variable.unwrap().as_str(), "DB_PASSWORD");
    assert!(variable.optional);
    assert!(env("DB_PASSWORD", "kv://kv-1/secrets/db", false).unwrap().variable.is_none());
}

#[test]
fn what_is_wrong_is_refused_with_annotation_value_and_fix() {
    for (reference, expected) in [
        ("", "KS152 annotation keysluice.dev/file.db: \"\" is not a reference to a vault object"),
        ("db", "KS152"),
        (
            "kv://kv-1",
            "KS152 annotation keysluice.dev/file.db: \"kv://kv-1\" is not a reference \
            to a vault object: it ends after the vault",
        ),
        (
            "https://kv-1.vault.azure.net/secrets/db",
            "KS152 annotation keysluice.dev/file.db: \"https://kv-1.vault.azure.net/secrets/db\" \
            is not a reference to a vault object: it is a URL; write kv:// instead of https://;",
        ),
        (
            "kv://kv-1//secrets/db",
            "KS152 annotation keysluice.dev/file.db: \"kv://kv-1//secrets/db\" is not a reference \
            to a vault object: there is nothing before a slash of its path; hint: write kv://",
        ),
        ("/secrets/db", "KS152"),
        (
            "kv://kv-1/secret/db",
            "KS152 annotation keysluice.dev/file.db: \"kv://kv-1/secret/db\" \
            is not a reference to a vault object: its path begins with something else than \
            secrets, keys or certificates; did you mean secrets?",
        ),
        ("secrets/db/1/2", "KS152"),
        ("secrets/d_b", "KS152 annotation keysluice.dev/file.db: object name \"d_b\" is not"),
        ("secrets/db/x-y", "KS152"),
        ("secrets/db#x", "KS152"),
        (
            "secrets/db?mod=0400",
            "KS154 annotation keysluice.dev/file.db: \"mod\" is not a query \
            parameter; known are: mode, path, ",
        ),
        (
            "secrets/db?mode=rw",
            "KS155 annotation keysluice.dev/file.db: mode \"rw\" is not an \
            octal mode",
        ),
        ("secrets/db?mode=1777", "KS155"),
        ("secrets/db?path=../x", "KS155"),
        ("secrets/db?path=/x", "KS155"),
        ("secrets/db?path=%zz", "KS155"),
        ("secrets/db?path=%", "KS155"),
        ("secrets/db?path=%+1", "KS155"),
        ("secrets/db?path=", "KS155"),
        ("secrets/db?owner=app", "KS155"),
        ("secrets/db?history=501", "KS155"),
        ("secrets/db?history=0", "KS155"),
        ("secrets/db?format=der", "KS155"),
        ("secrets/db?encoding=utf-16", "KS155"),
        ("secrets/db?part=leaf", "KS155"),
        ("secrets/db?json-key=", "KS155"),
        ("secrets/db?optional=maybe", "KS155"),
        ("secrets/db?version=x-y", "KS155"),
        ("secrets/db?mode=0400&mode=0440", "KS156"),
        ("secrets/db/1?version=2", "KS156"),
        ("keys/k?json-key=a", "KS156"),
        ("keys/k?part=key", "KS156"),
        ("keys/k?format=pfx", "KS156"),
        ("certificates/c?encoding=hex", "KS156"),
        ("secrets/db?part=key&json-key=a", "KS156"),
        (
            "kv://kv_1/secrets/db",
            "KS117 annotation keysluice.dev/file.db: failed to get vault: Invalid vault name: \
            \"kv_1\", must match [-a-zA-Z0-9]{3,24}; hint: write kv://VAULT/",
        ),
        ("kv://kv-1.evil.org/secrets/db", "KS139"),
        ("kv://<VAULT>/secrets/db", "KS108"),
        ("kv://user@kv-1.vault.azure.net/secrets/db", "KS139"),
    ] {
        let error = file(reference).unwrap_err();
        assert!(error.starts_with(expected), "{reference}: {error}");
        assert_eq!(error.matches("hint: ").count(), 1, "{error}");
        assert!(error.contains("keysluice.dev/file.db"), "{error}");
    }
    let near = file("secrets/db?filePermission=0400").unwrap_err();
    assert!(near.ends_with("; hint: did you mean mode?"), "{near}");
}

#[test]
fn names_of_variables_and_what_is_for_files_alone() {
    let long = "x".repeat(129);
    for (name, reference, expected) in [
        ("DB-PASSWORD", "kv://kv-1/secrets/db", "KS157"),
        ("1A", "kv://kv-1/secrets/db", "KS157"),
        ("KEYSLUICE_PLAN", "kv://kv-1/secrets/db", "KS157"),
        ("AZURE_CLIENT_ID", "kv://kv-1/secrets/db", "KS157"),
        ("A", "kv://kv-1/secrets/db?mode=0400", "KS156"),
        ("A", "kv://kv-1/secrets/db?history=2", "KS156"),
        ("A", "secrets/db", "KS153 annotation keysluice.dev/env.A: \"secrets/db\" names no vault"),
        (&long, "kv://kv-1/secrets/db", "KS158"),
    ] {
        let error = env(name, reference, true).unwrap_err();
        assert!(error.starts_with(expected), "{name} {reference}: {error}");
    }
    assert!(env("AZURE_STORAGE_KEY", "kv://kv-1/secrets/db", true).is_ok());
}

#[test]
fn two_files_cannot_have_one_path_and_the_operator_says_which_vaults() {
    let two = [
        entry("keysluice.dev/file.a", "secrets/x"),
        entry("keysluice.dev/file.b", "secrets/y?path=a/c"),
    ];
    let error = read(&Allowlist::default(), |context| files(&two, &[], Some("kv-0"), context));
    assert!(
        error.unwrap_err().starts_with("KS158 annotation keysluice.dev/file.b: a/c is the file of")
    );
    let limits = Allowlist { vaults: vec!["team-*".to_owned()], tenants: vec![] };
    let one = [entry("keysluice.dev/file.a", "kv://other/secrets/x")];
    let error = read(&limits, |context| files(&one, &[], None, context)).unwrap_err();
    assert!(error.starts_with("KS118 annotation keysluice.dev/file.a: "), "{error}");
    assert!(
        error.ends_with("hint: use a vault that the operator allows (--allow-vault)"),
        "{error}"
    );
}

#[test]
fn the_identity_is_the_pods() {
    let one = [entry("keysluice.dev/file.a", "secrets/x")];
    let plan =
        read(&Allowlist::default(), |context| files(&one, &[], Some("kv-0"), context)).unwrap();
    let (client_id, tenant_id) = ("c".to_owned(), "t".to_owned());
    assert_eq!(plan.identity, IdentityChoice::Federated { client_id, tenant_id });
    let read = read(&Allowlist::default(), |context| {
        files(&one, &[], Some("kv-0"), &Context { client_id: None, ..*context })
    });
    let error = read.unwrap_err();
    assert!(error.starts_with("KS105 clientID is not provided, and the ServiceAccount"), "{error}");
}

/// The variables of a class with files at these paths.
fn of_paths(paths: &[&str], taken: &BTreeMap<&str, &str>) -> Result<Vec<String>, String> {
    let mut plan = read(&Allowlist::default(), |context| {
        files(&[entry("keysluice.dev/file.a", "kv://kv-1/secrets/x")], &[], None, context)
    })?;
    let first = plan.files.remove(0);
    plan.files = paths
        .iter()
        .map(|path| FilePlan { path: path.parse().unwrap(), ..first.clone() })
        .collect();
    let made = of_class("keysluice.dev/env-from", "app", &plan, taken, true);
    let made = made.map_err(|error| error.to_string())?;
    Ok(made.files.iter().map(|file| file.path.to_string()).collect())
}

#[test]
fn the_objects_of_a_class_become_variables() {
    let none = BTreeMap::new();
    let made = of_paths(&["db-password", "tls.crt", "a/b"], &none).unwrap();
    assert_eq!(made, ["DB_PASSWORD", "TLS_CRT", "A_B"]);
    let taken = BTreeMap::from([("DB", "keysluice.dev/env.DB")]);
    for (paths, taken, expected) in [
        (&["db-a", "db.a"][..], &none, "db.a and db-a both become DB_A"),
        (&["db"], &taken, "db becomes DB, which keysluice.dev/env.DB sets too"),
        (&["1st"], &none, "1st cannot be a variable: \"1ST\" is not a name"),
        (&["a b"], &none, "a b cannot be a variable"),
        (&["keysluice-plan"], &none, "keysluice-plan cannot be a variable: KEYSLUICE_PLAN is"),
    ] {
        let error = of_paths(paths, taken).unwrap_err();
        let start = "KS267 annotation keysluice.dev/env-from: SecretProviderClass app: ";
        assert!(error.starts_with(&format!("{start}{expected}")), "{error}");
    }
}

proptest! {
    #[test]
    fn nothing_that_is_written_there_panics(
        text in "[a-z0-9:/?&=%.<>@ -]{0,60}",
        wild in ".{0,40}",
    ) {
        for text in [text.as_str(), &wild, &format!("kv://{text}"), &format!("secrets/db?{text}")] {
            let _ = file(text);
            let _ = env("A", text, true);
        }
    }
}

/// The templates of one annotation, beside the file `db`.
fn templates(key: &str, text: &str) -> Result<Vec<TemplatePlan>, String> {
    let one = [entry("keysluice.dev/file.db", "secrets/x")];
    let entry = Entry { key, name: key.rsplit_once("template.").unwrap().1, reference: text };
    let plan = read(&Allowlist::default(), |context| files(&one, &[entry], Some("kv-0"), context))?;
    Ok(plan.templates)
}

#[test]
fn a_template_is_made_of_inline_files() {
    let key = "keysluice.dev/template.app.env";
    let made = templates(key, "DB={{ files.db | dotenv }}\n").unwrap();
    assert_eq!(made[0].path.as_str(), "app.env");
    for (key, text, expected) in [
        (key, "{{ files.db", "KS161 annotation keysluice.dev/template.app.env: template: line 1"),
        (
            key,
            "{{ files.dc }}",
            "file \"dc\" is not a file of the volume; hint: did you mean \"db\"",
        ),
        (
            key,
            "{{ files.other }}",
            "file \"other\" is not a file of the volume; hint: write the NAME of an annotation \
             keysluice.dev/file.NAME, or its ?path=",
        ),
        (
            "keysluice.dev/template.db",
            "a",
            "KS158 annotation keysluice.dev/template.db: db is the \
            file of annotation keysluice.dev/file.db too",
        ),
    ] {
        let error = templates(key, text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_secret_in_the_place_of_a_reference_is_not_repeated() {
    for value in [
        "hunter2",
        "hunter2/x",
        "hunter2?x=hunter2",
        "postgres://app:hunter2@db/shop",
        "https://app:hunter2@example.com/",
        "hunter2/hunter2/hunter2/hunter2",
    ] {
        let error = file(value).unwrap_err();
        assert!(error.starts_with("KS152 annotation keysluice.dev/file.db: the value"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
