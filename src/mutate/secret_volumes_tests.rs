use super::super::testing::{
    class_with_secrets, csi_volume, facts, labelled, opaque, plan_of, run_with, settings,
};
use crate::mutate::{ClassFact, Facts, Mutation};
use crate::provider_class::ProviderClass;
use serde_json::{Value, json};
use std::sync::Arc;

/// Classes `kv` with an Opaque Secret of two keys and a TLS Secret, and `more` with another Secret.
fn cluster() -> Facts {
    let mut facts = facts();
    let secrets = json!([
        {"secretName": "app", "type": "Opaque", "data": [
            {"objectName": "db", "key": "password"}, {"objectName": "tls", "key": "cert"}]},
        {"secretName": "web", "type": "kubernetes.io/tls", "data": [
            {"objectName": "tls", "key": "tls.crt"}, {"objectName": "tls", "key": "tls.key"}]}]);
    facts.classes.insert("kv".into(), class_with_secrets("kv", "azure", &secrets));
    let more = class_with_secrets("more", "azure", &json!([opaque("other")]));
    facts.classes.insert("more".into(), more);
    facts
}

/// What becomes of a pod with this volume beside those of the classes, mounted by `app`.
fn run_in(facts: &Facts, volume: &Value, security: &Value) -> Result<(Value, Mutation), String> {
    let volumes = json!([csi_volume("kv", "kv"), csi_volume("more", "more"), volume]);
    let mounts = json!([{"name": volume["name"], "mountPath": "/s"}]);
    let spec = json!({"containers": [{"name": "app", "volumeMounts": mounts}],
        "volumes": volumes, "securityContext": security});
    run_with(&labelled("pod", spec), &settings(), facts)
}

fn run(volume: &Value) -> Result<(Value, Mutation), String> {
    run_in(&cluster(), volume, &json!({}))
}

fn secret(source: &Value) -> Value {
    json!({"name": "s", "secret": source})
}

/// Path, mode, object and part of each file of the volume `s`.
fn files(pod: &Value) -> Vec<String> {
    let plan = plan_of(pod);
    let volume = plan.volumes.iter().find(|volume| volume.name == "s").unwrap();
    let files = volume.files.iter();
    files
        .map(|file| {
            let part = file.part.map(|part| format!(" {}", part.as_str())).unwrap_or_default();
            format!("{} {} {}{part}", file.path, file.mode, file.name)
        })
        .collect()
}

#[test]
fn a_volume_with_an_own_secret_is_filled_by_the_sidecar() {
    let keys = json!([{"key": "password", "path": "a/b", "mode": 256}]);
    for (volume, expected) in [
        (secret(&json!({"secretName": "app"})), &["password 0644 db", "cert 0644 tls"][..]),
        (
            secret(&json!({"secretName": "app", "defaultMode": 420, "items": keys})),
            &["a/b 0400 db"],
        ),
        (
            secret(&json!({"secretName": "app", "defaultMode": 288, "optional": true,
                "items": [{"key": "cert", "path": "c"}, {"key": "nope", "path": "n"}]})),
            &["c 0440 tls"],
        ),
        (
            secret(&json!({"secretName": "web"})),
            &["tls.crt 0644 tls chain", "tls.key 0644 tls key"],
        ),
        (
            json!({"name": "s", "projected": {"defaultMode": 256, "sources": [
                {"secret": {"name": "app", "items": keys}}, {"secret": {"name": "other"}}]}}),
            &["a/b 0400 db", "k 0400 db"],
        ),
    ] {
        let (pod, mutation) = run_in(&cluster(), &volume, &json!({"runAsUser": 1000})).unwrap();
        assert!(mutation.warnings.is_empty(), "{:?}", mutation.warnings);
        assert_eq!(files(&pod), expected, "{volume}");
        let served = &pod["spec"]["volumes"][2];
        assert_eq!(
            (&served["name"], &served["emptyDir"]["medium"]),
            (&json!("s"), &json!("Memory"))
        );
        assert!(served["secret"].is_null() && served["projected"].is_null(), "{served}");
        let mount = json!({"name": "s", "mountPath": "/mnt/keysluice/s"});
        let mounts = pod["spec"]["initContainers"][0]["volumeMounts"].as_array().unwrap();
        assert!(mounts.contains(&mount), "{mounts:?}");
        assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][0]["readOnly"], true);
        assert!(run_with(&pod, &settings(), &cluster()).unwrap().1.patch.is_empty());
    }
}

