//! What a cluster goes through: each of these takes something away from all pods, so they are
//! played one by one.

use crate::scene::{BUSYBOX, SHOW, Scene, sidecar};
use crate::webhook;
use crate::world::{PATIENCE, RELEASE, until};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::process::Command;

crate::scenarios!(
    without_a_webhook_labelled_pods_wait_and_all_others_start,
    the_cluster_starts_cold_with_every_pod_of_ours_gone,
    a_drained_node_comes_back_with_every_pod_mutated,
    a_restarted_kubelet_leaves_pods_alone_and_renews_their_token,
    a_restarted_api_server_is_noticed_by_nobody,
    a_restarted_etcd_is_noticed_by_nobody,
    two_hundred_pods_at_once_all_start,
);

fn deployment(scene: &Scene, name: &str, replicas: usize, script: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"replicas": replicas,
        "selector": {"matchLabels": {"app": name}}, "template": scene.template(name, script)}})
}

async fn two_hundred_pods_at_once_all_start(scene: &Scene) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut many = deployment(scene, "many", 200, SHOW);
    many["spec"]["template"]["spec"]["containers"][0]["resources"] =
        json!({"requests": {"cpu": "1m"}});
    scene.create("deployments", &many).await?;
    let pods = scene.all_running("many", 200, Duration::from_secs(300)).await?;
    for pod in &pods {
        sidecar(pod)?;
    }
    let restarts: i64 = pods
        .iter()
        .filter_map(|pod| pod["status"]["initContainerStatuses"][0]["restartCount"].as_i64())
        .sum();
    scene.world.figure(format!(
        "200 pods at once: all ready after {:.0} s, {restarts} restarts of sidecars",
        begun.elapsed().as_secs_f32()
    ));
    let requests = scene.world.emulator.counts();
    scene.world.figure(format!(
        "calls of the emulator since the start: {}",
        serde_json::to_string(&requests)?
    ));
    // Their end takes longer than their start: the cluster's own is quicker.
    scene.keep();
    crate::memory::charged_to_sidecars(scene)
}

async fn without_a_webhook_labelled_pods_wait_and_all_others_start(
    scene: &Scene,
) -> anyhow::Result<()> {
    webhook::scale(scene, 0).await?;
    until("no replica is left", PATIENCE, async || {
        Ok(webhook::pods(scene).await?.is_empty().then_some(()))
    })
    .await?;
    let refused = scene.refused("pods", &scene.pod("waiting", SHOW)).await?;
    anyhow::ensure!(refused.contains("pods.keysluice.dev"), "{refused}");
    scene.create("deployments", &deployment(scene, "patient", 1, SHOW)).await?;
    let plain = json!({"metadata": {"name": "plain"}, "spec": {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "app", "image": BUSYBOX, "command": ["sleep", "infinity"]}]}});
    scene.create("pods", &plain).await?;
    scene.running("plain").await?;
    webhook::scale(scene, 2).await?;
    webhook::is_ready(scene, 2).await?;
    let begun = Instant::now();
    scene.all_running("patient", 1, PATIENCE).await?;
    scene.world.figure(format!(
        "webhook back: the waiting Deployment's pod ready after {:.1} s",
        begun.elapsed().as_secs_f32()
    ));
    Ok(())
}

async fn the_cluster_starts_cold_with_every_pod_of_ours_gone(scene: &Scene) -> anyhow::Result<()> {
    scene.create("deployments", &deployment(scene, "cold", 1, SHOW)).await?;
    scene.all_running("cold", 1, PATIENCE).await?;
    let begun = Instant::now();
    for pod in ["cold", "keysluice"] {
        let (namespace, selector) = if pod == "cold" {
            (scene.namespace.as_str(), "app=cold")
        } else {
            (RELEASE, "app.kubernetes.io/name=keysluice")
        };
        let all = [
            "delete",
            "pods",
            "--namespace",
            namespace,
            "--selector",
            selector,
            "--force",
            "--grace-period=0",
        ];
        scene.world.kubectl(&all).await?;
    }
    webhook::is_ready(scene, 2).await?;
    scene.all_running("cold", 1, PATIENCE).await?;
    scene
        .world
        .figure(format!("cold start with every pod gone: {:.1} s", begun.elapsed().as_secs_f32()));
    Ok(())
}

