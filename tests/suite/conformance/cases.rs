//! Azure Workload Identity's own test cases, as named in its suite, against our bytes in -> bytes
//! out.
//!
//! CFG-4 to CFG-12 stand with the settings (`settings::token_endpoint`), X-1 to X-18 in
//! `extra`, what concerns the API server in `cluster`. Not at all: PIN,
//! PSC, PXY and VER, which concern its proxy sidecar.

use crate::suite::support::reviews::{CLIENT, Reviewer, env_names, labelled};
use keysluice::cloud::{Cloud, Clouds};
use keysluice::mutate::ServiceAccount;
use serde_json::{Value, json};
use std::process::Command;

pub(super) const EXPIRATION: &str = "azure.workload.identity/service-account-token-expiration";
pub(super) const SKIP: &str = "azure.workload.identity/skip-containers";
const PROXY: &str = "azure.workload.identity/inject-proxy-sidecar";
const PROXY_PORT: &str = "azure.workload.identity/proxy-sidecar-port";
const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
pub(super) const MOUNT: &str = "/var/run/secrets/azure/wi";
pub(super) const TOKEN: &str = "/var/run/secrets/azure/wi/token/azure-identity-token";

pub(super) fn app() -> Value {
    json!({"containers": [{"name": "app"}]})
}

pub(super) fn annotated(mut pod: Value, key: &str, value: &str) -> Value {
    pod["metadata"]["annotations"][key] = json!(value);
    pod
}

fn seconds(pod: &Value) -> i64 {
    pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"]
        .as_i64()
        .unwrap()
}

fn refused_expiration(value: &str) -> String {
    let error = Reviewer::new().refused(&annotated(labelled(app()), EXPIRATION, value));
    assert!(error.starts_with("KS203"), "{error}");
    error
}

#[test]
fn exp_1_an_expiration_of_the_pod_with_a_unit_is_refused() {
    assert!(
        refused_expiration("3600s").contains("strconv.ParseInt: parsing \"3600s\": invalid syntax")
    );
}

#[test]
fn exp_2_an_expiration_of_the_service_account_with_a_unit_is_refused() {
    let error = Reviewer::new().account(EXPIRATION, "3600s").refused(&labelled(app()));
    assert!(error.contains("strconv.ParseInt: parsing \"3600s\": invalid syntax"), "{error}");
}

#[test]
fn exp_3_less_than_an_hour_is_refused() {
    let text = "token expiration 3599 not valid. Expected value to be between 3600 and 86400";
    assert!(refused_expiration("3599").contains(text));
    assert_eq!(
        seconds(&Reviewer::new().allowed(&annotated(labelled(app()), EXPIRATION, "3600"))),
        3600
    );
}

#[test]
fn exp_4_more_than_a_day_is_refused() {
    let text = "token expiration 86401 not valid. Expected value to be between 3600 and 86400";
    assert!(refused_expiration("86401").contains(text));
    assert_eq!(
        seconds(&Reviewer::new().allowed(&annotated(labelled(app()), EXPIRATION, "86400"))),
        86400
    );
}

#[test]
fn exp_5_the_service_accounts_expiration_counts() {
    assert_eq!(
        seconds(&Reviewer::new().account(EXPIRATION, "4800").allowed(&labelled(app()))),
        4800
    );
}

#[test]
fn exp_6_the_pods_expiration_wins() {
    let pod = annotated(labelled(app()), EXPIRATION, "4000");
    assert_eq!(seconds(&Reviewer::new().account(EXPIRATION, "4800").allowed(&pod)), 4000);
}

#[test]
fn cid_1_without_the_annotation_there_is_no_client_id() {
    for annotations in [&[][..], &[("azure.workload.identity/client-id", "")]] {
        assert_eq!(ServiceAccount::from_annotations(annotations.iter().copied()).client_id, None);
    }
}

#[test]
fn cid_2_the_annotation_is_the_client_id() {
    let account = ServiceAccount::from_annotations([("azure.workload.identity/client-id", CLIENT)]);
    assert_eq!(account.client_id.as_deref(), Some(CLIENT));
    assert_eq!(variable(&Reviewer::new().allowed(&labelled(app())), "AZURE_CLIENT_ID"), CLIENT);
}

/// The value of a variable of the first container.
fn variable(pod: &Value, name: &str) -> Value {
    let env = pod["spec"]["containers"][0]["env"].as_array().unwrap();
    env.iter()
        .find(|entry| entry["name"] == name)
        .map_or(Value::Null, |entry| entry["value"].clone())
}

#[test]
fn ten_1_the_annotated_tenant_wins() {
    let reviewer = Reviewer::new().account("azure.workload.identity/tenant-id", TENANT);
    assert_eq!(variable(&reviewer.allowed(&labelled(app())), "AZURE_TENANT_ID"), TENANT);
}

