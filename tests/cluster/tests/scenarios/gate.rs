//! What a gate shows that cannot open, and how long its pod takes to go.

use crate::scene::Scene;
use crate::world::{PATIENCE, until};
use keysluice_emulator::Fault;
use serde_json::json;
use std::time::{Duration, Instant};

crate::scenarios!(
    a_closed_hook_says_why_in_describe_and_log_and_its_pod_is_deleted_within_the_bound,
    a_closed_probe_says_why_in_event_describe_and_log_and_its_pod_is_deleted_within_the_bound,
);

/// What the gate waits for (30 s), the pod's grace period (1 s), and what the kubelet does besides.
const BOUND: Duration = Duration::from_secs(45);

async fn a_closed_hook_says_why_in_describe_and_log_and_its_pod_is_deleted_within_the_bound(
    scene: &Scene,
) -> anyhow::Result<()> {
    let shown = closed(scene, "hook", "FailedPostStartHook").await?;
    // The kubelet does not tell what a hook said; the sidecar's last words are in its termination
    // message.
    anyhow::ensure!(shown.describe.contains("KS408") && shown.log.contains("KS408"), "{shown:?}");
    Ok(())
}

async fn a_closed_probe_says_why_in_event_describe_and_log_and_its_pod_is_deleted_within_the_bound(
    scene: &Scene,
) -> anyhow::Result<()> {
    let shown = closed(scene, "probe", "Unhealthy").await?;
    // Whether the sidecar or the probe gives up first, a second after or before the other: both say
    // why.
    let told = shown.event.starts_with("Unhealthy: Startup probe failed: ")
        && shown.event.contains("KS408");
    let gave_up =
        shown.event.contains("KS603 not ready") || shown.event.contains("KS604 the sidecar ended");
    anyhow::ensure!(told && gave_up && shown.log.contains("KS408"), "{shown:?}");
    Ok(())
}

/// What somebody sees who looks for the reason.
#[derive(Debug)]
struct Shown {
    event: String,
    describe: String,
    log: String,
}

async fn closed(scene: &Scene, gate: &str, reason: &str) -> anyhow::Result<Shown> {
    let mut fault = Fault::status(503);
    fault.vault = Some(scene.vault.clone());
    scene.world.emulator.inject(fault);
    let mut pod = scene.pod("closed", "echo started; sleep infinity");
    pod["metadata"]["annotations"] = json!({"keysluice.dev/gate": gate});
    scene.create("pods", &pod).await?;
    let event = until(&format!("an event {reason}"), PATIENCE, async || {
        Ok(scene.events("closed").await?.into_iter().find(|event| event.starts_with(reason)))
    })
    .await?;
    let arguments = ["describe", "pod", "closed", "--namespace", &scene.namespace];
    let describe = until("describe tells the reason", PATIENCE, async || {
        let text = scene.world.kubectl(&arguments).await?;
        Ok(text.lines().map(str::trim).find(|line| line.contains("KS408")).map(str::to_owned))
    })
    .await?;
    // A container that has just been started again has said nothing yet.
    let log = until("the log tells the reason", PATIENCE, async || {
        let logs = scene.world.logs(&scene.namespace).await;
        Ok(logs.lines().rfind(|line| line.contains("\"code\":\"KS408")).map(str::to_owned))
    })
    .await?;
    let begun = Instant::now();
    scene.delete("pods", "closed").await?;
    let path = format!("{}/closed", scene.path("pods"));
    let gone = async || Ok(scene.world.api.find(&path).await?.is_none().then_some(()));
    until("the pod is gone", BOUND, gone).await?;
    let shown = Shown { event, describe, log };
    scene.world.figure(format!("closed gate, {gate}: {shown:?}"));
    scene.world.figure(format!(
        "closed gate, {gate}: deleted after {:.1} s",
        begun.elapsed().as_secs_f32()
    ));
    Ok(shown)
}
