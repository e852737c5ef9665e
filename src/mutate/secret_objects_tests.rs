use super::super::testing::{class, csi_volume, facts, labelled, run_with, settings};
use crate::mutate::{ClassFact, Facts, Mutation, Note};
use crate::provider_class::ProviderClass;
use crate::settings::CsiVolumes;
use serde_json::{Value, json};
use std::sync::Arc;

/// The class `NAME` of a provider, which makes these Secrets.
fn synced(facts: &mut Facts, name: &str, provider: &str, secrets: &[&str]) {
    let objects = "array:\n  - |\n    objectName: db\n    objectType: secret\n";
    let data = json!([{"objectName": "db", "key": "k"}]);
    let secret = |name: &&str| json!({"secretName": name, "type": "Opaque", "data": data});
    let secrets: Vec<Value> = secrets.iter().map(secret).collect();
    let object = json!({"kind": "SecretProviderClass",
        "metadata": {"name": name, "namespace": "ns"}, "spec": {"provider": provider,
        "parameters": {"keyvaultName": "vault-1", "objects": objects}, "secretObjects": secrets}});
    let class = ClassFact::Found(Arc::new(ProviderClass::from_value(&object).unwrap()));
    facts.classes.insert(name.to_owned(), class);
}

fn cluster() -> Facts {
    let mut facts = facts();
    synced(&mut facts, "kv", "azure", &["a", "b"]);
    synced(&mut facts, "more", "azure", &["c"]);
    synced(&mut facts, "foreign", "vault", &["d"]);
    facts
}

/// What becomes of a pod with these additions and volumes of `kv` (Secrets a and b), `more` (Secret
/// c) and `foreign` (Secret d).
fn run(spec: &Value) -> Result<(Value, Mutation), String> {
    let mut volumes =
        vec![csi_volume("kv", "kv"), csi_volume("more", "more"), csi_volume("foreign", "foreign")];
    volumes.extend(spec["volumes"].as_array().into_iter().flatten().cloned());
    let mut pod = labelled("pod", json!({"containers": [{"name": "app"}]}));
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod["spec"]["volumes"] = json!(volumes);
    run_with(&pod, &settings(), &cluster())
}

fn with_env(variable: &Value) -> Value {
    json!({"containers": [{"name": "app", "env": [variable]}]})
}

fn key_of(secret: &str, optional: &Value) -> Value {
    json!({"name": "PASSWORD",
        "valueFrom": {"secretKeyRef": {"name": secret, "key": "k", "optional": optional}}})
}

#[test]
fn a_pod_that_needs_a_secret_of_its_own_class_is_refused_with_who_needs_it() {
    let null = Value::Null;
    for (spec, expected) in [
        (
            with_env(&key_of("a", &null)),
            "container \"app\" (variable PASSWORD) needs Secret \"a\", which secretObjects of \
             SecretProviderClass ns/kv",
        ),
        (
            with_env(&key_of("c", &json!(false))),
            "container \"app\" (variable PASSWORD) needs Secret \"c\", which secretObjects of \
             SecretProviderClass ns/more",
        ),
        (
            json!({"containers": [{"name": "app", "envFrom": [{"secretRef": {"name": "b"}}]}]}),
            "container \"app\" (envFrom) needs Secret \"b\"",
        ),
        (
            json!({"initContainers": [{"name": "migrate",
                "envFrom": [{"secretRef": {"name": "b"}}]}]}),
            "container \"migrate\" (envFrom) needs Secret \"b\"",
        ),
        (
            json!({"volumes": [{"name": "s", "secret": {"secretName": "a"}}]}),
            "volume \"s\" needs Secret \"a\"",
        ),
        (
            json!({"volumes": [{"name": "p",
                "projected": {"sources": [{"configMap": {"name": "x"}},
                {"secret": {"name": "a"}}]}}]}),
            "volume \"p\" needs Secret \"a\"",
        ),
        (
            json!({"volumes": [{"name": "f", "azureFile": {"secretName": "a", "shareName": "x"}}]}),
            "volume \"f\" needs Secret \"a\"",
        ),
        (
            json!({"volumes": [{"name": "f",
                "csi": {"driver": "file.csi.azure.com",
                "volumeAttributes": {"secretName": "a"}}}]}),
            "volume \"f\" needs Secret \"a\"",
        ),
        (
            json!({"volumes": [{"name": "f",
                "csi": {"driver": "blob.csi.azure.com", "nodePublishSecretRef": {"name": "a"}}}]}),
            "volume \"f\" needs Secret \"a\"",
        ),
        (
            json!({"imagePullSecrets": [{"name": "other"}, {"name": "c"}]}),
            "imagePullSecrets needs Secret \"c\"",
        ),
    ] {
        let error = run(&spec).unwrap_err();
        assert!(error.starts_with(&format!("KS224 {expected}")), "{spec}: {error}");
        assert!(error.contains("keysluice.dev/csi-volumes: leave"), "{error}");
    }
}

