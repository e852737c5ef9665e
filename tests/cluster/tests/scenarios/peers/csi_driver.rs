//! From the Secrets Store CSI driver with its Azure provider and back, by the commands of its page.

use super::served::by_driver_or_sidecar;
use super::stream::Stream;
use super::{begin_without_keysluice, file, install, settled, uninstall};
use crate::reader::Reader;
use crate::scene::{SHOW, Scene, sidecar, value_of};
use crate::world::{PATIENCE, until};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

crate::scenarios!(from_the_csi_driver_and_back_no_pod_is_refused_and_each_is_served_by_one);

const PAGE: &str = "secrets-store-csi-driver";
const SECRET: &str = "db-synced";
const SYSTEM: &str = "kube-system";
const DRIVER: &str = "secrets-store-csi-driver/secrets-store-csi-driver";
const PROVIDER: &str = "csi-secrets-store-provider-azure/csi-secrets-store-provider-azure";

async fn from_the_csi_driver_and_back_no_pod_is_refused_and_each_is_served_by_one(
    scene: &Scene,
) -> anyhow::Result<()> {
    begin_without_keysluice(scene).await?;
    scene.also(SYSTEM);
    let mut page = Reader::open(scene, &[PAGE])?
        .replacing("--namespace NAMESPACE", &format!("--namespace {}", scene.namespace))
        .replacing("WORKLOAD", "first");
    charts(scene, &page).await?;
    // The provider takes the identity from the class alone.
    let synced = json!([{"secretName": SECRET, "type": "Opaque",
        "data": [{"key": "password", "objectName": "db"}]}]);
    let class = json!({"spec": {"parameters": {"clientID": scene.client_id},
        "secretObjects": synced}});
    scene
        .world
        .api
        .patch(&format!("{}/class", scene.path("secretproviderclasses")), &class)
        .await?;

    // As somebody has it who comes from it.
    page.give("helm install csi-secrets-store ").await?;
    page.give("helm install csi-secrets-store-provider-azure").await?;
    for name in ["first", "rest", "stays"] {
        scene.create("deployments", &deployment(scene, name)).await?;
    }
    for name in ["first", "rest", "stays"] {
        is_served(scene, name, By::Driver, "first").await?;
    }
    is_synced(scene, "first").await?;

    let stream = Stream::begin(scene, streamed(scene), by_driver_or_sidecar);
    let moved = follow(scene, &mut page).await;
    let tally = stream.end(scene, "from the CSI driver and back").await;
    moved?;
    let tally = tally?;
    for whom in ["the driver", "a sidecar"] {
        anyhow::ensure!(tally.served_by(whom) > 50, "{whom} served too few: {tally:?}");
    }
    scene.world.emulator.set_secret(&scene.vault, "db", "third");
    is_synced(scene, "third").await?;
    page.gave_all()
}

