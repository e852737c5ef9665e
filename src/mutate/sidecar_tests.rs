//! The sidecar in a pod: its place, its volumes and its Plan.

use super::super::testing::{
    CLIENT, class, csi_volume, facts, plan_of, pod_with_volume, run, run_with, settings,
};
use super::*;
use crate::mutate::ClassFact;
use crate::settings::CsiVolumes;
use keysluice_plan::Credential;
use serde_json::{Value, json};

#[test]
fn the_csi_volume_becomes_a_tmpfs_in_place_and_the_sidecar_comes_first() {
    let (pod, mutation) = run(&pod_with_volume()).unwrap();
    let spec = &pod["spec"];
    assert_eq!(
        spec["volumes"][0],
        json!({"name": "secrets", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})
    );
    assert_eq!(
        spec["containers"][0]["volumeMounts"][0],
        json!({"name": "secrets", "mountPath": "/mnt/secrets", "readOnly": true})
    );
    let sidecar = &spec["initContainers"][0];
    assert_eq!(sidecar["name"], "keysluice");
    assert_eq!(sidecar["restartPolicy"], "Always");
    assert_eq!(sidecar["command"], json!(["/keysluice-injector", "run"]));
    assert_eq!(
        sidecar["lifecycle"]["postStart"]["exec"]["command"],
        json!(["/keysluice-injector", "ready", "--timeout", "30"])
    );
    let plan = plan_of(&pod);
    assert_eq!(plan.start_timeout_seconds, Some(30));
    assert_eq!(plan.volumes[0].directory, "/mnt/keysluice/secrets");
    assert_eq!(plan.volumes[0].files[1].path.as_str(), "tls/key");
    let Credential::Federated { client_id, tenant_id, token_file, .. } =
        &plan.identities[0].credential
    else {
        panic!()
    };
    assert_eq!((client_id.as_str(), tenant_id.as_str()), (CLIENT, "cluster-tenant"));
    let mounts = sidecar["volumeMounts"].as_array().unwrap();
    assert!(
        mounts.iter().any(|mount| token_file.starts_with(mount["mountPath"].as_str().unwrap()))
    );
    assert!(mutation.notes.contains(&Note::Label));
}

#[test]
fn the_sidecar_is_clean_under_pod_security_restricted() {
    let (pod, _) = run(&pod_with_volume()).unwrap();
    assert_eq!(
        pod["spec"]["initContainers"][0]["securityContext"],
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"}})
    );
}

#[test]
fn an_unlabelled_pod_keeps_its_containers_and_the_token_goes_to_the_sidecar_alone() {
    let mut pod = pod_with_volume();
    pod["metadata"]["labels"] = json!({});
    pod["spec"]["containers"][0]["volumeMounts"][0]["readOnly"] = json!(true);
    let (patched, _) = run(&pod).unwrap();
    assert_eq!(patched["spec"]["containers"], pod["spec"]["containers"]);
    let volumes = patched["spec"]["volumes"].as_array().unwrap();
    assert!(volumes[1]["projected"].is_object() && volumes[2]["name"] == "keysluice-run");
}

#[test]
fn a_managed_identity_needs_no_token_volume() {
    let mut facts = facts();
    let objects = "array:\n  - |\n    objectName: my-key\n    objectType: key\n";
    let parameters = json!({"keyvaultName": "aks-demo-kv", "tenantId": "t",
        "useVMManagedIdentity": "true", "userAssignedIdentityID": "mi", "objects": objects});
    facts.classes.insert("kv".to_owned(), class("kv", &parameters));
    let mut pod = pod_with_volume();
    pod["metadata"]["labels"] = json!({});
    let (pod, _) = run_with(&pod, &settings(), &facts).unwrap();
    assert_eq!(pod["spec"]["volumes"].as_array().unwrap().len(), 2);
    let expected = Credential::ManagedIdentity {
        client_id: Some("mi".into()),
        endpoint: "http://169.254.169.254/".into(),
    };
    assert_eq!(plan_of(&pod).identities[0].credential, expected);
}

