//! A certificate is renewed: leaf and key come from two GETs and change together or not at all.

use crate::support::{CLIENT, TENANT, World, until};
use keysluice_emulator::seed::{CertificateSeed, SecretSeed};
use keysluice_emulator::{CallKind, Fault};
use serde_json::{Value, json};

/// A certificate `web` and the right to get it and to list.
fn world() -> World {
    let world = World::new();
    let vaults = json!({"vaults": [{"name": "shop", "tenantId": TENANT,
        "roles": [{"clientId": CLIENT, "secrets": ["get", "list"], "certificates": ["get", "list"]}]}]});
    world.emulator.seed(serde_json::from_value(vaults).unwrap()).unwrap();
    renew(&world);
    world
}

fn renew(world: &World) -> String {
    world.emulator.set_certificate("shop", "web", CertificateSeed::default()).unwrap()
}

fn files(world: &World) -> Vec<Value> {
    let part = |path: &str, part: &str| {
        let mut file = world.file(path, "web");
        (file["type"], file["part"]) = ("cert".into(), part.into());
        file
    };
    vec![part("tls.crt", "cert"), part("tls.key", "key"), world.file("db", "db")]
}

fn pair(world: &World) -> (String, String) {
    (world.read("tls.crt"), world.read("tls.key"))
}

#[test]
fn a_new_leaf_waits_for_the_key_and_a_new_key_for_the_leaf() {
    let world = world();
    let sidecar = world.run_ready(&world.plan(&files(&world)));
    for (kind, fault) in [
        (CallKind::SecretGet, Fault::throttle(1)),
        (CallKind::SecretGet, Fault::status(403)),
        (CallKind::SecretGet, Fault::reset()),
        (CallKind::CertificateGet, Fault::status(403)),
        (CallKind::CertificateGet, Fault::status(500)),
    ] {
        let before = pair(&world);
        world.emulator.inject(fault.on(kind).object("web"));
        renew(&world);
        world.emulator.set_secret("shop", "db", format!("{kind:?}"));
        until("the others go on", || {
            let answer = sidecar.refresh().0;
            answer["failing"] != 0 && world.read("db") == format!("{kind:?}")
        });
        assert_eq!(pair(&world), before, "{kind:?}");
        world.emulator.clear_faults();
        until("both are replaced", || sidecar.refresh().1);
        let after = pair(&world);
        assert!(after.0 != before.0 && after.1 != before.1, "{kind:?}");
        let status = sidecar.status();
        let version = |file: usize| &status["volumes"][0]["files"][file]["version"];
        assert_eq!(version(0), version(1));
    }
}

#[test]
fn after_a_restart_a_new_leaf_waits_for_the_key_as_well() {
    let world = world();
    let plan = world.plan(&files(&world));
    drop(world.run_ready(&plan));
    let before = pair(&world);
    renew(&world);
    world.emulator.inject(Fault::status(403).on(CallKind::SecretGet).object("web"));
    let sidecar = world.run_ready(&plan);
    assert!(!sidecar.refresh().1);
    assert_eq!(pair(&world), before);
    world.emulator.clear_faults();
    assert!(sidecar.refresh().1);
    assert!(pair(&world).0 != before.0 && pair(&world).1 != before.1);
}

#[test]
fn a_first_generation_has_both_or_there_is_none() {
    let world = world();
    let mut files = files(&world);
    files.push(world.file("late", "late"));
    let sidecar = world.run(&world.plan(&files));
    until("all others are there", || world.log().contains("KS404"));
    // The key is renewed, the leaf is not to be had, and what was missing comes.
    world.emulator.inject(Fault::status(403).on(CallKind::CertificateGet));
    renew(&world);
    assert!(!sidecar.refresh().1);
    world.emulator.set_secret("shop", "late", "there");
    for _ in 0..3 {
        let (answer, well) = sidecar.refresh();
        assert!(!well && answer["ready"] == false, "{answer}");
    }
    world.emulator.clear_faults();
    assert!(sidecar.refresh().1);
    assert!(sidecar.ready().status.success());
    assert!(pair(&world).0.contains("CERTIFICATE") && pair(&world).1.contains("KEY"));
    let status = sidecar.status();
    let version = |file: usize| &status["volumes"][0]["files"][file]["version"];
    assert_eq!(version(0), version(1));
}

#[test]
fn a_renewal_between_two_gets_is_asked_for_again() {
    let world = world();
    // As if the secret were renewed already and the certificate not yet.
    let ahead = || {
        let seed = SecretSeed { value: Some("ahead".into()), ..SecretSeed::default() };
        world.emulator.put_secret("shop", "web", seed).unwrap();
    };
    ahead();
    let mut plan = world.plan(&files(&world));
    plan["volumes"][0]["files"][1]["part"] = Value::Null;
    plan["volumes"][0]["files"][1]["type"] = "secret".into();
    let sidecar = world.run(&plan);
    until("it is told", || world.log().contains("KS431"));
    let (rounds, told) =
        (|| world.emulator.counts().secret_gets, || world.log().matches("KS431").count());
    let asked = rounds();
    until("it is tried again and again", || rounds() > asked + 4);
    assert_eq!(told(), 1, "once while they disagree: {}", world.log());
    renew(&world);
    assert!(sidecar.ready().status.success(), "the start waits for a pair");
    let before = pair(&world);
    ahead();
    let (answer, well) = sidecar.refresh();
    assert!(!well);
    assert_eq!(answer["volumes"][0]["files"][0]["error"]["code"], "KS431", "{answer}");
    assert_eq!(pair(&world), before);
    until("the second is told too", || told() == 2);
    let asked = rounds();
    until("it is tried again", || rounds() > asked + 2);
    assert_eq!(told(), 2, "once for each change: {}", world.log());
    renew(&world);
    until("by itself, soon", || pair(&world).0 != before.0);
    assert!(pair(&world).1 != before.1 && pair(&world).1 != "ahead");
    // `once` knows no earlier files: it writes nothing.
    ahead();
    plan["startTimeoutSeconds"] = 1.into();
    let output = world.output(&plan, &["once"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(crate::support::stderr(&output).contains("KS431"), "{output:?}");
}
