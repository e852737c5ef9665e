//! Synced Secrets with the other forms of rights, and without an application.

use crate::scene::{BUSYBOX, Scene, sidecar, value_of};
use crate::synced::{class, deployment};
use crate::world::{PATIENCE, run, until};
use anyhow::Context as _;
use serde_json::json;

crate::scenarios!(
    the_strict_rights_suffice_for_secrets_that_exist,
    the_rights_of_a_namespace_suffice_for_all_its_accounts,
    a_rendered_deployment_keeps_a_secret_without_an_application,
);

async fn the_strict_rights_suffice_for_secrets_that_exist(scene: &Scene) -> anyhow::Result<()> {
    class(scene).await?;
    scene.create("deployments", &deployment(scene, "web", 1)).await?;
    let kubeconfig = scene.world.layout.kubeconfig().display().to_string();
    let live = ["-n", &scene.namespace, "--kubeconfig", &kubeconfig];
    scene.grant(&[&live[..], &["--strict"]].concat()).await?;
    let pods = scene.all_running("web", 1, PATIENCE).await?;
    let name = pods[0]["metadata"]["name"].as_str().context("no name")?;
    scene.says(name, "first first").await?;
    scene.delete("deployments", "web").await?;
    let secret = scene.get("secrets", "db-synced").await?;
    anyhow::ensure!(secret["metadata"]["ownerReferences"].is_null(), "{}", secret["metadata"]);
    Ok(())
}

async fn the_rights_of_a_namespace_suffice_for_all_its_accounts(
    scene: &Scene,
) -> anyhow::Result<()> {
    class(scene).await?;
    scene.create("deployments", &deployment(scene, "web", 1)).await?;
    let kubeconfig = scene.world.layout.kubeconfig().display().to_string();
    let live = ["-n", &scene.namespace, "--kubeconfig", &kubeconfig];
    scene.grant(&[&live[..], &["--per-namespace"]].concat()).await?;
    let pods = scene.all_running("web", 1, PATIENCE).await?;
    let name = pods[0]["metadata"]["name"].as_str().context("no name")?;
    scene.says(name, "first first").await?;
    Ok(())
}

async fn a_rendered_deployment_keeps_a_secret_without_an_application(
    scene: &Scene,
) -> anyhow::Result<()> {
    let labels =
        json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    scene.world.api.patch(&format!("/api/v1/namespaces/{}", scene.namespace), &labels).await?;
    let mut class = scene.class_object("pull", &["db"], &json!({}));
    class["metadata"]["namespace"] = scene.namespace.clone().into();
    class["spec"]["secretObjects"] = json!([{"secretName": "pull",
        "type": "kubernetes.io/dockerconfigjson",
        "data": [{"key": ".dockerconfigjson", "objectName": "db"}]}]);
    let config = json!({"auths": {"registry.test": {"auth": "dTpw"}}}).to_string();
    scene.world.emulator.set_secret(&scene.vault, "db", &config);
    scene.create("secretproviderclasses", &class).await?;
    let file = scene.world.layout.path(&format!("{}-class.json", scene.namespace));
    std::fs::write(&file, class.to_string())?;
    let binary = std::env::var_os("KEYSLUICE_BINARY").context("KEYSLUICE_BINARY is not set")?;
    let mut command = tokio::process::Command::new(binary);
    command.args(["render", "sync", "--service-account", "app", "-f"]).arg(&file);
    command.args(["--image", "registry.test/keysluice-injector:1"]);
    let printed = run(command, None).await?;
    let apply = ["apply", "--server-side", "--filename", "-"];
    scene.world.kubectl_with(&apply, Some(&printed)).await?;
    let path = format!("{}/pull", scene.path("secrets"));
    let secret =
        until("the Secret is written", PATIENCE, async || Ok(scene.world.api.find(&path).await?))
            .await?;
    anyhow::ensure!(value_of(&secret, ".dockerconfigjson")? == config);
    let path = format!("{}?labelSelector=app.kubernetes.io%2Fname", scene.path("pods"));
    until("the pod is ready", PATIENCE, async || {
        let pods = scene.world.api.get(&path).await?["items"].clone();
        let pod = &pods[0];
        sidecar(pod).ok();
        Ok(crate::world::has_condition(pod, "Ready").then_some(()))
    })
    .await?;
    // The kubelet reads it before any container of this pod runs.
    let user = json!({"metadata": {"name": "user"}, "spec": {
        "imagePullSecrets": [{"name": "pull"}],
        "securityContext": {"runAsNonRoot": true, "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "app", "image": BUSYBOX, "command": ["sleep", "infinity"],
            "securityContext": {"allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]}}}]}});
    scene.create("pods", &user).await?;
    scene.running("user").await?;
    let missed = scene.events("user").await?;
    let missed = missed.iter().any(|event| event.contains("FailedToRetrieveImagePullSecret"));
    anyhow::ensure!(!missed, "the kubelet had no Secret");
    scene.delete("pods", "user").await?;
    Ok(())
}