#[test]
fn ten_2_without_an_annotation_it_is_the_clusters() {
    assert_eq!(
        variable(&Reviewer::new().allowed(&labelled(app())), "AZURE_TENANT_ID"),
        "cluster-tenant"
    );
}

/// Which of two containers are mutated.
fn mutated(skip: Option<&str>) -> [bool; 2] {
    let mut pod = labelled(json!({"containers": [{"name": "container1"}, {"name": "container2"}]}));
    if let Some(list) = skip {
        pod = annotated(pod, SKIP, list);
    }
    let pod = Reviewer::new().allowed(&pod);
    [0, 1].map(|index| {
        pod["spec"]["containers"][index] != json!({"name": format!("container{}", index + 1)})
    })
}

#[test]
fn skp_1_without_a_list_no_container_is_skipped() {
    assert_eq!(mutated(None), [true, true]);
    assert_eq!(mutated(Some("")), [true, true]);
}

#[test]
fn skp_2_one_container_is_skipped() {
    assert_eq!(mutated(Some("container1")), [false, true]);
}

#[test]
fn skp_3_two_containers_are_skipped() {
    assert_eq!(mutated(Some("container1;container2")), [false, false]);
}

#[test]
fn skp_4_blanks_in_the_list_do_not_count() {
    assert_eq!(mutated(Some("container1; container2")), [false, false]);
}

#[test]
fn vol_1_the_projected_volume_is_added() {
    let pod = Reviewer::new().allowed(&labelled(app()));
    assert_eq!(
        pod["spec"]["volumes"],
        json!([{"name": "azure-workload-identity-reserved-425c89ed5bb78a7623fae60fd8a6f6",
            "projected": {"sources": [{
            "serviceAccountToken": {"path": "token/azure-identity-token", "expirationSeconds": 3600,
                "audience": "api://AzureADTokenExchange"}}]}}])
    );
}

#[test]
fn vol_2_a_volume_that_is_there_is_not_doubled() {
    let once = Reviewer::new().allowed(&labelled(app()));
    let mut defaulted = once.clone();
    defaulted["spec"]["volumes"][0]["projected"]["defaultMode"] = json!(420);
    assert_eq!(
        Reviewer::new().allowed(&defaulted),
        defaulted,
        "the API server's defaults are no difference"
    );
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
        json!([{"name": "AZURE_CLIENT_ID", "value": CLIENT},
            {"name": "AZURE_TENANT_ID", "value": "cluster-tenant"},
            {"name": "AZURE_FEDERATED_TOKEN_FILE", "value": TOKEN},
            {"name": "AZURE_AUTHORITY_HOST", "value": "https://login.microsoftonline.com/"}])
    );
}

#[test]
fn env_2_existing_values_are_not_replaced() {
    let env = json!([{"name": "AZURE_TENANT_ID", "value": "mine"}, {"name": "AZURE_CLIENT_ID"}]);
    let pod =
        Reviewer::new().allowed(&labelled(json!({"containers": [{"name": "app", "env": env}]})));
    assert_eq!(
        pod["spec"]["containers"][0]["env"].as_array().unwrap()[..2],
        env.as_array().unwrap()[..]
    );
    assert_eq!(pod["spec"]["containers"][0]["env"].as_array().unwrap().len(), 4);
}

#[test]
fn env_3_new_variables_follow_the_existing_ones() {
    let env =
        json!([{"name": "MY_ENV_VAR", "value": "x"}, {"name": "AZURE_TENANT_ID", "value": "mine"}]);
    let pod =
        Reviewer::new().allowed(&labelled(json!({"containers": [{"name": "app", "env": env}]})));
    let names = env_names(&pod["spec"]["containers"][0]);
    assert_eq!(
        names,
        [
            "MY_ENV_VAR",
            "AZURE_TENANT_ID",
            "AZURE_CLIENT_ID",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_AUTHORITY_HOST"
        ]
    );
    assert_eq!(pod["spec"]["containers"][0]["env"][1]["value"], "mine");
}

#[test]
fn env_4_empty_values_are_not_injected() {
    let mut reviewer = Reviewer::new().account("azure.workload.identity/client-id", "");
    reviewer.settings.tenant_id = None;
    let pod = reviewer.allowed(&labelled(app()));
    assert_eq!(
        env_names(&pod["spec"]["containers"][0]),
        ["AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"]
    );
}

#[test]
fn mnt_1_the_mount_is_added() {
    let pod = Reviewer::new().allowed(&labelled(app()));
    let mount =
        json!({"name": pod["spec"]["volumes"][0]["name"], "mountPath": MOUNT, "readOnly": true});
    assert_eq!(pod["spec"]["containers"][0]["volumeMounts"], json!([mount]));
}

