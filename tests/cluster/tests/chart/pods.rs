//! Pods of the tests.

use super::stage::environment;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// A pod; with the label if `labelled`.
pub(crate) fn pod(name: &str, namespace: &str, labelled: bool) -> Value {
    let labels = if labelled { json!({"azure.workload.identity/use": "true"}) } else { json!({}) };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "app", "image": "registry.test/app:1"}]},
    })
}

/// A projected token for the API server, or with an audience.
pub(crate) fn token_volume(audience: Option<&str>) -> Value {
    let mut token = json!({"path": "token"});
    if let Some(audience) = audience {
        token["audience"] = json!(audience);
    }
    json!({"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}})
}

/// An unlabelled pod with the sidecar as the webhook adds it, written by the webhook's own code.
pub(crate) fn with_sidecar(directory: &Path) -> Value {
    let manifest = json!({
        "apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default",
                "annotations": {"azure.workload.identity/client-id": "7d8cdf74-5a38-4b5e-9ee1-000000000001"}}},
            {"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass", "metadata": {"name": "class", "namespace": "default"},
                "spec": {"provider": "azure", "parameters": {"keyvaultName": "vault", "objects": "array:\n  - |\n    objectName: a\n    objectType: secret\n"}}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app", "namespace": "default"}, "spec": {
                "containers": [{"name": "app", "image": "registry.test/app:1", "volumeMounts": [{"name": "secrets", "mountPath": "/mnt", "readOnly": true}]}],
                "volumes": [{"name": "secrets", "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": true, "volumeAttributes": {"secretProviderClass": "class"}}}]}},
        ],
    });
    let path = directory.join("pod.json");
    std::fs::File::create(&path).unwrap();
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), manifest.to_string().as_bytes()).unwrap();
    let mut command = Command::new(environment("KEYSLUICE_BINARY"));
    let output = command.args(["explain", "--tenant-id", "tenant", "-o", "pod", "-f"]).arg(&path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pods: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let pod = pods.into_iter().find(|pod| pod["kind"] == "Pod");
    pod.unwrap_or_else(|| panic!("no pod: {text}{}", String::from_utf8_lossy(&output.stderr)))
}
