use super::super::testing::{
    class_with_secrets, csi_volume, facts, labelled, mounts_of, opaque, plan_of, run_with, settings,
};
use crate::mutate::{Facts, Mutation, Needs, needs};
use crate::pod::Pod;
use crate::settings::CsiVolumes;
use serde_json::{Value, json};

const NAMES: &str = "keysluice.dev/synced-secrets";

/// Classes by name with their Secrets, all of provider azure.
fn cluster(classes: &[(&str, Value)]) -> Facts {
    let mut facts = facts();
    for (name, secrets) in classes {
        facts.classes.insert((*name).to_owned(), class_with_secrets(name, "azure", secrets));
    }
    facts
}

/// A pod with a volume of each class, by the name of the class.
fn pod(classes: &[&str]) -> Value {
    let volumes: Vec<_> = classes.iter().map(|name| csi_volume(name, name)).collect();
    let mut pod = labelled("pod", json!({"containers": [{"name": "app"}], "volumes": volumes}));
    pod["spec"]["automountServiceAccountToken"] = json!(false);
    pod
}

fn annotated(annotations: Value) -> Value {
    let mut pod = pod(&["kv"]);
    pod["metadata"]["annotations"] = annotations;
    pod
}

fn run(pod: &Value, facts: &Facts) -> Result<(Value, Mutation), String> {
    run_with(pod, &settings(), facts)
}

#[test]
fn the_plan_has_each_secret_of_the_classes_that_the_sidecar_serves() {
    let mut secret = opaque(" web ");
    secret["labels"] = json!({"team": "a"});
    secret["annotations"] = json!({"x": "y"});
    secret["data"] = json!([{"objectName": " db ", "key": " password "},
        {"objectName": "tls", "key": "k"}]);
    let facts = cluster(&[("kv", json!([secret, opaque("b")])), ("more", json!([opaque("a")]))]);
    let mut pod = pod(&["kv", "more"]);
    let volumes = pod["spec"]["volumes"].as_array_mut().unwrap();
    volumes.push(csi_volume("again", "kv"));
    let (patched, mutation) = run(&pod, &facts).unwrap();
    assert!(mutation.warnings.is_empty(), "{:?}", mutation.warnings);
    let plan = serde_json::to_value(plan_of(&patched)).unwrap();
    assert_eq!(
        plan["secrets"][2],
        json!({"name": "web", "type": "Opaque", "class": "kv", "labels": {"team": "a"},
            "annotations": {"x": "y"},
            "data": [{"key": "password", "volume": "kv", "path": "db"},
                {"key": "k", "volume": "kv", "path": "tls"}]})
    );
    assert_eq!(plan["kubernetes"], json!({"directory": "/var/run/secrets/keysluice.dev"}));
    assert_eq!(patched["metadata"]["annotations"], json!({NAMES: "a,b,web"}));
}

#[test]
fn the_sidecar_alone_has_a_token_for_the_api_server() {
    let facts = cluster(&[("kv", json!([opaque("a")]))]);
    let (patched, _) = run(&pod(&["kv"]), &facts).unwrap();
    let fields = ["namespace", "name", "uid"].map(|name| {
        let path = format!("metadata.{name}");
        json!({"path": name, "fieldRef": {"apiVersion": "v1", "fieldPath": path}})
    });
    let volume = json!({"name": "keysluice-api", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": fields}}]}});
    let volumes = patched["spec"]["volumes"].as_array().unwrap();
    assert!(volumes.contains(&volume), "{volumes:?}");
    let mount = json!({"name": "keysluice-api", "mountPath": "/var/run/secrets/keysluice.dev",
        "readOnly": true});
    assert_eq!(mounts_of(&patched["spec"]["initContainers"][0], "keysluice-api"), [&mount]);
    assert!(mounts_of(&patched["spec"]["containers"][0], "keysluice-api").is_empty());
    // Without Secrets there is none.
    let (patched, _) = run(&pod(&["kv"]), &cluster(&[("kv", json!([]))])).unwrap();
    assert!(!patched.to_string().contains("keysluice-api"));
    assert!(patched["metadata"]["annotations"].is_null());
}

#[test]
fn a_volume_of_the_reserved_name_is_refused() {
    let facts = cluster(&[("kv", json!([opaque("a")]))]);
    let mut pod = pod(&["kv"]);
    let volumes = pod["spec"]["volumes"].as_array_mut().unwrap();
    volumes.push(json!({"name": "keysluice-api", "emptyDir": {}}));
    let error = run(&pod, &facts).unwrap_err();
    assert!(error.starts_with("KS206 /spec/volumes/1/name"), "{error}");
}

#[test]
fn owners_of_the_pod_and_the_driver_are_in_the_plan() {
    let mut facts = cluster(&[("kv", json!([opaque("a")]))]);
    facts.csi_driver_installed = true;
    let mut settings = settings();
    settings.csi_volumes = CsiVolumes::Replace;
    let mut pod = pod(&["kv"]);
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u",
        "controller": true, "blockOwnerDeletion": true});
    pod["metadata"]["ownerReferences"] = json!([owner]);
    let (patched, _) = run_with(&pod, &settings, &facts).unwrap();
    let plan = serde_json::to_value(plan_of(&patched)).unwrap();
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u"});
    assert_eq!(plan["kubernetes"]["owners"], json!([owner]));
    assert_eq!(plan["kubernetes"]["hasDriver"], true);
    for (owners, code) in [
        (json!(vec![owner.clone(); 17]), "KS214 the pod has more than 16 ownerReferences"),
        (json!([{"uid": "x".repeat(254)}]), "KS222 /metadata/ownerReferences/0 has 254 bytes"),
    ] {
        pod["metadata"]["ownerReferences"] = owners;
        let error = run_with(&pod, &settings, &facts).unwrap_err();
        assert!(error.starts_with(code), "{error}");
    }
}

