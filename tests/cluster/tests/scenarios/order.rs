//! The sidecar among other containers: init containers, native sidecars, meshes.

use crate::scene::{BUSYBOX, SHOW, Scene, sidecar};
use serde_json::{Value, json};

crate::scenarios!(
    an_init_container_has_the_secrets_too,
    native_sidecars_before_and_after_start_in_their_order,
    a_native_mesh_proxy_that_captures_all_egress_starts_first,
    an_ordinary_mesh_proxy_behind_a_redirect_is_refused_in_words,
);

fn with_init(scene: &Scene, name: &str, init: &Value) -> Value {
    let mut pod = scene.pod(name, SHOW);
    pod["spec"]["initContainers"] = init.clone();
    pod
}

/// Names of the init containers, in order.
fn order(pod: &Value) -> Vec<&str> {
    let containers = pod["spec"]["initContainers"].as_array();
    containers.into_iter().flatten().filter_map(|container| container["name"].as_str()).collect()
}

async fn an_init_container_has_the_secrets_too(scene: &Scene) -> anyhow::Result<()> {
    let init = json!([{"name": "migrate", "image": BUSYBOX,
        "command": ["sh", "-c", "test \"$(cat /mnt/s/db)\" = first"],
        "volumeMounts": [{"name": "secrets", "mountPath": "/mnt/s", "readOnly": true}]}]);
    let created = scene.create("pods", &with_init(scene, "init", &init)).await?;
    anyhow::ensure!(order(&created) == ["keysluice", "migrate"], "{:?}", order(&created));
    scene.says("init", "first").await?;
    Ok(())
}

async fn native_sidecars_before_and_after_start_in_their_order(
    scene: &Scene,
) -> anyhow::Result<()> {
    let native = |name: &str| {
        json!({"name": name, "image": BUSYBOX, "restartPolicy": "Always",
        "command": ["sh", "-c", "sleep infinity"]})
    };
    let mut pod = with_init(scene, "natives", &json!([native("before"), native("after")]));
    pod["metadata"]["annotations"] = json!({"keysluice.dev/after": "before"});
    let created = scene.create("pods", &pod).await?;
    anyhow::ensure!(order(&created) == ["before", "keysluice", "after"], "{:?}", order(&created));
    scene.says("natives", "first").await?;
    let pod = scene.running("natives").await?;
    let started = |name: &str| {
        let statuses = pod["status"]["initContainerStatuses"].as_array();
        let status = statuses.into_iter().flatten().find(|status| status["name"] == name);
        status
            .and_then(|status| status["state"]["running"]["startedAt"].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    let times = ["before", "keysluice", "after"].map(started);
    anyhow::ensure!(times.is_sorted() && times.iter().all(|time| !time.is_empty()), "{times:?}");
    Ok(())
}

/// What a mesh does to a pod, without a mesh: an init container cuts off the world, the proxy lets
/// it in again.
fn mesh(proxy: &Value) -> (Value, Value) {
    let capable = json!({"capabilities": {"add": ["NET_ADMIN"]}});
    let cut = json!({"name": "istio-init", "image": BUSYBOX, "securityContext": capable,
        "command": ["ip", "route", "add", "blackhole", "10.88.0.1/32"]});
    let mut captured = json!({"name": "istio-proxy", "image": BUSYBOX, "securityContext": capable,
        "command": ["sh", "-c", "sleep 1; ip route del blackhole 10.88.0.1/32 && touch /tmp/up && \
            sleep infinity"]});
    for (key, value) in proxy.as_object().into_iter().flatten() {
        captured[key] = value.clone();
    }
    (cut, captured)
}

async fn a_native_mesh_proxy_that_captures_all_egress_starts_first(
    scene: &Scene,
) -> anyhow::Result<()> {
    let probe = json!({"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1,
        "failureThreshold": 60});
    let (cut, proxy) = mesh(&json!({"restartPolicy": "Always", "startupProbe": probe}));
    let created = scene.create("pods", &with_init(scene, "meshed", &json!([cut, proxy]))).await?;
    anyhow::ensure!(
        order(&created) == ["istio-init", "istio-proxy", "keysluice"],
        "{:?}",
        order(&created)
    );
    scene.says("meshed", "first").await?;
    Ok(())
}

async fn an_ordinary_mesh_proxy_behind_a_redirect_is_refused_in_words(
    scene: &Scene,
) -> anyhow::Result<()> {
    let (cut, proxy) = mesh(&json!({}));
    let with_proxy = |mut pod: Value| {
        pod["spec"]["containers"]
            .as_array_mut()
            .into_iter()
            .for_each(|all| all.push(proxy.clone()));
        pod
    };
    // Before the redirect there is network.
    let created =
        scene.create("pods", &with_proxy(with_init(scene, "redirected", &json!([cut])))).await?;
    anyhow::ensure!(order(&created) == ["keysluice", "istio-init"], "{:?}", order(&created));
    scene.says("redirected", "first").await?;
    // What a CNI plugin redirects is redirected from the start; a container of this name says that
    // one does.
    let check = json!({"name": "istio-validation", "image": BUSYBOX, "command": ["true"]});
    let mut pod = with_proxy(with_init(scene, "deadlocked", &json!([cut, check])));
    let refused = scene.refused("pods", &pod).await?;
    anyhow::ensure!(refused.contains("istio-proxy") && refused.contains("KS"), "{refused}");
    // One of the ways out that the refusal names: nobody waits, so the proxy starts and lets the
    // sidecar out.
    pod["metadata"]["annotations"] = json!({"keysluice.dev/gate": "none"});
    pod["spec"]["containers"][0]["command"] =
        json!(["sh", "-c", "until cat /mnt/s/db; do sleep 0.2; done; echo; sleep infinity"]);
    let created = scene.create("pods", &pod).await?;
    sidecar(&created)?;
    scene.says("deadlocked", "first").await?;
    Ok(())
}
