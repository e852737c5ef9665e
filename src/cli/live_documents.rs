//! Objects of a live cluster as documents. Nothing is written, and no Secret is read.

use crate::cluster::api::{ApiError, Client, get, list};
use crate::cluster::manifests::Document;
use serde_json::{Value, json};

/// Group and version, resource, kind.
pub(super) type Kind = (&'static str, &'static str, &'static str);

/// What makes pods, and pods.
pub(super) const WORKLOADS: [Kind; 8] = [
    ("/apis/apps/v1", "deployments", "Deployment"),
    ("/apis/apps/v1", "statefulsets", "StatefulSet"),
    ("/apis/apps/v1", "daemonsets", "DaemonSet"),
    ("/apis/apps/v1", "replicasets", "ReplicaSet"),
    ("/api/v1", "replicationcontrollers", "ReplicationController"),
    ("/apis/batch/v1", "cronjobs", "CronJob"),
    ("/apis/batch/v1", "jobs", "Job"),
    ("/api/v1", "pods", "Pod"),
];
pub(super) const ACCOUNTS: Kind = ("/api/v1", "serviceaccounts", "ServiceAccount");
pub(super) const CLASSES: Kind =
    ("/apis/secrets-store.csi.x-k8s.io/v1", "secretproviderclasses", "SecretProviderClass");

/// Gives every object of these kinds in a namespace, or in all, except what a controller of these
/// kinds made: that stands in the controller's template.
pub(super) async fn each(
    client: &Client,
    namespace: Option<&str>,
    kinds: &[Kind],
    mut take: impl FnMut(Document),
) -> Result<(), ApiError> {
    for (root, resource, kind) in kinds {
        let path = match namespace {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{resource}"),
            None => format!("{root}/{resource}"),
        };
        let listed = list(client, &path, |mut value| {
            if !has_controller(&value) {
                value["kind"] = json!(kind);
                value["apiVersion"] = json!(api_version(root));
                take(Document { origin: path.clone(), value, ..Document::default() });
            }
        });
        match listed.await {
            // A kind that the API server does not have is refused to who may not list it.
            Err(ApiError::Refused { status: 403, .. })
                if matches!(get(client, root).await, Ok(None)) => {}
            listed => listed?,
        }
    }
    Ok(())
}

/// `apps/v1` of `/apis/apps/v1`.
fn api_version(root: &str) -> &str {
    root.trim_start_matches("/apis/").trim_start_matches("/api/")
}

fn has_controller(object: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.into_iter().flatten().any(|owner| {
        owner["controller"] == true && WORKLOADS.iter().any(|(_, _, kind)| owner["kind"] == *kind)
    })
}
