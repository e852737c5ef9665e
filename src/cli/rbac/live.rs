//! Facts from the API server. Of Secrets only metadata is read, and only by name.

use super::Facts;
use crate::cluster::api::{ApiError, Client, get, get_metadata, list};
use crate::cluster::manifests::Document;
use crate::reason;
use crate::rights::{self, Grants, RightsError};
use serde_json::{Value, json};
use std::fmt::Display;

const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";
const CLASSES: &str = "SecretProviderClass";
/// Group and version, resource, kind.
const KINDS: [(&str, &str, &str); 7] = [
    ("/apis/secrets-store.csi.x-k8s.io/v1", "secretproviderclasses", CLASSES),
    ("/apis/apps/v1", "deployments", "Deployment"),
    ("/apis/apps/v1", "statefulsets", "StatefulSet"),
    ("/apis/apps/v1", "daemonsets", "DaemonSet"),
    ("/apis/batch/v1", "cronjobs", "CronJob"),
    ("/apis/batch/v1", "jobs", "Job"),
    ("/api/v1", "pods", "Pod"),
];

/// Workloads and classes of a namespace, or of all.
pub(super) async fn read(client: &Client, namespace: Option<&str>) -> Result<Facts, ApiError> {
    let mut facts = Facts::default();
    for (root, resource, kind) in KINDS {
        let path = match namespace {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{resource}"),
            None => format!("{root}/{resource}"),
        };
        list(client, &path, |mut value| {
            // What a controller made stands in its template; a pod that was mutated has none of
            // its CSI volumes any more.
            if kind != CLASSES && has_controller(&value) {
                return;
            }
            value["kind"] = json!(kind);
            facts.add(&Document { origin: path.clone(), value, ..Document::default() });
        })
        .await?;
    }
    Ok(facts)
}

fn has_controller(object: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.into_iter().flatten().any(|owner| {
        owner["controller"] == true && KINDS.iter().any(|(_, _, kind)| owner["kind"] == *kind)
            || owner["kind"] == "ReplicaSet"
    })
}

/// Looks whether the policy of this name is in force.
pub(super) async fn check_policy(client: &Client, name: &str) -> Result<(), RightsError> {
    let policy = ask(client, "validatingadmissionpolicies", name).await?;
    let binding = ask(client, "validatingadmissionpolicybindings", name).await?;
    rights::check_policy(name, policy.as_ref(), binding.as_ref())
}

/// The policy of this name, or its binding.
async fn ask(client: &Client, resource: &str, name: &str) -> Result<Option<Value>, RightsError> {
    let path = format!("{ADMISSION}/{resource}/{name}");
    get(client, &path).await.map_err(|error| {
        let problem = format!(
            "whether the policy {name} is in force is not known: {error} (if an administrator \
             says that it is, --without-policy prints the Roles)"
        );
        RightsError::without_policy(name, problem)
    })
}

/// Which of the Secrets belong to something else, and of which that is not known.
pub(super) async fn check_owners(
    client: &Client,
    grants: &Grants,
) -> (Vec<RightsError>, Vec<String>) {
    let (mut foreign, mut unknown) = (Vec::new(), Vec::new());
    for place in grants.secrets() {
        let (namespace, name) = place;
        // A wrong name is a fault already, and could lead to another path.
        if Grants::is_path_safe(place) {
            let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
            match get_metadata(client, &path).await {
                Ok(None) => {}
                Ok(Some(object)) => foreign.extend(grants.check_owner(place, &object["metadata"])),
                Err(error) => unknown.push(unknown_owner(place, &error)),
            }
        }
    }
    (foreign, unknown)
}

fn unknown_owner((namespace, name): &(String, String), error: &dyn Display) -> String {
    let (code, fix) = (reason::KS745, reason::KS745.fix);
    format!("{code} Secret {namespace}/{name}: {error}; hint: {fix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_cannot_be_read_is_named() {
        let place = ("shop".to_owned(), "web".to_owned());
        let text = unknown_owner(&place, &"403 Forbidden");
        assert!(text.starts_with("KS745 Secret shop/web: 403 Forbidden; hint: "), "{text}");
    }
}
