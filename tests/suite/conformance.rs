//! Azure Workload Identity's own test cases, as named in its suite, against our bytes in -> bytes out; then the cases it gets wrong.
//!
//! Not here, because elsewhere: CID (`identity::account`), CFG-4 to CFG-12 (`settings::token_endpoint`), AUT (`cloud`). Not at all: PIN, PSC, PXY
//! and VER, which concern its proxy sidecar.

use super::reviews::{CLIENT, Reviewer, csi_pod, env_names, labelled, token_volumes};
use serde_json::{Value, json};

const EXPIRATION: &str = "azure.workload.identity/service-account-token-expiration";
const SKIP: &str = "azure.workload.identity/skip-containers";
const MOUNT: &str = "/var/run/secrets/azure/wi";
const TOKEN: &str = "/var/run/secrets/azure/wi/token/azure-identity-token";

pub(super) fn app() -> Value {
    json!({"containers": [{"name": "app"}]})
}

pub(super) fn annotated(mut pod: Value, key: &str, value: &str) -> Value {
    pod["metadata"]["annotations"][key] = json!(value);
    pod
}

fn seconds(pod: &Value) -> i64 {
    pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"].as_i64().unwrap()
}

#[test]
fn exp_1_to_4_a_bad_expiration_is_refused() {
    for value in ["3600s", "3599", "86401"] {
        let error = Reviewer::new().refused(&annotated(labelled(app()), EXPIRATION, value));
        assert!(error.starts_with("KS203"), "{error}");
    }
    let error = Reviewer::new().account(EXPIRATION, "3600s").refused(&labelled(app()));
    assert!(error.contains("strconv.ParseInt: parsing \"3600s\": invalid syntax"), "{error}");
}

#[test]
fn exp_5_the_service_accounts_expiration_counts() {
    assert_eq!(seconds(&Reviewer::new().account(EXPIRATION, "4800").allowed(&labelled(app()))), 4800);
}

#[test]
fn exp_6_the_pods_expiration_wins() {
    let pod = annotated(labelled(app()), EXPIRATION, "4000");
    assert_eq!(seconds(&Reviewer::new().account(EXPIRATION, "4800").allowed(&pod)), 4000);
}

#[test]
fn ten_1_and_2_the_annotated_tenant_wins_over_the_clusters() {
    let tenant =
        |reviewer: Reviewer| reviewer.allowed(&labelled(app()))["spec"]["containers"][0]["env"][1]["value"].clone();
    let own = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    assert_eq!(tenant(Reviewer::new().account("azure.workload.identity/tenant-id", own)), own);
    assert_eq!(tenant(Reviewer::new()), "cluster-tenant");
}

#[test]
fn skp_1_to_4_listed_containers_are_left_alone() {
    for (list, mutated) in [
        (None, [true, true]),
        (Some("container1"), [false, true]),
        (Some("container1;container2"), [false, false]),
        (Some("container1; container2"), [false, false]),
    ] {
        let mut pod = labelled(json!({"containers": [{"name": "container1"}, {"name": "container2"}]}));
        if let Some(list) = list {
            pod = annotated(pod, SKIP, list);
        }
        let pod = Reviewer::new().allowed(&pod);
        assert_eq!([0, 1].map(|index| pod["spec"]["containers"][index]["env"].is_array()), mutated, "{list:?}");
    }
}

#[test]
fn vol_1_the_projected_volume_is_added() {
    let pod = Reviewer::new().allowed(&labelled(app()));
    assert_eq!(
        pod["spec"]["volumes"],
        json!([{"name": "azure-workload-identity-reserved-425c89ed5bb78a7623fae60fd8a6f6", "projected": {"sources": [{
            "serviceAccountToken": {"path": "token/azure-identity-token", "expirationSeconds": 3600, "audience": "api://AzureADTokenExchange"}}]}}])
    );
}

#[test]
fn vol_2_a_volume_that_is_there_is_not_doubled() {
    let once = Reviewer::new().allowed(&labelled(app()));
    let mut defaulted = once.clone();
    defaulted["spec"]["volumes"][0]["projected"]["defaultMode"] = json!(420);
    assert_eq!(Reviewer::new().allowed(&defaulted), defaulted, "the API server's defaults are no difference");
}

