//! From classes and annotations to Plan, volumes and gate.

use super::super::testing::{
    class, csi_volume, facts, plan_of, pod_with_volume, run, run_with, settings,
};
use super::*;
use crate::mutate::ClassFact;
use serde_json::{Value, json};

#[test]
fn what_the_class_says_reaches_the_plan() {
    let objects = "array:\n  - |\n    objectName: tls\n    objectType: cert\n    parts: [cert, \
        key]\n    optional: true\n  - |\n    objectName: db\n    \
                   objectType: secret\n    objectVersionHistory: 3\n    jsonKey: a.b\n  - \
                   |\n    objectName: store\n    objectType: secret\n    \
                   objectFormat: pfx\n    objectEncoding: base64\n";
    let parameters = json!({"keyvaultName": "vault-1", "objects": objects,
        "select": "{namePrefix: app-, tags: {env: prod}, directory: config}",
        "writeCertAndKeyInSeparateFiles": "true", "refreshInterval": "45s"});
    let mut facts = facts();
    facts.classes.insert("kv".into(), class("kv", &parameters));
    let (pod, mutation) = run_with(&pod_with_volume(), &settings(), &facts).unwrap();
    let plan = serde_json::to_value(&plan_of(&pod).volumes[0]).unwrap();
    let mut expected = json!([
        {"path": "tls.crt", "name": "tls", "part": "cert", "optional": true},
        {"path": "tls.key", "name": "tls", "part": "key", "optional": true},
        {"path": "db", "name": "db", "history": 3, "jsonKey": "a.b"},
        {"path": "store", "name": "store", "format": "pfx", "encoding": "base64", "split": true},
    ]);
    for file in expected.as_array_mut().unwrap() {
        file["mode"] = "0644".into();
        file["identity"] = "workload-identity".into();
        file["vault"] = "https://vault-1.vault.azure.net/".into();
        file["type"] = "secret".into();
    }
    assert_eq!(plan["files"], expected);
    let selection = json!({"directory": "config", "mode": "0644", "identity": "workload-identity",
        "vault": "https://vault-1.vault.azure.net/",
        "namePrefix": "app-", "tags": {"env": "prod"}});
    assert_eq!(
        (&plan["selections"], &plan["refreshIntervalSeconds"]),
        (&json!([selection]), &json!(45))
    );
    let notes: Vec<_> = mutation.notes.iter().map(ToString::to_string).collect();
    let expected = "4 file(s) from https://vault-1.vault.azure.net/, served from a tmpfs; tls.crt \
        only where there is such an object; tls.key only \
                    where there is such an object; db/: 3 versions; config/app-*: every enabled \
                    secret of that name with tags env=prod";
    assert!(notes.iter().any(|note| note.ends_with(expected)), "{notes:?}");
    let sidecar = "sidecar: runs as uid 65532 and gid 65532; the application waits for its \
        secrets behind a postStart hook, at most 30 s";
    assert!(notes.iter().any(|note| note == sidecar), "{notes:?}");
}

#[test]
fn the_operator_splits_certificates_for_classes_that_do_not_say() {
    for (operators, expected) in [(false, false), (true, true)] {
        let mut settings = settings();
        settings.split_certificates = operators;
        let (pod, _) = run_with(&pod_with_volume(), &settings, &facts()).unwrap();
        assert_eq!(plan_of(&pod).volumes[0].files[0].split, expected);
    }
}

#[test]
fn the_interval_of_the_pod_goes_before_that_of_the_class_and_this_before_the_operators() {
    for (annotation, parameter, expected) in [
        (None, None, 120),
        (None, Some(("syncInterval", "90s")), 90),
        (Some("30s"), Some(("refreshInterval", "90s")), 30),
    ] {
        let (mut pod, mut facts) = (pod_with_volume(), facts());
        let mut parameters = json!({"keyvaultName": "vault-1", "objects": "array: []"});
        if let Some((name, value)) = parameter {
            parameters[name] = json!(value);
        }
        facts.classes.insert("kv".into(), class("kv", &parameters));
        if let Some(value) = annotation {
            pod["metadata"]["annotations"] = json!({"keysluice.dev/refresh-interval": value});
        }
        let (pod, _) = run_with(&pod, &settings(), &facts).unwrap();
        assert_eq!(
            plan_of(&pod).volumes[0].refresh_interval_seconds,
            expected,
            "{annotation:?} {parameter:?}"
        );
    }
}

