//! The manifests of `examples/`: the API server stores them, and the guard lets pass what the
//! webhook makes of their pods.

use super::helm::{define_classes, root};
use super::sidecar_guard::guarded;
use super::stage::{Stage, environment, manifest};
use serde_json::{Value, json};
use std::process::Command;

const DIRECTORIES: [&str; 8] = [
    "quick-start",
    "database-password",
    "tls-ingress",
    "environment-variables",
    "versions",
    "json",
    "network-policy",
    "azure",
];

/// The manifests of a directory, by their paths from the root.
fn files(directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join("examples").join(directory)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|found| found == "yaml"));
    let paths = paths.map(|path| path.strip_prefix(root()).unwrap().display().to_string());
    paths.collect()
}

/// Stores an object; one of this name in another example is no matter.
async fn store(stage: &Stage, object: &Value) {
    let stored = stage.create(object).await;
    let is_there = stored.as_ref().is_err_and(|refused| refused.code == 409);
    assert!(stored.is_ok() || is_there, "{object}: {stored:?}");
}

/// The pods as the webhook makes them.
fn pods(files: &[String]) -> Vec<Value> {
    let mut command = Command::new(environment("KEYSLUICE_BINARY"));
    command.current_dir(root()).args(["explain", "--csi-volumes", "replace", "-o", "pod"]);
    command.args(["--tenant-id", "99999999-9999-9999-9999-999999999999", "-f"]).args(files);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let made: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let made: Vec<Value> = made.into_iter().filter(|pod| pod["kind"] == "Pod").collect();
    assert!(output.status.success() && !made.is_empty(), "{files:?}: {text}");
    made
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn the_examples_are_stored_and_their_pods_pass_the_guard() {
    let stage = guarded().await;
    define_classes(&stage).await;
    let shop = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    store(&stage, &shop).await;
    for directory in DIRECTORIES {
        let files = files(directory);
        for object in files.iter().flat_map(|file| manifest(file)) {
            store(&stage, &object).await;
        }
        // Its ServiceAccount has no identity yet, or it has no pods.
        if ["network-policy", "azure"].contains(&directory) {
            continue;
        }
        for mut pod in pods(&files) {
            let namespace = if directory == "quick-start" { "keysluice-demo" } else { "shop" };
            pod["metadata"]["namespace"] = json!(namespace);
            stage
                .until(&format!("a pod of {directory} passes"), async || {
                    stage.dry_run(&pod).await.is_ok()
                })
                .await;
        }
    }
}
