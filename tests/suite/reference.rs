//! The identity mutation once more, slow and plain, written from the specification alone; any pod must come out the same.

use super::properties::{is_valid, pod};
use super::reviews::{CLIENT, Reviewer};
use proptest::prelude::*;
use serde_json::{Value, json};

const PREFIX: &str = "azure-workload-identity-reserved-";
const MOUNT: &str = "/var/run/secrets/azure/wi";

/// The pod as it should be; `None` if it should be refused.
fn expected(pod: &Value) -> Option<Value> {
    let mut pod = pod.clone();
    if pod["metadata"]["labels"]["azure.workload.identity/use"] != "true" {
        return Some(pod);
    }
    // One volume: of the reserved name if there is one already, else named after the pod.
    let volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    let existing = volumes.iter().position(|volume| volume["name"].as_str().unwrap().starts_with(PREFIX));
    let name = match existing {
        Some(index) => volumes[index]["name"].as_str().unwrap().to_owned(),
        None => format!("{PREFIX}{}", hash_of(&pod)),
    };
    for field in ["initContainers", "containers"] {
        for container in pod["spec"].get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            environment(container);
            mount(container, &name)?;
        }
    }
    let token = json!({"serviceAccountToken": {"path": "token/azure-identity-token", "expirationSeconds": 3600, "audience": "api://AzureADTokenExchange"}});
    let volume = json!({"name": name, "projected": {"sources": [token]}});
    let mut volumes = volumes;
    match existing {
        Some(index) => volumes[index] = volume,
        None => volumes.push(volume),
    }
    pod["spec"]["volumes"] = json!(volumes);
    Some(pod)
}

/// The names of the generator, hashed with another implementation (`printf NAME | sha256sum | cut -c1-30`).
fn hash_of(pod: &Value) -> &'static str {
    match (pod["metadata"]["name"].as_str(), pod["metadata"]["generateName"].as_str()) {
        (Some("p"), _) => "148de9c5a7a44d19e56cd9ae1a554b",
        (None, Some("p-")) => "a400ab493a78f1fd18fe82e2d689e9",
        _ => "7ae265465cf68a19ccd3c91d70dc31",
    }
}

fn environment(container: &mut Value) {
    let mut entries = container["env"].as_array().cloned().unwrap_or_default();
    let before = entries.len();
    for (name, value) in [
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_TENANT_ID", "cluster-tenant"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/var/run/secrets/azure/wi/token/azure-identity-token"),
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
    ] {
        if entries.iter().any(|entry| entry["name"] == name) {
            continue;
        }
        let refers = |entry: &Value| {
            // `$$` is an escape: take it away, and what is left expands.
            entry["value"].as_str().unwrap_or_default().replace("$$", "").contains(&format!("$({name})"))
        };
        let index = entries.iter().position(refers).unwrap_or(entries.len());
        entries.insert(index, json!({"name": name, "value": value}));
    }
    if entries.len() > before {
        container["env"] = json!(entries);
    }
}

fn mount(container: &mut Value, name: &str) -> Option<()> {
    let wanted = json!({"name": name, "mountPath": MOUNT, "readOnly": true});
    let mut mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
    if mounts.iter().any(|mount| mount["mountPath"] == MOUNT && mount["name"] != name) {
        return None;
    }
    let of_token = |mount: &Value| mount["name"] == name;
    let in_place = mounts.iter().position(|mount| of_token(mount) && mount["mountPath"] == MOUNT);
    match in_place.or_else(|| mounts.iter().position(of_token)) {
        Some(index) if mounts[index]["mountPath"] == MOUNT && mounts[index]["readOnly"] == true => return Some(()),
        Some(index) => mounts[index] = wanted,
        None => mounts.push(wanted),
    }
    container["volumeMounts"] = json!(mounts);
    Some(())
}

fn has_no_secrets(pod: &Value) -> bool {
    !pod.to_string().contains("secrets-store.csi.k8s.io")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_pod_comes_out_as_the_reference_says(pod in pod().prop_filter("valid", is_valid).prop_filter("identity alone", has_no_secrets)) {
        prop_assert_eq!(Reviewer::new().attempt(&pod).ok().map(|(pod, _)| pod), expected(&pod));
    }
}