#[test]
fn a_second_run_on_the_output_changes_nothing() {
    let (pod, _) = run(&pod_with_volume()).unwrap();
    assert!(run(&pod).unwrap().1.patch.is_empty());
}

#[test]
fn two_volumes_of_one_class_share_the_identity() {
    let mut pod = pod_with_volume();
    pod["spec"]["volumes"].as_array_mut().unwrap().push(csi_volume("again", "kv"));
    let plan = plan_of(&run(&pod).unwrap().0);
    assert_eq!((plan.identities.len(), plan.volumes.len()), (1, 2));
}

#[test]
fn whose_volumes_are_replaced_is_decided_by_pod_operator_and_cluster() {
    for (annotation, setting, driver, replaced) in [
        (None, CsiVolumes::Auto, false, true),
        (None, CsiVolumes::Auto, true, false),
        (None, CsiVolumes::Replace, true, true),
        (None, CsiVolumes::Leave, false, false),
        (Some("replace"), CsiVolumes::Auto, true, true),
        (Some("leave"), CsiVolumes::Replace, false, false),
    ] {
        let (mut pod, mut settings, mut facts) = (pod_with_volume(), settings(), facts());
        if let Some(value) = annotation {
            pod["metadata"]["annotations"] = json!({"keysluice.dev/csi-volumes": value});
        }
        settings.csi_volumes = setting;
        facts.csi_driver_installed = driver;
        let (pod, _) = run_with(&pod, &settings, &facts).unwrap();
        assert_eq!(
            pod["spec"]["initContainers"].is_array(),
            replaced,
            "{annotation:?} {setting:?} {driver}"
        );
        assert!(pod["spec"]["containers"][0]["env"].is_array(), "the identity comes in any case");
    }
}

#[test]
fn another_providers_volume_is_left_alone() {
    let mut facts = facts();
    let object = json!({"kind": "SecretProviderClass",
        "metadata": {"name": "kv", "namespace": "ns"},
        "spec": {"provider": "vault", "parameters": {"a": "b"}}});
    facts.classes.insert(
        "kv".into(),
        ClassFact::Found(std::sync::Arc::new(
            crate::provider_class::ProviderClass::from_value(&object).unwrap(),
        )),
    );
    let mut pod = pod_with_volume();
    pod["metadata"]["labels"] = json!({});
    let (_, mutation) = run_with(&pod, &settings(), &facts).unwrap();
    assert!(mutation.patch.is_empty());
    assert!(
        matches!(&mutation.notes[..], [Note::OtherProvider { provider, .. }] if provider == "vault")
    );
}

