//! What a cluster goes through: each of these takes something away from all pods, so they are played one by one.

use crate::scene::{BUSYBOX, SHOW, Scene, sidecar};
use crate::world::{PATIENCE, RELEASE, until};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::process::Command;

crate::scenarios!(
    two_hundred_pods_at_once_all_start,
    no_pod_is_refused_or_missed_while_the_webhook_rolls_and_scales,
    killed_replicas_delay_a_deployment_and_lose_no_pod,
    without_a_webhook_labelled_pods_wait_and_all_others_start,
    the_cluster_starts_cold_with_every_pod_of_ours_gone,
    a_drained_node_comes_back_with_every_pod_mutated,
    a_restarted_kubelet_leaves_pods_alone_and_renews_their_token,
    a_restarted_api_server_is_noticed_by_nobody,
    a_restarted_etcd_is_noticed_by_nobody,
    webhook_and_sidecar_stay_small,
);

const WEBHOOK: &str = "app.kubernetes.io%2Fcomponent%3Dwebhook";

fn deployment(scene: &Scene, name: &str, replicas: usize, script: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"replicas": replicas,
        "selector": {"matchLabels": {"app": name}}, "template": scene.template(name, script)}})
}

async fn two_hundred_pods_at_once_all_start(scene: &Scene) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut many = deployment(scene, "many", 200, SHOW);
    many["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1m"}});
    scene.create("deployments", &many).await?;
    let pods = scene.all_running("many", 200, Duration::from_secs(300)).await?;
    for pod in &pods {
        sidecar(pod)?;
    }
    let restarts: i64 =
        pods.iter().filter_map(|pod| pod["status"]["initContainerStatuses"][0]["restartCount"].as_i64()).sum();
    scene.world.figure(format!(
        "200 pods at once: all ready after {:.0} s, {restarts} restarts of sidecars",
        begun.elapsed().as_secs_f32()
    ));
    let requests = scene.world.emulator.counts();
    scene.world.figure(format!("calls of the emulator since the start: {}", serde_json::to_string(&requests)?));
    scene.delete("deployments", "many").await?;
    until("they are gone", Duration::from_secs(120), async || {
        let pods = scene.world.api.get(&scene.path("pods")).await?;
        Ok(pods["items"].as_array().is_some_and(Vec::is_empty).then_some(()))
    })
    .await
}

/// Pods that no node takes: what admission does to them is all that counts.
fn unscheduled(scene: &Scene, name: &str) -> Value {
    let mut pod = scene.pod(name, SHOW);
    pod["spec"]["nodeSelector"] = json!({"nowhere": "true"});
    pod
}

