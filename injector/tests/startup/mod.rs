//! From the start of the process to the first generation, or to the end with a reason.

use crate::support::{CANARY, TestEnv, stderr, until};
use keysluice_emulator::{CallKind, Fault};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn run_fetches_opens_the_gate_and_writes_what_the_plan_says() {
    let env = TestEnv::new();
    let mut key = env.file("keys/sign.pem", "sign");
    key["type"] = "key".into();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db"), key]));
    assert_eq!(env.read("db"), CANARY);
    assert!(env.read("keys/sign.pem").starts_with("-----BEGIN PUBLIC KEY-----\n"));
    let status = sidecar.status();
    assert_eq!((&status["ready"], &status["failing"]), (&json!(true), &json!(0)));
    assert_eq!(status["volumes"][0]["files"][0]["version"].as_str().unwrap().len(), 32);
    assert!(status["volumes"][0]["generation"].as_str().unwrap().starts_with("..20"));
    let counts = env.emulator.counts();
    assert_eq!(
        (counts.tokens, counts.secret_gets, counts.key_gets, counts.status_401),
        (1, 1, 1, 0)
    );
}

#[test]
fn a_vault_that_is_down_at_start_is_waited_for_with_its_reason() {
    let env = TestEnv::new();
    env.emulator.inject(Fault::status(503).on(CallKind::SecretGet).times(3));
    let sidecar = env.run(&env.plan(&[env.file("db", "db")]));
    let output = sidecar.ready();
    assert!(output.status.success());
    assert!(
        stderr(&output).starts_with("waiting: KS408 secret \"db\" in https://shop.vault.localhost"),
        "{}",
        stderr(&output)
    );
    assert_eq!(stderr(&output).lines().count(), 1, "each reason once");
    assert_eq!(env.emulator.counts().tokens, 1);
}

#[test]
fn the_start_timeout_ends_with_code_cause_and_fix() {
    let env = TestEnv::new();
    let cases: &[(&str, Value, &str)] = &[
        ("/volumes/0/files/0/name", json!("absent"), "KS404 secret \"absent\""),
        ("/volumes/0/files/0/name", json!("off"), "KS406 secret \"off\""),
        (
            "/volumes/0/files/0/vault",
            json!("https://shop.vault.localhost:1/"),
            "KS411 secret \"db\" in https://shop.vault.localhost:1/",
        ),
        ("/trustedCa", Value::Null, "KS410 identity \"a\""),
        (
            "/identities/0/credential/authority",
            json!("https://login.localhost:1/"),
            "KS312 identity \"a\"",
        ),
        (
            "/identities/0/credential/tokenFile",
            json!("/absent"),
            "KS301 identity \"a\": token file",
        ),
    ];
    for (pointer, value, expected) in cases {
        let mut plan = env.plan(&[env.file("db", "db")]);
        plan["startTimeoutSeconds"] = 1.into();
        *plan.pointer_mut(pointer).unwrap() = value.clone();
        let sidecar = env.run(&plan);
        let gate = sidecar.ready();
        assert_eq!(sidecar.wait().code(), Some(1), "{expected}");
        let text = env.termination_log();
        assert!(
            text.starts_with(expected)
                && text.contains("(gave up after 1 s)\ncause: ")
                && text.contains("\nfix: "),
            "{text}"
        );
        assert!(
            gate.status.code() == Some(1) && stderr(&gate).contains(expected),
            "{}",
            stderr(&gate)
        );
        assert!(
            fs::read_dir(env.root.join("mnt/v")).unwrap().next().is_none(),
            "nothing partial on the volume"
        );
    }
}