#[test]
fn mnt_2_the_mount_follows_the_existing_ones() {
    let mounts = json!([{"name": "data", "mountPath": "/data"}]);
    let spec = json!({"containers": [{"name": "app", "volumeMounts": mounts}]});
    let pod = Reviewer::new().allowed(&labelled(spec));
    let mount =
        json!({"name": pod["spec"]["volumes"][0]["name"], "mountPath": MOUNT, "readOnly": true});
    assert_eq!(pod["spec"]["containers"][0]["volumeMounts"], json!([mounts[0], mount]));
}

/// Allowed, mutated, and nothing is removed.
fn handled(pod: &Value) -> Value {
    let (after, operations) = Reviewer::new().answer(pod);
    assert!(
        !operations.is_empty() && operations.iter().all(|operation| operation["op"] != "remove"),
        "{operations:?}"
    );
    after
}

#[test]
fn hdl_1_a_pod_of_a_known_service_account_is_mutated() {
    handled(&labelled(json!({"serviceAccountName": "sa", "containers": [{"name": "app"}]})));
}

#[test]
fn hdl_3_a_pod_without_a_service_account_name_runs_as_default() {
    handled(&labelled(app()));
    let other = Reviewer::new()
        .refused(&labelled(json!({"serviceAccountName": "other", "containers": []})));
    assert!(other.starts_with("KS202"), "{other}");
}

#[test]
fn hdl_5_a_labelled_pod_gives_no_warning() {
    let pod = labelled(json!({"serviceAccountName": "sa", "containers": [{"name": "app"}]}));
    handled(&pod);
    assert_eq!(Reviewer::new().warnings(&pod), [""; 0]);
}

#[test]
fn hdl_6_the_restart_policy_of_a_native_sidecar_is_preserved() {
    let side = json!({"name": "side", "restartPolicy": "Always"});
    let pod =
        handled(&labelled(json!({"initContainers": [side], "containers": [{"name": "app"}]})));
    assert_eq!(pod["spec"]["initContainers"][0]["restartPolicy"], "Always");
}

/// The authority that containers get in this cloud.
fn authority(cloud: &str) -> Option<Value> {
    let mut reviewer = Reviewer::new();
    reviewer.settings.clouds = Clouds::new(Cloud::well_known(cloud)?);
    Some(variable(&reviewer.allowed(&labelled(app())), "AZURE_AUTHORITY_HOST"))
}

#[test]
fn aut_1_without_a_name_it_is_the_public_cloud() {
    assert_eq!(authority("").unwrap(), "https://login.microsoftonline.com/");
}

#[test]
fn aut_2_the_public_cloud() {
    assert_eq!(authority("AzurePublicCloud").unwrap(), "https://login.microsoftonline.com/");
}

#[test]
fn aut_3_the_united_states_governments_cloud() {
    assert_eq!(authority("AzureUSGovernmentCloud").unwrap(), "https://login.microsoftonline.us/");
}

#[test]
fn aut_4_the_cloud_in_china() {
    assert_eq!(authority("AzureChinaCloud").unwrap(), "https://login.chinacloudapi.cn/");
}

#[test]
fn aut_5_the_german_cloud() {
    assert_eq!(authority("AzureGermanCloud").unwrap(), "https://login.microsoftonline.de/");
}

#[test]
fn aut_6_another_name_is_an_error() {
    assert_eq!(authority("InvalidCloud"), None);
    let error = explained(&[("AZURE_ENVIRONMENT", "InvalidCloud")]).unwrap_err();
    assert!(error.contains("--cloud \"InvalidCloud\" is neither a known cloud"), "{error}");
}

#[test]
fn mut_1_a_pod_without_containers_gets_the_volume() {
    assert!(handled(&labelled(json!({"containers": []})))["spec"]["volumes"].is_array());
}

#[test]
fn mut_2_a_container_gets_environment_and_mount() {
    let pod = handled(&labelled(app()));
    assert_eq!(env_names(&pod["spec"]["containers"][0]).len(), 4);
    assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"], MOUNT);
}

#[test]
fn mut_3_of_two_containers_the_skipped_one_is_left() {
    let spec = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    let pod = handled(&annotated(labelled(spec), SKIP, "b"));
    assert_eq!(env_names(&pod["spec"]["containers"][0]).len(), 4);
    assert_eq!(pod["spec"]["containers"][1], json!({"name": "b"}));
}

#[test]
fn pan_1_without_the_annotation_there_is_no_proxy() {
    let pod = Reviewer::new().allowed(&labelled(app()));
    assert_eq!(pod["spec"]["containers"].as_array().unwrap().len(), 1);
    assert!(pod["spec"]["initContainers"].is_null());
}

