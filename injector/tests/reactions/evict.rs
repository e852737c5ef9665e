//! The pod evicts itself.

use crate::secrets::{cluster_env, run_ready};
use crate::support::{TestEnv, until};
use keysluice_emulator::{CallKind, Fault};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn plan(env: &TestEnv) -> Value {
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["kubernetes"] = json!({"directory": "/api"});
    plan["reaction"] = json!({"action": {"kind": "evict"}, "spreadSeconds": 0});
    plan
}

/// A pod `web-1` whose file changes.
fn env() -> TestEnv {
    let env = cluster_env();
    env.emulator.cluster().put_pod("shop", "web-1", "aaaa");
    env
}

#[test]
fn a_changed_file_evicts_the_pod_once_and_the_first_files_do_not() {
    let env = env();
    let sidecar = run_ready(&env, &plan(&env));
    env.emulator.set_secret("shop", "db", "x");
    assert!(env.emulator.cluster().evicted().is_empty());
    assert!(sidecar.refresh().1);
    until("the eviction", || env.emulator.cluster().evicted() == ["web-1"]);
    until("it is told", || env.log().contains("reaction: pod web-1 is evicted"));
    assert_eq!(env.emulator.counts().evictions, 1);
    assert_eq!(sidecar.status()["reaction"]["count"], 1);
}

#[test]
fn a_budget_is_waited_for_and_a_demanded_wait_is_kept() {
    let env = env();
    env.emulator.cluster().set_budget(Some(0));
    let sidecar = run_ready(&env, &plan(&env));
    env.emulator.set_secret("shop", "db", "x");
    assert!(sidecar.refresh().1);
    until("it is told", || env.log().contains("KS653"));
    let status = sidecar.status();
    assert_eq!(status["reaction"]["error"]["code"], "KS653", "{status}");
    let message = status["reaction"]["error"]["message"].as_str().unwrap();
    assert!(message.contains("disruption budget"), "{message}");
    until("it is repeated", || env.emulator.counts().evictions >= 2);
    assert!(env.emulator.cluster().evicted().is_empty(), "the budget holds");

    env.emulator.inject(Fault::throttle(4).on(CallKind::Eviction).times(1));
    let before = env.emulator.counts().status_429;
    until("it is throttled", || {
        let requests = env.emulator.requests();
        requests.iter().filter(|request| request.status == Some(429)).count() > 2
            || env.emulator.counts().status_429 > before
    });
    let throttled = Instant::now();
    env.emulator.cluster().set_budget(Some(1));
    until("the eviction", || env.emulator.cluster().evicted() == ["web-1"]);
    assert!(throttled.elapsed() >= Duration::from_secs(3), "{:?}", throttled.elapsed());
    until("it works", || sidecar.status()["reaction"]["error"].is_null());
}

#[test]
fn a_lost_connection_is_repeated_and_a_missing_right_is_named_with_the_command() {
    let env = env();
    env.emulator.inject(Fault::reset().on(CallKind::Eviction).times(1));
    env.emulator.cluster().forbid_reactions(true);
    let sidecar = run_ready(&env, &plan(&env));
    env.emulator.set_secret("shop", "db", "x");
    assert!(sidecar.refresh().1);
    until("the connection is lost", || env.log().contains("KS641"));
    until("the right is missing", || env.log().contains("KS655"));
    assert!(env.log().contains("keysluice rbac"), "{}", env.log());
    assert_eq!(sidecar.status()["reaction"]["error"]["code"], "KS655");
    env.emulator.cluster().forbid_reactions(false);
    until("the eviction", || env.emulator.cluster().evicted() == ["web-1"]);
}

#[test]
fn another_pod_of_the_same_name_and_one_that_is_gone_are_left_alone() {
    for uid in [Some("bbbb"), None] {
        let env = cluster_env();
        if let Some(uid) = uid {
            env.emulator.cluster().put_pod("shop", "web-1", uid);
        }
        let sidecar = run_ready(&env, &plan(&env));
        env.emulator.set_secret("shop", "db", "x");
        assert!(sidecar.refresh().1);
        until("it is told", || env.log().contains("pod web-1 does not exist any more"));
        assert!(env.emulator.cluster().evicted().is_empty());
    }
}

#[test]
fn several_budgets_for_one_pod_are_told_in_the_servers_words() {
    let env = env();
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403,
        "reason": "Forbidden", "message": "ValidatingAdmissionPolicy 'x' denied request: no"});
    let answer = keysluice_emulator::Effect::Answer {
        status: 403,
        content_type: "application/json".to_owned(),
        body: body.to_string(),
        location: None,
    };
    let fault = Fault { effect: answer, ..Fault::status(403) };
    env.emulator.inject(fault.on(CallKind::Eviction));
    let sidecar = run_ready(&env, &plan(&env));
    env.emulator.set_secret("shop", "db", "x");
    assert!(sidecar.refresh().1);
    until("it is told", || env.log().contains("KS654"));
    assert!(env.log().contains("denied request: no"), "{}", env.log());
}
