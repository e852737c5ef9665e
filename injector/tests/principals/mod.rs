//! Service principals, with a secret or a certificate of a mounted Secret.

use crate::support::{CANARY, MAX_RESIDENT_KIB, TENANT, TestEnv, put, resident_kib, stderr};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const PRINCIPAL: &str = "55555555-5555-5555-5555-555555555555";
const SECRET: &str = "Abc8Q~canary-of-the-client-secret";

/// The application, and what signs as it: its certificate and key.
fn add_principal(env: &TestEnv) -> (String, String) {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let openssl = String::from_utf8(made_by_openssl("rsa.pem")).unwrap();
    let seed = json!({"apps": [{"clientId": PRINCIPAL, "tenantId": TENANT, "clientSecret": SECRET,
        "clientCertificates": [certificate, openssl]}]});
    env.emulator.seed(serde_json::from_value(seed).unwrap()).unwrap();
    let role = json!({"clientId": PRINCIPAL, "secrets": ["get"]});
    env.emulator.grant("shop", serde_json::from_value(role).unwrap()).unwrap();
    (certificate, key.serialize_pem())
}

fn mount<V: AsRef<[u8]>>(env: &TestEnv, keys: &[(&str, V)]) {
    let directory = env.root.join("principal");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).unwrap();
    for (key, value) in keys {
        put(&directory.join(key), value.as_ref());
    }
}

/// A file that OpenSSL wrote.
fn made_by_openssl(name: &str) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/certificates");
    fs::read(directory.join(name)).unwrap()
}

fn plan(env: &TestEnv) -> Value {
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["identities"][0]["credential"] = json!({"kind": "servicePrincipal", "tenantId": TENANT,
        "directory": "/principal", "authority": env.emulator.authority()});
    plan
}

#[test]
fn a_secret_and_a_certificate_sign_in() {
    let env = TestEnv::new();
    let (certificate, key) = add_principal(&env);
    let both = format!("{certificate}{key}");
    for keys in [
        &[("clientid", PRINCIPAL), ("clientsecret", SECRET)][..],
        &[("ClientId", PRINCIPAL), ("ClientSecret", &format!("{SECRET}\n"))],
        &[("clientid", PRINCIPAL), ("clientcertificate", &both)],
        &[("clientid", PRINCIPAL), ("tls.crt", &certificate), ("tls.key", &key)],
    ] {
        mount(&env, keys);
        let _ = fs::remove_dir_all(env.root.join("mnt/v"));
        fs::create_dir_all(env.root.join("mnt/v")).unwrap();
        let output = env.output(&plan(&env), &["once"]);
        assert!(output.status.success(), "{:?}: {}", keys[1].0, stderr(&output));
        assert_eq!(env.read("db"), CANARY);
        assert!(!stderr(&output).contains(SECRET), "{}", stderr(&output));
    }
}

#[test]
fn refusals_name_the_cause_and_no_value() {
    let env = TestEnv::new();
    let (certificate, key) = add_principal(&env);
    let other = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let params = CertificateParams::new(vec!["other".to_owned()]).unwrap();
    let unregistered = params.self_signed(&other).unwrap().pem() + &other.serialize_pem();
    let mismatch = format!("{certificate}{}", other.serialize_pem());
    let cases: &[(&[(&str, &str)], &str, &str)] = &[
        (&[], "KS434", "could not find clientid in secrets"),
        (&[("clientid", PRINCIPAL)], "KS434", "could not find clientsecret in secrets"),
        (&[("clientid", PRINCIPAL), ("clientsecret", "x-canary")], "KS436", "AADSTS7000215"),
        (&[("clientid", PRINCIPAL), ("clientcertificate", &mismatch)], "KS435", "private key"),
        (&[("clientid", PRINCIPAL), ("clientcertificate", &unregistered)], "KS438", "700027"),
        (&[("clientid", "nobody"), ("clientsecret", SECRET)], "KS306", "nobody"),
        (&[("clientid", PRINCIPAL), ("clientcertificate", "canary")], "KS435", "neither PEM nor"),
    ];
    for (keys, code, text) in cases {
        mount(&env, keys);
        let output = env.output(&plan(&env), &["once"]);
        let log = stderr(&output);
        assert!(log.contains(code) && log.contains(text), "{code}: {log}");
        assert!(!log.contains("canary") && !log.contains(key.lines().nth(1).unwrap()), "{log}");
        let permanent = if *code == "KS306" { 3 } else { 1 };
        assert_eq!(output.status.code(), Some(permanent), "{log}");
    }
}

