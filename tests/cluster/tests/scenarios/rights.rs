//! What a namespace or a pod demands of every container: Pod Security, quotas, limits, users and
//! modes.

use crate::scene::{SHOW, Scene, sidecar};
use crate::world::{PATIENCE, until};
use serde_json::{Value, json};

crate::scenarios!(
    a_namespace_with_pod_security_restricted_takes_the_sidecar,
    a_quota_on_cpu_limits_is_met_with_the_annotation_and_named_without,
    a_limit_range_with_a_minimum_is_met_with_the_annotation,
    the_quality_of_service_stays_what_it_was,
    a_file_with_mode_0400_belongs_to_the_applications_user,
    several_users_share_a_file_by_fs_group,
);

async fn a_namespace_with_pod_security_restricted_takes_the_sidecar(
    scene: &Scene,
) -> anyhow::Result<()> {
    let labels =
        json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    scene.world.api.patch(&format!("/api/v1/namespaces/{}", scene.namespace), &labels).await?;
    let refused = scene.refused("pods", &scene.pod("loose", SHOW)).await?;
    anyhow::ensure!(
        refused.contains("violates PodSecurity") && !refused.contains("\"keysluice\""),
        "{refused}"
    );
    let mut pod = scene.pod("strict", SHOW);
    pod["spec"]["securityContext"] = json!({"runAsNonRoot": true, "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"}});
    pod["spec"]["containers"][0]["securityContext"] =
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    scene.create("pods", &pod).await?;
    scene.says("strict", "first").await?;
    Ok(())
}

fn with_resources(scene: &Scene, name: &str, resources: &Value) -> Value {
    let mut pod = scene.pod(name, SHOW);
    pod["spec"]["containers"][0]["resources"] = resources.clone();
    pod
}

async fn a_quota_on_cpu_limits_is_met_with_the_annotation_and_named_without(
    scene: &Scene,
) -> anyhow::Result<()> {
    let hard = json!({"requests.cpu": "1", "requests.memory": "256Mi", "limits.cpu": "1",
        "limits.memory": "256Mi"});
    scene
        .create("resourcequotas", &json!({"metadata": {"name": "quota"}, "spec": {"hard": hard}}))
        .await?;
    // Until it is counted, the API server may not know it either.
    until("the quota is counted", PATIENCE, async || {
        let quota = scene.get("resourcequotas", "quota").await?;
        Ok((!quota["status"]["used"].is_null()).then_some(()))
    })
    .await?;
    let resources = json!({"requests": {"cpu": "10m", "memory": "16Mi"},
        "limits": {"cpu": "100m", "memory": "32Mi"}});
    let mut pod = with_resources(scene, "counted", &resources);
    let refused = scene.refused("pods", &pod).await?;
    anyhow::ensure!(refused.contains("must specify limits.cpu for: keysluice"), "{refused}");
    pod["metadata"]["annotations"] = json!({"keysluice.dev/cpu-limit": "100m"});
    scene.create("pods", &pod).await?;
    scene.says("counted", "first").await?;
    let quota = scene.get("resourcequotas", "quota").await?;
    anyhow::ensure!(quota["status"]["used"]["limits.cpu"] == "200m", "{}", quota["status"]);
    Ok(())
}

async fn a_limit_range_with_a_minimum_is_met_with_the_annotation(
    scene: &Scene,
) -> anyhow::Result<()> {
    let limit = json!({"type": "Container", "min": {"cpu": "10m", "memory": "4Mi"}});
    scene
        .create("limitranges", &json!({"metadata": {"name": "range"}, "spec": {"limits": [limit]}}))
        .await?;
    let resources = json!({"requests": {"cpu": "10m", "memory": "16Mi"}});
    let mut pod = with_resources(scene, "measured", &resources);
    let refused = scene.refused("pods", &pod).await?;
    anyhow::ensure!(refused.contains("minimum cpu usage per Container is 10m"), "{refused}");
    pod["metadata"]["annotations"] = json!({"keysluice.dev/cpu-request": "10m"});
    scene.create("pods", &pod).await?;
    scene.says("measured", "first").await?;
    Ok(())
}

async fn the_quality_of_service_stays_what_it_was(scene: &Scene) -> anyhow::Result<()> {
    let whole = json!({"cpu": "50m", "memory": "32Mi"});
    for (name, resources, class) in [
        ("guaranteed", json!({"requests": whole, "limits": whole}), "Guaranteed"),
        ("burstable", json!({"requests": {"cpu": "10m"}}), "Burstable"),
    ] {
        let created = scene.create("pods", &with_resources(scene, name, &resources)).await?;
        sidecar(&created)?;
        anyhow::ensure!(created["status"]["qosClass"] == class, "{name}: {}", created["status"]);
        scene.says(name, "first").await?;
    }
    Ok(())
}

/// A class whose one file has a mode.
async fn class_with_mode(scene: &Scene, mode: &str) -> anyhow::Result<()> {
    let objects = format!(
        "array:\n  - |\n    objectName: db\n    objectType: secret\n    filePermission: \
         \"{mode}\"\n"
    );
    let changes = json!({"spec": {"parameters": {"objects": objects}}});
    scene
        .world
        .api
        .patch(&format!("{}/class", scene.path("secretproviderclasses")), &changes)
        .await?;
    // Every replica of the webhook hears of the change in its own time.
    crate::admission::until_seen(scene, mode).await
}

async fn a_file_with_mode_0400_belongs_to_the_applications_user(
    scene: &Scene,
) -> anyhow::Result<()> {
    class_with_mode(scene, "0400").await?;
    let mut pod =
        scene.pod("owner", "stat -L -c '%a %u' /mnt/s/db; cat /mnt/s/db; echo; sleep infinity");
    pod["spec"]["securityContext"] = json!({"runAsUser": 1234, "runAsGroup": 1234});
    scene.create("pods", &pod).await?;
    let log = scene.says("owner", "first").await?;
    anyhow::ensure!(log.starts_with("400 1234\n"), "{log}");
    Ok(())
}

async fn several_users_share_a_file_by_fs_group(scene: &Scene) -> anyhow::Result<()> {
    class_with_mode(scene, "0440").await?;
    let mut pod =
        scene.pod("shared", "stat -L -c '%a %g' /mnt/s/db; cat /mnt/s/db; echo; sleep infinity");
    pod["spec"]["securityContext"] = json!({"fsGroup": 4321});
    pod["spec"]["containers"][0]["securityContext"] = json!({"runAsUser": 1111});
    let mut second = pod["spec"]["containers"][0].clone();
    second["name"] = json!("second");
    second["securityContext"] = json!({"runAsUser": 2222});
    pod["spec"]["containers"].as_array_mut().into_iter().for_each(|all| all.push(second.clone()));
    scene.create("pods", &pod).await?;
    let log = scene.says("shared", "first").await?;
    anyhow::ensure!(log.starts_with("440 4321\n"), "{log}");
    let read = [
        "exec",
        "--namespace",
        &scene.namespace,
        "shared",
        "--container",
        "second",
        "--",
        "cat",
        "/mnt/s/db",
    ];
    anyhow::ensure!(scene.world.kubectl(&read).await? == "first");
    Ok(())
}
