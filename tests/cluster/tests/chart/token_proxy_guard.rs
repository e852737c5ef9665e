//! The sidecar's token for the token proxy of AKS identity bindings: its audience, its authority,
//! its place, and who else would like it.

use super::helm::root;
use super::pods::{asking, explained, with};
use super::sidecar_guard::{guarded, of_sidecar};
use super::stage::{NAMESPACE, SIDECAR_POLICY, Stage, environment};
use reqwest::Method;
use serde_json::{Value, json};
use std::process::Command;

const VOLUME: &str = "keysluice-token-proxy";
const AUDIENCE: &str = "api://AKSIdentityBinding";

/// Position of what the webhook adds.
fn position(list: &Value) -> usize {
    let list = list.as_array().unwrap();
    list.iter().position(|entry| entry["name"] == VOLUME).unwrap_or_else(|| panic!("no {VOLUME}"))
}

/// The guard as the chart renders it for a cluster with a token proxy.
async fn set_up(stage: &Stage) {
    let endpoint = format!(
        "customTokenEndpoint.annotationSuffix=identity-binding,\
         customTokenEndpoint.audience={AUDIENCE},\
         customTokenEndpoint.azureKubernetesTokenProxy=https://proxy.test,\
         customTokenEndpoint.azureKubernetesCAConfigMapName=kube-root-ca.crt"
    );
    let output = Command::new(environment("KEYSLUICE_HELM"))
        .args(["template", "keysluice", "webhook-config/chart", "--namespace", NAMESPACE])
        .args(["--set", &endpoint, "--show-only", "templates/policies-guard.yaml"])
        .current_dir(root())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let is_it = |document: &Value| {
        document["kind"] == "ValidatingAdmissionPolicy"
            && document["metadata"]["name"] == "keysluice-guard-sidecar"
    };
    let mut policy = documents.into_iter().find(is_it).unwrap_or_else(|| panic!("{text}"));
    let known = stage.request(Method::GET, SIDECAR_POLICY, None).await.unwrap();
    policy["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"].clone();
    stage.request(Method::PUT, SIDECAR_POLICY, Some(&policy)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn the_sidecar_alone_has_a_token_for_the_token_proxy_and_no_other() {
    let stage = guarded().await;
    let mut bound = asking("bound");
    bound["metadata"]["annotations"] =
        json!({"azure.workload.identity/use-identity-binding": "true"});
    let options = [
        "--custom-token-endpoint-annotation-suffix",
        "identity-binding",
        "--custom-token-endpoint-audience",
        AUDIENCE,
    ];
    let good = explained(stage.directory.path(), &[bound], &options).remove(0);
    let refused = stage.dry_run(&good).await;
    assert!(
        refused.as_ref().is_err_and(|error| error.message.contains("KS721")),
        "a cluster without a token proxy: {refused:?}"
    );
    set_up(&stage).await;
    stage.until("the token is admitted", async || stage.dry_run(&good).await.is_ok()).await;

    let volume = format!("/spec/volumes/{}", position(&good["spec"]["volumes"]));
    let mounts = good.pointer(&of_sidecar("volumeMounts")).unwrap();
    let mount = of_sidecar(&format!("volumeMounts/{}", position(mounts)));
    let source = |pointer: &str, value: Value| {
        with(good.clone(), &format!("{volume}/projected/sources/{pointer}"), value)
    };
    let at = |field: &str, value: Value| with(good.clone(), &format!("{mount}/{field}"), value);
    let foreign = json!({"secret": {"name": "s"}});
    let in_app = json!({"name": VOLUME, "mountPath": "/token", "readOnly": true});
    let scratch = json!({"name": VOLUME, "emptyDir": {}});
    let other = |path: &str| {
        let entry = json!({"name": "other", "emptyDir": {}});
        let pod = with(good.clone(), "/spec/volumes/-", entry);
        let mount = json!({"name": "other", "mountPath": path});
        with(pod, &of_sidecar("volumeMounts/-"), mount)
    };
    for (what, pod) in [
        ("another audience", source("0/serviceAccountToken/audience", json!("sts.example"))),
        ("another path", source("0/serviceAccountToken/path", json!("../token"))),
        ("another authority", source("1/configMap/name", json!("own"))),
        ("another key", source("1/configMap/items/0/key", json!("own.crt"))),
        ("another file", source("1/configMap/items/0/path", json!("other.crt"))),
        (
            "two authorities",
            source(
                "-",
                json!({"configMap": {"name": "kube-root-ca.crt",
                "items": [{"key": "ca.crt", "path": "more.crt"}]}}),
            ),
        ),
        ("a Secret beside it", source("-", foreign)),
        ("a volume that can be written", with(good.clone(), &volume, scratch)),
        ("another place", at("mountPath", json!("/etc/token"))),
        ("a part", at("subPath", json!("token"))),
        ("below its place", other("/var/run/secrets/keysluice.dev-token-proxy/x")),
        ("in the application", with(good.clone(), "/spec/containers/0/volumeMounts/-", in_app)),
    ] {
        let refused = stage.dry_run(&pod).await;
        assert!(refused.is_err(), "{what}: {refused:?}");
        let message = refused.unwrap_err().message;
        // The API server itself refuses a path that leads out.
        let is_refused = message.contains("KS721") || what == "another path";
        assert!(is_refused, "{what}: {message}");
    }
}