#[test]
fn a_certificate_signs_in_whatever_its_form() {
    let env = TestEnv::new();
    add_principal(&env);
    let pem = |name: &str| [made_by_openssl("rsa.pem"), made_by_openssl(name)].concat();
    let base64 = BASE64_STANDARD.encode(made_by_openssl("password-chain.pfx")).into_bytes();
    for (case, certificate, password) in [
        ("PKCS#12 of Key Vault", made_by_openssl("3des.pfx"), ""),
        ("PKCS#12 of OpenSSL 3", made_by_openssl("password.pfx"), "secret"),
        ("PKCS#12 of Windows", made_by_openssl("password-legacy.pfx"), "secret\n"),
        ("PKCS#12 in base64", base64, "secret"),
        ("PEM with an encrypted key", pem("rsa.encrypted.pem"), "secret"),
    ] {
        let keys = [
            ("clientid", PRINCIPAL.as_bytes()),
            ("clientcertificate", &certificate),
            ("clientcertificatepassword", password.as_bytes()),
        ];
        mount(&env, &keys);
        let _ = fs::remove_dir_all(env.root.join("mnt/v"));
        fs::create_dir_all(env.root.join("mnt/v")).unwrap();
        let output = env.output(&plan(&env), &["once"]);
        assert!(output.status.success(), "{case}: {}", stderr(&output));
        assert_eq!(env.read("db"), CANARY, "{case}");
    }
}

#[test]
fn what_a_certificate_lacks_is_named_with_the_key_of_the_secret() {
    let env = TestEnv::new();
    add_principal(&env);
    let slow = made_by_openssl("iterations.pfx");
    for (certificate, password, text) in [
        (made_by_openssl("password.pfx"), "", "put its password into the key client"),
        (made_by_openssl("password.pfx"), "canary", "clientcertificatepassword is not its"),
        (made_by_openssl("p384.pfx"), "", "has a key that is not RSA"),
        (slow, "canary", "it asks for more than 2000000 iterations"),
        (vec![b'0'; 300 << 10], "", "is longer than 256 KiB"),
    ] {
        let keys = [
            ("clientid", PRINCIPAL.as_bytes()),
            ("ClientCertificate", &certificate),
            ("clientCertificatePassword", password.as_bytes()),
        ];
        mount(&env, &keys);
        let begun = Instant::now();
        let output = env.output(&plan(&env), &["once"]);
        let log = stderr(&output);
        assert!(log.contains("clientcertificate in ") && log.contains(text), "{text}: {log}");
        assert!(!log.contains("canary"), "{log}");
        // Without optimisation, on a busy machine; what is refused for its cost is not computed.
        assert!(begun.elapsed() < Duration::from_secs(60), "{text}: {:?}", begun.elapsed());
    }
}

/// Keys are decrypted beside the one thread, and nothing of it stays.
#[test]
fn a_certificate_with_a_password_does_not_cost_the_sidecar_its_size() {
    let env = TestEnv::new();
    add_principal(&env);
    mount(
        &env,
        &[
            ("clientid", PRINCIPAL.as_bytes()),
            ("clientcertificate", &made_by_openssl("password-chain.pfx")),
            ("clientcertificatepassword", b"secret"),
        ],
    );
    let sidecar = env.run_ready(&plan(&env));
    assert_eq!(env.read("db"), CANARY);
    let resident = resident_kib(sidecar.child.id());
    println!("{resident} KiB resident");
    if std::env::var_os("KEYSLUICE_TEST_BINARY").is_some() {
        assert!(resident <= MAX_RESIDENT_KIB, "{resident} KiB");
    }
}

#[test]
fn a_renewed_secret_is_taken_without_a_restart() {
    let env = TestEnv::new();
    add_principal(&env);
    mount(&env, &[("clientid", PRINCIPAL), ("clientsecret", "old")]);
    let sidecar = env.run(&plan(&env));
    crate::support::until("the old one is refused", || env.log().contains("KS436"));
    put(&env.root.join("principal/clientsecret"), SECRET.as_bytes());
    let output = sidecar.ready();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(env.read("db"), CANARY);
}
