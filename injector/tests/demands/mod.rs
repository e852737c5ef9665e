//! What vaults and Entra demand, 429 and 401, costs no more requests than it must.

use crate::support::{TestEnv, until};
use keysluice_emulator::{CallKind, Fault};
use std::time::{Duration, Instant};

#[test]
fn a_throttled_vault_is_not_asked_before_retry_after() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db")]));
    env.emulator.set_secret("shop", "db", "rotated");
    env.emulator.inject(Fault::throttle(1).on(CallKind::SecretGet).times(1));
    let started = Instant::now();
    let (answer, _) = sidecar.refresh();
    assert_eq!(answer["volumes"][0]["files"][0]["error"]["code"], "KS407");
    let asked = env.emulator.counts().secret_gets;
    sidecar.refresh();
    assert_eq!(env.emulator.counts().secret_gets, asked);
    until("the wait is over", || env.read("db") == "rotated");
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "asked once it was over, not refused by ourselves"
    );
}

#[test]
fn a_restarted_container_remembers_retry_after() {
    let env = TestEnv::new();
    let plan = env.plan(&[env.file("db", "db")]);
    env.emulator.inject(Fault::throttle(60).on(CallKind::SecretGet));
    let sidecar = env.run(&plan);
    until("it is throttled", || env.root.join("run/keysluice/throttle.json").exists());
    drop(sidecar);
    env.emulator.clear_faults();
    env.emulator.reset_counts();
    let sidecar = env.run(&plan);
    until("it waits", || env.log().contains("not asked for another"));
    let counts = env.emulator.counts();
    assert_eq!(
        (sidecar.status()["ready"].as_bool(), counts.secret_gets, counts.tokens),
        (Some(false), 0, 0)
    );
}

#[test]
fn a_restarted_container_remembers_entras_retry_after() {
    let env = TestEnv::new();
    let plan = env.plan(&[env.file("db", "db")]);
    env.emulator.inject(Fault::throttle(60).on(CallKind::Token));
    let sidecar = env.run(&plan);
    until("it is throttled", || env.root.join("run/keysluice/throttle.json").exists());
    drop(sidecar);
    env.emulator.clear_faults();
    env.emulator.reset_counts();
    let sidecar = env.run(&plan);
    until("it waits", || env.log().contains("not asked for another"));
    assert!(env.log().contains("KS310"), "{}", env.log());
    assert_eq!(
        (sidecar.status()["ready"].as_bool(), env.emulator.counts().tokens),
        (Some(false), 0)
    );
}

#[test]
fn a_401_gets_one_new_token_and_one_more_try() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db")]));
    env.emulator.reset_counts();
    env.emulator.inject(Fault::status(401).on(CallKind::SecretGet).times(1));
    assert!(sidecar.refresh().1);
    let counts = env.emulator.counts();
    assert_eq!((counts.tokens, counts.secret_gets, counts.status_401), (1, 1, 1));
}

#[test]
fn an_object_that_is_always_401_costs_one_token() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db"), env.file("api", "api")]));
    env.emulator.reset_counts();
    env.emulator.inject(Fault::status(401).on(CallKind::SecretGet).object("api"));
    for (round, expected) in
        ["also with a new token", "with the token", "with the token"].into_iter().enumerate()
    {
        env.emulator.set_secret("shop", "db", round.to_string());
        let (answer, _) = sidecar.refresh();
        let message = answer["volumes"][0]["files"][1]["error"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
        assert_eq!(env.read("db"), round.to_string());
    }
    assert_eq!(env.emulator.counts().tokens, 1);
}

#[test]
fn a_401_of_one_object_leaves_the_token_to_the_others_while_entra_is_down() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db"), env.file("api", "api")]));
    env.emulator.inject(Fault::status(401).on(CallKind::SecretGet).object("api").times(1));
    env.emulator.inject(Fault::status(503).on(CallKind::Token));
    let (answer, _) = sidecar.refresh();
    assert_eq!(answer["volumes"][0]["files"][1]["error"]["code"], "KS401", "{answer}");
    env.emulator.set_secret("shop", "db", "rotated");
    let (answer, well) = sidecar.refresh();
    assert!(well, "{answer}");
    assert_eq!(env.read("db"), "rotated");
}
