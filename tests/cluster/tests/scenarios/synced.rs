//! Kubernetes Secrets of a class (`secretObjects`): written by the pods with their own
//! ServiceAccount, read by the kubelet for variables, collected with their workloads.

use crate::scene::{BUSYBOX, Scene, sidecar, value_of};
use crate::world::{PATIENCE, has_condition, until};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::time::Instant;

crate::scenarios!(
    a_secret_of_a_class_appears_once_follows_its_vault_and_goes_with_its_last_workload,
    a_job_with_a_secret_of_its_class_completes,
    pods_that_start_together_with_a_secret_start_without_a_warning,
);

pub(crate) const SECRET: &str = "db-synced";
/// What the application has of its Secret: a variable, and a file of a `secret` volume.
const SHOWN: &str = "echo \"$DB $(cat /mnt/k/password)\"";

/// The class `synced`, which makes a Secret of the vault's secret `db`.
pub(crate) async fn class(scene: &Scene) -> anyhow::Result<Value> {
    let mut class = scene.class_object("synced", &["db"], &json!({}));
    class["metadata"]["namespace"] = scene.namespace.clone().into();
    class["spec"]["secretObjects"] = json!([{"secretName": SECRET, "type": "Opaque",
        "labels": {"app": "shop"}, "data": [{"key": "password", "objectName": "db"}]}]);
    scene.create("secretproviderclasses", &class).await
}

/// A template with the class's volume, a variable and a volume of its Secret, and no token.
pub(crate) fn template(scene: &Scene, name: &str, script: &str) -> Value {
    let mut template = scene.template(name, script);
    let spec = &mut template["spec"];
    spec["automountServiceAccountToken"] = false.into();
    spec["containers"] = json!([{"name": "app", "image": BUSYBOX, "command": ["sh", "-c", script],
        "env": [{"name": "DB",
            "valueFrom": {"secretKeyRef": {"name": SECRET, "key": "password"}}}],
        "volumeMounts": [{"name": "secrets", "mountPath": "/mnt/s", "readOnly": true},
            {"name": "synced", "mountPath": "/mnt/k", "readOnly": true}]}]);
    spec["volumes"][0]["csi"]["volumeAttributes"]["secretProviderClass"] = "synced".into();
    if let Some(volumes) = spec["volumes"].as_array_mut() {
        volumes.push(json!({"name": "synced", "secret": {"secretName": SECRET}}));
    }
    template
}

pub(crate) fn deployment(scene: &Scene, name: &str, replicas: usize) -> Value {
    let script = format!("{SHOWN}; sleep infinity");
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": scene.namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": template(scene, name, &script)}})
}

