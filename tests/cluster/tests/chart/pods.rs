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

/// The pod with another value at a JSON pointer; `-` appends.
pub(crate) fn with(mut pod: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = pod.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
    match parent {
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        _ => parent[key] = value,
    }
    pod
}

/// A projected token at `path`: for the API server, or with an audience.
pub(crate) fn token_volume(path: &str, audience: Option<&str>) -> Value {
    let mut token = json!({"path": path});
    if let Some(audience) = audience {
        token["audience"] = json!(audience);
    }
    json!({"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}})
}

/// An unlabelled pod with the sidecar as the webhook adds it, written by the webhook's own code.
pub(crate) fn with_sidecar(directory: &Path) -> Value {
    explained(directory, &[asking("app")], &[]).remove(0)
}

/// A pod with a Secrets Store CSI volume of the class `class`.
pub(crate) fn asking(name: &str) -> Value {
    let mut pod = pod(name, "default", false);
    pod["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "secrets", "mountPath": "/mnt", "readOnly": true}]);
    pod["spec"]["volumes"] = json!([csi_volume("secrets", "class")]);
    pod
}

pub(crate) fn csi_volume(name: &str, class: &str) -> Value {
    json!({"name": name,
        "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": true,
        "volumeAttributes": {"secretProviderClass": class}}})
}

/// Secrets of the class `synced`.
pub(crate) const SYNCED: [&str; 2] = ["db", "web"];

/// The pods as the webhook makes them: `class` needs the pod's token, `managed` does not, `synced`
/// makes two Secrets, `most` as many as there may be.
pub(crate) fn explained(directory: &Path, pods: &[Value], options: &[&str]) -> Vec<Value> {
    let class = |name: &str, identity: &str, id: &str| {
        let mut parameters = json!({"keyvaultName": "vault",
            "objects": "array:\n  - |\n    objectName: a\n    objectType: secret\n"});
        parameters[identity] = json!(id);
        json!({"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"provider": "azure", "parameters": parameters}})
    };
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": "default", "annotations":
            {"azure.workload.identity/client-id": "7d8cdf74-5a38-4b5e-9ee1-000000000001"}}});
    let secret = |name: &String| {
        json!({"secretName": name, "type": "Opaque",
            "data": [{"objectName": "a", "key": "k"}]})
    };
    let mut synced = class("synced", "clientID", "");
    synced["spec"]["secretObjects"] = SYNCED.map(|name| secret(&name.to_owned())).into();
    let mut most = class("most", "clientID", "");
    let names: Vec<String> = (0..13).map(|index| format!("s{index:02}")).collect();
    most["spec"]["secretObjects"] = names.iter().map(secret).collect();
    let mut items = vec![
        account,
        class("class", "clientID", ""),
        class("managed", "useVMManagedIdentity", "true"),
        synced,
        most,
    ];
    items.extend_from_slice(pods);
    let path = directory.join("pods.json");
    let manifest = json!({"apiVersion": "v1", "kind": "List", "items": items});
    std::io::Write::write_all(
        &mut std::fs::File::create(&path).unwrap(),
        manifest.to_string().as_bytes(),
    )
    .unwrap();
    let mut command = Command::new(environment("KEYSLUICE_BINARY"));
    command.env("AZURE_KUBERNETES_TOKEN_PROXY", "https://proxy.test");
    command.env("AZURE_KUBERNETES_CA_CONFIGMAP_NAME", "kube-root-ca.crt");
    command
        .args(["explain", "--tenant-id", "tenant", "-o", "pod"])
        .args(options)
        .arg("-f")
        .arg(&path);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let made: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let made: Vec<Value> = made.into_iter().filter(|pod| pod["kind"] == "Pod").collect();
    assert_eq!(made.len(), pods.len(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    made
}
