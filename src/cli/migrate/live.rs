//! Objects of a live cluster, without what the API server adds. Nothing is written, and no Secret
//! is read.

use crate::cli::live_documents::{ACCOUNTS, CLASSES, Kind, WORKLOADS, each};
use crate::cluster::api::{ApiError, Client};
use serde_json::Value;

const POD_IDENTITY: &str = "/apis/aadpodidentity.k8s.io/v1";
const OTHERS: [Kind; 5] = [
    ACCOUNTS,
    CLASSES,
    (POD_IDENTITY, "azureidentities", "AzureIdentity"),
    (POD_IDENTITY, "azureidentitybindings", "AzureIdentityBinding"),
    ("/apis/spv.no/v2beta1", "azurekeyvaultsecrets", "AzureKeyVaultSecret"),
];
/// What belongs to the stored object, not to a manifest.
const OF_SERVER: [&str; 7] = [
    "managedFields",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "selfLink",
    "ownerReferences",
];
const OF_CLIENTS: [&str; 2] =
    ["kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision"];

pub(super) async fn read(client: &Client, namespace: Option<&str>) -> Result<Vec<Value>, ApiError> {
    let mut found = Vec::new();
    let kinds = [&OTHERS[..], &WORKLOADS[..]].concat();
    // A pod that something unknown controls is made anew from there.
    each(client, namespace, &kinds, |document| {
        if !is_controlled(&document.value) {
            found.push(as_manifest(document.value));
        }
    })
    .await?;
    Ok(found)
}

fn is_controlled(object: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.into_iter().flatten().any(|owner| owner["controller"] == true)
}

/// Kind first, as people write it.
fn as_manifest(mut object: Value) -> Value {
    let mut manifest = serde_json::Map::new();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, _| !OF_SERVER.contains(&field.as_str()));
        let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
        if let Some(annotations) = annotations {
            annotations.retain(|key, _| !OF_CLIENTS.contains(&key.as_str()));
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    let Value::Object(mut fields) = object else { return Value::Null };
    fields.remove("status");
    for field in ["apiVersion", "kind", "metadata"] {
        if let Some(value) = fields.shift_remove(field) {
            manifest.insert(field.to_owned(), value);
        }
    }
    manifest.extend(fields);
    Value::Object(manifest)
}