#[test]
fn incomplete_volumes_and_missing_classes_are_refused_in_words() {
    let cases: &[(fn(&mut Value), &str)] = &[
        (
            |pod| pod["spec"]["volumes"][0] = csi_volume("secrets", "gone"),
            "KS207 volume \"secrets\": failed to get secretproviderclass ns/gone: not found",
        ),
        (
            |pod| pod["spec"]["volumes"][0]["csi"]["volumeAttributes"] = json!({}),
            "KS208 volume \"secrets\": secretProviderClass is not set",
        ),
        (
            |pod| pod["spec"]["volumes"][0]["csi"]["readOnly"] = json!(false),
            "KS208 volume \"secrets\": Readonly is not true in request",
        ),
        (
            |pod| pod["spec"]["volumes"][0]["csi"]["volumeAttributes"]["keyvaultName"] = json!("x"),
            "KS1",
        ),
        (
            |pod| pod["spec"]["containers"][0]["name"] = json!("keysluice"),
            "KS206 /spec/containers/0/name uses the reserved name \"keysluice\"",
        ),
        (
            |pod| pod["spec"]["volumes"][1] = json!({"name": "keysluice-run", "emptyDir": {}}),
            "KS206 /spec/volumes/1/name uses the reserved name",
        ),
    ];
    for (change, expected) in cases {
        let mut pod = pod_with_volume();
        pod["spec"]["volumes"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "other", "emptyDir": {}}));
        change(&mut pod);
        let error = run(&pod).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn dollars_in_the_plan_are_escaped_and_a_huge_plan_is_refused() {
    let mut facts = facts();
    let many: String = (0..750).fold("array:\n".to_owned(), |text, i| {
        text + &format!(
            "  - |\n    objectName: secret-{i}\n    objectType: \
            secret\n    objectAlias: $(HOME)-{i}\n"
        )
    });
    let few = many.lines().take(5).collect::<Vec<_>>().join("\n");
    facts
        .classes
        .insert("kv".into(), class("kv", &json!({"keyvaultName": "vault-1", "objects": few})));
    let (pod, _) = run_with(&pod_with_volume(), &settings(), &facts).unwrap();
    assert!(
        pod["spec"]["initContainers"][0]["env"][0]["value"]
            .as_str()
            .unwrap()
            .contains("$$(HOME)-0")
    );
    assert_eq!(plan_of(&pod).volumes[0].files[0].path.as_str(), "$(HOME)-0");
    facts
        .classes
        .insert("kv".into(), class("kv", &json!({"keyvaultName": "vault-1", "objects": many})));
    let error = run_with(&pod_with_volume(), &settings(), &facts).unwrap_err();
    assert!(error.starts_with("KS214"), "{error}");
}

#[test]
fn a_windows_pod_is_refused_for_its_volume() {
    for (field, value) in [
        ("os", json!({"name": "windows"})),
        ("nodeSelector", json!({"kubernetes.io/os": "windows"})),
        ("tolerations", json!([{"key": "os", "value": "windows", "effect": "NoSchedule"}])),
        ("runtimeClassName", json!("windows-2022")),
    ] {
        let mut pod = pod_with_volume();
        pod["spec"][field] = value;
        assert!(run(&pod).unwrap_err().starts_with("KS216 volume \"secrets\""));
        pod["metadata"]["annotations"] = json!({"keysluice.dev/csi-volumes": "leave"});
        assert!(run(&pod).is_ok());
    }
}

#[test]
fn many_volumes_of_a_large_class_are_refused_early() {
    let mut facts = facts();
    let many: String = (0..600).fold("array:\n".to_owned(), |text, i| {
        text + &format!("  - |\n    objectName: s-{i}\n    objectType: secret\n")
    });
    facts
        .classes
        .insert("kv".into(), class("kv", &json!({"keyvaultName": "vault-1", "objects": many})));
    let mut pod = pod_with_volume();
    pod["spec"]["volumes"] = (0..5000).map(|i| csi_volume(&format!("v{i}"), "kv")).collect();
    let error = run_with(&pod, &settings(), &facts).unwrap_err();
    assert!(error.starts_with("KS214 the pod has more than 1000 files"), "{error}");
    pod["spec"]["volumes"] = (0..65).map(|i| csi_volume(&format!("v{i}"), "kv")).collect();
    facts.classes.insert(
        "kv".into(),
        class("kv", &json!({"keyvaultName": "vault-1", "objects": "array:\n"})),
    );
    let error = run_with(&pod, &settings(), &facts).unwrap_err();
    assert!(
        error.starts_with("KS214 the pod has more than 64 Secrets Store CSI volumes"),
        "{error}"
    );
}

#[test]
fn a_volume_that_comes_after_the_sidecar_is_refused_for_what_it_is() {
    let (mut pod, _) = run(&pod_with_volume()).unwrap();
    pod["spec"]["volumes"].as_array_mut().unwrap().push(csi_volume("late", "kv"));
    assert!(run(&pod).unwrap_err().starts_with("KS217 volume \"late\""));
}
