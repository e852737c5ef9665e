//! A pod that lives for a moment in a namespace of applications, with the sidecar's image: whether
//! the image is pulled there, and whether Entra and the vaults answer.

use super::super::access;
use super::facts::{Application, Fact, Probed, State, Unknown, Wanted};
use super::gather::{container, unknown};
use crate::cluster::api::{Client, create, delete};
use crate::mutate::SIDECAR_MEMORY_REQUEST;
use serde_json::{Value, json};

const CONTAINER: &str = "probe";
/// What the kubelet ends it after, if this command cannot delete it.
const MOST_SECONDS: u64 = 300;

/// Creates the pod, waits for its end and deletes it, also after an interrupt.
pub(super) async fn probe(
    client: &Client,
    application: &Application,
    wanted: &Wanted,
) -> Fact<Probed> {
    let namespace = &application.namespace;
    access::require(client, namespace, &["create", "get", "delete"], "").await?;
    let collection = format!("/api/v1/namespaces/{namespace}/pods");
    let created = match create(client, &collection, &pod(application, wanted)).await {
        Ok(created) => created,
        Err(error) => return Ok(Probed::Refused(error.to_string())),
    };
    let name = created["metadata"]["name"].as_str().unwrap_or_default();
    let path = format!("{collection}/{name}");
    let ended = tokio::select! {
        ended = container(client, &path, CONTAINER, wanted.patience) => ended,
        _ = tokio::signal::ctrl_c() => {
            Err(Unknown { forbidden: false, message: "interrupted".to_owned() })
        }
    };
    let deleted = delete(client, &path).await;
    let ended = ended?;
    deleted.map_err(|error| {
        let Unknown { forbidden, message } = unknown(&error);
        let message = format!("pod {namespace}/{name} is left: {message}");
        Unknown { forbidden, message }
    })?;
    Ok(Probed::Ran(ended))
}

/// It meets the Pod Security level `restricted`, and requests what a sidecar does.
fn pod(application: &Application, wanted: &Wanted) -> Value {
    let Application { cpu_request, cpu_limit, .. } = application;
    let mut limits = json!({"memory": "32Mi"});
    if let Some(cpu_limit) = cpu_limit {
        limits["cpu"] = cpu_limit.as_str().into();
    }
    let command: Vec<&str> = ["/keysluice-injector", "probe"]
        .into_iter()
        .chain(wanted.urls.iter().map(String::as_str))
        .collect();
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "keysluice-probe-",
            "labels": {"app.kubernetes.io/name": "keysluice-probe"}},
        "spec": {"restartPolicy": "Never", "automountServiceAccountToken": false,
            "enableServiceLinks": false, "terminationGracePeriodSeconds": 0,
            "activeDeadlineSeconds": MOST_SECONDS,
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": CONTAINER, "image": wanted.image, "command": command,
                "resources": {"requests": {"cpu": cpu_request, "memory": SIDECAR_MEMORY_REQUEST},
                    "limits": limits},
                "securityContext": {"allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}}}]}})
}

/// What the container says of each URL: that it failed, and why.
pub(super) fn unanswered(state: &State) -> Vec<String> {
    let State::Ended { message, .. } = state else { return Vec::new() };
    let lines = message.lines().filter(|line| line.contains(" failed: "));
    lines.map(|line| line.chars().take(400).collect()).collect()
}

/// Whether the container sent its requests.
pub(super) fn has_tried(state: &State, wanted: &Wanted) -> bool {
    let State::Ended { message, .. } = state else { return false };
    wanted.urls.iter().all(|url| message.contains(url.as_str()))
}
