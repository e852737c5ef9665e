//! Kubernetes Secrets made from files, with the stand-in of the API server.

mod edited;
mod failures;
mod figures;
mod once;
mod others;

use super::support::{CANARY, CLIENT, Sidecar, TENANT, TestEnv, put, until};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keysluice_emulator::CallKind;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A pod of a ReplicaSet, in the namespace `shop`.
pub(super) fn cluster_env() -> TestEnv {
    let env = TestEnv::new();
    write_pod(&env, "web-1", "aaaa");
    env
}

fn write_pod(env: &TestEnv, name: &str, uid: &str) {
    let directory = env.root.join("api");
    std::fs::create_dir_all(&directory).unwrap();
    let token =
        env.emulator.mint_token("shop", "web", "https://kubernetes", Duration::from_secs(3600));
    for (file, text) in [
        ("token", token.as_str()),
        ("ca.crt", env.emulator.ca_pem()),
        ("namespace", "shop"),
        ("name", name),
        ("uid", uid),
    ] {
        put(&directory.join(file), text.as_bytes());
    }
}

/// A Plan of two files that makes this Secret.
pub(super) fn plan(env: &TestEnv, secret: &Value) -> Value {
    let mut plan = env.plan(&[env.file("db", "db"), env.file("api", "api")]);
    let owner =
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs-1"});
    plan["kubernetes"] = json!({"directory": "/api", "owners": [owner]});
    plan["secrets"] = json!([secret]);
    plan
}

pub(super) fn secret() -> Value {
    json!({"name": "db", "type": "Opaque", "class": "kv", "labels": {"app": "web"},
        "data": [{"key": "password", "volume": "v", "path": "db"},
            {"key": "api", "volume": "v", "path": "api"}]})
}

/// Starts the sidecar with the variables that the kubelet gives it.
pub(super) fn run<'a>(env: &'a TestEnv, plan: &Value) -> Sidecar<'a> {
    env.run_with(
        plan,
        &[
            ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
            ("KUBERNETES_SERVICE_PORT", &env.emulator.https_port().to_string()),
        ],
    )
}

pub(super) fn run_ready<'a>(env: &'a TestEnv, plan: &Value) -> Sidecar<'a> {
    let sidecar = run(env, plan);
    let output = sidecar.ready();
    assert!(output.status.success(), "{output:?}\n{}", env.log());
    sidecar
}

/// The object as the stand-in has it.
pub(super) fn object(env: &TestEnv) -> Value {
    env.emulator.secret("shop", "db").unwrap().object()
}

pub(super) fn value(object: &Value, key: &str) -> String {
    let text = object["data"][key].as_str().unwrap_or_default();
    String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
}

#[test]
fn a_secret_is_written_before_the_gate_opens_and_follows_the_vault() {
    let env = cluster_env();
    let sidecar = run_ready(&env, &plan(&env, &secret()));
    let first = object(&env);
    assert_eq!((value(&first, "password"), value(&first, "api")), (CANARY.into(), "second".into()));
    assert_eq!(first["type"], "Opaque");
    assert_eq!(first["metadata"]["labels"], json!({"app": "web", "keysluice.dev/managed": "true"}));
    assert_eq!(first["metadata"]["annotations"], json!({"keysluice.dev/class": "kv"}));
    assert_eq!(first["metadata"]["ownerReferences"][0]["uid"], "rs-1");
    let managers: Vec<_> = first["metadata"]["managedFields"].as_array().unwrap().iter().collect();
    assert_eq!(managers, [&json!({"manager": "keysluice"}), &json!({"manager": "keysluice-rs-1"})]);

    let (status, well) = sidecar.refresh();
    assert!(well && status["secrets"][0]["name"] == "db", "{status}");
    assert_eq!(object(&env), first, "nothing is written when nothing changed");
    env.emulator.set_secret("shop", "db", "rotated");
    assert!(sidecar.refresh().1);
    let second = object(&env);
    assert_eq!(value(&second, "password"), "rotated");
    assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"]);
    assert!(env.log().contains(r#"Secret \"db\": written"#), "{}", env.log());
    assert!(!env.log().contains(CANARY) && !env.log().contains("rotated"));
}

#[test]
fn drift_is_repaired_and_keys_of_others_stay() {
    let env = cluster_env();
    let sidecar = run_ready(&env, &plan(&env, &secret()));
    let touched = json!({"type": "Opaque",
        "data": {"password": STANDARD.encode("x"), "more": STANDARD.encode("y")}});
    env.emulator.put_kubernetes_secret("shop", "db", "kubectl", &touched);
    assert!(sidecar.refresh().1);
    assert_eq!(value(&object(&env), "password"), CANARY);
    assert_eq!(value(&object(&env), "more"), "y");
    let settled = object(&env);
    assert!(sidecar.refresh().1);
    assert_eq!(object(&env), settled);

    env.emulator.delete_kubernetes_secret("shop", "db");
    assert!(sidecar.refresh().1);
    assert_eq!(value(&object(&env), "password"), CANARY, "a deleted Secret comes back");
    assert_eq!(object(&env)["metadata"]["ownerReferences"][0]["uid"], "rs-1");
}

#[test]
fn a_pod_without_a_controller_owns_its_secret_itself() {
    let env = cluster_env();
    let mut plan = plan(&env, &secret());
    plan["kubernetes"] = json!({"directory": "/api"});
    let _sidecar = run_ready(&env, &plan);
    let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "web-1", "uid": "aaaa"});
    assert_eq!(object(&env)["metadata"]["ownerReferences"], json!([owner]));
}

