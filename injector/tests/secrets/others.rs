//! Secrets that belong to something else, and replicas that share one.

use super::{cluster_env, object, plan, run, run_ready, secret, value};
use crate::support::{CANARY, until};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

fn foreign(labels: &Value, password: &str) -> Value {
    json!({"type": "Opaque", "metadata": {"labels": labels},
        "data": {"password": STANDARD.encode(password), "api": STANDARD.encode("second")}})
}

const DRIVER: &str = "secrets-store.csi.k8s.io/managed";

#[test]
fn a_foreign_secret_is_neither_changed_nor_used() {
    for (manager, labels) in [("helm", json!({})), ("other", json!({"app": "web"}))] {
        let env = cluster_env();
        env.emulator.put_kubernetes_secret("shop", "db", manager, &foreign(&labels, "theirs"));
        let before = object(&env);
        let mut plan = plan(&env, &secret());
        plan["startTimeoutSeconds"] = 2.into();
        let sidecar = run(&env, &plan);
        let text = String::from_utf8(sidecar.ready().stderr).unwrap();
        assert!(text.contains("KS644 Secret \"db\""), "{text}");
        assert!(!sidecar.wait().success());
        assert!(env.termination_log().contains("KS644"), "{}", env.termination_log());
        assert_eq!(object(&env), before);
    }
}

#[test]
fn a_secret_of_another_class_is_named() {
    let env = cluster_env();
    drop(run_ready(&env, &plan(&env, &secret())));
    let mut other = secret();
    other["class"] = "other".into();
    let mut plan = plan(&env, &other);
    plan["startTimeoutSeconds"] = 2.into();
    std::fs::remove_dir_all(env.root.join("run")).unwrap();
    let sidecar = run(&env, &plan);
    let text = String::from_utf8(sidecar.ready().stderr).unwrap();
    assert!(text.contains("belongs to the SecretProviderClass kv"), "{text}");
}

#[test]
fn an_empty_secret_of_a_manifest_is_filled_and_gets_no_owner() {
    let env = cluster_env();
    let (managed, keep) = ("keysluice.dev/managed", "keysluice.dev/keep");
    let metadata = json!({"labels": {managed: "true"}, "annotations": {keep: "true"}});
    let empty = json!({"type": "Opaque", "metadata": metadata});
    env.emulator.put_kubernetes_secret("shop", "db", "kubectl", &empty);
    let _sidecar = run_ready(&env, &plan(&env, &secret()));
    assert_eq!(value(&object(&env), "password"), CANARY);
    assert_eq!(object(&env)["metadata"]["ownerReferences"], json!([]));
}

#[test]
fn a_foreign_secret_is_adopted_on_request() {
    let env = cluster_env();
    env.emulator.put_kubernetes_secret("shop", "db", "helm", &foreign(&json!({}), "theirs"));
    let mut adopted = secret();
    adopted["adopt"] = true.into();
    let _sidecar = run_ready(&env, &plan(&env, &adopted));
    assert_eq!(value(&object(&env), "password"), CANARY);
    assert_eq!(object(&env)["metadata"]["labels"]["keysluice.dev/managed"], "true");
}

#[test]
fn a_secret_of_another_class_is_adopted_on_request_and_left_when_that_takes_it_back() {
    let env = cluster_env();
    let metadata = json!({"labels": {"keysluice.dev/managed": "true"},
        "annotations": {"keysluice.dev/class": "other"}});
    let theirs = json!({"type": "Opaque", "metadata": metadata,
        "data": {"password": STANDARD.encode("theirs"), "more": STANDARD.encode("theirs")}});
    let mut adopted = secret();
    adopted["adopt"] = true.into();
    let mut sidecar = None;
    for round in 0..5 {
        env.emulator.put_kubernetes_secret("shop", "db", "keysluice", &theirs);
        let sidecar = sidecar.get_or_insert_with(|| run_ready(&env, &plan(&env, &adopted)));
        let (status, well) = sidecar.refresh();
        let object = object(&env);
        assert_eq!(well, round < 3, "{round}: {status}");
        let class = if well { "kv" } else { "other" };
        assert_eq!(object["metadata"]["annotations"], json!({"keysluice.dev/class": class}));
        let values = (value(&object, "password"), object["data"].get("more").is_some());
        assert_eq!(values, if well { (CANARY.into(), false) } else { ("theirs".into(), true) });
        if !well {
            assert_eq!(status["secrets"][0]["error"]["code"], "KS644");
        }
    }
    assert!(env.log().contains("SecretProviderClass other took it back 3 times"), "{}", env.log());
}