#[test]
fn pan_2_true_asks_for_the_proxy_which_is_refused() {
    let error = Reviewer::new().refused(&annotated(labelled(app()), PROXY, "true"));
    assert!(error.starts_with("KS205 ") && error.contains("set it to \"false\""), "{error}");
}

/// A port for the proxy changes nothing where no proxy is asked for, and is not looked at where one
/// is.
fn with_port(port: Option<(&str, &str)>) {
    let plain = Reviewer::new().allowed(&labelled(app()));
    let pod =
        |pod: Value| port.into_iter().fold(pod, |pod, (key, value)| annotated(pod, key, value));
    assert_eq!(Reviewer::new().allowed(&pod(labelled(app())))["spec"], plain["spec"]);
    let refused = |pod: &Value| Reviewer::new().refused(pod);
    let asked = annotated(labelled(app()), PROXY, "true");
    assert_eq!(refused(&pod(asked.clone())), refused(&asked));
}

#[test]
fn prt_1_no_annotation_names_a_port() {
    with_port(None);
}

#[test]
fn prt_2_another_annotation_names_no_port() {
    with_port(Some(("another.dev/port", "8080")));
}

#[test]
fn prt_3_a_port_without_a_proxy_is_no_matter() {
    with_port(Some((PROXY_PORT, "8080")));
}

#[test]
fn prt_4_nor_is_one_that_is_no_number() {
    with_port(Some((PROXY_PORT, "invalid")));
}

#[test]
fn err_1_a_pod_without_a_kind_is_refused() {
    let error = Reviewer::new().refused(&json!({"metadata": {"name": "pod"}}));
    assert!(error.starts_with("KS201 ") && error.contains("couldn't get version/kind"), "{error}");
}

#[test]
fn err_2_a_missing_service_account_is_named() {
    let pod = labelled(json!({"serviceAccountName": "sa", "containers": []}));
    let error = Reviewer::new().without_account().refused(&pod);
    assert!(error.contains("serviceaccounts \"sa\" not found"), "{error}");
}

#[test]
fn err_3_the_host_network_with_a_proxy_is_refused_for_the_proxy() {
    let host = labelled(json!({"hostNetwork": true, "containers": [{"name": "app"}]}));
    assert!(Reviewer::new().refused(&annotated(host.clone(), PROXY, "true")).starts_with("KS205 "));
    assert_eq!(handled(&host)["spec"]["hostNetwork"], true);
}

#[test]
fn err_4_a_bad_port_with_a_proxy_is_refused_for_the_proxy() {
    let pod = annotated(annotated(labelled(app()), PROXY, "true"), PROXY_PORT, "invalid");
    assert!(Reviewer::new().refused(&pod).starts_with("KS205 "));
}

#[test]
fn err_5_a_bad_expiration_is_refused_with_the_text_of_its_parser() {
    assert!(
        refused_expiration("invalid")
            .contains("strconv.ParseInt: parsing \"invalid\": invalid syntax")
    );
}

/// What the program makes of a pod with these variables in its environment.
fn explained(variables: &[(&str, &str)]) -> Result<Value, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pod.json");
    std::io::Write::write_all(
        &mut std::fs::File::create(&path).unwrap(),
        labelled(app()).to_string().as_bytes(),
    )
    .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keysluice"));
    command
        .env_clear()
        .envs(variables.iter().copied())
        .args(["explain", "-o", "pod", "-f"])
        .arg(path);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        return Err(text(&output.stderr));
    }
    Ok(serde_saphyr::from_str(text(&output.stdout).trim_start_matches("---\n")).unwrap())
}

#[test]
fn cfg_1_the_cloud_is_the_public_one_where_none_is_named() {
    let pod = explained(&[("AZURE_TENANT_ID", TENANT)]).unwrap();
    assert_eq!(variable(&pod, "AZURE_AUTHORITY_HOST"), "https://login.microsoftonline.com/");
    assert_eq!(variable(&pod, "AZURE_TENANT_ID"), TENANT);
}

#[test]
fn cfg_2_azure_environment_names_the_cloud() {
    let pod = explained(&[("AZURE_TENANT_ID", TENANT), ("AZURE_ENVIRONMENT", "AzureChinaCloud")])
        .unwrap();
    assert_eq!(variable(&pod, "AZURE_AUTHORITY_HOST"), "https://login.chinacloudapi.cn/");
}

#[test]
fn cfg_3_without_a_tenant_the_webhook_runs_and_injects_none() {
    let pod = explained(&[("AZURE_ENVIRONMENT", "AzureChinaCloud")]).unwrap();
    assert_eq!(variable(&pod, "AZURE_TENANT_ID"), Value::Null);
    assert_eq!(variable(&pod, "AZURE_FEDERATED_TOKEN_FILE"), TOKEN);
}