async fn webhook_pods(scene: &Scene) -> anyhow::Result<Vec<Value>> {
    let list = scene.world.api.get(&format!("/api/v1/namespaces/{RELEASE}/pods?labelSelector={WEBHOOK}")).await?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

async fn webhook_is_ready(scene: &Scene, replicas: usize) -> anyhow::Result<()> {
    until(&format!("{replicas} replicas of the webhook, and no other"), PATIENCE * 2, async || {
        let path = format!("/apis/apps/v1/namespaces/{RELEASE}/deployments/keysluice");
        let deployment = scene.world.api.get(&path).await?;
        let status = &deployment["status"];
        let observed = status["observedGeneration"] == deployment["metadata"]["generation"];
        let all = ["replicas", "updatedReplicas", "availableReplicas"]
            .iter()
            .all(|key| status[key].as_u64().unwrap_or(0) == replicas as u64);
        Ok((observed && all && webhook_pods(scene).await?.len() == replicas).then_some(()))
    })
    .await
}

async fn scale(scene: &Scene, replicas: usize) -> anyhow::Result<()> {
    let path = format!("/apis/apps/v1/namespaces/{RELEASE}/deployments/keysluice");
    scene.world.api.patch(&path, &json!({"spec": {"replicas": replicas}})).await?;
    Ok(())
}

async fn no_pod_is_refused_or_missed_while_the_webhook_rolls_and_scales(scene: &Scene) -> anyhow::Result<()> {
    let upheaval = async {
        let path = format!("/apis/apps/v1/namespaces/{RELEASE}/deployments/keysluice");
        let restarted = json!({"spec": {"template": {"metadata": {"annotations": {"restarted": scene.namespace}}}}});
        scene.world.api.patch(&path, &restarted).await?;
        webhook_is_ready(scene, 2).await?;
        for replicas in [1, 3, 2] {
            scale(scene, replicas).await?;
            webhook_is_ready(scene, replicas).await?;
        }
        anyhow::Ok(())
    };
    let (mut made, mut refused, mut missed) = (0, Vec::new(), 0);
    let creation = async {
        // At least 500, and as long as the upheaval lasts.
        let begun = Instant::now();
        let mut number = 0;
        while number < 500 || (begun.elapsed() < Duration::from_secs(90) && scene.world.layout.path("rolling").exists())
        {
            let name = format!("rolled-{number}");
            number += 1;
            match scene.create("pods", &unscheduled(scene, &name)).await {
                Ok(pod) => {
                    made += 1;
                    missed += usize::from(sidecar(&pod).is_err());
                }
                Err(error) => refused.push(format!("{error:#}")),
            }
        }
    };
    std::fs::write(scene.world.layout.path("rolling"), "")?;
    let upheaval = async {
        let result = upheaval.await;
        std::fs::remove_file(scene.world.layout.path("rolling"))?;
        result
    };
    let (rolled, ()) = tokio::join!(upheaval, creation);
    rolled?;
    scene.world.figure(format!("roll, scale 2-1-3-2: {made} pods made, {} refused, {missed} missed", refused.len()));
    anyhow::ensure!(refused.is_empty() && missed == 0, "{missed} missed, refused: {refused:#?}");
    Ok(())
}

async fn killed_replicas_delay_a_deployment_and_lose_no_pod(scene: &Scene) -> anyhow::Result<()> {
    webhook_is_ready(scene, 2).await?;
    let mut lost = 0;
    for (round, victim) in webhook_pods(scene).await?.iter().enumerate() {
        let victim = victim["metadata"]["uid"].as_str().context("no uid")?.to_owned();
        kill_processes_of(&victim)?;
        let begun = Instant::now();
        let name = format!("wave-{round}");
        let mut wave = deployment(scene, &name, 10, SHOW);
        wave["spec"]["template"]["spec"]["nodeSelector"] = json!({"nowhere": "true"});
        scene.create("deployments", &wave).await?;
        // A bare creation is not repeated by anybody.
        for number in 0..20 {
            lost += usize::from(
                scene.create("pods", &unscheduled(scene, &format!("bare-{round}-{number}"))).await.is_err(),
            );
        }
        until("all pods of the deployment exist, mutated", Duration::from_secs(30), async || {
            let path = format!("{}?labelSelector=app%3D{name}", scene.path("pods"));
            let pods = scene.world.api.get(&path).await?;
            let pods = pods["items"].as_array().cloned().unwrap_or_default();
            Ok((pods.len() == 10 && pods.iter().all(|pod| sidecar(pod).is_ok())).then_some(()))
        })
        .await?;
        scene.world.figure(format!(
            "kill -9 of replica {round}: 10 pods of a Deployment after {:.1} s",
            begun.elapsed().as_secs_f32()
        ));
        webhook_is_ready(scene, 2).await?;
    }
    scene.world.figure(format!("kill -9 of each replica: {lost} of 40 bare creations failed"));
    Ok(())
}

/// SIGKILL for every process below the pod's cgroup but its sandbox.
fn kill_processes_of(uid: &str) -> anyhow::Result<()> {
    let mut killed = 0;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let cgroup = std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if cgroup.contains(uid) && command.starts_with("/keysluice\0") {
            let pid = entry.file_name().to_string_lossy().into_owned();
            std::process::Command::new("kill").args(["-9", &pid]).status()?;
            killed += 1;
        }
    }
    anyhow::ensure!(killed > 0, "no process of pod {uid} was found");
    Ok(())
}

async fn without_a_webhook_labelled_pods_wait_and_all_others_start(scene: &Scene) -> anyhow::Result<()> {
    scale(scene, 0).await?;
    until("no replica is left", PATIENCE, async || Ok(webhook_pods(scene).await?.is_empty().then_some(()))).await?;
    let refused = scene.refused("pods", &scene.pod("waiting", SHOW)).await?;
    anyhow::ensure!(refused.contains("pods.keysluice.dev"), "{refused}");
    scene.create("deployments", &deployment(scene, "patient", 1, SHOW)).await?;
    let plain = json!({"metadata": {"name": "plain"}, "spec": {
        "terminationGracePeriodSeconds": 1, "containers": [{"name": "app", "image": BUSYBOX, "command": ["sleep", "infinity"]}]}});
    scene.create("pods", &plain).await?;
    scene.running("plain").await?;
    scale(scene, 2).await?;
    webhook_is_ready(scene, 2).await?;
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
        let all = ["delete", "pods", "--namespace", namespace, "--selector", selector, "--force", "--grace-period=0"];
        scene.world.kubectl(&all).await?;
    }
    webhook_is_ready(scene, 2).await?;
    scene.all_running("cold", 1, PATIENCE).await?;
    scene.world.figure(format!("cold start with every pod gone: {:.1} s", begun.elapsed().as_secs_f32()));
    Ok(())
}