async fn a_drained_node_comes_back_with_every_pod_mutated(scene: &Scene) -> anyhow::Result<()> {
    scene.create("deployments", &deployment(scene, "moved", 3, SHOW)).await?;
    scene.all_running("moved", 3, PATIENCE).await?;
    // The one node's other pods have nowhere to go, so their budget would hold the drain for ever.
    let drain =
        ["drain", "node", "--pod-selector=app=moved", "--delete-emptydir-data", "--timeout=60s"];
    scene.world.kubectl(&drain).await?;
    scene.world.kubectl(&["uncordon", "node"]).await?;
    for pod in scene.all_running("moved", 3, PATIENCE).await? {
        sidecar(&pod)?;
    }
    Ok(())
}

/// Kills a daemon; the supervisor starts it again.
async fn restart(scene: &Scene, daemon: &str) -> anyhow::Result<()> {
    let pid = std::fs::read_to_string(scene.world.layout.pid(daemon)).context("no such daemon")?;
    crate::world::run(
        {
            let mut kill = Command::new("kill");
            kill.args(["-9", &pid]);
            kill
        },
        None,
    )
    .await?;
    until(&format!("{daemon} is another process"), PATIENCE, async || {
        let now = std::fs::read_to_string(scene.world.layout.pid(daemon))?;
        Ok((now != pid).then_some(()))
    })
    .await
}

/// A running pod whose file must be rotated, and a new pod that must start, both after what befell
/// the cluster.
async fn all_goes_on(scene: &Scene, running: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    scene.world.api.until_ready(PATIENCE).await?;
    until("a new pod is admitted", PATIENCE, async || {
        scene.create("pods", &scene.pod("after", SHOW)).await?;
        Ok(Some(()))
    })
    .await?;
    scene.running("after").await?;
    scene.rotate(running, "second").await?;
    let pod = scene.get("pods", running).await?;
    for statuses in ["containerStatuses", "initContainerStatuses"] {
        for status in pod["status"][statuses].as_array().into_iter().flatten() {
            anyhow::ensure!(status["restartCount"] == 0, "{} was restarted", status["name"]);
        }
    }
    for pod in webhook::pods(scene).await? {
        let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
        anyhow::ensure!(
            restarts.as_u64().unwrap_or(0) <= 1,
            "the webhook was restarted {restarts} times"
        );
    }
    scene.world.figure(format!(
        "{}: all goes on after {:.1} s",
        scene.namespace,
        begun.elapsed().as_secs_f32()
    ));
    Ok(())
}

async fn a_restarted_kubelet_leaves_pods_alone_and_renews_their_token(
    scene: &Scene,
) -> anyhow::Result<()> {
    scene.create("pods", &scene.pod("before", SHOW)).await?;
    scene.running("before").await?;
    let token = scene.sh("before", "cat $AZURE_FEDERATED_TOKEN_FILE").await?;
    restart(scene, "kubelet").await?;
    all_goes_on(scene, "before").await?;
    // The kubelet has forgotten which token it had, and asks for another: what it does at 80 % of a
    // token's life, too.
    until("the token is another one", PATIENCE * 2, async || {
        Ok((scene.sh("before", "cat $AZURE_FEDERATED_TOKEN_FILE").await? != token).then_some(()))
    })
    .await?;
    scene.rotate("before", "third").await
}

async fn a_restarted_api_server_is_noticed_by_nobody(scene: &Scene) -> anyhow::Result<()> {
    scene.create("pods", &scene.pod("before", SHOW)).await?;
    scene.running("before").await?;
    restart(scene, "kube-apiserver").await?;
    all_goes_on(scene, "before").await
}

async fn a_restarted_etcd_is_noticed_by_nobody(scene: &Scene) -> anyhow::Result<()> {
    scene.create("pods", &scene.pod("before", SHOW)).await?;
    scene.running("before").await?;
    restart(scene, "etcd").await?;
    all_goes_on(scene, "before").await
}