/// Applies what `keysluice rbac -n NAMESPACE` prints of the cluster.
pub(crate) async fn grant(scene: &Scene) -> anyhow::Result<()> {
    let kubeconfig = scene.world.layout.kubeconfig().display().to_string();
    scene.grant(&["-n", &scene.namespace, "--kubeconfig", &kubeconfig]).await
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

async fn secret(scene: &Scene) -> anyhow::Result<Value> {
    scene.get("secrets", SECRET).await
}

/// Waits until the Secret has been collected.
async fn collected(scene: &Scene) -> anyhow::Result<()> {
    let path = format!("{}/{SECRET}", scene.path("secrets"));
    until("the Secret is collected", PATIENCE, async || {
        Ok(scene.world.api.find(&path).await?.is_none().then_some(()))
    })
    .await
}

/// What happened to the Secret since that version: the types of the watch's events.
async fn happened_since(scene: &Scene, version: &str) -> anyhow::Result<Vec<String>> {
    let events = format!(
        "{}?watch=true&resourceVersion={version}&timeoutSeconds=1\
         &fieldSelector=metadata.name%3D{SECRET}",
        scene.path("secrets")
    );
    let mut kinds = Vec::new();
    for line in scene.world.api.text(&events).await?.lines() {
        let event: Value = serde_json::from_str(line)?;
        kinds.push(event["type"].as_str().unwrap_or_default().to_owned());
    }
    Ok(kinds)
}

/// Has the sidecar of a pod look into the vault.
pub(crate) async fn refresh(scene: &Scene, pod: &Value) -> anyhow::Result<()> {
    let namespace = ["--namespace", &scene.namespace];
    let command = ["--container", "keysluice", "--", "/keysluice-injector", "refresh"];
    let arguments = [&["exec", text(pod, "name")], &namespace[..], &command].concat();
    scene.world.kubectl(&arguments).await?;
    Ok(())
}

async fn a_secret_of_a_class_appears_once_follows_its_vault_and_goes_with_its_last_workload(
    scene: &Scene,
) -> anyhow::Result<()> {
    class(scene).await?;
    scene.create("deployments", &deployment(scene, "web", 2)).await?;
    until("the pods are refused", PATIENCE, async || {
        let events = scene.world.api.get(&scene.path("events")).await?;
        let refused = format!("may not create and patch Secret {SECRET}");
        let events = events["items"].as_array().into_iter().flatten();
        Ok(events
            .filter_map(|event| event["message"].as_str())
            .any(|message| message.contains("KS724") && message.contains(&refused))
            .then_some(()))
    })
    .await?;
    let pods = scene.world.api.get(&scene.path("pods")).await?;
    anyhow::ensure!(pods["items"].as_array().is_some_and(Vec::is_empty), "{pods}");

    let begun = Instant::now();
    grant(scene).await?;
    let pods = scene.all_running("web", 2, PATIENCE).await?;
    scene.world.figure(format!(
        "rbac -> two replicas that were refused are ready: {:.1} s",
        begun.elapsed().as_secs_f32()
    ));
    for pod in &pods {
        let name = text(pod, "name");
        sidecar(pod)?;
        scene.says(name, "first first").await?;
        let tokens = scene.sh(name, "ls /var/run/secrets").await?;
        anyhow::ensure!(tokens.trim() == "azure", "the application has {tokens}");
    }
    let first = secret(scene).await?;
    anyhow::ensure!(value_of(&first, "password")? == "first");
    anyhow::ensure!(first["metadata"]["labels"]["app"] == "shop", "{}", first["metadata"]);

    // A rotation, of which both hear, is one write.
    scene.world.emulator.set_secret(&scene.vault, "db", "second");
    tokio::try_join!(refresh(scene, &pods[0]), refresh(scene, &pods[1]))?;
    for pod in &pods {
        until("the rotation is in both files", PATIENCE, async || {
            let files = scene.sh(text(pod, "name"), "cat /mnt/s/db /mnt/k/password").await?;
            Ok((files == "secondsecond").then_some(()))
        })
        .await?;
    }
    anyhow::ensure!(value_of(&secret(scene).await?, "password")? == "second");
    let writes = happened_since(scene, text(&first, "resourceVersion")).await?;
    anyhow::ensure!(writes == ["MODIFIED"], "one rotation: {writes:?}");

    // A rollout brings another owner; a second workload shares the Secret.
    let annotation = json!({"metadata": {"annotations": {"revision": "2"}}});
    let changes = json!({"spec": {"template": annotation}});
    scene.world.api.patch(&format!("{}/web", scene.path("deployments")), &changes).await?;
    let rollout = ["rollout", "status", "deployment", "web", "--namespace", &scene.namespace];
    scene.world.kubectl(&rollout).await?;
    for pod in scene.all_running("web", 2, PATIENCE).await? {
        scene.says(text(&pod, "name"), "second second").await?;
    }
    scene.create("deployments", &deployment(scene, "worker", 1)).await?;
    let workers = scene.all_running("worker", 1, PATIENCE).await?;
    scene.says(text(&workers[0], "name"), "second second").await?;
    let third = secret(scene).await?;
    anyhow::ensure!(text(&third, "uid") == text(&first, "uid"), "it is another Secret");
    let owners = third["metadata"]["ownerReferences"].as_array().context("no owners")?;
    anyhow::ensure!(
        owners.len() == 3 && owners.iter().all(|owner| owner["kind"] == "ReplicaSet"),
        "two ReplicaSets of web and one of worker: {owners:?}"
    );

    scene.delete("deployments", "web").await?;
    until("the owners of the first are gone", PATIENCE, async || {
        let owners = secret(scene).await?["metadata"]["ownerReferences"].clone();
        Ok((owners.as_array().is_some_and(|owners| owners.len() == 1)).then_some(()))
    })
    .await?;
    anyhow::ensure!(text(&secret(scene).await?, "uid") == text(&first, "uid"), "it was lost");
    let ended = Instant::now();
    scene.delete("deployments", "worker").await?;
    collected(scene).await?;
    scene.world.figure(format!(
        "last workload deleted -> its Secret is gone: {:.1} s",
        ended.elapsed().as_secs_f32()
    ));
    // No pod that ends makes it again.
    until("no pod is left", PATIENCE, async || {
        let pods = scene.world.api.get(&scene.path("pods")).await?;
        Ok(pods["items"].as_array().is_some_and(Vec::is_empty).then_some(()))
    })
    .await?;
    collected(scene).await
}

async fn a_job_with_a_secret_of_its_class_completes(scene: &Scene) -> anyhow::Result<()> {
    let class = class(scene).await?;
    let mut template = template(scene, "job", SHOWN);
    template["spec"]["restartPolicy"] = json!("Never");
    let job = json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "job", "namespace": scene.namespace},
        "spec": {"backoffLimit": 0, "completions": 2, "parallelism": 2, "template": template}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [class, job]});
    let file = scene.world.layout.path(&format!("{}.json", scene.namespace));
    std::fs::write(&file, list.to_string())?;
    scene.grant(&["-f", &file.display().to_string()]).await?;
    let begun = Instant::now();
    scene.create("jobs", &job).await?;
    let path = format!("{}/{SECRET}", scene.path("secrets"));
    let written =
        until("the Secret is written", PATIENCE, async || Ok(scene.world.api.find(&path).await?))
            .await?;
    scene.world.figure(format!("Job -> its Secret: {:.1} s", begun.elapsed().as_secs_f32()));
    anyhow::ensure!(written["metadata"]["labels"]["keysluice.dev/managed"] == "true");
    until("the job completes", PATIENCE, async || {
        let job = scene.get("jobs", "job").await?;
        anyhow::ensure!(!has_condition(&job, "Failed"), "it failed: {}", job["status"]);
        Ok(has_condition(&job, "Complete").then_some(()))
    })
    .await?;
    let pods = scene.world.api.get(&scene.path("pods")).await?;
    for pod in pods["items"].as_array().context("no list")? {
        scene.says(text(pod, "name"), "first first").await?;
    }
    let owners = secret(scene).await?["metadata"]["ownerReferences"].clone();
    anyhow::ensure!(owners[0]["kind"] == "Job" && owners[1].is_null(), "{owners}");
    // As kubectl does: a bare DELETE of a Job orphans what it owns.
    let delete = ["delete", "job", "job", "--namespace", &scene.namespace];
    scene.world.kubectl(&delete).await?;
    collected(scene).await
}

