//! Reactions that replace pods: evictions within a PodDisruptionBudget, and rollouts.

use crate::scene::Scene;
use crate::synced;
use crate::world::{PATIENCE, until};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

crate::scenarios!(
    an_eviction_keeps_to_the_budget_and_changes_no_template,
    a_rollout_makes_one_new_replica_set_for_three_replicas,
    replaced_pods_never_start_with_an_old_variable,
    an_application_that_checks_itself_sees_each_rotation_whole_and_in_order,
);

/// Each takes the processor for itself.
pub(crate) const ALONE: &[crate::Scenario] = &[crate::Scenario {
    name: "twenty_replicas_without_a_budget_stay_three_quarters_ready",
    play: |scene| Box::pin(twenty_replicas_without_a_budget_stay_three_quarters_ready(scene)),
}];

/// `make soak` has more rotations.
fn rotations(few: u32) -> u32 {
    let told = std::env::var("KEYSLUICE_ROTATIONS").ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(few)
}

/// A Deployment whose pods end at once, and print their file.
fn deployment(scene: &Scene, name: &str, replicas: usize, action: &str, spread: &str) -> Value {
    let script = "trap 'exit 0' TERM; cat /mnt/s/db; echo; sleep infinity & wait";
    let mut template = scene.template(name, script);
    template["metadata"]["annotations"] =
        json!({"keysluice.dev/on-change": action, "keysluice.dev/on-change-spread": spread});
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": scene.namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
            "template": template}})
}

/// Creates it without replicas, so that the rights are there before its pods.
async fn create(scene: &Scene, deployment: &Value) -> anyhow::Result<Vec<Value>> {
    let mut empty = deployment.clone();
    let replicas = empty["spec"]["replicas"].take();
    empty["spec"]["replicas"] = 0.into();
    scene.create("deployments", &empty).await?;
    synced::grant(scene).await?;
    let name = deployment["metadata"]["name"].as_str().context("no name")?;
    let path = format!("{}/{name}", scene.path("deployments"));
    scene.world.api.patch(&path, &json!({"spec": {"replicas": replicas}})).await?;
    let count = usize::try_from(replicas.as_u64().unwrap_or_default())?;
    scene.all_running(name, count, PATIENCE * 3).await
}