#[test]
fn vol_3_a_volume_of_the_reserved_name_is_corrected() {
    let mut pod = Reviewer::new().allowed(&labelled(app()));
    let right = pod.clone();
    pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"] =
        json!({"path": "x", "audience": "y", "expirationSeconds": 3600});
    assert_eq!(Reviewer::new().allowed(&pod), right);
}

#[test]
fn env_1_the_four_variables_in_order() {
    let pod = Reviewer::new().allowed(&labelled(app()));
    assert_eq!(
        pod["spec"]["containers"][0]["env"],
        json!([{"name": "AZURE_CLIENT_ID", "value": CLIENT}, {"name": "AZURE_TENANT_ID", "value": "cluster-tenant"},
            {"name": "AZURE_FEDERATED_TOKEN_FILE", "value": TOKEN}, {"name": "AZURE_AUTHORITY_HOST", "value": "https://login.microsoftonline.com/"}])
    );
}

#[test]
fn env_2_and_3_existing_values_stay_and_new_ones_follow() {
    let env = json!([{"name": "MY_ENV_VAR", "value": "x"}, {"name": "AZURE_TENANT_ID", "value": "mine"}]);
    let pod = Reviewer::new().allowed(&labelled(json!({"containers": [{"name": "app", "env": env}]})));
    let names = env_names(&pod["spec"]["containers"][0]);
    assert_eq!(
        names,
        ["MY_ENV_VAR", "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"]
    );
    assert_eq!(pod["spec"]["containers"][0]["env"][1]["value"], "mine");
}

#[test]
fn env_4_empty_values_are_not_injected() {
    let mut reviewer = Reviewer::new().account("azure.workload.identity/client-id", "");
    reviewer.settings.tenant_id = None;
    let pod = reviewer.allowed(&labelled(app()));
    assert_eq!(env_names(&pod["spec"]["containers"][0]), ["AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"]);
}

#[test]
fn mnt_1_and_2_the_mount_is_appended() {
    let mounts = json!([{"name": "data", "mountPath": "/data"}]);
    let pod = Reviewer::new()
        .allowed(&labelled(json!({"containers": [{"name": "a"}, {"name": "b", "volumeMounts": mounts}]})));
    let name = &pod["spec"]["volumes"][0]["name"];
    let mount = json!({"name": name, "mountPath": MOUNT, "readOnly": true});
    assert_eq!(pod["spec"]["containers"][0]["volumeMounts"], json!([mount]));
    assert_eq!(pod["spec"]["containers"][1]["volumeMounts"], json!([mounts[0], mount]));
}

#[test]
fn hdl_1_to_6_allowed_without_any_removal_and_native_sidecars_keep_their_restart_policy() {
    let spec = json!({"serviceAccountName": "sa", "initContainers": [{"name": "side", "restartPolicy": "Always"}], "containers": [{"name": "app"}]});
    let (pod, operations) = Reviewer::new().answer(&labelled(spec));
    assert!(operations.iter().all(|operation| operation["op"] != "remove"));
    assert_eq!(pod["spec"]["initContainers"][0]["restartPolicy"], "Always");
    let (_, operations) = Reviewer::new().answer(&labelled(app()));
    assert!(!operations.is_empty(), "without a serviceAccountName it is default");
}

#[test]
fn mut_1_to_3_no_container_one_container_one_skipped() {
    assert!(Reviewer::new().allowed(&labelled(json!({"containers": []})))["spec"]["volumes"].is_array());
    let spec = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    let pod = Reviewer::new().allowed(&annotated(labelled(spec), SKIP, "b"));
    assert_eq!(env_names(&pod["spec"]["containers"][0]).len(), 4);
    assert_eq!(pod["spec"]["containers"][1], json!({"name": "b"}));
}

#[test]
fn pan_1_and_2_prt_1_to_4_the_proxy_is_refused_whatever_its_port() {
    let key = "azure.workload.identity/inject-proxy-sidecar";
    let ported = |value: &str| {
        annotated(annotated(labelled(app()), key, value), "azure.workload.identity/proxy-sidecar-port", "invalid")
    };
    assert!(Reviewer::new().refused(&ported("true")).starts_with("KS205"));
    assert!(Reviewer::new().allowed(&labelled(app()))["spec"]["volumes"].is_array());
}

