//! Certificates, their parts, and the secrets behind them.

use super::{env, file, seen};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keysluice_emulator::seed::{CertificateSeed, SecretSeed};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/certificates").join(name))
        .unwrap()
}

fn pems(names: &[&str]) -> String {
    names.iter().map(|name| String::from_utf8(fixture(&format!("{name}.pem"))).unwrap()).collect()
}

#[test]
fn a_certificate_comes_in_every_form_of_the_matrix_for_one_get_of_each_kind() {
    let env = env();
    let (pfx, pem) = (fixture("chain.pfx"), pems(&["leaf", "root", "leaf.key", "intermediate"]));
    let cer = pems(&["leaf"]).lines().filter(|line| !line.starts_with('-')).collect();
    let in_pkcs12 = CertificateSeed {
        cer: Some(cer),
        secret: Some(STANDARD.encode(&pfx).into()),
        ..CertificateSeed::default()
    };
    env.emulator.set_certificate("shop", "web", in_pkcs12).unwrap();
    let in_pem = CertificateSeed { secret: Some(pem.clone().into()), ..CertificateSeed::default() };
    env.emulator.set_certificate("shop", "pem", in_pem).unwrap();
    let part = |name: &str| json!({"type": "cert", "part": name});
    let files = [
        file(&env, "as-pem", "web", &json!({"split": true})),
        file(&env, "as-pfx", "web", &json!({"format": "pfx"})),
        file(&env, "binary", "web", &json!({"format": "pfx", "encoding": "base64"})),
        file(&env, "verbatim", "pem", &json!({"format": "pfx"})),
        file(&env, "cer", "web", &json!({"type": "cert"})),
        file(&env, "public", "web", &json!({"type": "key"})),
        file(&env, "part/cert", "web", &part("cert")),
        file(&env, "part/chain", "web", &part("chain")),
        file(&env, "part/key", "web", &part("key")),
        file(&env, "part/ca", "web", &part("ca")),
        file(&env, "part/pfx", "web", &part("pfx")),
        file(&env, "from-pem/ca", "pem", &part("ca")),
        file(&env, "from-pem/pfx", "pem", &part("pfx")),
    ];
    let sidecar = env.run_ready(&env.plan(&files));
    let found = seen(&env);
    let whole = pems(&["leaf.key", "leaf", "intermediate", "root"]);
    let (text, binary) = (STANDARD.encode(&pfx), format!("{} bytes", pfx.len()));
    for (path, wanted) in [
        ("as-pem", whole.as_str()),
        ("as-pem.crt", &pems(&["leaf", "intermediate", "root"])),
        ("as-pem.key", &pems(&["leaf.key"])),
        ("as-pfx", &text),
        ("binary", &binary),
        ("verbatim", &pem),
        ("cer", &pems(&["leaf"])),
        ("part/cert", &pems(&["leaf"])),
        ("part/chain", &pems(&["leaf", "intermediate"])),
        ("part/key", &pems(&["leaf.key"])),
        ("part/ca", &pems(&["intermediate", "root"])),
        ("part/pfx", &binary),
        ("from-pem/ca", &pems(&["intermediate", "root"])),
    ] {
        assert_eq!(found[path], wanted, "{path}");
    }
    assert_eq!(fs::read(env.root.join("mnt/v/binary")).unwrap(), pfx);
    assert!(found["public"].starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert_eq!(found.len(), 15);
    let counts = env.emulator.counts();
    assert_eq!(
        (counts.secret_gets, counts.certificate_gets, counts.key_gets, counts.lists),
        (2, 1, 1, 0)
    );
    let before = fs::read_link(env.root.join("mnt/v/..data")).unwrap();
    assert!(sidecar.refresh().1);
    assert_eq!(
        fs::read_link(env.root.join("mnt/v/..data")).unwrap(),
        before,
        "a file we write is the same each time"
    );
}

#[test]
fn a_certificate_that_cannot_be_read_says_why_and_keeps_the_last_good_files() {
    let env = env();
    let set = |name: &str| {
        let secret = SecretSeed {
            content_type: Some("application/x-pkcs12".into()),
            ..SecretSeed::new(STANDARD.encode(fixture(name)))
        };
        env.emulator.put_secret("shop", "web", secret).unwrap();
    };
    set("chain.pfx");
    let files = [
        file(&env, "key", "web", &json!({"part": "key"})),
        file(&env, "ca", "web", &json!({"part": "ca"})),
    ];
    let sidecar = env.run_ready(&env.plan(&files));
    let before = seen(&env);
    set("password.pfx");
    let (answer, well) = sidecar.refresh();
    let error = &answer["volumes"][0]["files"][0]["error"];
    assert!(!well && error["code"] == "KS426", "{error}");
    assert!(
        error["message"].as_str().unwrap().ends_with("it has a password, or it is damaged"),
        "{error}"
    );
    assert_eq!(seen(&env), before);
    set("keyless.pfx");
    let (answer, _) = sidecar.refresh();
    assert_eq!(answer["volumes"][0]["files"][0]["error"]["code"], "KS425");
    assert_eq!(answer["volumes"][0]["files"][1]["error"], Value::Null);
    assert_eq!(seen(&env), before);
}

#[test]
fn histories_of_keys_and_certificates_are_listed_where_they_are() {
    let env = env();
    for number in 0..3 {
        let made = CertificateSeed { created: Some(1000 + number), ..CertificateSeed::default() };
        env.emulator.set_certificate("shop", "web", made).unwrap();
    }
    let history = |path: &str, extra: Value| {
        let mut file = file(&env, path, "web", &extra);
        file["history"] = 2.into();
        file
    };
    let files = [
        history("cert", json!({"type": "cert"})),
        history("key", json!({"type": "key"})),
        history("tls", json!({"split": true})),
    ];
    let _sidecar = env.run_ready(&env.plan(&files));
    let found = seen(&env);
    let wanted = "cert/0 cert/1 key/0 key/1 tls/0 tls/0.crt tls/0.key tls/1 tls/1.crt tls/1.key";
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>().join(" "), wanted);
    assert_eq!(found["cert/1"], found["tls/1.crt"]);
    assert_ne!(found["cert/0"], found["cert/1"]);
    assert_eq!(found["tls/0"], format!("{}{}", found["tls/0.key"], found["tls/0.crt"]));
}

#[test]
fn no_part_of_a_key_is_seen_outside_the_volume() {
    let env = env();
    let secret = SecretSeed {
        content_type: Some("application/x-pkcs12".into()),
        ..SecretSeed::new(STANDARD.encode(fixture("chain.pfx")))
    };
    env.emulator.put_secret("shop", "web", secret).unwrap();
    let files = [
        file(&env, "key", "web", &json!({"part": "key"})),
        file(&env, "field", "web", &json!({"jsonKey": "a"})),
    ];
    let mut plan = env.plan(&files);
    plan["startTimeoutSeconds"] = 1.into();
    let sidecar = env.run(&plan);
    sidecar.ready();
    let line = pems(&["leaf.key"]).lines().nth(1).unwrap().to_owned();
    let base64 = STANDARD.encode(fixture("chain.pfx"));
    sidecar.wait();
    for text in [env.log(), env.termination_log()] {
        assert!(!text.contains(&line) && !text.contains(&base64[..40]), "{text}");
    }
}
