//! Pods to measure with: made by code, so that they say what is in them.

use serde_json::{Map, Value, json};

/// A labelled pod of about `bytes` bytes of JSON, as a ReplicaSet's controller creates it: what the
/// API server adds before the webhooks see it (managed fields, the API token's volume,
/// tolerations), then probes, environment and annotations up to the size.
pub fn pod(bytes: usize) -> Value {
    let mut size = Size { containers: 1, variables: 2, annotation_bytes: 0 };
    if bytes > 12_000 {
        size = Size { containers: 3, variables: 12, annotation_bytes: 1500 };
    }
    while made(&size).to_string().len() + 500 < bytes {
        size.variables += 1;
    }
    let rest = bytes.saturating_sub(made(&size).to_string().len());
    // Half of what is missing: in JSON within JSON every second character is escaped.
    made(&Size { annotation_bytes: size.annotation_bytes + rest / 2, ..size })
}

/// The same pod with a Secrets Store CSI volume that names the class `kv`.
pub fn pod_with_class(bytes: usize) -> Value {
    let mut pod = pod(bytes);
    let volume = json!({"name": "secrets",
        "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": true,
        "volumeAttributes": {"secretProviderClass": "kv"}}});
    let mount = json!({"name": "secrets", "mountPath": "/mnt/secrets", "readOnly": true});
    if let Some(volumes) = pod["spec"]["volumes"].as_array_mut() {
        volumes.push(volume);
    }
    if let Some(mounts) = pod["spec"]["containers"][0]["volumeMounts"].as_array_mut() {
        mounts.push(mount);
    }
    pod
}

/// The review that the API server sends for a pod.
pub fn review(pod: &Value) -> Vec<u8> {
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    let user = json!({"username": "system:serviceaccount:kube-system:replicaset-controller",
        "uid": "2a5a3a5e-5f0e-4c5e-9b57-6f5e3b0f0c11",
        "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system",
            "system:authenticated"]});
    let options = json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"});
    let request = json!({"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": kind,
        "resource": resource,
        "requestKind": kind, "requestResource": resource, "namespace": "shop",
        "operation": "CREATE", "userInfo": user,
        "object": pod, "oldObject": null, "dryRun": false, "options": options});
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})
        .to_string()
        .into_bytes()
}

/// What the cluster holds beside the pod, as a manifest: the ServiceAccount and the class `kv` with
/// three objects.
pub fn manifests() -> String {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "shop-api", "namespace": "shop", "annotations":
            {"azure.workload.identity/client-id": "8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8"}}});
    let objects = ["db-password", "api-key", "signing-key"]
        .map(|name| format!("  - |\n    objectName: {name}\n    objectType: secret\n"))
        .concat();
    let parameters = json!({"keyvaultName": "shop-kv", "objects": format!("array:\n{objects}")});
    let class = json!({"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass",
        "metadata": {"name": "kv", "namespace": "shop"},
        "spec": {"provider": "azure", "parameters": parameters}});
    format!("{account}\n---\n{class}\n")
}

struct Size {
    containers: usize,
    variables: usize,
    annotation_bytes: usize,
}

fn made(size: &Size) -> Value {
    let containers: Vec<Value> =
        (0..size.containers).map(|index| container(index, size.variables)).collect();
    let toleration = |key: &str| {
        json!({"key": key, "operator": "Exists", "effect": "NoExecute",
        "tolerationSeconds": 300})
    };
    let sources = json!([
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace",
            "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}]);
    let spec = json!({"volumes": [{"name": "kube-api-access-x7k2p",
        "projected": {"sources": sources, "defaultMode": 420}}],
        "containers": containers, "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "shop-api", "serviceAccount": "shop-api",
        "securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000,
            "runAsNonRoot": true},
        "schedulerName": "default-scheduler",
        "tolerations": [toleration("node.kubernetes.io/not-ready"),
            toleration("node.kubernetes.io/unreachable")],
        "priority": 0, "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority"});
    let mut annotations = json!({"prometheus.io/scrape": "true", "prometheus.io/port": "9102"});
    if size.annotation_bytes > 0 {
        annotations["kubectl.kubernetes.io/last-applied-configuration"] =
            json!(escaped(size.annotation_bytes));
    }
    let labels = json!({"app": "shop-api", "azure.workload.identity/use": "true",
        "pod-template-hash": "7c5ddbdf54"});
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-api-7c5ddbdf54",
        "uid": "0c1f0a4e-7d7e-4f4e-8b60-1f5a9a5c7c10", "controller": true,
        "blockOwnerDeletion": true});
    let metadata = json!({"generateName": "shop-api-7c5ddbdf54-", "namespace": "shop",
        "creationTimestamp": null, "labels": labels,
        "annotations": annotations, "ownerReferences": [owner],
        "managedFields": [managed_fields(size)]});
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": {}})
}

fn container(index: usize, variables: usize) -> Value {
    let env: Vec<Value> = (0..variables)
        .map(|variable| match variable % 4 {
            0 => json!({"name": format!("SHOP_{index}_SETTING_{variable}"),
                "valueFrom": {"configMapKeyRef": {"name": "shop-settings",
                    "key": format!("setting-{variable}")}}}),
            1 => json!({"name": format!("SHOP_{index}_URL_{variable}"),
                "value": format!("https://service-{variable}.shop.svc.cluster.local:8443/v1")}),
            _ => json!({"name": format!("SHOP_{index}_FLAG_{variable}"), "value": "true"}),
        })
        .collect();
    let probe = |path: &str| {
        json!({"httpGet": {"path": path, "port": 8080, "scheme": "HTTP"}, "initialDelaySeconds": 5,
            "timeoutSeconds": 1,
            "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3})
    };
    json!({"name": format!("app-{index}"),
        "image": format!("registry.example.com/shop/api-{index}:1.24.3"), "env": env,
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "resources": {"limits": {"cpu": "500m", "memory": "512Mi"},
            "requests": {"cpu": "100m", "memory": "256Mi"}},
        "volumeMounts": [{"name": "kube-api-access-x7k2p", "readOnly": true,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        "livenessProbe": probe("/livez"), "readinessProbe": probe("/readyz"),
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent"})
}

/// As the API server notes them: one empty object a field.
fn managed_fields(size: &Size) -> Value {
    let containers: Map<String, Value> = (0..size.containers)
        .map(|index| {
            let env: Map<String, Value> = (0..size.variables)
                .map(|variable| {
                    (
                        format!("k:{{\"name\":\"SHOP_{index}_{variable}\"}}"),
                        json!({".": {}, "f:name": {}, "f:value": {}}),
                    )
                })
                .collect();
            let fields =
                json!({".": {}, "f:env": env, "f:image": {}, "f:imagePullPolicy": {}, "f:name": {},
                    "f:resources": {}});
            (format!("k:{{\"name\":\"app-{index}\"}}"), fields)
        })
        .collect();
    json!({"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
        "time": "2026-03-01T12:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:generateName": {}, "f:labels": {".": {}, "f:app": {}}},
            "f:spec": {"f:containers": containers, "f:dnsPolicy": {}, "f:restartPolicy": {},
                "f:schedulerName": {}}}})
}

/// Text with the quotes of JSON within JSON.
fn escaped(bytes: usize) -> String {
    let piece = r#"{"image":"registry.example.com/shop/api:1","replicas":"3"},"#;
    piece.chars().cycle().take(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_have_the_size_that_was_asked_for() {
        for bytes in [4096, 20_480] {
            let length = pod(bytes).to_string().len();
            assert!(length.abs_diff(bytes) < bytes / 10, "{length} instead of {bytes}");
        }
    }
}