#[test]
fn err_2_a_missing_service_account_is_named() {
    let pod = labelled(json!({"serviceAccountName": "sa", "containers": []}));
    let error = Reviewer::new().without_account().refused(&pod);
    assert!(error.contains("serviceaccounts \"sa\" not found"), "{error}");
}

#[test]
fn x_1_fields_newer_than_any_type_survive() {
    let spec = json!({"resources": {"limits": {"cpu": "1"}}, "containers": [{"name": "app", "restartPolicyRules": [{"action": "Restart"}]}]});
    let pod = Reviewer::new().allowed(&labelled(spec));
    assert_eq!(pod["spec"]["resources"], json!({"limits": {"cpu": "1"}}));
    assert_eq!(pod["spec"]["containers"][0]["restartPolicyRules"], json!([{"action": "Restart"}]));
}

#[test]
fn x_2_and_3_a_renamed_or_copied_pod_keeps_its_one_volume_and_mount() {
    let mut pod = Reviewer::new().allowed(&labelled(app()));
    pod["metadata"]["name"] = json!("another");
    assert_eq!(Reviewer::new().allowed(&pod), pod);
    assert_eq!(token_volumes(&pod), 1);
}

#[test]
fn x_4_a_foreign_mount_at_the_tokens_path_is_refused_in_words() {
    let spec = json!({"containers": [{"name": "app", "volumeMounts": [{"name": "mine", "mountPath": MOUNT}]}]});
    let error = Reviewer::new().refused(&labelled(spec));
    assert!(
        error.starts_with("KS204 container \"app\" mounts volume \"mine\" at /var/run/secrets/azure/wi"),
        "{error}"
    );
}

#[test]
fn x_5_env_from_gives_a_warning_and_can_win() {
    let spec =
        json!({"containers": [{"name": "app", "envFrom": [{"configMapRef": {"name": "azure"}}]}, {"name": "other"}]});
    let warnings = Reviewer::new().warnings(&labelled(spec.clone()));
    assert!(warnings.len() == 1 && warnings[0].starts_with("KS254 container app"), "{warnings:?}");
    let pod = annotated(labelled(spec), "keysluice.dev/env-from-wins", "AZURE_CLIENT_ID");
    assert!(Reviewer::new().warnings(&pod).is_empty());
    let pod = Reviewer::new().allowed(&pod);
    assert_eq!(env_names(&pod["spec"]["containers"][0])[0], "AZURE_TENANT_ID");
    assert_eq!(env_names(&pod["spec"]["containers"][1])[0], "AZURE_CLIENT_ID");
}