#[test]
fn with_an_fs_group_the_group_reads_as_the_kubelet_has_it() {
    let volume = secret(&json!({"secretName": "other", "defaultMode": 256}));
    let (pod, _) = run_in(&cluster(), &volume, &json!({"fsGroup": 2000})).unwrap();
    assert_eq!(files(&pod), ["k 0440 db"]);
}

fn item(key: &str, path: &str, mode: i64) -> Value {
    json!({"key": key, "path": path, "mode": mode})
}

fn with_items(items: &[Value]) -> Value {
    secret(&json!({"secretName": "app", "items": items}))
}

#[test]
fn a_volume_that_cannot_be_served_is_refused_with_what_to_mount_instead() {
    let mixed = json!([{"secret": {"name": "app"}}, {"downwardAPI": {"items": []}}]);
    for (volume, expected) in [
        (
            with_items(&[item("nope", "n", 0)]),
            "volume \"s\", Secret \"app\", key \"nope\": the Secret has no such key",
        ),
        (with_items(&[item("cert", "../x", 0)]), "key \"cert\": path: "),
        (with_items(&[item("cert", "x", 512)]), "key \"cert\": its mode is not between"),
        (with_items(&[item("cert", "x", -1)]), "key \"cert\": its mode is not between"),
        (
            with_items(&[item("cert", "x", 256), item("password", "x/y", 256)]),
            "two keys have the path x",
        ),
        (
            json!({"name": "s", "projected": {"sources": mixed}}),
            "volume \"s\" projects Secret \"app\", which the sidecar makes, together with other \
             sources",
        ),
    ] {
        let error = run(&volume).unwrap_err();
        assert!(error.starts_with("KS229 ") && error.contains(expected), "{volume}: {error}");
        assert!(error.contains("mount the volume of the SecretProviderClass"), "{error}");
    }
}

#[test]
fn halves_of_a_split_certificate_are_its_parts_and_versions_of_a_history_are_refused() {
    let objects = "array:\n  - |\n    objectName: tls\n    objectType: secret\n  - |\n    \
        objectName: old\n    objectType: secret\n    objectVersionHistory: 3\n";
    for (path, expected) in [
        ("tls", Ok("k 0644 tls")),
        ("tls.crt", Ok("k 0644 tls chain")),
        ("tls.key", Ok("k 0644 tls key")),
        ("old/1", Err("it is one version of a history, or a secret that select finds")),
        ("app-1", Err("it is one version of a history, or a secret that select finds")),
    ] {
        let data = json!([{"objectName": path, "key": "k"}]);
        let secrets = json!([{"secretName": "app", "type": "Opaque", "data": data}]);
        let object = json!({"kind": "SecretProviderClass",
            "metadata": {"name": "kv", "namespace": "ns"},
            "spec": {"provider": "azure", "secretObjects": secrets, "parameters": {
                "keyvaultName": "vault-1", "objects": objects, "select": "{namePrefix: a}",
                "writeCertAndKeyInSeparateFiles": "true"}}});
        let class = ProviderClass::from_value(&object).unwrap();
        let mut facts = cluster();
        facts.classes.insert("kv".into(), ClassFact::Found(Arc::new(class)));
        let made = run_in(&facts, &secret(&json!({"secretName": "app"})), &json!({}));
        match expected {
            Ok(file) => assert_eq!(files(&made.unwrap().0), [file], "{path}"),
            Err(problem) => assert!(made.unwrap_err().contains(problem), "{path}"),
        }
    }
}

#[test]
fn as_many_volumes_as_a_sidecar_fills_and_no_more() {
    for (count, fits) in [(63, true), (64, false), (5000, false)] {
        let mut volumes = vec![csi_volume("more", "more")];
        volumes.extend(
            (0..count).map(
                |index| json!({"name": format!("s{index}"), "secret": {"secretName": "other"}}),
            ),
        );
        let spec = json!({"containers": [{"name": "app"}], "volumes": volumes});
        let made = run_with(&labelled("pod", spec), &settings(), &cluster());
        assert_eq!(made.is_ok(), fits, "{count}");
        assert!(made.err().is_none_or(|error| error.starts_with("KS214 ")), "{count}");
    }
}