/// An `objects` parameter of one secret, with more lines of YAML behind its type.
fn one_object(name: &str, more: &str) -> String {
    format!("array: ['{{objectName: {name}, objectType: secret{more}}}']")
}

#[test]
fn several_classes_vaults_and_volumes_go_into_one_plan() {
    let mut facts = facts();
    facts.classes.insert(
        "a".into(),
        class("a", &json!({"keyvaultName": "vault-a", "objects": one_object("x", "")})),
    );
    let own = json!({"keyvaultName": "vault-b", "clientID": "other", "tenantID": "t2",
        "objects": one_object("x", ""), "refreshInterval": "1h"});
    facts.classes.insert("b".into(), class("b", &own));
    let mut pod = pod_with_volume();
    let volumes = [("v1", "a"), ("v2", "b"), ("v3", "a"), ("v4", "a")]
        .map(|(volume, class)| csi_volume(volume, class));
    pod["spec"]["volumes"] = json!(volumes);
    pod["spec"]["volumes"][3]["csi"]["volumeAttributes"]["objects"] = json!(one_object("y", ""));
    pod["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "v1", "mountPath": "/1"}, {"name": "v3", "mountPath": "/3"}]);
    let (pod, _) = run_with(&pod, &settings(), &facts).unwrap();
    let plan = plan_of(&pod);
    let volumes: Vec<_> = plan
        .volumes
        .iter()
        .map(|volume| {
            let file = &volume.files[0];
            (
                volume.directory.as_str(),
                file.name.as_str(),
                file.vault.host(),
                file.identity.as_str(),
                volume.refresh_interval_seconds,
            )
        })
        .collect();
    assert_eq!(
        volumes,
        [
            ("/mnt/keysluice/v1", "x", "vault-a.vault.azure.net", "workload-identity", 120),
            ("/mnt/keysluice/v2", "x", "vault-b.vault.azure.net", "workload-identity-2", 3600),
            ("/mnt/keysluice/v3", "x", "vault-a.vault.azure.net", "workload-identity", 120),
            ("/mnt/keysluice/v4", "y", "vault-a.vault.azure.net", "workload-identity", 120),
        ]
    );
    let tmpfs = pod["spec"]["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|volume| volume["emptyDir"]["medium"] == "Memory");
    assert_eq!(tmpfs.count(), 5, "four volumes and the sidecar's own");
}

#[test]
fn a_tmpfs_holds_two_generations_of_everything() {
    let mut many = "array:\n".to_owned();
    for index in 0..17 {
        many += &format!("  - '{{objectName: a{index}, objectType: secret}}'\n");
    }
    let history = one_object("a", ", objectVersionHistory: 100");
    let cases: &[(Value, Option<&str>, &str)] = &[
        (json!({"objects": "array: []"}), None, "1Mi"),
        (json!({"objects": one_object("a", "")}), None, "1Mi"),
        // 17 files of 32 KiB, twice.
        (json!({"objects": many}), None, "1088Ki"),
        (json!({"objects": history}), None, "6400Ki"),
        (json!({"objects": history, "writeCertAndKeyInSeparateFiles": "true"}), None, "12800Ki"),
        (json!({"select": "{namePrefix: a}"}), None, "8Mi"),
        (json!({"select": "{namePrefix: a}"}), Some("3Mi"), "3Mi"),
        (json!({"objects": "array: []"}), Some("1100Ki"), "1100Ki"),
    ];
    for (parameters, annotation, expected) in cases {
        let (mut pod, mut facts, mut parameters) = (pod_with_volume(), facts(), parameters.clone());
        parameters["keyvaultName"] = json!("vault-1");
        facts.classes.insert("kv".into(), class("kv", &parameters));
        if let Some(value) = annotation {
            pod["metadata"]["annotations"] = json!({"keysluice.dev/size-limit": value});
        }
        let (pod, _) = run_with(&pod, &settings(), &facts).unwrap();
        assert_eq!(pod["spec"]["volumes"][0]["emptyDir"]["sizeLimit"], *expected, "{parameters}");
        let bytes = quantity::memory_bytes(expected).unwrap();
        let limit = &pod["spec"]["initContainers"][0]["resources"]["limits"]["memory"];
        assert_eq!(
            *limit,
            quantity::of_bytes((17 << 20) + bytes),
            "pages of a tmpfs are charged to the sidecar"
        );
    }
}

/// A startup probe of this many attempts.
fn probe(attempts: u32) -> Value {
    json!({"exec": {"command": ["/keysluice-injector", "ready", "--timeout", "27"]},
        "periodSeconds": 1, "timeoutSeconds": 30, "failureThreshold": attempts})
}

#[test]
fn each_gate_with_each_answer_to_a_missing_secret() {
    let hook = json!({"postStart":
        {"exec": {"command": ["/keysluice-injector", "ready", "--timeout", "30"]}}});
    for (gate, on_missing, expected) in [
        (None, None, Ok((hook.clone(), json!(null), Some(30)))),
        (None, Some("fail"), Ok((hook.clone(), json!(null), Some(30)))),
        (None, Some("wait"), Ok((json!(null), probe(120), None))),
        (Some("hook"), Some("fail"), Ok((hook, json!(null), Some(30)))),
        (
            Some("hook"),
            Some("wait"),
            Err(
                "KS209 annotation keysluice.dev/gate: \"hook\" is not probe or none together with \
                 on-missing: wait; hint: ",
            ),
        ),
        (Some("probe"), None, Ok((json!(null), probe(2), Some(30)))),
        (Some("probe"), Some("fail"), Ok((json!(null), probe(2), Some(30)))),
        (Some("probe"), Some("wait"), Ok((json!(null), probe(120), None))),
        (Some("none"), None, Ok((json!(null), json!(null), None))),
        (Some("none"), Some("wait"), Ok((json!(null), json!(null), None))),
        (Some("none"), Some("fail"), Ok((json!(null), json!(null), Some(30)))),
    ] {
        let mut pod = pod_with_volume();
        let annotations = [("keysluice.dev/gate", gate), ("keysluice.dev/on-missing", on_missing)];
        pod["metadata"]["annotations"] = annotations
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), json!(value?))))
            .collect::<serde_json::Map<_, _>>()
            .into();
        match (run(&pod), expected) {
            (Ok((pod, _)), Ok((hook, probe, timeout))) => {
                let sidecar = &pod["spec"]["initContainers"][0];
                assert_eq!(
                    (&sidecar["lifecycle"], &sidecar["startupProbe"]),
                    (&hook, &probe),
                    "{gate:?} {on_missing:?}"
                );
                assert_eq!(plan_of(&pod).start_timeout_seconds, timeout, "{gate:?} {on_missing:?}");
            }
            (Err(error), Err(expected)) => assert!(error.starts_with(expected), "{error}"),
            (found, _) => panic!("{gate:?} {on_missing:?}: {found:?}"),
        }
    }
}

