//! The guard of the reactions: a pod whose ServiceAccount lacks the right is refused.

use super::pods::{asking, explained};
use super::sidecar_guard::guarded;
use super::stage::Stage;
use serde_json::{Value, json};

fn pod_of(stage: &Stage, action: &str) -> Value {
    let mut asking = asking("app");
    asking["metadata"]["annotations"] = json!({"keysluice.dev/on-change": action});
    asking["metadata"]["labels"]["pod-template-hash"] = json!("abc");
    asking["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1",
        "kind": "ReplicaSet", "name": "web-abc", "uid": "u", "controller": true}]);
    explained(stage.directory.path(), &[asking], &[]).remove(0)
}

async fn until_refused_for(stage: &Stage, pod: &Value, text: &str) {
    stage
        .until(&format!("refused: {text}"), async || {
            let refused = stage.dry_run(pod).await;
            refused.is_err_and(|refused| refused.code == 403 && refused.message.contains(text))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn a_pod_starts_only_if_its_account_may_carry_out_its_reaction() {
    let stage = guarded().await;
    let (evicting, rolling) = (pod_of(&stage, "evict"), pod_of(&stage, "rollout"));
    let hint = "hint: keysluice rbac -n default prints the Role that is missing";
    for (pod, right) in [
        (&evicting, "may not create pods/eviction, as the reaction evict"),
        (&rolling, "may not patch deployments/web, as the reaction rollout"),
    ] {
        let cause = format!("details: ServiceAccount default/default {right}");
        until_refused_for(&stage, pod, &cause).await;
        until_refused_for(&stage, pod, "apply the Role that keysluice rbac prints").await;
        until_refused_for(&stage, pod, hint).await;
    }
    let rules = json!([
        {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["web"],
            "verbs": ["patch"]}]);
    let object = |kind: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": {"name": "reacts", "namespace": "default"}})
    };
    let (mut role, mut binding) = (object("Role"), object("RoleBinding"));
    role["rules"] = rules;
    binding["roleRef"] =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reacts"});
    binding["subjects"] =
        json!([{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]);
    for object in [role, binding] {
        stage.create(&object).await.unwrap();
    }
    for pod in [&evicting, &rolling] {
        stage.until("allowed", async || stage.dry_run(pod).await.is_ok()).await;
    }
    for value in ["pods/x", "deployments", "secrets/a", "deployments/web/x"] {
        let mut other = evicting.clone();
        other["metadata"]["annotations"]["keysluice.dev/reaction-right"] = json!(value);
        until_refused_for(&stage, &other, "is not one that the webhook writes").await;
    }
    let mut elsewhere = rolling;
    elsewhere["metadata"]["annotations"]["keysluice.dev/reaction-right"] = json!("deployments/b");
    until_refused_for(&stage, &elsewhere, "may not patch deployments/b").await;
}