#[test]
fn the_drivers_secret_gets_our_owner_and_is_taken_over_when_it_is_stale() {
    let env = cluster_env();
    env.emulator.put_kubernetes_secret(
        "shop",
        "db",
        "driver",
        &foreign(&json!({DRIVER: "true", "app": "web"}), CANARY),
    );
    let mut plan = plan(&env, &secret());
    plan["kubernetes"]["hasDriver"] = true.into();
    let sidecar = run_ready(&env, &plan);
    let first = object(&env);
    assert_eq!(first["metadata"]["labels"][DRIVER], "true", "equal content stays the driver's");
    assert_eq!(first["metadata"]["ownerReferences"][0]["uid"], "rs-1");

    env.emulator.set_secret("shop", "db", "rotated");
    assert!(sidecar.refresh().1);
    let second = object(&env);
    assert_eq!(value(&second, "password"), "rotated");
    let labels = json!({"app": "web", "keysluice.dev/managed": "true"});
    assert_eq!(second["metadata"]["labels"], labels, "it is ours");
}

#[test]
fn a_driver_that_goes_on_writing_is_left_alone_after_a_few_times() {
    let env = cluster_env();
    let mut plan = plan(&env, &secret());
    plan["kubernetes"]["hasDriver"] = true.into();
    let labels = json!({DRIVER: "true", "app": "web"});
    env.emulator.put_kubernetes_secret("shop", "db", "driver", &foreign(&labels, CANARY));
    let sidecar = run_ready(&env, &plan);
    for round in 0..5 {
        // Its PUT takes all back.
        env.emulator.delete_kubernetes_secret("shop", "db");
        env.emulator.put_kubernetes_secret("shop", "db", "driver", &foreign(&labels, "stale"));
        let (status, well) = sidecar.refresh();
        assert_eq!(well, round < 3, "{round}: {status}");
        if round >= 3 {
            assert_eq!(status["secrets"][0]["error"]["code"], "KS648");
            assert_eq!(value(&object(&env), "password"), "stale");
        }
    }
}

#[test]
fn replicas_that_start_together_write_once() {
    // An unoptimised sidecar is too large and too slow for so many.
    let replicas = if std::env::var_os("KEYSLUICE_TEST_BINARY").is_some() { 200 } else { 8 };
    let env = cluster_env();
    let plans: Vec<_> = (0..replicas)
        .map(|replica| {
            let mut plan = plan(&env, &secret());
            plan["runDirectory"] = format!("/run/{replica}").into();
            plan["volumes"][0]["directory"] = format!("/mnt/v{replica}").into();
            std::fs::create_dir_all(env.root.join(format!("mnt/v{replica}"))).unwrap();
            plan
        })
        .collect();
    let sidecars: Vec<_> = plans.iter().map(|plan| run(&env, plan)).collect();
    for sidecar in &sidecars {
        assert!(sidecar.ready().status.success(), "{}", env.log());
    }
    let requests = env.emulator.requests();
    let lost = requests.iter().filter(|request| request.status == Some(409)).count();
    println!("{replicas} replicas, {lost} lost a race");
    until("the owner is there", || {
        object(&env)["metadata"]["ownerReferences"].as_array().unwrap().len() == 1
    });
    assert_eq!(env.emulator.secret_writes(), 2, "the content and the owner");
    assert!(!env.log().contains("KS6"), "{}", env.log());
}
