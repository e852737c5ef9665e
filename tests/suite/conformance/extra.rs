//! What the cases of Azure Workload Identity leave out: behaviour that users depend on or that it
//! gets wrong, layouts.

use crate::suite::conformance::cases::{MOUNT, SKIP, TOKEN, annotated, app};
use crate::suite::support::reviews::{
    CLIENT, Reviewer, csi_pod, env_names, labelled, token_volumes,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keysluice::admission;
use serde_json::{Value, json};

#[test]
fn x_1_fields_newer_than_any_type_survive() {
    let spec = json!({"resources": {"limits": {"cpu": "1"}},
        "containers": [{"name": "app", "restartPolicyRules": [{"action": "Restart"}]}]});
    let pod = Reviewer::new().allowed(&labelled(spec));
    assert_eq!(pod["spec"]["resources"], json!({"limits": {"cpu": "1"}}));
    assert_eq!(pod["spec"]["containers"][0]["restartPolicyRules"], json!([{"action": "Restart"}]));
}

#[test]
fn x_2_a_pod_that_is_renamed_between_two_runs_keeps_its_one_volume_and_mount() {
    let mut generated = labelled(app());
    generated["metadata"]["name"] = Value::Null;
    generated["metadata"]["generateName"] = json!("app-");
    let mut pod = Reviewer::new().allowed(&generated);
    pod["metadata"]["name"] = json!("app-x7k2p");
    assert_eq!(Reviewer::new().allowed(&pod), pod);
    assert_eq!(token_volumes(&pod), 1);
}

#[test]
fn x_3_a_copy_of_a_mutated_pod_under_another_name_keeps_its_one_volume_and_mount() {
    let mut pod = Reviewer::new().allowed(&csi_pod());
    pod["metadata"]["name"] = json!("restored");
    // As it is read back from the API server.
    for volume in pod["spec"]["volumes"].as_array_mut().unwrap() {
        if volume["projected"].is_object() {
            volume["projected"]["defaultMode"] = json!(420);
        }
    }
    assert_eq!(Reviewer::new().allowed(&pod), pod);
    assert_eq!(token_volumes(&pod), 1);
}

#[test]
fn x_4_a_foreign_mount_at_the_tokens_path_is_refused_in_words() {
    let spec = json!({"containers": [{"name": "app",
        "volumeMounts": [{"name": "mine", "mountPath": MOUNT}]}]});
    let error = Reviewer::new().refused(&labelled(spec));
    assert!(
        error.starts_with("KS204 ")
            && error
                .contains("container \"app\" mounts volume \"mine\" at /var/run/secrets/azure/wi"),
        "{error}"
    );
}

#[test]
fn x_5_env_from_gives_a_warning_and_can_win() {
    let spec = json!({"containers": [{"name": "app",
        "envFrom": [{"configMapRef": {"name": "azure"}}]}, {"name": "other"}]});
    let warnings = Reviewer::new().warnings(&labelled(spec.clone()));
    assert!(warnings.len() == 1 && warnings[0].starts_with("KS254 container app"), "{warnings:?}");
    let pod = annotated(labelled(spec), "keysluice.dev/env-from-wins", "AZURE_CLIENT_ID");
    assert!(Reviewer::new().warnings(&pod).is_empty());
    let pod = Reviewer::new().allowed(&pod);
    assert_eq!(env_names(&pod["spec"]["containers"][0])[0], "AZURE_TENANT_ID");
    assert_eq!(env_names(&pod["spec"]["containers"][1])[0], "AZURE_CLIENT_ID");
}

/// How many entries follow these, which must all be kept.
fn entries_after(env: &Value) -> usize {
    let pod =
        Reviewer::new().allowed(&labelled(json!({"containers": [{"name": "app", "env": env}]})));
    let (before, after) =
        (env.as_array().unwrap(), pod["spec"]["containers"][0]["env"].as_array().unwrap());
    assert_eq!(after[..before.len()], before[..]);
    after.len() - before.len()
}

#[test]
fn x_6_a_variable_that_comes_from_elsewhere_is_kept() {
    let secret = json!({"name": "AZURE_CLIENT_ID",
        "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    assert_eq!(entries_after(&json!([secret])), 3);
}

#[test]
fn x_16_names_that_occur_twice_are_kept() {
    let twice = |name: &str| json!([{"name": name, "value": "1"}, {"name": name, "value": "2"}]);
    assert_eq!((entries_after(&twice("A")), entries_after(&twice("AZURE_TENANT_ID"))), (4, 3));
}

#[test]
fn x_7_inject_proxy_sidecar_false_means_no() {
    let pod = annotated(labelled(app()), "azure.workload.identity/inject-proxy-sidecar", "false");
    assert_eq!(Reviewer::new().allowed(&pod)["spec"]["containers"].as_array().unwrap().len(), 1);
}

#[test]
fn x_8_an_empty_tenant_annotation_falls_back_to_the_cluster_default() {
    let pod =
        Reviewer::new().account("azure.workload.identity/tenant-id", "").allowed(&labelled(app()));
    assert_eq!(
        pod["spec"]["containers"][0]["env"][1],
        json!({"name": "AZURE_TENANT_ID", "value": "cluster-tenant"})
    );
}

#[test]
fn x_10_a_pod_without_its_namespace_is_mutated() {
    assert!(labelled(app())["metadata"]["namespace"].is_null());
    let pod = Reviewer::new().allowed(&labelled(app()));
    assert!(pod["spec"]["volumes"].is_array() && pod["metadata"]["namespace"].is_null());
}

#[test]
fn the_older_name_of_the_service_account_counts_where_the_newer_is_empty() {
    let pod = |newer: &str, older: &str| {
        labelled(json!({"serviceAccountName": newer, "serviceAccount": older,
                "containers": [{"name": "app"}]}))
    };
    assert!(Reviewer::new().allowed(&pod("", "sa"))["spec"]["volumes"].is_array());
    assert!(Reviewer::new().allowed(&pod("sa", "gone"))["spec"]["volumes"].is_array());
    assert!(
        Reviewer::new().refused(&pod("", "gone")).contains("serviceaccounts \"gone\" not found")
    );
}

#[test]
fn x_12_all_containers_skipped_still_gives_the_volume() {
    let pod = Reviewer::new().allowed(&annotated(labelled(app()), SKIP, "app"));
    assert_eq!(token_volumes(&pod), 1);
    assert_eq!(pod["spec"]["containers"][0], json!({"name": "app"}));
}

#[test]
fn x_13_a_windows_pod_gets_the_same_paths() {
    let pod = Reviewer::new()
        .allowed(&labelled(json!({"os": {"name": "windows"}, "containers": [{"name": "app"}]})));
    assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"], MOUNT);
}

#[test]
fn x_14_a_review_of_v1beta1_is_answered_in_v1beta1() {
    let request =
        json!({"uid": "u", "operation": "CREATE", "namespace": "ns", "object": labelled(app())});
    let answer = |version: &str| -> Value {
        let review = json!({"apiVersion": version, "kind": "AdmissionReview", "request": request});
        let body = serde_json::to_vec(&review).unwrap();
        let (reviewer, incoming) = (Reviewer::new(), admission::read(&body).unwrap());
        let facts = reviewer.facts("ns", &incoming.needs(&reviewer.settings));
        serde_json::from_slice(&incoming.answer(&reviewer.settings, &facts).body).unwrap()
    };
    let (old, new) = (answer("admission.k8s.io/v1beta1"), answer("admission.k8s.io/v1"));
    assert_eq!(
        (&old["apiVersion"], &old["kind"]),
        (&json!("admission.k8s.io/v1beta1"), &json!("AdmissionReview"))
    );
    assert_eq!(old["response"], new["response"]);
    let patch = BASE64_STANDARD.decode(old["response"]["patch"].as_str().unwrap()).unwrap();
    assert!(serde_json::from_slice::<Vec<Value>>(&patch).unwrap().len() >= 3);
}

#[test]
fn x_17_a_second_run_gives_no_patch() {
    let pod = Reviewer::new().allowed(&csi_pod());
    assert!(Reviewer::new().answer(&pod).1.is_empty());
}

#[test]
fn x_18_a_mirror_pod_is_let_through() {
    let pod = annotated(labelled(app()), "kubernetes.io/config.mirror", "hash");
    assert_eq!(Reviewer::new().allowed(&pod), pod, "the API server forbids tokens in it");
}

#[test]
fn each_token_layout_is_injected_where_its_release_had_it() {
    let hash = "425c89ed5bb78a7623fae60fd8a6f6";
    for (layout, name, mount, file) in [
        (
            "v1.6.0",
            format!("azure-workload-identity-reserved-{hash}"),
            MOUNT.to_owned(),
            TOKEN.to_owned(),
        ),
        (
            "v1.6.1",
            format!("azure-workload-identity-reserved-{hash}"),
            format!("{MOUNT}/{hash}"),
            format!("{MOUNT}/{hash}/token/azure-identity-token"),
        ),
        (
            "v1.5",
            "azure-identity-token".to_owned(),
            "/var/run/secrets/azure/tokens".to_owned(),
            "/var/run/secrets/azure/tokens/azure-identity-token".to_owned(),
        ),
    ] {
        let mut cluster_wide = Reviewer::new();
        cluster_wide.settings.token_layout = layout.parse().unwrap();
        for (reviewer, pod) in [
            (Reviewer::new(), annotated(labelled(app()), "keysluice.dev/token-layout", layout)),
            (cluster_wide, labelled(app())),
        ] {
            let pod = reviewer.allowed(&pod);
            let app = &pod["spec"]["containers"][0];
            assert_eq!(pod["spec"]["volumes"][0]["name"], name);
            assert_eq!(
                app["volumeMounts"][0],
                json!({"name": name, "mountPath": mount, "readOnly": true})
            );
            assert_eq!(app["env"][2]["value"], file);
            assert_eq!(
                Reviewer::new().allowed(&pod),
                pod,
                "also under another setting a second run changes nothing"
            );
        }
    }
}

#[test]
fn containers_can_have_identities_of_their_own() {
    let other = "3f2a9c1e-7b64-4e0b-8d5a-6c1f0e9b2d47";
    let pod = annotated(
        labelled(json!({"containers": [{"name": "a"}, {"name": "b"}]})),
        "keysluice.dev/client-ids",
        &format!("b={other}"),
    );
    let pod = annotated(pod, "keysluice.dev/tenant-ids", "b=other.example; gone=x.example");
    let warnings = Reviewer::new().warnings(&pod);
    assert!(
        warnings.len() == 1 && warnings[0].starts_with("KS257 the pod has no container gone"),
        "{warnings:?}"
    );
    let pod = Reviewer::new().allowed(&pod);
    let id = |index: usize, entry: usize| {
        pod["spec"]["containers"][index]["env"][entry]["value"].clone()
    };
    assert_eq!((id(0, 0), id(0, 1)), (json!(CLIENT), json!("cluster-tenant")));
    assert_eq!((id(1, 0), id(1, 1)), (json!(other), json!("other.example")));
}