#[test]
fn x_6_and_16_value_from_and_doubled_names_are_kept() {
    let env = json!([{"name": "AZURE_CLIENT_ID", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, {"name": "A", "value": "1"}, {"name": "A", "value": "2"}]);
    let pod = Reviewer::new().allowed(&labelled(json!({"containers": [{"name": "app", "env": env}]})));
    let after = pod["spec"]["containers"][0]["env"].as_array().unwrap();
    assert_eq!(after[..3], env.as_array().unwrap()[..]);
    assert_eq!(after.len(), 6);
}

#[test]
fn x_7_inject_proxy_sidecar_false_means_no() {
    let pod = annotated(labelled(app()), "azure.workload.identity/inject-proxy-sidecar", "false");
    assert_eq!(Reviewer::new().allowed(&pod)["spec"]["containers"].as_array().unwrap().len(), 1);
}

#[test]
fn x_8_an_empty_tenant_annotation_falls_back_to_the_cluster_default() {
    let pod = Reviewer::new().account("azure.workload.identity/tenant-id", "").allowed(&labelled(app()));
    assert_eq!(pod["spec"]["containers"][0]["env"][1], json!({"name": "AZURE_TENANT_ID", "value": "cluster-tenant"}));
}

pub(super) fn binding(change: impl FnOnce(&mut keysluice::settings::TokenEndpointText)) -> Reviewer {
    let mut text = keysluice::settings::TokenEndpointText {
        suffix: "identity-binding".into(),
        audience: "api://AKSIdentityBinding".into(),
        proxy: "https://kubernetes.default.svc".into(),
        sni_name: "a.ests.aks".into(),
        ..Default::default()
    };
    change(&mut text);
    let mut reviewer = Reviewer::new();
    reviewer.settings.token_endpoint = text.parse().unwrap();
    reviewer
}

pub(super) fn bound() -> Value {
    annotated(labelled(app()), "azure.workload.identity/use-identity-binding", "True")
}

#[test]
fn e2e_10_an_identity_binding_gets_its_audience_proxy_and_authority() {
    let reviewer = binding(|text| text.ca_config_map = "kube-root-ca.crt".into());
    let pod = reviewer.allowed(&bound());
    let app = &pod["spec"]["containers"][0];
    assert_eq!(
        env_names(app)[4..],
        ["AZURE_KUBERNETES_TOKEN_PROXY", "AZURE_KUBERNETES_SNI_NAME", "AZURE_KUBERNETES_CA_FILE"]
    );
    assert_eq!(app["env"][6]["value"], "/var/run/secrets/azure/wi/ca-cert/ca.crt");
    let sources = &pod["spec"]["volumes"][0]["projected"]["sources"];
    assert_eq!(sources[0]["serviceAccountToken"]["audience"], "api://AKSIdentityBinding");
    assert_eq!(
        sources[1],
        json!({"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca-cert/ca.crt"}], "optional": false}})
    );
    assert_eq!(reviewer.allowed(&pod), pod, "a second run changes nothing");
    assert_eq!(
        env_names(&reviewer.allowed(&labelled(super::conformance::app()))["spec"]["containers"][0]).len(),
        4,
        "only on request"
    );
}

#[test]
fn x_9_with_ca_data_there_is_no_ca_file() {
    let pod = binding(|text| text.ca_data = "PEM".into()).allowed(&bound());
    let names = env_names(&pod["spec"]["containers"][0]).into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names[4..], ["AZURE_KUBERNETES_TOKEN_PROXY", "AZURE_KUBERNETES_SNI_NAME", "AZURE_KUBERNETES_CA_DATA"]);
    let pod = binding(|_| {}).allowed(&bound());
    assert_eq!(env_names(&pod["spec"]["containers"][0]).len(), 6, "and none without any source");
}