#[test]
fn the_drivers_checks_come_in_its_order() {
    let mut facts = facts();
    let object = json!({"kind": "SecretProviderClass",
        "metadata": {"name": "kv", "namespace": "ns"}, "spec": {}});
    let mut pod = pod_with_volume();
    pod["spec"]["volumes"][0]["csi"]["readOnly"] = json!(false);
    for (spec, expected) in [
        (
            json!({}),
            "KS109 provider not set in ns/kv; hint: set spec.provider to azure \
             (SecretProviderClass ns/kv, volume \"secrets\")",
        ),
        (json!({"provider": "azure"}), "KS134 parameters not set in ns/kv"),
        (
            json!({"provider": "azure", "parameters": {"objects": ""}}),
            "KS208 volume \"secrets\": Readonly is not true in request",
        ),
    ] {
        let mut object = object.clone();
        object["spec"] = spec;
        let class = crate::provider_class::ProviderClass::from_value(&object).unwrap();
        facts.classes.insert("kv".into(), ClassFact::Found(std::sync::Arc::new(class)));
        let error = run_with(&pod, &settings(), &facts).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn histories_count_towards_what_fits_into_memory() {
    let objects: Vec<_> = (0..11)
        .map(|i| format!("'{{objectName: a{i}, objectType: key, objectVersionHistory: 500}}'"))
        .collect();
    let mut facts = facts();
    for (count, refused) in [(10, false), (11, true)] {
        let objects = format!("array: [{}]", objects[..count].join(", "));
        facts.classes.insert(
            "kv".into(),
            class("kv", &json!({"keyvaultName": "vault-1", "objects": objects})),
        );
        let error = run_with(&pod_with_volume(), &settings(), &facts).err().unwrap_or_default();
        assert_eq!(
            error.starts_with(
                "KS214 the pod has more than 5000 files in its Secrets Store CSI volumes, all \
                 versions counted"
            ),
            refused,
            "{error}"
        );
    }
}
