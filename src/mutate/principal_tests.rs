use crate::mutate::testing::{
    CLIENT, class, class_with_secrets, csi_volume, facts, labelled, mounts_of, opaque, plan_of,
    run_with, settings,
};
use keysluice_plan::Credential;
use serde_json::{Value, json};

/// A pod of volumes with a class and a Secret of a service principal each.
fn pod(volumes: &[(&str, &str, &str)]) -> Value {
    let mut spec = json!({"containers": [{"name": "app", "volumeMounts": []}], "volumes": []});
    for (name, class, secret) in volumes {
        let mut volume = csi_volume(name, class);
        volume["csi"]["nodePublishSecretRef"] = json!({"name": secret});
        spec["volumes"].as_array_mut().unwrap().push(volume);
        let mounts = spec["containers"][0]["volumeMounts"].as_array_mut().unwrap();
        mounts.push(json!({"name": name, "mountPath": format!("/m/{name}")}));
    }
    labelled("pod", spec)
}

#[test]
fn the_sidecar_alone_gets_the_secret_of_a_service_principal() {
    let (pod, _) = run_with(&pod(&[("v", "kv", "creds")]), &settings(), &facts()).unwrap();
    let plan = plan_of(&pod);
    let directory = "/var/run/secrets/keysluice.dev-principal/creds";
    let expected = Credential::ServicePrincipal {
        tenant_id: "cluster-tenant".to_owned(),
        directory: directory.to_owned(),
        authority: "https://login.microsoftonline.com/".to_owned(),
    };
    assert_eq!(plan.identities[0].credential, expected);
    assert_eq!(plan.identities[0].name, "service-principal");
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let volume = json!({"name": "keysluice-principal-0",
        "secret": {"secretName": "creds", "defaultMode": 292}});
    assert!(volumes.contains(&volume), "{volumes:?}");
    assert!(volumes[0]["csi"].is_null() && volumes[0]["emptyDir"].is_object(), "{volumes:?}");
    let mount = json!({"name": "keysluice-principal-0", "mountPath": directory, "readOnly": true});
    let sidecar = &pod["spec"]["initContainers"][0];
    assert_eq!(mounts_of(sidecar, "keysluice-principal-0"), [&mount]);
    assert!(!pod["spec"]["containers"][0].to_string().contains("keysluice-principal"));
    // The driver removes the reference with the volume; nothing else reads the Secret.
    assert!(!pod.to_string().contains("nodePublishSecretRef"));
}

#[test]
fn several_principals_in_one_pod_also_for_one_vault() {
    let volumes = [("a", "kv", "one"), ("b", "kv", "two"), ("c", "kv", "one"), ("d", "own", "one")];
    let mut facts = facts();
    let own = json!({"keyvaultName": "vault-1", "clientID": CLIENT, "objects": ""});
    facts.classes.insert("own".to_owned(), class("own", &own));
    let (pod, _) = run_with(&pod(&volumes), &settings(), &facts).unwrap();
    let plan = plan_of(&pod);
    let names: Vec<&str> = plan.identities.iter().map(|identity| &*identity.name).collect();
    assert_eq!(names, ["service-principal", "service-principal-2", "workload-identity"]);
    let served = plan.volumes[..3].iter();
    let served: Vec<_> = served.map(|volume| (&*volume.name, &*volume.files[0].identity)).collect();
    assert_eq!(served, [("a", names[0]), ("b", names[1]), ("c", names[0])]);
    let secrets: Vec<&str> = pod["spec"]["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|volume| volume["secret"]["secretName"].as_str())
        .collect();
    assert_eq!(secrets, ["one", "two"]);
}

#[test]
fn a_second_run_changes_nothing() {
    let (once, _) = run_with(&pod(&[("v", "kv", "creds")]), &settings(), &facts()).unwrap();
    let (twice, _) = run_with(&once, &settings(), &facts()).unwrap();
    assert_eq!(once, twice);
}

#[test]
fn a_secret_that_cannot_be_there_is_refused() {
    let mut facts = facts();
    facts
        .classes
        .insert("made".to_owned(), class_with_secrets("made", "azure", &json!([opaque("creds")])));
    for (volumes, expected) in [
        (&[("v", "kv", "Not a name")][..], "KS163 nodePublishSecretRef: \"Not a name\""),
        (&[("v", "kv", "../x")], "KS163 nodePublishSecretRef: \"../x\""),
        (&[("v", "kv", "")], "KS163 nodePublishSecretRef: \"\""),
        (&[("v", "made", "creds")], "KS224 nodePublishSecretRef of volume \"v\" needs Secret"),
        (&[("keysluice-principal-0", "kv", "creds")], "KS206 /spec/volumes/0/name uses"),
    ] {
        let error = run_with(&pod(volumes), &settings(), &facts).map(|_| ()).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}
