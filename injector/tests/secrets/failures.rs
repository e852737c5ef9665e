//! What the API server refuses, and what happens without it.

use super::{cluster_env, object, plan, run, run_ready, secret, value};
use crate::support::{CANARY, until};
use keysluice_emulator::{CallKind, Fault};
use serde_json::json;

#[test]
fn a_missing_right_closes_the_gate_with_the_command_and_opens_it_when_it_comes() {
    let env = cluster_env();
    env.emulator.allow_secrets(Some(&[]));
    let sidecar = run(&env, &plan(&env, &secret()));
    until("the reason is told", || env.log().contains("KS643"));
    assert!(env.log().contains("keysluice rbac -f FILE"), "{}", env.log());
    assert_eq!(sidecar.status()["ready"], false);
    env.emulator.allow_secrets(None);
    assert!(sidecar.ready().status.success());
    assert_eq!(value(&object(&env), "password"), CANARY);
}

#[test]
fn failures_of_the_api_server_delay_the_gate_and_no_more() {
    for fault in [Fault::status(500), Fault::throttle(1), Fault::reset(), Fault::truncate()] {
        let env = cluster_env();
        env.emulator.inject(fault.clone().on(CallKind::SecretPatch).times(2));
        let sidecar = run_ready(&env, &plan(&env, &secret()));
        assert_eq!(value(&object(&env), "password"), CANARY, "{fault:?}");
        assert_eq!(sidecar.status()["failing"], 0, "{fault:?}");
    }
}

#[test]
fn without_the_api_server_files_stay_fresh_and_a_restart_opens_the_gate() {
    let env = cluster_env();
    let plan = plan(&env, &secret());
    let sidecar = run_ready(&env, &plan);
    env.emulator.inject(Fault::reset().on(CallKind::SecretPatch));
    env.emulator.set_secret("shop", "db", "rotated");
    let (status, well) = sidecar.refresh();
    assert!(!well && status["secrets"][0]["error"]["code"] == "KS641", "{status}");
    assert_eq!(env.read("db"), "rotated");
    drop(sidecar);
    let sidecar = run_ready(&env, &plan);
    env.emulator.clear_faults();
    until("the Secret follows", || value(&object(&env), "password") == "rotated");
    assert!(sidecar.refresh().1);
}

#[test]
fn type_and_immutable_content_do_not_change_and_the_command_is_told() {
    for (known, text) in [
        (json!({"type": "kubernetes.io/basic-auth"}), "its type is kubernetes.io/basic-auth"),
        (json!({"type": "Opaque", "immutable": true, "data": {"password": "eA=="}}), "immutable"),
    ] {
        let env = cluster_env();
        let mut marked = known.clone();
        marked["metadata"] = json!({"labels": {"keysluice.dev/managed": "true"},
            "annotations": {"keysluice.dev/class": "kv"}});
        env.emulator.put_kubernetes_secret("shop", "db", "keysluice", &marked);
        let _sidecar = run(&env, &plan(&env, &secret()));
        until("the reason is told", || env.log().contains("KS645"));
        let log = env.log();
        assert!(log.contains(text) && log.contains("kubectl delete secret db -n shop"), "{log}");
    }
}

#[test]
fn a_file_without_a_certificate_is_no_tls_secret() {
    let env = cluster_env();
    let mut tls = secret();
    tls["type"] = "kubernetes.io/tls".into();
    tls["data"] = json!([{"key": "tls.crt", "volume": "v", "path": "db"}]);
    let _sidecar = run(&env, &plan(&env, &tls));
    until("the reason is told", || env.log().contains("KS647"));
    assert!(env.log().contains("tls.crt needs a certificate; file db"), "{}", env.log());
    assert!(env.emulator.secret("shop", "db").is_none());
}

#[test]
fn what_is_missing_in_the_projected_volume_is_named() {
    let env = cluster_env();
    std::fs::remove_file(env.root.join("api/uid")).unwrap();
    let sidecar = run(&env, &plan(&env, &secret()));
    assert!(!sidecar.wait().success());
    assert!(env.termination_log().contains("KS649"), "{}", env.termination_log());
}
