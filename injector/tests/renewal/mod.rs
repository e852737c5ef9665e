//! A certificate is renewed: leaf and key come from two GETs and change together or not at all.

use crate::support::{CLIENT, TENANT, TestEnv, until};
use keysluice_emulator::seed::{CertificateSeed, SecretSeed};
use keysluice_emulator::{CallKind, Fault};
use serde_json::{Value, json};

/// A certificate `web` and the right to get it and to list.
fn env() -> TestEnv {
    let env = TestEnv::new();
    let vaults = json!({"vaults": [{"name": "shop", "tenantId": TENANT,
        "roles": [{"clientId": CLIENT, "secrets": ["get", "list"],
            "certificates": ["get", "list"]}]}]});
    env.emulator.seed(serde_json::from_value(vaults).unwrap()).unwrap();
    renew(&env);
    env
}

fn renew(env: &TestEnv) -> String {
    env.emulator.set_certificate("shop", "web", CertificateSeed::default()).unwrap()
}

fn files(env: &TestEnv) -> Vec<Value> {
    let part = |path: &str, part: &str| {
        let mut file = env.file(path, "web");
        (file["type"], file["part"]) = ("cert".into(), part.into());
        file
    };
    vec![part("tls.crt", "cert"), part("tls.key", "key"), env.file("db", "db")]
}

fn pair(env: &TestEnv) -> (String, String) {
    (env.read("tls.crt"), env.read("tls.key"))
}

#[test]
fn a_new_leaf_waits_for_the_key_and_a_new_key_for_the_leaf() {
    let env = env();
    let sidecar = env.run_ready(&env.plan(&files(&env)));
    for (kind, fault) in [
        (CallKind::SecretGet, Fault::throttle(1)),
        (CallKind::SecretGet, Fault::status(403)),
        (CallKind::SecretGet, Fault::reset()),
        (CallKind::CertificateGet, Fault::status(403)),
        (CallKind::CertificateGet, Fault::status(500)),
    ] {
        let before = pair(&env);
        env.emulator.inject(fault.on(kind).object("web"));
        renew(&env);
        env.emulator.set_secret("shop", "db", format!("{kind:?}"));
        until("the others go on", || {
            let answer = sidecar.refresh().0;
            answer["failing"] != 0 && env.read("db") == format!("{kind:?}")
        });
        assert_eq!(pair(&env), before, "{kind:?}");
        env.emulator.clear_faults();
        until("both are replaced", || sidecar.refresh().1);
        let after = pair(&env);
        assert!(after.0 != before.0 && after.1 != before.1, "{kind:?}");
        let status = sidecar.status();
        let version = |file: usize| &status["volumes"][0]["files"][file]["version"];
        assert_eq!(version(0), version(1));
    }
}

#[test]
fn after_a_restart_a_new_leaf_waits_for_the_key_as_well() {
    let env = env();
    let plan = env.plan(&files(&env));
    drop(env.run_ready(&plan));
    let before = pair(&env);
    renew(&env);
    env.emulator.inject(Fault::status(403).on(CallKind::SecretGet).object("web"));
    let sidecar = env.run_ready(&plan);
    assert!(!sidecar.refresh().1);
    assert_eq!(pair(&env), before);
    env.emulator.clear_faults();
    assert!(sidecar.refresh().1);
    assert!(pair(&env).0 != before.0 && pair(&env).1 != before.1);
}

#[test]
fn a_first_generation_has_both_or_there_is_none() {
    let env = env();
    let mut files = files(&env);
    files.push(env.file("late", "late"));
    let sidecar = env.run(&env.plan(&files));
    until("all others are there", || env.log().contains("KS404"));
    // The key is renewed, the leaf is not to be had, and what was missing comes.
    env.emulator.inject(Fault::status(403).on(CallKind::CertificateGet));
    renew(&env);
    assert!(!sidecar.refresh().1);
    env.emulator.set_secret("shop", "late", "there");
    for _ in 0..3 {
        let (answer, well) = sidecar.refresh();
        assert!(!well && answer["ready"] == false, "{answer}");
    }
    env.emulator.clear_faults();
    assert!(sidecar.refresh().1);
    assert!(sidecar.ready().status.success());
    assert!(pair(&env).0.contains("CERTIFICATE") && pair(&env).1.contains("KEY"));
    let status = sidecar.status();
    let version = |file: usize| &status["volumes"][0]["files"][file]["version"];
    assert_eq!(version(0), version(1));
}

#[test]
fn a_renewal_between_two_gets_is_asked_for_again() {
    let env = env();
    // As if the secret were renewed already and the certificate not yet.
    let ahead = || {
        let seed = SecretSeed { value: Some("ahead".into()), ..SecretSeed::default() };
        env.emulator.put_secret("shop", "web", seed).unwrap();
    };
    ahead();
    let mut plan = env.plan(&files(&env));
    plan["volumes"][0]["files"][1]["part"] = Value::Null;
    plan["volumes"][0]["files"][1]["type"] = "secret".into();
    let sidecar = env.run(&plan);
    until("it is told", || env.log().contains("KS431"));
    let (rounds, told) =
        (|| env.emulator.counts().secret_gets, || env.log().matches("KS431").count());
    let asked = rounds();
    until("it is tried again and again", || rounds() > asked + 4);
    assert_eq!(told(), 1, "once while they disagree: {}", env.log());
    renew(&env);
    assert!(sidecar.ready().status.success(), "the start waits for a pair");
    let before = pair(&env);
    ahead();
    let (answer, well) = sidecar.refresh();
    assert!(!well);
    assert_eq!(answer["volumes"][0]["files"][0]["error"]["code"], "KS431", "{answer}");
    assert_eq!(pair(&env), before);
    until("the second is told too", || told() == 2);
    let asked = rounds();
    until("it is tried again", || rounds() > asked + 2);
    assert_eq!(told(), 2, "once for each change: {}", env.log());
    renew(&env);
    until("by itself, soon", || pair(&env).0 != before.0);
    assert!(pair(&env).1 != before.1 && pair(&env).1 != "ahead");
    // `once` knows no earlier files: it writes nothing.
    ahead();
    plan["startTimeoutSeconds"] = 1.into();
    let output = env.output(&plan, &["once"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(crate::support::stderr(&output).contains("KS431"), "{output:?}");
}
