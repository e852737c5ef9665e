//! `keysluice doctor` on a real API server: silent about an installation that works, and the right
//! finding for a few faults.

use super::helm::define_classes;
use super::pods::{asking, with};
use super::secrets_guard::grant;
use super::stage::{NAMESPACE, Stage, environment};
use super::workloads::{KINDS, reviewed, workload};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

const POD: &str = "/api/v1/namespaces/default/pods/web";

/// Exit code and output about the namespace `default`.
async fn doctor(stage: &Stage, more: &[&str]) -> (i32, String) {
    let mut command = Command::new(environment("KEYSLUICE_BINARY"));
    command.env_clear().env("LANG", "C.UTF-8").args(["doctor", "-n", "default"]).args(more);
    command.arg("--kubeconfig").arg(stage.admin_kubeconfig().await);
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let told = text(&output.stdout) + &text(&output.stderr);
    (output.status.code().unwrap(), told)
}

/// What the controller of Deployments says of the webhook.
async fn replicas(stage: &Stage, ready: u8) {
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/keysluice/status");
    let status = json!({"status": {"replicas": 2, "readyReplicas": ready}});
    stage.request(Method::PATCH, &path, Some(&status)).await.unwrap();
}

fn signs(text: &str) -> Vec<char> {
    let first = text.lines().filter_map(|line| line.chars().next());
    first.filter(|sign| "√‼×-".contains(*sign)).collect()
}

async fn create_class(stage: &Stage) {
    define_classes(stage).await;
    let class = json!({"apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass", "metadata": {"name": "class", "namespace": "default"},
        "spec": {"provider": "azure",
            "secretObjects": [{"secretName": "db", "type": "Opaque",
                "data": [{"objectName": "a", "key": "k"}]}],
            "parameters": {"keyvaultName": "vault",
                "clientID": "7d8cdf74-5a38-4b5e-9ee1-000000000001",
                "tenantID": "7d8cdf74-5a38-4b5e-9ee1-000000000002",
                "objects": "array:\n  - |\n    objectName: a\n    objectType: secret\n"}}});
    stage.create(&class).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn doctor_is_content_with_a_healthy_installation_and_names_faults() {
    let (stage, webhook) = reviewed().await;
    stage.tighten().await;
    replicas(&stage, 2).await;
    stage.create(&workload(KINDS[0], "fine", &json!({}))).await.unwrap();
    let (code, told) = doctor(&stage, &[]).await;
    assert_eq!(code, 0, "{told}\n{}", webhook.log());
    assert!(signs(&told).iter().all(|sign| *sign == '√'), "{told}");
    assert!(told.ends_with("0 failed, 0 warning(s)\n"), "{told}");

    // The webhook is away.
    replicas(&stage, 0).await;
    let (code, told) = doctor(&stage, &[]).await;
    assert!(code == 1 && told.contains("× KS801 none of 2 replicas"), "{told}");
    replicas(&stage, 2).await;

    // A ServiceAccount that does not exist.
    let lost = with(
        workload(KINDS[0], "lost", &json!({})),
        "/spec/template/spec/serviceAccountName",
        json!("lost"),
    );
    stage.create(&lost).await.unwrap();
    let (code, told) = doctor(&stage, &["deploy/lost"]).await;
    assert!(code == 1 && told.contains("× KS202 "), "{told}");
    assert!(told.contains("    $ kubectl -n default create serviceaccount lost\n"), "{told}");

    // A workload whose ServiceAccount has lost the right that its pods need.
    create_class(&stage).await;
    grant(&stage, "sync", &["db".to_owned()], &["create", "patch"]).await;
    let pod = with(asking("web"), "/spec/automountServiceAccountToken", json!(false));
    stage.until("the right counts", async || stage.create(&pod).await.is_ok()).await;
    let binding = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings/sync";
    stage.request(Method::DELETE, binding, None).await.unwrap();
    let syncing =
        with(workload(KINDS[0], "syncing", &json!({})), "/spec/template/spec", pod["spec"].clone());
    stage.create(&syncing).await.unwrap();
    let (code, told) = doctor(&stage, &["deploy/syncing"]).await;
    assert!(code == 1 && told.contains("× KS724 "), "{told}");

    // A pod behind a NetworkPolicy.
    let deny = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": "default"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"]}});
    stage.create(&deny).await.unwrap();
    let (_, told) = doctor(&stage, &["pod/web"]).await;
    assert!(told.contains("‼ KS811 NetworkPolicy deny selects the pod"), "{told}");
    assert!(told.contains("√ the webhook has added the sidecar\n"), "{told}");
    assert!(doctor(&stage, &[]).await.1.contains("KS811"), "it is ours by its volume alone");

    // The API server refuses the WebSocket, as there is no node: the rest is told all the same.
    let running = json!({"status": {"phase": "Running", "initContainerStatuses": [
        {"name": "keysluice", "image": "i", "imageID": "i", "ready": true, "started": true,
            "restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}});
    stage.request(Method::PATCH, &format!("{POD}/status"), Some(&running)).await.unwrap();
    let (_, told) = doctor(&stage, &["pod/web"]).await;
    let unknown =
        "- not checked: what sidecars say of themselves (status): pod web: the API server";
    assert!(told.contains(unknown) && told.contains("KS811"), "{told}");
    let (_, told) = doctor(&stage, &["pod/web", "--no-exec"]).await;
    assert!(!told.contains("what sidecars say"), "{told}");
    let found: Value = serde_json::from_str(&doctor(&stage, &["-o", "json"]).await.1).unwrap();
    assert_eq!(found["failed"], true);
}