#[test]
fn what_can_never_work_ends_at_once_with_3() {
    let env = TestEnv::new();
    let cases: &[(&str, Value, &str)] = &[
        (
            "/identities/0/credential/clientId",
            json!("33333333-3333-3333-3333-333333333333"),
            "KS306 identity",
        ),
        (
            "/identities/0/credential/tenantId",
            json!("33333333-3333-3333-3333-333333333333"),
            "KS307 identity",
        ),
        ("/identities/0/credential/authority", json!("http://login.localhost/"), "KS315 identity"),
        (
            "/volumes/0/files/0",
            json!({"path": "k", "mode": "0644", "identity": "a", "vault": "https://kv/",
                "type": "key", "name": "k", "part": "cert"}),
            "KS425 key \"k\"",
        ),
        ("/identities/0/scope", json!("https://vault.azure.net/.default"), "KS414 secret \"db\""),
        ("/volumes/0/files/0/vault", json!("https://stranger.example/"), "KS414 secret \"db\""),
        ("/volumes/0/directory", json!("/mnt/absent"), "KS502 volume"),
        ("/trustedCa", json!("x"), "KS606 trustedCa"),
    ];
    for (pointer, value, expected) in cases {
        let mut plan = env.plan(&[env.file("db", "db")]);
        *plan.pointer_mut(pointer).unwrap() = value.clone();
        let sidecar = env.run(&plan);
        assert_eq!(sidecar.wait().code(), Some(3), "{expected}: {}", env.log());
        let text = env.termination_log();
        assert!(text.starts_with(expected), "{text}");
    }
}

#[test]
fn a_volume_that_is_gone_at_the_first_commit_ends_it_at_once_with_3() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "absent")]);
    plan.as_object_mut().unwrap().remove("startTimeoutSeconds");
    let sidecar = env.run(&plan);
    until("the volume is open", || env.log().contains("KS404"));
    fs::remove_dir(env.root.join("mnt/v")).unwrap();
    env.emulator.set_secret("shop", "absent", "now it is there");
    sidecar.signal(Signal::HUP);
    assert_eq!(sidecar.wait().code(), Some(3), "{}", env.log());
    assert!(env.termination_log().starts_with("KS502 "), "{}", env.termination_log());
}

#[test]
fn a_known_cause_is_told_while_another_request_hangs() {
    let env = TestEnv::new();
    env.emulator.inject(Fault::delay(Duration::from_secs(8)).on(CallKind::SecretGet).object("api"));
    let mut plan = env.plan(&[env.file("api", "api"), env.file("db", "absent")]);
    plan["startTimeoutSeconds"] = 1.into();
    let sidecar = env.run(&plan);
    let gate = stderr(&sidecar.ready());
    assert_eq!(sidecar.wait().code(), Some(1));
    assert!(
        env.termination_log().starts_with("KS404 secret \"absent\""),
        "{}",
        env.termination_log()
    );
    assert!(gate.starts_with("waiting: KS404 "), "{gate}");
    let once = stderr(&env.output(&plan, &["once"]));
    assert!(once.contains("KS404") && !once.contains("KS603"), "{once}");
    // What can never work does not wait for it either.
    let mut unknown = plan["identities"][0].clone();
    unknown["name"] = "unknown".into();
    unknown["credential"]["clientId"] = "33333333-3333-3333-3333-333333333333".into();
    plan["identities"].as_array_mut().unwrap().push(unknown);
    plan["volumes"][0]["files"][1]["identity"] = "unknown".into();
    plan["startTimeoutSeconds"] = 20.into();
    let started = Instant::now();
    let sidecar = env.run(&plan);
    assert_eq!(sidecar.wait().code(), Some(3), "{}", env.log());
    assert!(env.termination_log().starts_with("KS306 "), "{}", env.termination_log());
    assert_eq!(env.output(&plan, &["once"]).status.code(), Some(3));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_restart_with_the_vault_down_is_ready_with_the_last_good_files() {
    let env = TestEnv::new();
    let plan = env.plan(&[env.file("db", "db")]);
    drop(env.run_ready(&plan));
    let before = fs::read_link(env.root.join("mnt/v/..data")).unwrap();
    env.emulator.inject(Fault::reset());
    let sidecar = env.run_ready(&plan);
    assert_eq!(env.read("db"), CANARY);
    until("it failed", || sidecar.status()["failing"] == 1);
    env.emulator.clear_faults();
    assert!(sidecar.refresh().1);
    assert_eq!(
        fs::read_link(env.root.join("mnt/v/..data")).unwrap(),
        before,
        "the same bytes are not rewritten"
    );
}

#[test]
fn an_empty_volume_is_ready_without_a_request() {
    let env = TestEnv::new();
    let _sidecar = env.run_ready(&env.plan(&[]));
    assert!(env.root.join("mnt/v/..data").is_dir());
    assert_eq!((env.emulator.counts().tokens, env.emulator.counts().secret_gets), (0, 0));
}
