//! The guard of the Secrets: a pod whose ServiceAccount may not write them is refused.

use super::pods::{SYNCED, asking, explained, with};
use super::sidecar_guard::{guarded, of_sidecar};
use super::stage::Stage;
use serde_json::{Value, json};

/// Gives the ServiceAccount `default` of the namespace `default` these rights on Secrets by name.
pub(crate) async fn grant(stage: &Stage, role: &str, names: &[String], verbs: &[&str]) {
    let object = |kind: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": {"name": role, "namespace": "default"}})
    };
    let (mut rules, mut binding) = (object("Role"), object("RoleBinding"));
    rules["rules"] = json!([{"apiGroups": [""], "resources": ["secrets"],
        "resourceNames": names, "verbs": verbs}]);
    binding["roleRef"] =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role});
    binding["subjects"] =
        json!([{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]);
    for object in [rules, binding] {
        stage.create(&object).await.unwrap();
    }
}

fn pod_of(stage: &Stage, class: &str) -> Value {
    let volume = "/spec/volumes/0/csi/volumeAttributes/secretProviderClass";
    let mut asking = with(asking("app"), volume, json!(class));
    asking["spec"]["automountServiceAccountToken"] = json!(false);
    explained(stage.directory.path(), &[asking], &[]).remove(0)
}

async fn until_refused_for(stage: &Stage, pod: &Value, secret: &str) {
    let expected = format!(
        "KS724 the ServiceAccount may not write a Secret of the pod: apply the Role that keysluice \
         rbac prints; details: ServiceAccount default/default may not create and patch Secret \
         {secret}, which the pod writes; hint: keysluice rbac -n default prints the Role that is \
         missing"
    );
    stage
        .until(&format!("refused for {secret}"), async || {
            let refused = stage.dry_run(pod).await;
            refused.is_err_and(|refused| refused.code == 403 && refused.message.contains(&expected))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn a_pod_starts_only_if_its_account_may_create_and_patch_each_secret() {
    let stage = guarded().await;
    let names = SYNCED.map(str::to_owned);
    let pod = pod_of(&stage, "synced");
    until_refused_for(&stage, &pod, "db").await;
    grant(&stage, "create", &names, &["create"]).await;
    grant(&stage, "first", &names[..1], &["create", "patch"]).await;
    until_refused_for(&stage, &pod, "web").await;
    grant(&stage, "second", &names[1..], &["patch"]).await;
    stage.until("allowed", async || stage.dry_run(&pod).await.is_ok()).await;

    let most = pod_of(&stage, "most");
    let names: Vec<String> = (0..13).map(|index| format!("s{index:02}")).collect();
    grant(&stage, "most", &names[..12], &["create", "patch"]).await;
    until_refused_for(&stage, &most, "s12").await;
    grant(&stage, "last", &names[12..], &["create", "patch"]).await;
    stage.until("thirteen are allowed", async || stage.dry_run(&most).await.is_ok()).await;
    let mut more = most;
    more["metadata"]["annotations"]["keysluice.dev/synced-secrets"] =
        json!(format!("{},s13", names.join(",")));
    let refused = stage.dry_run(&more).await;
    assert!(
        refused.as_ref().is_err_and(|refused| refused.message.contains("more than 13 names")),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn the_token_for_the_api_server_is_mounted_in_its_place_and_nothing_over_it() {
    let stage = guarded().await;
    grant(&stage, "synced", &SYNCED.map(str::to_owned), &["create", "patch"]).await;
    let good = pod_of(&stage, "synced");
    stage.until("allowed", async || stage.dry_run(&good).await.is_ok()).await;
    let of_api = |field: &str| {
        let mounts = good["spec"]["initContainers"][0]["volumeMounts"].as_array().unwrap();
        let index = mounts.iter().position(|mount| mount["name"] == "keysluice-api").unwrap();
        of_sidecar(&format!("volumeMounts/{index}/{field}"))
    };
    let beside = |volume: &Value, path: &str| {
        let mut volume = volume.clone();
        volume["name"] = json!("x");
        let pod = with(good.clone(), "/spec/volumes/-", volume);
        with(pod, &of_sidecar("volumeMounts/-"), json!({"name": "x", "mountPath": path}))
    };
    let (scratch, projected) = (json!({"emptyDir": {}}), json!({"projected": {"sources": []}}));
    let directory = "/var/run/secrets/keysluice.dev";
    for (name, pod) in [
        ("elsewhere", with(good.clone(), &of_api("mountPath"), json!("/tmp"))),
        ("below", with(good.clone(), &of_api("mountPath"), json!(format!("{directory}/x")))),
        ("a part", with(good.clone(), &of_api("subPath"), json!("token"))),
        ("another emptyDir below it", beside(&scratch, &format!("{directory}/x"))),
        ("another projected volume below it", beside(&projected, &format!("{directory}/x"))),
        ("another above it", beside(&projected, "/var/run/secrets")),
    ] {
        let refused = stage.dry_run(&pod).await;
        assert!(
            refused.as_ref().is_err_and(|error| error.message.contains("KS721")),
            "{name}: {refused:?}"
        );
    }
}
