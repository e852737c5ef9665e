//! A class that is edited, broken and repaired while pods of it run.

use crate::scene::{SHOW, Scene};
use crate::webhook;
use crate::world::{PATIENCE, until};
use serde_json::{Value, json};
use std::time::Duration;

crate::scenarios!(an_edited_class_reaches_running_pods_and_a_broken_one_leaves_their_plan);

/// It upgrades the release.
pub(crate) const ALONE: &[crate::Scenario] = &[crate::Scenario {
    name: "an_upgrade_changes_the_plan_of_no_running_pod",
    play: |scene| Box::pin(an_upgrade_changes_the_plan_of_no_running_pod(scene)),
}];

/// Changes what the class has: these secrets of the vault, or this text.
async fn edit(scene: &Scene, objects: &Value) -> anyhow::Result<()> {
    let path = format!("{}/class", scene.path("secretproviderclasses"));
    scene.world.api.patch(&path, &json!({"spec": {"parameters": {"objects": objects}}})).await?;
    Ok(())
}

fn objects(scene: &Scene, names: &[&str]) -> Value {
    scene.class_object("class", names, &json!({}))["spec"]["parameters"]["objects"].clone()
}

async fn sidecar(scene: &Scene, pod: &str, command: &str) -> anyhow::Result<String> {
    let arguments = [
        "exec",
        "--namespace",
        &scene.namespace,
        pod,
        "--container",
        "keysluice",
        "--",
        "/keysluice-injector",
        command,
        "--output=json",
    ];
    scene.world.kubectl(&arguments).await
}

/// Refreshes a pod until what `status` says of its Plan is as it should be.
async fn plan_until(
    scene: &Scene,
    pod: &str,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    until(&format!("{pod}: {what}"), PATIENCE, async || {
        // It fails where the Plan does.
        let _ = sidecar(scene, pod, "refresh").await;
        let status: Value = serde_json::from_str(&sidecar(scene, pod, "status").await?)?;
        Ok(wanted(&status["plan"]).then_some(status))
    })
    .await
}

fn fails_with(code: &'static str) -> impl Fn(&Value) -> bool {
    move |plan| plan["error"]["message"].as_str().is_some_and(|text| text.contains(code))
}

async fn an_edited_class_reaches_running_pods_and_a_broken_one_leaves_their_plan(
    scene: &Scene,
) -> anyhow::Result<()> {
    scene.world.emulator.set_secret(&scene.vault, "new", "fresh");
    scene.create("pods", &scene.pod("live", SHOW)).await?;
    scene.running("live").await?;
    edit(scene, &objects(scene, &["db", "new"])).await?;
    until("the new file is there", PATIENCE, async || {
        sidecar(scene, "live", "refresh").await?;
        Ok((scene.sh("live", "cat /mnt/s/new || true").await? == "fresh").then_some(()))
    })
    .await?;

    edit(scene, &json!("array: [")).await?;
    plan_until(scene, "live", "KS663 for a broken class", fails_with("KS106")).await?;
    scene.world.emulator.set_secret(&scene.vault, "db", "second");
    until("a rotation arrives all the same", PATIENCE, async || {
        let _ = sidecar(scene, "live", "refresh").await;
        Ok((scene.sh("live", "cat /mnt/s/db").await? == "second").then_some(()))
    })
    .await?;
    anyhow::ensure!(scene.sh("live", "cat /mnt/s/new").await? == "fresh");

    edit(scene, &objects(scene, &["db"])).await?;
    plan_until(scene, "live", "it follows again", |plan| plan["error"].is_null()).await?;
    until("the file is gone", PATIENCE, async || {
        Ok(scene.sh("live", "ls /mnt/s").await?.split_whitespace().eq(["db"]).then_some(()))
    })
    .await
}

/// A pod with a reaction goes through an upgrade that changes what a new Plan would be.
async fn an_upgrade_changes_the_plan_of_no_running_pod(scene: &Scene) -> anyhow::Result<()> {
    let mut pod =
        scene.pod("calm", "trap 'echo reloaded' HUP; while true; do sleep 1 & wait $!; done");
    pod["spec"]["shareProcessNamespace"] = true.into();
    pod["spec"]["securityContext"] =
        json!({"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000});
    pod["metadata"]["annotations"] = json!({"keysluice.dev/on-change": "signal:HUP@app",
        "keysluice.dev/on-change-spread": "0s"});
    scene.create("pods", &pod).await?;
    scene.running("calm").await?;
    let answered = |plan: &Value| plan["ageSeconds"].is_u64() && plan["error"].is_null();
    let before = plan_until(scene, "calm", "the webhook answers", answered).await?;
    let values = json!({"refreshInterval": "47s", "csiVolumes": "replace",
        "allowVaults": ["another-vault", &scene.vault]});
    webhook::upgrade(scene, &values).await?;
    webhook::is_ready(scene, 2).await?;
    let again = |plan: &Value| plan["error"].is_null() && plan["ageSeconds"].as_u64() < Some(2);
    let after = plan_until(scene, "calm", "the upgraded webhook answers", again).await?;
    // A reaction would come two seconds after the change.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let generation = |status: &Value| status["volumes"][0]["generation"].clone();
    anyhow::ensure!(generation(&before) == generation(&after), "{before} {after}");
    anyhow::ensure!(after["reaction"]["count"] == 0, "{after}");
    let path = format!("{}/calm/log?container=keysluice", scene.path("pods"));
    let log = scene.world.api.text(&path).await?;
    anyhow::ensure!(!log.contains("the new Plan is in force"), "{log}");
    let undo = json!({"refreshInterval": "30s", "csiVolumes": "auto", "allowVaults": []});
    webhook::upgrade(scene, &undo).await
}
