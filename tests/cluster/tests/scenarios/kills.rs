//! Replicas that die without a word: whatever has a controller is delayed, and only for seconds.

use crate::scene::{Scene, sidecar};
use crate::webhook;
use crate::world::{PATIENCE, until};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

crate::scenarios!(killed_replicas_delay_a_deployment_and_a_job_and_lose_no_pod);

/// What the issue asks: every pod of a Deployment or Job exists, mutated, after this.
const BOUND: Duration = Duration::from_secs(10);
/// From the endpoint's removal to the last packet that goes there: kube-proxy writes its rules once
/// a second at most.
const PROXY: Duration = Duration::from_secs(2);
const SLICES: &str = concat!(
    "/apis/discovery.k8s.io/v1/namespaces/keysluice-system/endpointslices",
    "?labelSelector=kubernetes.io/service-name%3Dkeysluice"
);

async fn killed_replicas_delay_a_deployment_and_a_job_and_lose_no_pod(
    scene: &Scene,
) -> anyhow::Result<()> {
    webhook::is_ready(scene, 2).await?;
    for (round, victim) in webhook::pods(scene).await?.iter().enumerate() {
        let of = |key: &str, field: &str| {
            victim[key][field].as_str().map(str::to_owned).context("no such field")
        };
        let (uid, name, address) =
            (of("metadata", "uid")?, of("metadata", "name")?, of("status", "podIP")?);
        let restarts = restarts(victim);
        kill_processes_of(&uid)?;
        let killed = Instant::now();
        let victim = Victim { name: &name, address: &address, restarts, killed };
        let (waves, bare) = tokio::join!(waves(scene, round, killed), bare(scene, round, &victim));
        let (pods_after, bare) = (waves?, bare?);
        scene.world.figure(format!(
            "kill -9 of replica {round}: 10 pods of a Deployment and 10 of a Job after {:.1} s; \
             {bare}",
            pods_after.as_secs_f32()
        ));
        anyhow::ensure!(pods_after <= BOUND, "the pods were there after {pods_after:?}");
        webhook::is_ready(scene, 2).await?;
    }
    Ok(())
}

/// A killed replica of the webhook.
struct Victim<'a> {
    name: &'a str,
    address: &'a str,
    /// Restarts of its container before.
    restarts: u64,
    killed: Instant,
}

fn restarts(pod: &Value) -> u64 {
    pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0)
}

async fn has_restarted(scene: &Scene, name: &str, before: u64) -> anyhow::Result<bool> {
    let pods = webhook::pods(scene).await?;
    Ok(pods.iter().any(|pod| pod["metadata"]["name"] == *name && restarts(pod) > before))
}

/// A Deployment and a Job at the worst moment; how long after the kill all of their pods exist,
/// mutated.
async fn waves(scene: &Scene, round: usize, killed: Instant) -> anyhow::Result<Duration> {
    let (deployment, job) = (format!("wave-{round}"), format!("job-{round}"));
    let object = json!({"metadata": {"name": deployment}, "spec": {"replicas": 10,
        "selector": {"matchLabels": {"app": deployment}},
        "template": webhook::unscheduled_template(scene, &deployment)}});
    scene.create("deployments", &object).await?;
    let mut template = webhook::unscheduled_template(scene, &job);
    template["spec"]["restartPolicy"] = json!("Never");
    let object = json!({"metadata": {"name": job},
        "spec": {"completions": 10, "parallelism": 10, "template": template}});
    scene.create("jobs", &object).await?;
    until("all pods of Deployment and Job exist, mutated", PATIENCE, async || {
        for name in [&deployment, &job] {
            let pods = scene
                .world
                .api
                .get(&format!("{}?labelSelector=app%3D{name}", scene.path("pods")))
                .await?;
            let pods = pods["items"].as_array().cloned().unwrap_or_default();
            if pods.len() != 10 || !pods.iter().all(|pod| sidecar(pod).is_ok()) {
                return Ok(None);
            }
        }
        Ok(Some(killed.elapsed()))
    })
    .await
}

/// Bare creations, which nobody repeats: they may fail from the kill until nothing is sent to the
/// dead replica any more.
async fn bare(scene: &Scene, round: usize, victim: &Victim<'_>) -> anyhow::Result<String> {
    let Victim { name, address, restarts: before, killed } = *victim;
    let (mut failed, mut made, mut number) = (Vec::<(Duration, String)>::new(), 0, 0);
    let (mut removed, mut is_back) = (None, false);
    // Until the replica is back, and was away long enough for everybody to have noticed.
    while removed.is_none_or(|removed: Duration| killed.elapsed() < removed + PROXY * 2) || !is_back
    {
        anyhow::ensure!(
            killed.elapsed() < PATIENCE,
            "the endpoint of {name} was removed: {removed:?}, is back: {is_back}"
        );
        let begun = killed.elapsed();
        let pod = webhook::unscheduled(scene, &format!("bare-{round}-{number}"));
        number += 1;
        match scene.create("pods", &pod).await {
            Ok(_) => made += 1,
            Err(error) => failed.push((begun, format!("{error:#}"))),
        }
        let is_ready = is_endpoint(&scene.world.api.get(SLICES).await?, address);
        // A replica that starts again between two looks is never seen without its endpoint.
        if removed.is_none() && (!is_ready || has_restarted(scene, name, before).await?) {
            removed = Some(killed.elapsed());
        }
        is_back = removed.is_some() && is_ready;
    }
    let removed = removed.unwrap_or_default();
    let last = failed.last().map_or(Duration::ZERO, |(begun, _)| *begun);
    let late: Vec<_> = failed.iter().filter(|(begun, _)| *begun > removed + PROXY).collect();
    anyhow::ensure!(late.is_empty(), "endpoint removed after {removed:?}, and yet: {late:#?}");
    Ok(format!(
        "{} of {} bare creations failed, the last {} ms after the kill, the endpoint removed \
         after {} ms",
        failed.len(),
        failed.len() + made,
        last.as_millis(),
        removed.as_millis()
    ))
}

/// Whether a Service sends anything to this address.
fn is_endpoint(slices: &Value, address: &str) -> bool {
    let slices = slices["items"].as_array().into_iter().flatten();
    let mut endpoints =
        slices.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
    endpoints.any(|endpoint| {
        endpoint["addresses"][0] == address && endpoint["conditions"]["ready"] == true
    })
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
