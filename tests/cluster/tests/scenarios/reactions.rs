//! What the sidecar does after files have changed, with real processes and a real kubelet; and the
//! init container that fetches once.

use crate::scene::Scene;
use crate::synced;
use crate::world::{PATIENCE, has_condition, until};
use serde_json::{Value, json};

crate::scenarios!(
    a_signal_reaches_the_first_process_of_the_container,
    a_restarted_container_has_the_new_value_of_its_variable,
    containers_that_restart_together_never_start_with_an_old_variable,
    an_init_container_fetches_once_and_its_job_completes,
);

/// The sidecar sees and signals the processes of its own user.
fn shared(mut spec: Value, reaction: &str) -> (Value, Value) {
    spec["shareProcessNamespace"] = true.into();
    spec["securityContext"] = json!({"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000});
    let annotations =
        json!({"keysluice.dev/on-change": reaction, "keysluice.dev/on-change-spread": "0s"});
    (spec, annotations)
}

async fn a_signal_reaches_the_first_process_of_the_container(scene: &Scene) -> anyhow::Result<()> {
    let script = "trap 'echo reloaded $(cat /mnt/s/db)' HUP; echo up; \
        while true; do sleep 1 & wait $!; done";
    let mut pod = scene.pod("reload", script);
    (pod["spec"], pod["metadata"]["annotations"]) = shared(pod["spec"].clone(), "signal:HUP@app");
    scene.create("pods", &pod).await?;
    scene.running("reload").await?;
    scene.rotate("reload", "second").await?;
    let log = scene.says("reload", "reloaded second").await?;
    anyhow::ensure!(log.matches("reloaded").count() == 1, "{log}");
    scene.rotate("reload", "third").await?;
    scene.says("reload", "reloaded third").await?;
    let pod = scene.get("pods", "reload").await?;
    let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
    anyhow::ensure!(*restarts == 0, "{restarts} restarts");
    Ok(())
}

async fn a_restarted_container_has_the_new_value_of_its_variable(
    scene: &Scene,
) -> anyhow::Result<()> {
    synced::class(scene).await?;
    let script = "trap 'exit 0' TERM; echo \"started with $DB\"; sleep infinity & wait";
    let mut pod = scene.pod("restarted", script);
    let template = synced::template(scene, "restarted", script);
    (pod["spec"], pod["metadata"]["annotations"]) = shared(template["spec"].clone(), "restart");
    scene.create("deployments", &synced::deployment(scene, "none", 0)).await?;
    synced::grant(scene).await?;
    scene.create("pods", &pod).await?;
    scene.running("restarted").await?;
    scene.says("restarted", "started with first").await?;
    scene.rotate("restarted", "second").await?;
    scene.says("restarted", "started with second").await?;
    let restarted = until("the container is ready again", PATIENCE, async || {
        let pod = scene.get("pods", "restarted").await?;
        Ok(has_condition(&pod, "Ready").then_some(pod))
    })
    .await?;
    let status = &restarted["status"];
    anyhow::ensure!(status["containerStatuses"][0]["restartCount"] == 1, "{status}");
    anyhow::ensure!(status["initContainerStatuses"][0]["restartCount"] == 0, "{status}");
    Ok(())
}

/// `make soak` has 100 pods, and two rotations: the kubelet's back-off lets no container restart
/// often.
async fn containers_that_restart_together_never_start_with_an_old_variable(
    scene: &Scene,
) -> anyhow::Result<()> {
    let is_soak = std::env::var_os("KEYSLUICE_ROTATIONS").is_some();
    let (count, rotations, patience) =
        if is_soak { (100_u32, 2_u32, PATIENCE * 5) } else { (5, 1, PATIENCE) };
    synced::class(scene).await?;
    scene.create("deployments", &synced::deployment(scene, "none", 0)).await?;
    synced::grant(scene).await?;
    let script = "trap 'exit 0' TERM; echo \"started with $DB\"; sleep infinity & wait";
    let mut template = synced::template(scene, "together", script);
    let (spec, annotations) = shared(template["spec"].clone(), "restart");
    (template["spec"], template["metadata"]["annotations"]) = (spec, annotations);
    template["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1m"}});
    let object = json!({"metadata": {"name": "together"}, "spec": {"replicas": count,
        "selector": {"matchLabels": {"app": "together"}}, "template": template}});
    scene.create("deployments", &object).await?;
    let count = usize::try_from(count)?;
    let mut pods = scene.all_running("together", count, patience).await?;
    let mut starts = 0;
    for number in 1..=rotations {
        let value = format!("rotation-{number}");
        scene.world.emulator.set_secret(&scene.vault, "db", &value);
        pods = until("all containers have restarted", patience, async || {
            let pods = scene.all_running("together", count, patience).await?;
            let restarted = |pod: &Value| {
                pod["status"]["containerStatuses"][0]["restartCount"].as_u64()
                    >= Some(number.into())
            };
            Ok(pods.iter().all(restarted).then_some(pods))
        })
        .await?;
        for pod in &pods {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let log = scene.says(name, &format!("started with {value}")).await?;
            anyhow::ensure!(log.lines().count() == 1, "{name}: {log:?}");
            starts += 1;
        }
    }
    let once = |pod: &Value| {
        pod["status"]["containerStatuses"][0]["restartCount"].as_u64() == Some(rotations.into())
    };
    anyhow::ensure!(pods.iter().all(once), "a container restarted twice for one rotation");
    scene.world.figure(format!("{starts} restarts in place, no old variable"));
    Ok(())
}

async fn an_init_container_fetches_once_and_its_job_completes(scene: &Scene) -> anyhow::Result<()> {
    let mut template = scene.template("once", "cat /mnt/s/db");
    template["metadata"]["annotations"] = json!({"keysluice.dev/mode": "init"});
    template["spec"]["restartPolicy"] = "Never".into();
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"},
        "spec": {"template": template, "backoffLimit": 0}});
    scene.create("jobs", &job).await?;
    until("the job is complete", PATIENCE, async || {
        let job = scene.get("jobs", "once").await?;
        Ok(has_condition(&job, "Complete").then_some(()))
    })
    .await?;
    let pods = scene.world.api.get(&scene.path("pods")).await?;
    let pod = &pods["items"][0];
    let init = &pod["spec"]["initContainers"][0];
    anyhow::ensure!(init["command"] == json!(["/keysluice-injector", "once"]), "{init}");
    anyhow::ensure!(init["restartPolicy"].is_null(), "{init}");
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let log = scene.world.api.text(&format!("{}/{name}/log", scene.path("pods"))).await?;
    anyhow::ensure!(log == "first", "{log:?}");
    Ok(())
}