#[test]
fn references_that_are_optional_or_to_others_secrets_are_let_through() {
    for (spec, warned) in [
        (json!({}), 0),
        (with_env(&key_of("of-another-pod", &Value::Null)), 0),
        (with_env(&key_of("d", &Value::Null)), 0),
        (json!({"imagePullSecrets": [{"name": "registry"}]}), 0),
        (with_env(&key_of("a", &json!(true))), 1),
        (
            json!({"containers": [{"name": "app",
                "envFrom": [{"secretRef": {"name": "b", "optional": true}}]}]}),
            1,
        ),
        (json!({"volumes": [{"name": "s", "secret": {"secretName": "a", "optional": true}}]}), 1),
        (
            json!({"volumes": [{"name": "p",
                "projected": {"sources": [{"secret": {"name": "a", "optional": true}}]}}]}),
            1,
        ),
    ] {
        let (pod, mutation) = run(&spec).unwrap();
        let warnings: Vec<_> =
            mutation.warnings.iter().filter(|warning| warning.starts_with("KS258 ")).collect();
        assert_eq!(warnings.len(), warned, "{spec}: {warnings:?}");
        assert!(
            warnings.iter().all(|warning| warning.contains("starts without Secret")),
            "{warnings:?}"
        );
        assert!(
            mutation
                .warnings
                .iter()
                .any(|warning| warning.starts_with("KS253 SecretProviderClass kv"))
        );
        // The second run of our own output.
        assert!(run_with(&pod, &settings(), &cluster()).unwrap().1.patch.is_empty(), "{spec}");
    }
}

#[test]
fn what_one_container_needs_is_refused_though_another_can_do_without() {
    let optional = json!({"name": "app", "env": [key_of("a", &json!(true))]});
    let needed = json!({"name": "late", "env": [key_of("a", &Value::Null)]});
    let error = run(&json!({"containers": [optional, needed]})).unwrap_err();
    assert!(error.starts_with("KS224 container \"late\""), "{error}");
}

#[test]
fn where_the_driver_serves_the_volumes_the_pod_is_left_to_it_as_a_whole() {
    for (annotation, setting, driver, is_left) in [
        (None, CsiVolumes::Auto, true, true),
        (None, CsiVolumes::Auto, false, false),
        (None, CsiVolumes::Replace, true, false),
        (None, CsiVolumes::Leave, false, true),
        (Some("leave"), CsiVolumes::Replace, true, true),
        (Some("replace"), CsiVolumes::Auto, true, false),
    ] {
        let mut facts = facts();
        synced(&mut facts, "kv", "azure", &["a"]);
        facts.classes.insert(
            "plain".into(),
            class("plain", &json!({"keyvaultName": "vault-1", "objects": ""})),
        );
        facts.csi_driver_installed = driver;
        let mut settings = settings();
        settings.csi_volumes = setting;
        let mut pod = labelled("pod", with_env(&key_of("a", &Value::Null)));
        pod["spec"]["volumes"] = json!([csi_volume("plain", "plain"), csi_volume("kv", "kv")]);
        if let Some(value) = annotation {
            pod["metadata"]["annotations"] = json!({"keysluice.dev/csi-volumes": value});
        }
        match run_with(&pod, &settings, &facts) {
            Ok((patched, mutation)) => {
                assert!(is_left, "{annotation:?} {setting:?} {driver}");
                assert!(patched["spec"]["initContainers"].is_null());
                let left = mutation
                    .notes
                    .iter()
                    .filter(|note| matches!(note, Note::LeftToCsiDriver { .. }));
                assert_eq!(left.count(), 2);
            }
            Err(error) => assert!(!is_left && error.starts_with("KS224"), "{error}"),
        }
    }
}

#[test]
fn a_secret_that_is_wrong_in_the_class_is_named_too() {
    let mut facts = facts();
    let object = json!({"kind": "SecretProviderClass",
        "metadata": {"name": "kv", "namespace": "ns"}, "spec": {"provider": "azure",
        "parameters": {"keyvaultName": "vault-1", "objects": "array:\n  - |\n    objectName: \
            db\n    objectType: secret\n"},
        "secretObjects": [{"secretName": "synced", "type": "Opaque",
            "data": [{"objectName": "nope", "key": "k"}]}]}});
    facts.classes.insert(
        "kv".to_owned(),
        ClassFact::Found(Arc::new(ProviderClass::from_value(&object).unwrap())),
    );
    let pod = labelled(
        "pod",
        json!({"containers": [{"name": "app"}], "volumes": [csi_volume("kv", "kv")]}),
    );
    let warnings = run_with(&pod, &settings(), &facts).unwrap().1.warnings.join("\n");
    assert!(
        warnings.contains("KS253 SecretProviderClass kv: its secretObjects (synced)")
            && warnings.contains("KS13"),
        "{warnings}"
    );
}