async fn a_drained_node_comes_back_with_every_pod_mutated(scene: &Scene) -> anyhow::Result<()> {
    scene.create("deployments", &deployment(scene, "moved", 3, SHOW)).await?;
    scene.all_running("moved", 3, PATIENCE).await?;
    // The one node's other pods have nowhere to go, so their budget would hold the drain for ever.
    let drain = ["drain", "node", "--pod-selector=app=moved", "--delete-emptydir-data", "--timeout=60s"];
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

/// A running pod whose file must be rotated, and a new pod that must start, both after what befell the cluster.
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
    for pod in webhook_pods(scene).await? {
        let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
        anyhow::ensure!(restarts.as_u64().unwrap_or(0) <= 1, "the webhook was restarted {restarts} times");
    }
    scene.world.figure(format!("{}: all goes on after {:.1} s", scene.namespace, begun.elapsed().as_secs_f32()));
    Ok(())
}

async fn a_restarted_kubelet_leaves_pods_alone_and_renews_their_token(scene: &Scene) -> anyhow::Result<()> {
    scene.create("pods", &scene.pod("before", SHOW)).await?;
    scene.running("before").await?;
    let token = scene.sh("before", "cat $AZURE_FEDERATED_TOKEN_FILE").await?;
    restart(scene, "kubelet").await?;
    all_goes_on(scene, "before").await?;
    // The kubelet has forgotten which token it had, and asks for another: what it does at 80 % of a token's life, too.
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

/// After everything above.
async fn webhook_and_sidecar_stay_small(scene: &Scene) -> anyhow::Result<()> {
    scene.create("pods", &scene.pod("small", SHOW)).await?;
    scene.running("small").await?;
    let webhooks = memory_of("/keysluice")?;
    let sidecars = memory_of("/keysluice-injector")?;
    for (name, all, limit) in [("webhook", &webhooks, 15 << 10), ("sidecar", &sidecars, 8 << 10)] {
        anyhow::ensure!(!all.is_empty(), "no {name} runs");
        let (resident, private) = all.iter().max().copied().unwrap_or_default();
        scene
            .world
            .figure(format!("{name}: {resident} KiB resident at most, {private} KiB of it private, of {}", all.len()));
        anyhow::ensure!(resident <= limit, "{name}: {resident} KiB resident");
    }
    let charged = charged_to_sidecars()?;
    let most = charged.iter().max().copied().unwrap_or_default();
    scene.world.figure(format!("sidecar: {most} KiB charged to its cgroup at most, without the tmpfs"));
    anyhow::ensure!(most <= 4 << 10, "{most} KiB");
    Ok(())
}

/// Processes that run `program`.
fn processes_of(program: &str) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let start = format!("{program}\0");
    let entries = std::fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
    let runs = |path: &std::path::PathBuf| {
        std::fs::read_to_string(path.join("cmdline")).is_ok_and(|line| line.starts_with(&start))
    };
    Ok(entries.filter(runs).collect())
}

/// Resident and private KiB of each process that runs `program`.
fn memory_of(program: &str) -> anyhow::Result<Vec<(u64, u64)>> {
    let mut all = Vec::new();
    for process in processes_of(program)? {
        let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
        let kib = |field: &str| {
            let line = status.lines().find(|line| line.starts_with(field))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        all.extend(kib("VmRSS:").zip(kib("RssAnon:")));
    }
    Ok(all)
}

/// KiB charged to each sidecar's memory cgroup, less what lies on its tmpfs (version 1: `shmem` of `memory.stat`).
fn charged_to_sidecars() -> anyhow::Result<Vec<u64>> {
    let mut all = Vec::new();
    for process in processes_of("/keysluice-injector")? {
        let cgroups = std::fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        let version_1 = cgroups.lines().find_map(|line| line.split_once(":memory:")).map(|(_, path)| path);
        let version_2 = cgroups.lines().find_map(|line| line.strip_prefix("0::"));
        let (directory, file) = match (version_1, version_2) {
            (Some(path), _) => (format!("/sys/fs/cgroup/memory{path}"), "memory.usage_in_bytes"),
            (None, Some(path)) => (format!("/sys/fs/cgroup{path}"), "memory.current"),
            (None, None) => continue,
        };
        let read = |file: &str| std::fs::read_to_string(format!("{directory}/{file}")).unwrap_or_default();
        let usage: u64 = read(file).trim().parse().unwrap_or(0);
        let shared =
            read("memory.stat").lines().find_map(|line| line.strip_prefix("shmem ")?.parse().ok()).unwrap_or(0);
        all.push(usage.saturating_sub(shared) >> 10);
    }
    Ok(all)
}
