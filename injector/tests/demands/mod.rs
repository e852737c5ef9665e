//! What vaults and Entra demand, 429 and 401, costs no more requests than it must.

use crate::support::{World, until};
use keysluice_emulator::{CallKind, Fault};
use std::time::{Duration, Instant};

#[test]
fn a_throttled_vault_is_not_asked_before_retry_after() {
    let world = World::new();
    let sidecar = world.run_ready(&world.plan(&[world.file("db", "db")]));
    world.emulator.set_secret("shop", "db", "rotated");
    world.emulator.inject(Fault::throttle(1).on(CallKind::SecretGet).times(1));
    let started = Instant::now();
    let (answer, _) = sidecar.refresh();
    assert_eq!(answer["volumes"][0]["files"][0]["error"]["code"], "KS407");
    let asked = world.emulator.counts().secret_gets;
    sidecar.refresh();
    assert_eq!(world.emulator.counts().secret_gets, asked);
    until("the wait is over", || world.read("db") == "rotated");
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "asked once it was over, not refused by ourselves"
    );
}

#[test]
fn a_restarted_container_remembers_retry_after() {
    let world = World::new();
    let plan = world.plan(&[world.file("db", "db")]);
    world.emulator.inject(Fault::throttle(60).on(CallKind::SecretGet));
    let sidecar = world.run(&plan);
    until("it is throttled", || world.root.join("run/keysluice/throttle.json").exists());
    drop(sidecar);
    world.emulator.clear_faults();
    world.emulator.reset_counts();
    let sidecar = world.run(&plan);
    until("it waits", || world.log().contains("not asked for another"));
    let counts = world.emulator.counts();
    assert_eq!(
        (sidecar.status()["ready"].as_bool(), counts.secret_gets, counts.tokens),
        (Some(false), 0, 0)
    );
}

#[test]
fn a_restarted_container_remembers_entras_retry_after() {
    let world = World::new();
    let plan = world.plan(&[world.file("db", "db")]);
    world.emulator.inject(Fault::throttle(60).on(CallKind::Token));
    let sidecar = world.run(&plan);
    until("it is throttled", || world.root.join("run/keysluice/throttle.json").exists());
    drop(sidecar);
    world.emulator.clear_faults();
    world.emulator.reset_counts();
    let sidecar = world.run(&plan);
    until("it waits", || world.log().contains("not asked for another"));
    assert!(world.log().contains("KS310"), "{}", world.log());
    assert_eq!(
        (sidecar.status()["ready"].as_bool(), world.emulator.counts().tokens),
        (Some(false), 0)
    );
}

#[test]
fn a_401_gets_one_new_token_and_one_more_try() {
    let world = World::new();
    let sidecar = world.run_ready(&world.plan(&[world.file("db", "db")]));
    world.emulator.reset_counts();
    world.emulator.inject(Fault::status(401).on(CallKind::SecretGet).times(1));
    assert!(sidecar.refresh().1);
    let counts = world.emulator.counts();
    assert_eq!((counts.tokens, counts.secret_gets, counts.status_401), (1, 1, 1));
}

#[test]
fn an_object_that_is_always_401_costs_one_token() {
    let world = World::new();
    let sidecar = world.run_ready(&world.plan(&[world.file("db", "db"), world.file("api", "api")]));
    world.emulator.reset_counts();
    world.emulator.inject(Fault::status(401).on(CallKind::SecretGet).object("api"));
    for (round, expected) in
        ["also with a new token", "with the token", "with the token"].into_iter().enumerate()
    {
        world.emulator.set_secret("shop", "db", round.to_string());
        let (answer, _) = sidecar.refresh();
        let message = answer["volumes"][0]["files"][1]["error"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
        assert_eq!(world.read("db"), round.to_string());
    }
    assert_eq!(world.emulator.counts().tokens, 1);
}

#[test]
fn a_401_of_one_object_leaves_the_token_to_the_others_while_entra_is_down() {
    let world = World::new();
    let sidecar = world.run_ready(&world.plan(&[world.file("db", "db"), world.file("api", "api")]));
    world.emulator.inject(Fault::status(401).on(CallKind::SecretGet).object("api").times(1));
    world.emulator.inject(Fault::status(503).on(CallKind::Token));
    let (answer, _) = sidecar.refresh();
    assert_eq!(answer["volumes"][0]["files"][1]["error"]["code"], "KS401", "{answer}");
    world.emulator.set_secret("shop", "db", "rotated");
    let (answer, well) = sidecar.refresh();
    assert!(well, "{answer}");
    assert_eq!(world.read("db"), "rotated");
}