async fn follow(scene: &Scene, page: &mut Reader<'_>) -> anyhow::Result<()> {
    install(scene, &[]).await?;
    restart_and_wait(scene, page).await?;
    is_served(scene, "rest", By::Driver, "first").await?;
    let kubeconfig = scene.world.layout.kubeconfig().display().to_string();
    scene.grant(&["-n", &scene.namespace, "--kubeconfig", &kubeconfig]).await?;

    // One workload, then all but one.
    let annotate = |how: &str| {
        let annotations = format!(r#"{{"keysluice.dev/csi-volumes":"{how}"}}"#);
        let patch =
            format!(r#"{{"spec":{{"template":{{"metadata":{{"annotations":{annotations}}}}}}}}}"#);
        format!("kubectl --namespace NAMESPACE patch deployment WORKLOAD --patch '{patch}'")
    };
    page.give(&annotate("replace")).await?;
    page.give("kubectl --namespace NAMESPACE rollout status deployment WORKLOAD").await?;
    is_served(scene, "first", By::Sidecar, "first").await?;
    let upgrade = "helm upgrade keysluice webhook-config/chart --namespace keysluice-system \
        --reset-then-reuse-values --set csiVolumes=";
    page.give(&format!("{upgrade}replace")).await?;
    settled(page).await?;
    restart_and_wait(scene, page).await?;
    scene.world.emulator.set_secret(&scene.vault, "db", "second");
    for (name, by) in [("first", By::Sidecar), ("rest", By::Sidecar), ("stays", By::Driver)] {
        is_served(scene, name, by, "second").await?;
    }
    is_synced(scene, "second").await?;

    // The driver goes.
    let list = "kubectl get pods --all-namespaces";
    let listed = page.give(list).await?;
    anyhow::ensure!(users(&listed) == ["stays"], "{listed}");
    scene.delete("deployments", "stays").await?;
    until("no pod uses the driver", PATIENCE, async || {
        Ok(users(&page.give(list).await?).is_empty().then_some(()))
    })
    .await?;
    // The driver writes over the owners that others have added, so its last pod may have taken the
    // Secret with it.
    tokio::time::sleep(Duration::from_secs(5)).await;
    is_synced(scene, "second").await?;
    page.give("helm uninstall csi-secrets-store-provider-azure").await?;
    page.give("helm uninstall csi-secrets-store ").await?;
    page.give(&upgrade.replace("--set csiVolumes=", "--wait")).await?;
    let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/keysluice";
    let entries = scene.world.api.get(path).await?["webhooks"].clone();
    anyhow::ensure!(entries[1]["failurePolicy"] == "Fail", "{entries}");
    restart_and_wait(scene, page).await?;
    // The driver is gone: each rollout brings a new owner, and the Secret follows its vault.
    for value in ["between", "second"] {
        scene.world.emulator.set_secret(&scene.vault, "db", value);
        is_synced(scene, value).await?;
    }
    is_served(scene, "rest", By::Sidecar, "second").await?;

    // Back: the driver, one workload, all, without Keysluice.
    page.give("helm install csi-secrets-store ").await?;
    page.give("helm install csi-secrets-store-provider-azure").await?;
    restart_and_wait(scene, page).await?;
    is_served(scene, "rest", By::Sidecar, "second").await?;
    page.give(&annotate("leave")).await?;
    page.give("kubectl --namespace NAMESPACE rollout status deployment WORKLOAD").await?;
    is_served(scene, "first", By::Driver, "second").await?;
    page.give(&format!("{upgrade}leave")).await?;
    settled(page).await?;
    restart_and_wait(scene, page).await?;
    is_served(scene, "rest", By::Driver, "second").await?;
    uninstall(scene).await?;
    restart_and_wait(scene, page).await?;
    is_served(scene, "rest", By::Driver, "second").await
}

/// Waits until the Kubernetes Secret has this value.
async fn is_synced(scene: &Scene, value: &str) -> anyhow::Result<()> {
    until(&format!("the Secret has {value:?}"), PATIENCE * 2, async || {
        let path = format!("{}/{SECRET}", scene.path("secrets"));
        let Some(secret) = scene.world.api.find(&path).await? else { return Ok(None) };
        Ok((value_of(&secret, "password")? == value).then_some(()))
    })
    .await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Driver,
    Sidecar,
}

/// The one pod of a Deployment has this secret, from one of both.
async fn is_served(scene: &Scene, name: &str, by: By, secret: &str) -> anyhow::Result<()> {
    let pods = scene.all_running(name, 1, PATIENCE * 2).await?;
    let pod = &pods[0];
    let whom = by_driver_or_sidecar(pod).map_err(anyhow::Error::msg)?;
    let right =
        (whom == "the driver") == (by == By::Driver) && sidecar(pod).is_ok() == (by == By::Sidecar);
    anyhow::ensure!(right, "{name} is served by {whom}, not by {by:?}");
    let pod = pod["metadata"]["name"].as_str().context("no name")?;
    until(&format!("{name} reads {secret:?}"), PATIENCE * 2, async || {
        Ok((scene.sh(pod, "cat /mnt/s/db").await? == secret).then_some(()))
    })
    .await
}

fn deployment(scene: &Scene, name: &str) -> Value {
    let mut template = scene.template(name, SHOW);
    if name == "stays" {
        template["metadata"]["annotations"] = json!({"keysluice.dev/csi-volumes": "leave"});
    }
    json!({"metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template}})
}

/// With the label and without it.
fn streamed(scene: &Scene) -> Vec<Value> {
    let labelled = scene.pod("streamed", SHOW);
    let mut plain = labelled.clone();
    plain["metadata"]["labels"] = json!({});
    vec![labelled, plain]
}

/// Restarts every Deployment by the page's command, and waits until no pod of before is left.
async fn restart_and_wait(scene: &Scene, page: &mut Reader<'_>) -> anyhow::Result<()> {
    page.give("kubectl --namespace NAMESPACE rollout restart deployment").await?;
    let list = scene.world.api.get(&scene.path("deployments")).await?;
    for deployment in list["items"].as_array().into_iter().flatten() {
        let name = deployment["metadata"]["name"].as_str().context("no name")?;
        let status = ["rollout", "status", "deployment", name, "--timeout=120s"];
        scene.world.kubectl(&[&status[..], &["--namespace", &scene.namespace]].concat()).await?;
    }
    Ok(())
}

/// The Deployments whose pods the page's list shows with a volume of the driver.
fn users(list: &str) -> Vec<&str> {
    let lines = list.lines().filter(|line| line.contains("secrets-store.csi.k8s.io"));
    lines.filter_map(|line| line.split_whitespace().nth(1)?.split('-').next()).collect()
}

/// The charts under the names that the page has, their values being those of a node whose kubelet
/// has a directory of its own and whose Azure is the emulator.
async fn charts(scene: &Scene, page: &Reader<'_>) -> anyhow::Result<()> {
    let world = &scene.world;
    let authority =
        json!({"metadata": {"name": "emulator"}, "data": {"ca.crt": world.emulator.ca_pem()}});
    world.api.create(&format!("/api/v1/namespaces/{SYSTEM}/configmaps"), &authority).await?;
    let kubelet = format!("kubeletRootDir: {}", world.layout.path("kubelet").display());
    let kubelet = ("kubeletRootDir: /var/lib/kubelet", kubelet.as_str());
    let driver = [
        kubelet,
        // Its image has kubectl in it, for definitions that are there already.
        ("  crds:\n    enabled: true", "  crds:\n    enabled: false"),
        ("enableSecretRotation: false", "enableSecretRotation: true"),
        ("rotationPollInterval:", "rotationPollInterval: 10s"),
        ("syncSecret:\n  enabled: false", "syncSecret:\n  enabled: true"),
    ];
    let trust = (
        "  volumes: []\n  volumeMounts: []",
        "  volumes: [{name: trust, configMap: {name: emulator}}]\n  \
           volumeMounts: [{name: trust, mountPath: /etc/ssl/certs}]",
    );
    copy(page, DRIVER, &driver)?;
    copy(page, PROVIDER, &[kubelet, trust])
}

/// Copies a chart, each first text in its values replaced by the second.
fn copy(page: &Reader<'_>, name: &str, changes: &[(&str, &str)]) -> anyhow::Result<()> {
    let (repository, chart) = name.split_once('/').context("no repository")?;
    let (from, to) = (file(&format!("charts/{chart}"))?, page.file(repository));
    std::fs::create_dir_all(&to)?;
    let copied = Command::new("cp").arg("-r").args([&from, &to]).status()?;
    anyhow::ensure!(copied.success(), "copying {}: {copied}", from.display());
    let path = to.join(chart).join("values.yaml");
    let mut values = std::fs::read_to_string(&path)?;
    for (old, new) in changes {
        anyhow::ensure!(values.contains(old), "{}: no {old:?}", path.display());
        values = values.replacen(old, new, 1);
    }
    Ok(std::fs::write(path, values)?)
}