#[test]
fn the_driver_is_asked_for_wherever_volumes_may_be_served() {
    for (setting, annotation, asked) in [
        (CsiVolumes::Auto, None, true),
        (CsiVolumes::Replace, None, true),
        (CsiVolumes::Leave, None, false),
        (CsiVolumes::Leave, Some("replace"), true),
    ] {
        let mut settings = settings();
        settings.csi_volumes = setting;
        let mut pod = pod(&["kv"]);
        if let Some(value) = annotation {
            pod["metadata"]["annotations"] = json!({"keysluice.dev/csi-volumes": value});
        }
        let text = pod.to_string();
        let pod = Pod::from_json(text.as_bytes()).unwrap();
        assert_eq!(needs(&pod, &settings).csi_driver, asked, "{setting:?} {annotation:?}");
    }
}

#[test]
fn a_pod_that_is_left_to_the_driver_waits_for_no_class_and_no_account() {
    let left = || Needs { csi_driver: true, ..Needs::default() };
    let served = || Needs { service_account: Some("default"), classes: vec!["kv"], ..left() };
    for (setting, annotation, with_driver, without) in [
        (CsiVolumes::Auto, None, left(), served()),
        (CsiVolumes::Replace, None, served(), served()),
        (CsiVolumes::Auto, Some("replace"), served(), served()),
        (CsiVolumes::Leave, None, Needs::default(), Needs::default()),
        (CsiVolumes::Replace, Some("leave"), Needs::default(), Needs::default()),
    ] {
        let mut settings = settings();
        settings.csi_volumes = setting;
        let mut pod = pod(&["kv"]);
        pod["metadata"]["labels"] = json!({});
        pod["metadata"]["annotations"] = json!({"keysluice.dev/csi-volumes": annotation});
        let text = pod.to_string();
        let pod = Pod::from_json(text.as_bytes()).unwrap();
        let known = |is_installed| needs(&pod, &settings).with_driver(is_installed);
        assert_eq!(known(true), with_driver, "{setting:?} {annotation:?}");
        assert_eq!(known(false), without, "{setting:?} {annotation:?}");
    }
}

#[test]
fn one_name_in_two_classes_is_refused_with_both() {
    let mut facts = cluster(&[("kv", json!([opaque("a")])), ("more", json!([opaque("a")]))]);
    let error = run(&pod(&["kv", "more"]), &facts).unwrap_err();
    assert!(
        error.starts_with(
            "KS226 Secret \"a\" is in secretObjects of two SecretProviderClasses of the pod, kv \
             and more"
        ),
        "{error}"
    );
    let foreign = class_with_secrets("more", "vault", &json!([opaque("a")]));
    facts.classes.insert("more".to_owned(), foreign);
    assert!(run(&pod(&["kv", "more"]), &facts).unwrap_err().starts_with("KS226"));
}