async fn pods_that_start_together_with_a_secret_start_without_a_warning(
    scene: &Scene,
) -> anyhow::Result<()> {
    class(scene).await?;
    scene.create("deployments", &deployment(scene, "many", 0)).await?;
    grant(scene).await?;
    let begun = Instant::now();
    let changes = json!({"spec": {"replicas": 6}});
    scene.world.api.patch(&format!("{}/many", scene.path("deployments")), &changes).await?;
    let path = format!("{}/{SECRET}", scene.path("secrets"));
    until("the Secret is written", PATIENCE, async || Ok(scene.world.api.find(&path).await?))
        .await?;
    let written = begun.elapsed();
    let pods = scene.all_running("many", 6, PATIENCE).await?;
    scene.world.figure(format!(
        "six replicas -> their Secret: {:.1} s, all ready: {:.1} s",
        written.as_secs_f32(),
        begun.elapsed().as_secs_f32()
    ));
    for pod in &pods {
        let name = text(pod, "name");
        scene.says(name, "first first").await?;
        let log = format!("{}/{name}/log?container=keysluice", scene.path("pods"));
        let log = scene.world.api.text(&log).await?;
        anyhow::ensure!(!log.contains("\"level\":\"warn"), "{log}");
        let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
        anyhow::ensure!(*restarts == 0, "{name} started {restarts} times before");
    }
    let writes = happened_since(scene, text(&secret(scene).await?, "resourceVersion")).await?;
    anyhow::ensure!(writes.is_empty(), "still written: {writes:?}");
    Ok(())
}
