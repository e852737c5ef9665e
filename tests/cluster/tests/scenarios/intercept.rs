//! The address of IMDS in a pod, on a node whose containerd leaves ports below 1024 to root
//! (`enable_unprivileged_ports = false`).

use crate::scene::{SHOW, Scene};
use anyhow::Context as _;
use serde_json::{Value, json};

crate::scenarios!(
    an_application_that_is_not_root_gets_its_token_at_the_address_of_imds,
    a_pod_whose_sidecar_is_killed_gets_tokens_again,
);

const PORT_START: &str = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
const ASK: &str = "wget -q -O - --header 'Metadata: true' 'http://169.254.169.254/metadata/\
    identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net'";

/// The kernel cuts a name after 15 characters.
const KILL: &str = "for process in /proc/[0-9]*; do \
    test \"$(cat $process/comm)\" != keysluice-injec || kill -9 ${process#/proc/}; done";

fn intercepting(scene: &Scene, name: &str) -> Value {
    let mut pod = scene.pod(name, SHOW);
    pod["metadata"]["annotations"] =
        json!({"keysluice.dev/managed-identity-endpoint": "intercept"});
    pod["spec"]["securityContext"] = json!({"runAsUser": 1000, "runAsNonRoot": true});
    pod
}

/// Whose token the application gets.
async fn asked(scene: &Scene, pod: &str) -> anyhow::Result<Value> {
    let text = scene.sh(pod, ASK).await?;
    let answer: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    anyhow::ensure!(answer["access_token"].as_str().is_some_and(|token| token.len() > 20));
    Ok(answer["client_id"].clone())
}

async fn an_application_that_is_not_root_gets_its_token_at_the_address_of_imds(
    scene: &Scene,
) -> anyhow::Result<()> {
    // A pod that does not ask shows what the node gives: the test would prove nothing with 0.
    scene.create("pods", &scene.pod("plain", SHOW)).await?;
    scene.create("pods", &intercepting(scene, "legacy")).await?;
    scene.says("plain", "first").await?;
    scene.says("legacy", "first").await?;
    let of_plain = scene.sh("plain", PORT_START).await?;
    anyhow::ensure!(of_plain.trim() == "1024", "the node gives {of_plain}");
    let of_legacy = scene.sh("legacy", PORT_START).await?;
    anyhow::ensure!(of_legacy.trim() == "80", "{of_legacy}");
    let user = scene.sh("legacy", "id -u").await?;
    anyhow::ensure!(user.trim() == "1000", "{user}");
    let client_id = asked(scene, "legacy").await?;
    anyhow::ensure!(client_id == scene.client_id.as_str(), "{client_id}");
    let pod = scene.running("legacy").await?;
    let statuses = pod["status"]["initContainerStatuses"].as_array().context("no statuses")?;
    let added = statuses.iter().find(|status| status["name"] == "keysluice-intercept");
    let code = &added.context("no init container")?["state"]["terminated"]["exitCode"];
    anyhow::ensure!(code == 0, "{code}");
    Ok(())
}

async fn a_pod_whose_sidecar_is_killed_gets_tokens_again(scene: &Scene) -> anyhow::Result<()> {
    let mut pod = intercepting(scene, "restarted");
    // So that the application sees the sidecar's process.
    pod["spec"]["shareProcessNamespace"] = json!(true);
    scene.create("pods", &pod).await?;
    scene.says("restarted", "first").await?;
    asked(scene, "restarted").await?;
    scene.sh("restarted", KILL).await?;
    crate::world::until("the sidecar serves again", crate::world::PATIENCE, async || {
        let pod = scene.get("pods", "restarted").await?;
        let statuses = pod["status"]["initContainerStatuses"].as_array();
        let sidecar = statuses.into_iter().flatten().find(|status| status["name"] == "keysluice");
        let restarts = sidecar.and_then(|status| status["restartCount"].as_u64());
        let serves =
            restarts.is_some_and(|count| count > 0) && asked(scene, "restarted").await.is_ok();
        Ok(serves.then_some(()))
    })
    .await
}