#[test]
fn more_secrets_than_the_guard_checks_are_refused() {
    let secrets: Vec<_> = (0..14).map(|index| opaque(&format!("s{index}"))).collect();
    assert!(run(&pod(&["kv"]), &cluster(&[("kv", json!(secrets[..13]))])).is_ok());
    let error = run(&pod(&["kv"]), &cluster(&[("kv", json!(secrets))])).unwrap_err();
    assert!(error.starts_with("KS227 ") && error.contains("more than 13 Secrets"), "{error}");
}

#[test]
fn what_is_wrong_with_a_secret_of_the_class_refuses_the_pod() {
    let mut tls = opaque("a");
    tls["type"] = json!("kubernetes.io/tls");
    let mut missing = opaque("a");
    missing["data"][0]["objectName"] = json!("nope");
    for (secret, code) in [
        (json!({"type": "Opaque"}), "KS131"),
        (missing, "KS132"),
        (tls, "KS133"),
        (opaque("A"), "KS148"),
    ] {
        let error = run(&pod(&["kv"]), &cluster(&[("kv", json!([secret]))])).unwrap_err();
        assert!(error.starts_with(&format!("{code} secretObjects[0]: ")), "{error}");
        assert!(error.ends_with("(SecretProviderClass ns/kv, volume \"kv\")"), "{error}");
    }
}

