//! The configuration by which workloads are reviewed, as `install.yaml` has it.

use crate::suite::chart::manifests::{find, install};
use serde_json::json;

#[test]
fn the_configuration_of_workloads_delays_and_refuses_none() {
    let documents = install();
    let configuration = find(&documents, "ValidatingWebhookConfiguration", "keysluice-workloads");
    let entries = configuration["webhooks"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    assert_eq!(entry["failurePolicy"], "Ignore");
    assert_eq!(entry["timeoutSeconds"], 1);
    assert_eq!(entry["sideEffects"], "None");
    let rules: Vec<_> = entry["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| {
            assert_eq!(rule["operations"], json!(["CREATE", "UPDATE"]));
            (rule["apiGroups"][0].clone(), rule["resources"].clone())
        })
        .collect();
    // By name, without subresources: neither a scale nor a status is reviewed.
    let apps = json!(["deployments", "statefulsets", "daemonsets", "replicasets"]);
    assert_eq!(rules, [(json!("apps"), apps), (json!("batch"), json!(["jobs", "cronjobs"]))]);
    let conditions: Vec<_> = entry["matchConditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|condition| condition["name"].as_str().unwrap())
        .collect();
    let expected = ["without-controller", "template-changed", "template-is-ours", "in-force"];
    assert_eq!(conditions, expected);
    let of_pods = &find(&documents, "MutatingWebhookConfiguration", "keysluice")["webhooks"][0];
    assert_eq!(entry["namespaceSelector"], of_pods["namespaceSelector"]);
    // The webhook writes caBundle and path.
    assert_eq!(entry["clientConfig"], of_pods["clientConfig"]);
    let container =
        &find(&documents, "Deployment", "keysluice")["spec"]["template"]["spec"]["containers"][0];
    let variable = json!({"name": "KEYSLUICE_WORKLOAD_CONFIGURATION",
        "value": "keysluice-workloads"});
    assert!(container["env"].as_array().unwrap().contains(&variable));
}
