//! A class that is edited while the pod runs.

use super::{cluster_env, object, plan, run_ready, secret, value};
use crate::support::{CANARY, TestEnv};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keysluice_emulator::{CallKind, Fault};
use serde_json::{Value, json};

/// Lets a Plan follow its class; the emulator answers for the webhook.
fn follow(env: &TestEnv, plan: &mut Value) {
    let url = format!("https://127.0.0.1:{}/v1/plan", env.emulator.https_port());
    plan["source"] = json!({"url": url, "tokenFile": "/token",
        "authorities": env.emulator.ca_pem(), "classes": {"kv": "1"}, "basis": {}});
}

/// From now on the class has these files and makes this Secret.
fn edit(env: &TestEnv, plan: &Value, files: &[Value], secret: &Value) {
    let mut volume = plan["volumes"][0].clone();
    volume["files"] = json!(files);
    let update = json!({"schema": 1, "authorities": env.emulator.ca_pem(), "classes": {"kv": "2"},
        "identities": plan["identities"], "volumes": [volume], "secrets": [secret]});
    let answer = Fault::answer(200, "application/json", update.to_string());
    env.emulator.inject(answer.on(CallKind::Other));
}

#[test]
fn a_key_whose_file_cannot_be_fetched_yet_stays_as_another_replica_wrote_it() {
    let env = cluster_env();
    let mut plan = plan(&env, &secret());
    follow(&env, &mut plan);
    let sidecar = run_ready(&env, &plan);

    let mut edited = secret();
    edited["data"][1] = json!({"key": "new", "volume": "v", "path": "new"});
    edit(&env, &plan, &[env.file("db", "db"), env.file("new", "late")], &edited);
    let metadata = json!({"labels": {"app": "web", "keysluice.dev/managed": "true"},
        "annotations": {"keysluice.dev/class": "kv"}});
    let theirs = json!({"type": "Opaque", "metadata": metadata,
        "data": {"password": STANDARD.encode(CANARY), "new": STANDARD.encode("theirs")}});
    env.emulator.put_kubernetes_secret("shop", "db", "keysluice", &theirs);
    let settled = object(&env);
    for _ in 0..3 {
        assert!(!sidecar.refresh().1, "the file is missing");
        assert_eq!(object(&env), settled);
    }
    assert!(!env.root.join("mnt/v/api").exists(), "what the class does not have any longer goes");

    env.emulator.set_secret("shop", "db", "rotated");
    sidecar.refresh();
    assert_eq!(value(&object(&env), "password"), "rotated");
    assert_eq!(value(&object(&env), "new"), "theirs");
    env.emulator.set_secret("shop", "late", "ours");
    assert!(sidecar.refresh().1, "{}", env.log());
    assert_eq!(value(&object(&env), "new"), "ours");
}

#[test]
fn the_key_of_an_optional_file_that_an_edited_class_adds_does_not_stay_without_its_object() {
    let env = cluster_env();
    let mut plan = plan(&env, &secret());
    follow(&env, &mut plan);
    let sidecar = run_ready(&env, &plan);
    let mut optional = env.file("api", "late");
    optional["optional"] = true.into();
    edit(&env, &plan, &[env.file("db", "db"), optional], &secret());
    assert!(sidecar.refresh().1, "{}", env.log());
    assert_eq!(object(&env)["data"].as_object().unwrap().len(), 1);
}