#[test]
fn annotations_say_which_secrets_are_adopted_and_which_are_kept() {
    let facts = cluster(&[("kv", json!([opaque("a"), opaque("b")]))]);
    let pod = annotated(json!({"keysluice.dev/adopt-secrets": "a, b",
        "keysluice.dev/keep-secrets": "b"}));
    let (patched, _) = run(&pod, &facts).unwrap();
    let flags: Vec<_> =
        plan_of(&patched).secrets.iter().map(|secret| (secret.adopt, secret.keep)).collect();
    assert_eq!(flags, [(true, false), (true, true)]);
    for (annotation, value, expected) in [
        (
            "keysluice.dev/keep-secrets",
            "a,c",
            "KS228 annotation keysluice.dev/keep-secrets: \"c\" is not a Secret of the pod's \
             SecretProviderClasses, which make: a, b",
        ),
        ("keysluice.dev/adopt-secrets", "a,", "KS209 annotation keysluice.dev/adopt-secrets"),
        ("keysluice.dev/adopt-secrets", "A", "KS209 annotation keysluice.dev/adopt-secrets"),
    ] {
        let error = run(&annotated(json!({annotation: value})), &facts).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_second_run_knows_the_secrets_of_the_first_beside_another_providers_class() {
    let mut facts = cluster(&[("kv", json!([opaque("a")]))]);
    facts.classes.insert("other".to_owned(), class_with_secrets("other", "aws", &json!([])));
    for annotation in ["keysluice.dev/adopt-secrets", "keysluice.dev/keep-secrets"] {
        let mut pod = pod(&["kv", "other"]);
        pod["metadata"]["annotations"] = json!({annotation: "a"});
        let (mut patched, mutation) = run(&pod, &facts).unwrap();
        assert!(mutation.warnings.is_empty(), "{:?}", mutation.warnings);
        let (_, again) = run(&patched, &facts).unwrap();
        assert!(again.patch.is_empty() && again.warnings.is_empty(), "{again:?}");
        // Another webhook takes the names away, or adds one.
        patched["metadata"]["annotations"] = json!({annotation: "a,b"});
        let (third, mutation) = run(&patched, &facts).unwrap();
        assert_eq!(third["metadata"]["annotations"][NAMES], "a");
        let expected = format!(
            "KS228 annotation {annotation} has no effect: the pod's sidecar does not make Secret \
             b; hint: "
        );
        assert_eq!(mutation.warnings.len(), 1);
        assert!(mutation.warnings[0].starts_with(&expected), "{:?}", mutation.warnings);
    }
}

#[test]
fn an_annotation_about_secrets_that_the_sidecar_does_not_make_is_refused_or_has_no_effect() {
    let of = |classes: &[&str], further: Value| {
        let mut pod = pod(classes);
        pod["metadata"]["annotations"] = further;
        pod["metadata"]["annotations"]["keysluice.dev/adopt-secrets"] = json!("a");
        pod
    };
    let mut facts = cluster(&[("kv", json!([])), ("more", json!([opaque("a")]))]);
    facts.classes.insert("other".to_owned(), class_with_secrets("other", "aws", &json!([])));
    let error = run(&of(&["kv"], json!({})), &facts).unwrap_err();
    let expected = "KS228 annotation keysluice.dev/adopt-secrets: \"a\" is not a Secret of the \
                    pod's SecretProviderClasses, which make: none; hint: ";
    assert!(error.starts_with(expected), "{error}");
    let file = json!({"keysluice.dev/file.x": "kv://vault-1/secrets/x"});
    for pod in [
        of(&["more"], json!({"keysluice.dev/csi-volumes": "leave"})),
        of(&["other"], json!({})),
        of(&["other"], file),
        of(&[], json!({})),
    ] {
        let (patched, mutation) = run(&pod, &facts).unwrap();
        assert_eq!(mutation.warnings.len(), 1, "{pod} {:?}", mutation.warnings);
        let expected = "KS228 annotation keysluice.dev/adopt-secrets has no effect: ";
        assert!(mutation.warnings[0].starts_with(expected), "{:?}", mutation.warnings);
        let (_, again) = run(&patched, &facts).unwrap();
        assert!(again.patch.is_empty(), "{again:?}");
        assert_eq!(again.warnings, mutation.warnings);
    }
}

#[test]
fn a_secret_that_two_volumes_have_from_other_objects_gives_a_warning() {
    let two = "array:\n  - |\n    objectName: db\n    objectType: secret\n  - |\n    objectName: \
               more\n    objectType: secret\n";
    let with_version = two.replace("db\n", "db\n    objectVersion: v2\n");
    let with_mode = two.replace("db\n", "db\n    filePermission: \"0440\"\n");
    let renamed = two.replace("db\n", "database\n    objectAlias: db\n");
    let without = two.replace("db\n", "database\n");
    for (attribute, value, is_warned) in [
        ("keyvaultName", "vault-1", false),
        ("keyvaultName", "vault-2", true),
        ("objects", two, false),
        ("objects", &*with_version, true),
        ("objects", &*with_mode, false),
        ("objects", &*renamed, true),
        ("objects", &*without, false),
    ] {
        let mut pod = pod(&["kv"]);
        let mut second = csi_volume("second", "kv");
        second["csi"]["volumeAttributes"][attribute] = json!(value);
        pod["spec"]["volumes"].as_array_mut().unwrap().push(second);
        pod["spec"]["securityContext"] = json!({"fsGroup": 2000});
        let (_, mutation) = run(&pod, &cluster(&[("kv", json!([opaque("a")]))])).unwrap();
        let expected = "KS226 Secret a: volumes kv and second of SecretProviderClass kv have \
                        another object as db; the Secret has that of volume kv; hint: ";
        let warned: Vec<_> =
            mutation.warnings.iter().filter(|warning| warning.starts_with("KS226 ")).collect();
        assert_eq!(warned.len(), usize::from(is_warned), "{value}: {:?}", mutation.warnings);
        assert!(warned.iter().all(|warning| warning.starts_with(expected)), "{warned:?}");
    }
}

#[test]
fn the_annotation_for_the_guard_is_the_webhooks() {
    let facts = cluster(&[("kv", json!([opaque("b"), opaque("a")]))]);
    for own in [json!(null), json!({}), json!({"x": "y"}), json!({NAMES: ""}), json!({NAMES: "z"})]
    {
        let (mut patched, _) = run(&annotated(own.clone()), &facts).unwrap();
        assert_eq!(patched["metadata"]["annotations"][NAMES], "a,b", "{own}");
        assert!(run(&patched, &facts).unwrap().1.patch.is_empty(), "a second run: {own}");
        // What another webhook made of it in between.
        patched["metadata"]["annotations"][NAMES] = json!("a");
        assert_eq!(run(&patched, &facts).unwrap().0["metadata"]["annotations"][NAMES], "a,b");
    }
    // Without Secrets of its own the pod has nothing that the guard must check.
    let none = cluster(&[("kv", json!([]))]);
    let (patched, _) = run(&annotated(json!({NAMES: "z"})), &none).unwrap();
    assert_eq!(patched["metadata"]["annotations"][NAMES], "");
    let mut left = annotated(json!({NAMES: "z"}));
    left["metadata"]["annotations"]["keysluice.dev/csi-volumes"] = json!("leave");
    let (patched, _) = run(&left, &facts).unwrap();
    assert_eq!(patched["metadata"]["annotations"][NAMES], "");
}
