//! The guard and the sidecar's token for the webhook.

use super::pods::{asking, explained, with, with_sidecar};
use super::sidecar_guard::guarded;
use serde_json::{Value, json};

fn volume(name: &str, token: &Value) -> Value {
    json!({"name": name, "projected": {"sources": [{"serviceAccountToken": token}]}})
}

fn mounted(pod: &Value, volume: Value, path: &str) -> Value {
    let mount = json!({"name": volume["name"], "mountPath": path, "readOnly": true});
    let pod = with(pod.clone(), "/spec/volumes/-", volume);
    with(pod, "/spec/initContainers/0/volumeMounts/-", mount)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn the_sidecars_token_for_the_webhook_is_where_the_webhook_mounts_it_and_nothing_else_is() {
    const DIRECTORY: &str = "/var/run/secrets/keysluice.dev-plan";
    let stage = guarded().await;
    let good = with_sidecar(stage.directory.path());
    let token = json!({"path": "token", "audience": "keysluice.dev", "expirationSeconds": 3600});
    let ours = volume("keysluice-plan", &token);
    let accepted = stage.dry_run(&mounted(&good, ours.clone(), DIRECTORY)).await;
    assert!(accepted.is_ok(), "{accepted:?}");
    // Without it, as with livePlans.enabled=false, and in a container that fetches once.
    assert!(stage.dry_run(&good).await.is_ok());
    let mut once = asking("once");
    once["metadata"]["annotations"] = json!({"keysluice.dev/mode": "init"});
    let once = explained(stage.directory.path(), &[once], &[]).remove(0);
    assert!(stage.dry_run(&once).await.is_ok());

    let other =
        |audience: Value| volume("keysluice-plan", &json!({"path": "token", "audience": audience}));
    let mut two = ours.clone();
    let sources = two["projected"]["sources"].as_array_mut().unwrap();
    sources.push(json!({"serviceAccountToken": {"path": "second"}}));
    let memory = json!({"name": "keysluice-plan", "emptyDir": {}});
    let config = json!({"name": "keysluice-plan", "projected": {"sources": [
        {"configMap": {"name": "c", "items": [{"key": "k", "path": "token"}]}}]}});
    for (name, volume, path) in [
        ("another place", ours.clone(), "/elsewhere"),
        ("below it", ours.clone(), "/var/run/secrets/keysluice.dev-plan/x"),
        ("over the API's", ours.clone(), "/var/run/secrets/keysluice.dev"),
        ("another volume", self::volume("token", &token), DIRECTORY),
        (
            "another volume below",
            self::volume("token", &token),
            "/var/run/secrets/keysluice.dev-plan/x",
        ),
        ("another audience", other(json!("api://AzureADTokenExchange")), DIRECTORY),
        ("the API server's audience", other(Value::Null), DIRECTORY),
        (
            "another file",
            self::volume("keysluice-plan", &json!({"path": "x", "audience": "keysluice.dev"})),
            DIRECTORY,
        ),
        ("two sources", two, DIRECTORY),
        ("an emptyDir", memory, DIRECTORY),
        ("a ConfigMap", config, DIRECTORY),
    ] {
        let refused = stage.dry_run(&mounted(&good, volume, path)).await;
        assert!(
            refused.as_ref().is_err_and(|error| error.message.contains("KS721")),
            "{name}: {refused:?}"
        );
    }
}