#[test]
fn a_cluster_trust_bundle_is_projected() {
    let reviewer =
        binding(|text| (text.ca_signer, text.ca_selector) = ("x/y".into(), r#"{"matchLabels":{"a":"b"}}"#.into()));
    let pod = reviewer.allowed(&bound());
    assert_eq!(
        pod["spec"]["volumes"][0]["projected"]["sources"][1],
        json!({"clusterTrustBundle": {"signerName": "x/y", "path": "ca-cert/ca.crt", "optional": false, "labelSelector": {"matchLabels": {"a": "b"}}}})
    );
    assert_eq!(reviewer.allowed(&pod), pod);
}

#[test]
fn x_10_a_pod_without_its_namespace_is_mutated() {
    assert!(labelled(app())["metadata"]["namespace"].is_null());
    assert!(Reviewer::new().allowed(&labelled(app()))["spec"]["volumes"].is_array());
}

#[test]
fn x_12_all_containers_skipped_still_gives_the_volume() {
    let pod = Reviewer::new().allowed(&annotated(labelled(app()), SKIP, "app"));
    assert_eq!(token_volumes(&pod), 1);
    assert_eq!(pod["spec"]["containers"][0], json!({"name": "app"}));
}

#[test]
fn x_13_a_windows_pod_gets_the_same_paths() {
    let pod = Reviewer::new().allowed(&labelled(json!({"os": {"name": "windows"}, "containers": [{"name": "app"}]})));
    assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"], MOUNT);
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
        ("v1.6.0", format!("azure-workload-identity-reserved-{hash}"), MOUNT.to_owned(), TOKEN.to_owned()),
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
            assert_eq!(app["volumeMounts"][0], json!({"name": name, "mountPath": mount, "readOnly": true}));
            assert_eq!(app["env"][2]["value"], file);
            assert_eq!(Reviewer::new().allowed(&pod), pod, "also under another setting a second run changes nothing");
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
    let pod = annotated(pod, "keysluice.dev/tenant-ids", "b=other-tenant; gone=x");
    let warnings = Reviewer::new().warnings(&pod);
    assert!(warnings.len() == 1 && warnings[0].starts_with("KS257 the pod has no container gone"), "{warnings:?}");
    let pod = Reviewer::new().allowed(&pod);
    let id = |index: usize, entry: usize| pod["spec"]["containers"][index]["env"][entry]["value"].clone();
    assert_eq!((id(0, 0), id(0, 1)), (json!(CLIENT), json!("cluster-tenant")));
    assert_eq!((id(1, 0), id(1, 1)), (json!(other), json!("other-tenant")));
}

#[test]
fn new_ephemeral_containers_get_the_identity_also_the_second_time() {
    let running = Reviewer::new().allowed(&labelled(app()));
    let mut first = running.clone();
    first["spec"]["ephemeralContainers"] = json!([{"name": "debug-1", "targetContainerName": "app"}]);
    let first_after = Reviewer::new().ephemeral(&first, &running);
    let debugger = &first_after["spec"]["ephemeralContainers"][0];
    assert_eq!(env_names(debugger).len(), 4);
    assert_eq!(debugger["volumeMounts"][0]["mountPath"], MOUNT);
    let mut second = first_after.clone();
    second["spec"]["ephemeralContainers"].as_array_mut().unwrap().push(json!({"name": "debug-2"}));
    let second_after = Reviewer::new().ephemeral(&second, &first_after);
    assert_eq!(
        second_after["spec"]["ephemeralContainers"][0], first_after["spec"]["ephemeralContainers"][0],
        "existing ones may not change"
    );
    assert_eq!(env_names(&second_after["spec"]["ephemeralContainers"][1]).len(), 4);
    assert_eq!(second_after["spec"]["containers"], running["spec"]["containers"]);
}

#[test]
fn ephemeral_containers_of_a_pod_without_a_token_are_left_alone() {
    let running = labelled(app());
    let mut debugged = running.clone();
    debugged["spec"]["ephemeralContainers"] = json!([{"name": "debug"}]);
    assert_eq!(Reviewer::new().ephemeral(&debugged, &running), debugged);
}

#[test]
fn nobody_is_kept_from_debugging_a_pod_that_runs() {
    let running = Reviewer::new().allowed(&labelled(app()));
    let mut debugged = running.clone();
    debugged["spec"]["ephemeralContainers"] = json!([{"name": "debug"}]);
    let foreign = json!([{"name": "mine", "mountPath": MOUNT}]);
    let with_mount = |mut pod: Value| {
        pod["spec"]["ephemeralContainers"][0]["volumeMounts"] = foreign.clone();
        pod
    };
    for (reviewer, pod, code, variables) in [
        (Reviewer::new().without_account(), debugged.clone(), Some("KS202"), 3),
        (Reviewer::new(), annotated(debugged.clone(), "keysluice.dev/later", "x"), Some("KS210"), 4),
        (Reviewer::new(), annotated(debugged.clone(), "keysluice.dev/gate", "x"), Some("KS209"), 4),
        (Reviewer::new(), with_mount(debugged.clone()), Some("KS204"), 0),
        (Reviewer::new(), annotated(debugged.clone(), EXPIRATION, "soon"), None, 4),
        (Reviewer::new().account(EXPIRATION, "1"), debugged, None, 4),
    ] {
        let (after, warnings) = reviewer.ephemeral_with_warnings(&pod, &running);
        assert_eq!(warnings.len(), usize::from(code.is_some()), "{warnings:?}");
        assert!(code.is_none_or(|code| warnings[0].starts_with(code)), "{warnings:?}");
        assert_eq!(env_names(&after["spec"]["ephemeralContainers"][0]).len(), variables, "{code:?}");
    }
    let mut unlabelled = annotated(running.clone(), "keysluice.dev/later", "x");
    unlabelled["metadata"]["labels"] = json!({});
    assert_eq!(Reviewer::new().ephemeral_with_warnings(&unlabelled, &running), (unlabelled, Vec::new()));
}
