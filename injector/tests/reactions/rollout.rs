//! One rollout of the workload for all replicas.

use crate::secrets::{cluster_env, run_ready};
use crate::support::{TestEnv, until};
use keysluice_emulator::{CallKind, Fault};
use serde_json::{Value, json};

const PLACE: [&str; 3] = ["shop", "deployments", "web"];
const ANNOTATION: &str = "keysluice.dev/secrets-updated";

fn plan(env: &TestEnv) -> Value {
    let mut plan = env.plan(&[env.file("db", "db"), env.file("api", "api")]);
    let workload = json!({"resource": "deployments", "name": "web"});
    plan["kubernetes"] = json!({"directory": "/api"});
    plan["reaction"] =
        json!({"action": {"kind": "rollout", "workload": workload}, "spreadSeconds": 0});
    plan
}

fn deployment(annotations: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "generation": 1},
        "spec": {"replicas": 3, "template": {
            "metadata": {"labels": {"app": "web"}, "annotations": annotations},
            "spec": {"containers": [{"name": "app", "image": "i"}]}}}})
}

fn env() -> TestEnv {
    let env = cluster_env();
    env.emulator.cluster().put_workload(PLACE, deployment(&json!({"own": "x"})));
    env
}

fn annotation(env: &TestEnv) -> Option<String> {
    let workload = env.emulator.cluster().workload(PLACE).unwrap();
    let annotations = &workload["spec"]["template"]["metadata"]["annotations"];
    annotations[ANNOTATION].as_str().map(str::to_owned)
}

/// Waits until a later second: an update is known to the second.
fn next_second() {
    std::thread::sleep(std::time::Duration::from_millis(1100));
}

#[test]
fn a_rotation_writes_the_annotation_and_nothing_else_once() {
    let env = env();
    let sidecar = run_ready(&env, &plan(&env));
    assert_eq!(env.emulator.counts().workload_patches, 0, "the first files are no change");
    next_second();
    env.emulator.set_secret("shop", "db", "x");
    assert!(sidecar.refresh().1);
    until("the rollout", || annotation(&env).is_some());
    until("it is told", || env.log().contains("reaction: deployments/web: rollout 20"));
    let mut workload = env.emulator.cluster().workload(PLACE).unwrap();
    let annotations =
        workload["spec"]["template"]["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.remove(ANNOTATION);
    workload["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    assert_eq!(workload, deployment(&json!({"own": "x"})));
    assert_eq!(env.emulator.cluster().workload_writes(), 1);
    assert!(!env.log().contains("\"x\""), "no value is told");

    // The pod that the rollout created has another sidecar, which starts with these files.
    let first = annotation(&env);
    drop(sidecar);
    let sidecar = run_ready(&env, &plan(&env));
    assert!(sidecar.refresh().1);
    next_second();
    env.emulator.set_secret("shop", "api", "y");
    assert!(sidecar.refresh().1);
    until("the next rollout", || annotation(&env) > first);
    assert_eq!(env.emulator.cluster().workload_writes(), 2);
}

#[test]
fn a_rollout_that_another_replica_began_is_enough() {
    let env = env();
    let newer = json!({ANNOTATION: "2999-01-01T00:00:00Z/0123456789abcdef"});
    env.emulator.cluster().put_workload(PLACE, deployment(&newer));
    let sidecar = run_ready(&env, &plan(&env));
    next_second();
    env.emulator.set_secret("shop", "db", "x");
    assert!(sidecar.refresh().1);
    until("it is told", || env.log().contains("a rollout has these files already"));
    assert_eq!(env.emulator.cluster().workload_writes(), 0);
    assert_eq!(sidecar.status()["reaction"]["count"], 1);
}

#[test]
fn a_conflict_is_looked_at_again_and_a_lost_answer_writes_once() {
    let env = env();
    env.emulator.cluster().contend(3);
    // An answer of the API server is lost.
    env.emulator.inject(Fault::truncate().on(CallKind::WorkloadPatch).times(1));
    let sidecar = run_ready(&env, &plan(&env));
    next_second();
    env.emulator.set_secret("shop", "db", "x");
    assert!(sidecar.refresh().1);
    until("the rollout", || sidecar.status()["reaction"]["count"] == 1);
    assert_eq!(env.emulator.cluster().workload_writes(), 1);
    assert!(annotation(&env).is_some());
}

#[test]
fn a_missing_right_a_missing_workload_and_on_delete_are_told() {
    let env = env();
    env.emulator.cluster().forbid_reactions(true);
    let sidecar = run_ready(&env, &plan(&env));
    next_second();
    env.emulator.set_secret("shop", "db", "x");
    assert!(sidecar.refresh().1);
    until("the right is missing", || env.log().contains("KS655"));
    assert!(env.log().contains("keysluice rbac"), "{}", env.log());
    let metrics = sidecar.status();
    assert_eq!(metrics["reaction"]["error"]["code"], "KS655", "{metrics}");
    drop(sidecar);

    for (object, text) in [
        (None, "not found"),
        (Some(json!({"spec": {"updateStrategy": {"type": "OnDelete"}}})), "OnDelete"),
        (Some(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})), "deleted"),
    ] {
        let env = cluster_env();
        if let Some(object) = object {
            env.emulator.cluster().put_workload(PLACE, object);
        }
        let sidecar = run_ready(&env, &plan(&env));
        env.emulator.set_secret("shop", "db", "x");
        assert!(sidecar.refresh().1);
        until("it is told", || env.log().contains("KS656"));
        assert!(env.log().contains(text), "{}", env.log());
        assert_eq!(env.emulator.cluster().workload_writes(), 0);
    }
}

#[test]
fn a_rollout_waits_until_every_file_is_known_after_a_restart() {
    let env = env();
    let sidecar = run_ready(&env, &plan(&env));
    next_second();
    env.emulator.set_secret("shop", "db", "x");
    assert!(sidecar.refresh().1);
    drop(sidecar);
    // One object cannot be fetched by the next process, which has files all the same.
    env.emulator.inject(Fault::status(403).on(CallKind::SecretGet).object("api"));
    let sidecar = run_ready(&env, &plan(&env));
    until("it is told", || env.log().contains("KS657"));
    assert_eq!(env.emulator.cluster().workload_writes(), 0);
    env.emulator.clear_faults();
    sidecar.refresh();
    until("the rollout", || annotation(&env).is_some());
}
