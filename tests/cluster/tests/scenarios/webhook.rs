//! The webhook's own Deployment, and what scenarios do to it and with it.

use crate::scene::{SHOW, Scene};
use crate::world::{PATIENCE, RELEASE, until};
use serde_json::{Value, json};

const SELECTOR: &str = "app.kubernetes.io%2Fcomponent%3Dwebhook";

/// Its pods, also those that are about to end.
pub(crate) async fn pods(scene: &Scene) -> anyhow::Result<Vec<Value>> {
    let list = scene
        .world
        .api
        .get(&format!("/api/v1/namespaces/{RELEASE}/pods?labelSelector={SELECTOR}"))
        .await?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// Waits until that many replicas are ready, and nothing is left of others.
pub(crate) async fn is_ready(scene: &Scene, replicas: usize) -> anyhow::Result<()> {
    until(&format!("{replicas} replicas of the webhook, and no other"), PATIENCE * 2, async || {
        let path = format!("/apis/apps/v1/namespaces/{RELEASE}/deployments/keysluice");
        let deployment = scene.world.api.get(&path).await?;
        let status = &deployment["status"];
        let observed = status["observedGeneration"] == deployment["metadata"]["generation"];
        let all = ["replicas", "updatedReplicas", "availableReplicas"]
            .iter()
            .all(|key| status[key].as_u64().unwrap_or(0) == replicas as u64);
        Ok((observed && all && pods(scene).await?.len() == replicas).then_some(()))
    })
    .await
}

pub(crate) async fn scale(scene: &Scene, replicas: usize) -> anyhow::Result<()> {
    let path = format!("/apis/apps/v1/namespaces/{RELEASE}/deployments/keysluice");
    scene.world.api.patch(&path, &json!({"spec": {"replicas": replicas}})).await?;
    Ok(())
}

/// Upgrades the release with further values, as the book has it; old pods may still be ending.
pub(crate) async fn upgrade(scene: &Scene, values: &Value) -> anyhow::Result<()> {
    let file = scene.world.layout.path("upgrade.json");
    std::fs::write(&file, values.to_string())?;
    let (chart, file) = (crate::world::source("webhook-config/chart"), file.display().to_string());
    let arguments =
        ["upgrade", "keysluice", &chart, "--reset-then-reuse-values", "--wait", "--values", &file];
    scene.world.helm(&arguments).await?;
    Ok(())
}

/// A pod that no node takes: what admission does to it is all that counts.
pub(crate) fn unscheduled(scene: &Scene, name: &str) -> Value {
    let mut pod = scene.pod(name, SHOW);
    pod["spec"]["nodeSelector"] = json!({"nowhere": "true"});
    pod
}

/// A Deployment of such pods.
pub(crate) fn unscheduled_template(scene: &Scene, name: &str) -> Value {
    let mut template = scene.template(name, SHOW);
    template["spec"]["nodeSelector"] = json!({"nowhere": "true"});
    template
}