#[test]
fn a_secret_that_is_kept_has_no_owner() {
    let env = cluster_env();
    let mut secret = secret();
    secret["keep"] = true.into();
    let _sidecar = run_ready(&env, &plan(&env, &secret));
    assert_eq!(object(&env)["metadata"]["ownerReferences"], json!([]));
}

#[test]
fn keys_that_the_class_does_not_have_any_longer_go() {
    let env = cluster_env();
    drop(run_ready(&env, &plan(&env, &secret())));
    let mut fewer = secret();
    fewer["data"].as_array_mut().unwrap().pop();
    let _sidecar = run_ready(&env, &plan(&env, &fewer));
    until("the key is gone", || object(&env)["data"].as_object().unwrap().len() == 1);
}

#[test]
fn the_key_of_an_optional_object_goes_with_it_and_those_of_others_stay() {
    let env = cluster_env();
    let mut plan = plan(&env, &secret());
    plan["volumes"][0]["files"][1]["optional"] = true.into();
    let sidecar = run_ready(&env, &plan);
    let more = json!({"data": {"more": STANDARD.encode("y")}});
    env.emulator.put_kubernetes_secret("shop", "db", "kubectl", &more);
    env.emulator.delete("shop", "api");
    assert!(sidecar.refresh().1);
    let settled = object(&env);
    let keys: Vec<&String> = settled["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["more", "password"]);
    for _ in 0..3 {
        assert!(sidecar.refresh().1);
        assert_eq!(object(&env), settled, "it is not written again");
    }
    env.emulator.set_secret("shop", "api", "back");
    assert!(sidecar.refresh().1);
    assert_eq!(value(&object(&env), "api"), "back");
}

#[test]
fn drift_is_repaired_although_another_file_of_the_volume_fails() {
    let env = cluster_env();
    // A list shows what is unchanged.
    let long_ago = |value: &str| json!({"value": value, "created": 1_700_000_000});
    let vaults = json!({"vaults": [{"name": "shop", "tenantId": TENANT,
        "secrets": {"db": long_ago(CANARY), "api": long_ago("second")},
        "roles": [{"clientId": CLIENT, "secrets": ["get", "list"]}]}]});
    env.emulator.seed(serde_json::from_value(vaults).unwrap()).unwrap();
    let mut secret = secret();
    secret["data"].as_array_mut().unwrap().pop();
    let sidecar = run_ready(&env, &plan(&env, &secret));
    env.emulator.delete("shop", "api");
    let touched = json!({"data": {"password": STANDARD.encode("x")}});
    env.emulator.put_kubernetes_secret("shop", "db", "kubectl", &touched);
    let (status, well) = sidecar.refresh();
    assert!(!well && status["volumes"][0]["files"][1]["error"]["code"] == "KS404", "{status}");
    assert_eq!(value(&object(&env), "password"), CANARY);
}

#[test]
fn an_owner_that_was_removed_does_not_come_back() {
    let env = cluster_env();
    let sidecar = run_ready(&env, &plan(&env, &secret()));
    // As the garbage collector does when the ReplicaSet is gone.
    let without = json!({"metadata": {"ownerReferences": []}});
    env.emulator.put_kubernetes_secret("shop", "db", "keysluice-rs-1", &without);
    assert!(sidecar.refresh().1);
    assert_eq!(object(&env)["metadata"]["ownerReferences"], json!([]));
}

#[test]
fn a_tls_secret_has_the_driver_s_conversions() {
    let env = cluster_env();
    let seed = serde_json::from_value(json!({"subject": "web.example"})).unwrap();
    env.emulator.set_certificate("shop", "web", seed).unwrap();
    let mut plan = env.plan(&[env.file("web", "web")]);
    plan["kubernetes"] = json!({"directory": "/api"});
    plan["secrets"] = json!([{"name": "db", "type": "kubernetes.io/tls", "class": "kv",
        "data": [{"key": "tls.crt", "volume": "v", "path": "web"},
            {"key": "tls.key", "volume": "v", "path": "web"}]}]);
    let _sidecar = run_ready(&env, &plan);
    let secret = object(&env);
    assert_eq!(secret["type"], "kubernetes.io/tls");
    assert!(value(&secret, "tls.crt").starts_with("-----BEGIN CERTIFICATE-----"));
    let key = value(&secret, "tls.key");
    assert!(
        key.starts_with("-----BEGIN EC PRIVATE KEY-----") || key.contains("BEGIN RSA"),
        "{key}"
    );
}

#[test]
fn the_first_secret_is_there_soon_after_its_files() {
    let env = cluster_env();
    let begun = Instant::now();
    let _sidecar = run_ready(&env, &plan(&env, &secret()));
    // A debug build; the released one is measured with the figures.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let patches = env.emulator.requests();
    let patches = patches.iter().filter(|request| request.kind == CallKind::SecretPatch);
    assert_eq!(patches.count(), 3, "look, create, own");
}
