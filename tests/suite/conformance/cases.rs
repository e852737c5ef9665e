//! Azure Workload Identity's own test cases, as named in its suite, against our bytes in -> bytes
//! out.
//!
//! CFG-4 to CFG-12 stand with the settings (`settings::token_endpoint`), X-1 to X-18 in
//! `extra`, but X-9 in `token_endpoint` and what concerns the API server in `cluster`. Not at all:
//! PIN, PSC, PXY and VER, which concern its proxy sidecar.

mod clouds;
mod handler;

use crate::suite::support::reviews::{CLIENT, Reviewer, env_names, labelled};
use keysluice::mutate::ServiceAccount;
use serde_json::{Value, json};

pub(super) const EXPIRATION: &str = "azure.workload.identity/service-account-token-expiration";
pub(super) const SKIP: &str = "azure.workload.identity/skip-containers";
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