fn uids(pods: &[Value]) -> BTreeSet<String> {
    pods.iter().map(|pod| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn ready(scene: &Scene, deployment: &str) -> anyhow::Result<u64> {
    let deployment = scene.get("deployments", deployment).await?;
    Ok(deployment["status"]["readyReplicas"].as_u64().unwrap_or_default())
}

/// Waits until none of these pods is left and as many others are ready; gives the least number of
/// ready pods meanwhile.
async fn all_replaced(
    scene: &Scene,
    name: &str,
    before: &[Value],
    patience: Duration,
) -> anyhow::Result<u64> {
    let (old, fewest) = (uids(before), Cell::new(u64::MAX));
    let path = format!("{}?labelSelector=app%3D{name}", scene.path("pods"));
    until(&format!("all pods of {name} are replaced"), patience, async || {
        let now = ready(scene, name).await?;
        fewest.set(fewest.get().min(now));
        let pods = scene.world.api.get(&path).await?;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let are_new = uids(&pods).is_disjoint(&old) && pods.len() == before.len();
        Ok((are_new && now == u64::try_from(before.len())?).then_some(()))
    })
    .await?;
    Ok(fewest.get())
}

async fn all_say(scene: &Scene, name: &str, count: usize, line: &str) -> anyhow::Result<()> {
    for pod in scene.all_running(name, count, PATIENCE).await? {
        scene.says(pod["metadata"]["name"].as_str().unwrap_or_default(), line).await?;
    }
    Ok(())
}

async fn an_eviction_keeps_to_the_budget_and_changes_no_template(
    scene: &Scene,
) -> anyhow::Result<()> {
    let budget = json!({"metadata": {"name": "evicted"}, "spec": {"minAvailable": 2,
        "selector": {"matchLabels": {"app": "evicted"}}}});
    scene.create("poddisruptionbudgets", &budget).await?;
    let pods = create(scene, &deployment(scene, "evicted", 3, "evict", "0s")).await?;
    let generation = scene.get("deployments", "evicted").await?["metadata"]["generation"].clone();
    scene.world.emulator.set_secret(&scene.vault, "db", "second");
    let begun = Instant::now();
    let fewest = all_replaced(scene, "evicted", &pods, PATIENCE * 3).await?;
    scene.world.figure(format!(
        "rotation -> three replicas evicted within their budget: {:.1} s, at least {fewest} ready",
        begun.elapsed().as_secs_f32()
    ));
    anyhow::ensure!(fewest >= 2, "only {fewest} of 3 were ready, and the budget is 2");
    all_say(scene, "evicted", 3, "second").await?;
    let deployment = scene.get("deployments", "evicted").await?;
    anyhow::ensure!(deployment["metadata"]["generation"] == generation, "{deployment}");
    Ok(())
}

/// The `ReplicaSet`s of the scene.
async fn replica_sets(scene: &Scene) -> anyhow::Result<usize> {
    let sets = scene.world.api.get(&scene.path("replicasets")).await?;
    Ok(sets["items"].as_array().map_or(0, Vec::len))
}

async fn a_rollout_makes_one_new_replica_set_for_three_replicas(
    scene: &Scene,
) -> anyhow::Result<()> {
    let mut pods = create(scene, &deployment(scene, "rolled", 3, "rollout", "2s")).await?;
    for (number, value) in ["second", "third"].into_iter().enumerate() {
        let begun = Instant::now();
        scene.world.emulator.set_secret(&scene.vault, "db", value);
        all_replaced(scene, "rolled", &pods, PATIENCE * 3).await?;
        scene.world.figure(format!(
            "rotation -> three replicas rolled out: {:.1} s",
            begun.elapsed().as_secs_f32()
        ));
        all_say(scene, "rolled", 3, value).await?;
        let sets = replica_sets(scene).await?;
        anyhow::ensure!(sets == 2 + number, "{sets} ReplicaSets after {value}");
        pods = scene.all_running("rolled", 3, PATIENCE).await?;
    }
    // The new pods look into the vault, and cause nothing.
    tokio::time::sleep(Duration::from_secs(40)).await;
    anyhow::ensure!(replica_sets(scene).await? == 3, "a pod of the rollout caused another one");
    let deployment = scene.get("deployments", "rolled").await?;
    let template = &deployment["spec"]["template"]["metadata"]["annotations"];
    let annotation = template["keysluice.dev/secrets-updated"].as_str().context("no annotation")?;
    anyhow::ensure!(annotation.len() == 37 && !annotation.contains("third"), "{annotation}");
    Ok(())
}

/// A variable from a synced Secret is as new as the rotation that replaced the pod.
async fn replaced_pods_never_start_with_an_old_variable(scene: &Scene) -> anyhow::Result<()> {
    let rotations = rotations(2);
    synced::class(scene).await?;
    let mut object = synced::deployment(scene, "renewed", 4);
    let template = &mut object["spec"]["template"];
    template["metadata"]["annotations"] =
        json!({"keysluice.dev/on-change": "rollout", "keysluice.dev/on-change-spread": "1s"});
    template["spec"]["containers"][0]["command"][2] =
        "trap 'exit 0' TERM; echo \"$DB\"; sleep infinity & wait".into();
    let mut pods = create(scene, &object).await?;
    let mut starts = 0;
    for number in 0..rotations {
        let value = format!("rotation-{number}");
        scene.world.emulator.set_secret(&scene.vault, "db", &value);
        all_replaced(scene, "renewed", &pods, PATIENCE * 3).await?;
        pods = scene.all_running("renewed", 4, PATIENCE).await?;
        for pod in &pods {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let log = scene.says(name, &value).await?;
            anyhow::ensure!(log.lines().count() == 1, "{name} started with {log:?}");
            starts += 1;
        }
    }
    scene.world.figure(format!("{starts} starts after {rotations} rotations, no old variable"));
    Ok(())
}

/// It reads its file all the time, and once more after each signal.
async fn an_application_that_checks_itself_sees_each_rotation_whole_and_in_order(
    scene: &Scene,
) -> anyhow::Result<()> {
    let script = "last=0; trap 'echo reloaded' HUP; while true; do v=$(cat /mnt/s/db); \
        [ \"$v\" = first ] && v=0; [ \"$v\" -ge \"$last\" ] || echo \"BAD $v after $last\"; \
        last=$v; sleep 0.1; done";
    let mut pod = scene.pod("checks", script);
    pod["spec"]["shareProcessNamespace"] = true.into();
    pod["spec"]["securityContext"] =
        json!({"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000});
    pod["metadata"]["annotations"] =
        json!({"keysluice.dev/on-change": "signal:HUP", "keysluice.dev/on-change-spread": "0s"});
    scene.create("pods", &pod).await?;
    scene.running("checks").await?;
    for number in 1..=rotations(5) {
        scene.rotate("checks", &number.to_string()).await?;
    }
    let log = scene.says("checks", "reloaded").await?;
    anyhow::ensure!(!log.contains("BAD"), "{log}");
    let restarts =
        scene.get("pods", "checks").await?["status"]["containerStatuses"][0]["restartCount"]
            .clone();
    anyhow::ensure!(restarts == 0, "{restarts} restarts");
    Ok(())
}

async fn twenty_replicas_without_a_budget_stay_three_quarters_ready(
    scene: &Scene,
) -> anyhow::Result<()> {
    let pods = create(scene, &deployment(scene, "many", 20, "evict", "180s")).await?;
    let begun = Instant::now();
    scene.world.emulator.set_secret(&scene.vault, "db", "second");
    let fewest = all_replaced(scene, "many", &pods, Duration::from_secs(400)).await?;
    scene.world.figure(format!(
        "rotation -> twenty replicas without a budget evicted: {:.0} s, at least {fewest} ready",
        begun.elapsed().as_secs_f32()
    ));
    anyhow::ensure!(fewest >= 15, "only {fewest} of 20 were ready");
    Ok(())
}
