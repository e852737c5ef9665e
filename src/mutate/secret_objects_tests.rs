use super::super::testing::{
    class, class_with_secrets, csi_volume, facts, labelled, opaque, run_with, settings,
};
use crate::mutate::{Facts, Mutation, Note};
use crate::settings::CsiVolumes;
use serde_json::{Value, json};

fn cluster() -> Facts {
    let mut facts = facts();
    for (name, provider, secrets) in [
        ("kv", "azure", json!([opaque("a"), opaque("b")])),
        ("more", "azure", json!([opaque("c")])),
        ("foreign", "vault", json!([opaque("d")])),
    ] {
        facts.classes.insert(name.to_owned(), class_with_secrets(name, provider, &secrets));
    }
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
fn a_pod_whose_secret_the_kubelet_reads_before_the_sidecar_is_refused_with_who_needs_it() {
    for (spec, expected) in [
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
            "imagePullSecrets needs Secret \"c\", which the sidecar makes from secretObjects of \
             SecretProviderClass ns/more",
        ),
    ] {
        let error = run(&spec).unwrap_err();
        assert!(error.starts_with(&format!("KS224 {expected}")), "{spec}: {error}");
        assert!(error.contains("keysluice render sync"), "{error}");
    }
}

#[test]
fn variables_come_from_the_pods_own_secrets_and_from_those_of_others() {
    let null = Value::Null;
    for spec in [
        json!({}),
        with_env(&key_of("a", &null)),
        with_env(&key_of("c", &json!(true))),
        with_env(&key_of("of-another-pod", &null)),
        with_env(&key_of("d", &null)),
        json!({"containers": [{"name": "app", "envFrom": [{"secretRef": {"name": "b"}}]}]}),
        json!({"initContainers": [{"name": "migrate", "envFrom": [{"secretRef": {"name": "b"}}]}]}),
        json!({"imagePullSecrets": [{"name": "registry"}]}),
        json!({"volumes": [{"name": "s", "secret": {"secretName": "d"}}]}),
    ] {
        let (pod, mutation) = run(&spec).unwrap();
        assert!(mutation.warnings.is_empty(), "{spec}: {:?}", mutation.warnings);
        // The second run of our own output.
        assert!(run_with(&pod, &settings(), &cluster()).unwrap().1.patch.is_empty(), "{spec}");
    }
}

#[test]
fn an_optional_secret_that_comes_too_late_is_a_warning() {
    let sources =
        json!([{"configMap": {"name": "x"}}, {"secret": {"name": "a", "optional": true}}]);
    let spec = json!({"volumes": [{"name": "p", "projected": {"sources": sources}}]});
    let (pod, mutation) = run(&spec).unwrap();
    let [warning] = &mutation.warnings[..] else { panic!("{:?}", mutation.warnings) };
    assert!(
        warning.starts_with("KS258 volume \"p\" may start without Secret a, which is optional"),
        "{warning}"
    );
    assert_eq!(pod["spec"]["volumes"][3], spec["volumes"][0], "the kubelet's");
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
        let mut facts = cluster();
        facts.classes.insert(
            "plain".into(),
            class("plain", &json!({"keyvaultName": "vault-1", "objects": ""})),
        );
        facts.csi_driver_installed = driver;
        let mut settings = settings();
        settings.csi_volumes = setting;
        let mut pod = labelled("pod", json!({"containers": [{"name": "app"}]}));
        pod["spec"]["imagePullSecrets"] = json!([{"name": "a"}]);
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
fn an_init_container_before_the_sidecar_cannot_have_its_secrets() {
    let vpn = json!({"name": "vpn", "restartPolicy": "Always", "env": [key_of("a", &Value::Null)]});
    let mut pod = labelled("pod", json!({"containers": [{"name": "app"}]}));
    pod["spec"]["initContainers"] = json!([vpn]);
    pod["spec"]["volumes"] = json!([csi_volume("kv", "kv")]);
    assert!(run_with(&pod, &settings(), &cluster()).is_ok(), "the sidecar is first");
    pod["metadata"]["annotations"] = json!({"keysluice.dev/after": "vpn"});
    let error = run_with(&pod, &settings(), &cluster()).unwrap_err();
    let expected =
        "KS224 init container \"vpn\", which starts before the sidecar, needs Secret \"a\"";
    assert!(error.starts_with(expected), "{error}");
    pod["spec"]["initContainers"][0]["env"] = json!([key_of("a", &json!(true))]);
    let (_, mutation) = run_with(&pod, &settings(), &cluster()).unwrap();
    assert!(mutation.warnings[0].starts_with("KS258 "), "{:?}", mutation.warnings);
}

#[test]
fn a_variable_of_a_key_that_the_secret_does_not_get_is_a_warning() {
    for (key, optional, is_warned) in [
        ("k", Value::Null, false),
        ("K", Value::Null, true),
        ("other", json!(false), true),
        ("other", json!(true), false),
    ] {
        let reference = json!({"name": "a", "key": key, "optional": optional});
        let variable = json!({"name": "PASSWORD", "valueFrom": {"secretKeyRef": reference}});
        let (_, mutation) = run(&with_env(&variable)).unwrap();
        assert_eq!(mutation.warnings.len(), usize::from(is_warned), "{key}: {mutation:?}");
        let expected = format!(
            "KS290 container app: variable PASSWORD takes key {key} of Secret a, which \
             SecretProviderClass kv makes without that key"
        );
        assert!(mutation.warnings.iter().all(|warning| warning.starts_with(&expected)));
    }
}
