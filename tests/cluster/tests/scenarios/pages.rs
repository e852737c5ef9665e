//! The book's commands for an administrator, given as they are printed: those that only a cluster
//! with a node can answer.

use crate::reader::Reader;
use crate::scene::{SHOW, Scene, sidecar};
use crate::webhook;
use crate::world::{PATIENCE, RELEASE, source, until};
use anyhow::Context as _;

crate::scenarios!(the_commands_of_the_pages_show_what_the_pages_say);

/// Played last of all.
pub(crate) const FAREWELL: &[crate::Scenario] = &[crate::Scenario {
    name: "upgrade_and_uninstall_as_printed_leave_running_pods_alone_and_block_no_other",
    play: |scene| Box::pin(farewell(scene)),
}];

/// What the tests without a node leave to us.
const LEFT_TO_US: &str = "tests/data/chart/node-commands.txt";

/// The pages of an administrator.
const PAGES: [&str; 4] = ["install", "upgrade", "uninstall", "operate"];

async fn the_commands_of_the_pages_show_what_the_pages_say(scene: &Scene) -> anyhow::Result<()> {
    let mut reader = Reader::open(scene, &PAGES)?;
    for (beginning, shown) in [
        ("kubectl --namespace keysluice-system rollout status", "successfully rolled out"),
        ("kubectl get mutatingwebhookconfiguration keysluice", "keysluice"),
        ("kubectl create --dry-run=server", "keysluice-injector"),
        ("kubectl --namespace keysluice-system get pods", "1/1"),
        ("kubectl --namespace keysluice-system logs", "/webhook] {\"timestamp\":"),
        ("kubectl get --raw /api/v1/namespaces/keysluice-system/pods/POD:9440/proxy/readyz", "ok"),
        ("kubectl get validatingadmissionpolicy,", "keysluice-guard-identity"),
    ] {
        let output = reader.give(beginning).await?;
        anyhow::ensure!(output.contains(shown), "{beginning}: no {shown:?} in {output}");
    }
    let level = reader
        .give_in_turn(&["kubectl --namespace keysluice-system port-forward POD", "curl"])
        .await?;
    anyhow::ensure!(level.ends_with("debug\n"), "the level of the log: {level:?}");
    let left = std::fs::read_to_string(source(LEFT_TO_US)).unwrap_or_default();
    let missed = reader.not_given(left.lines());
    anyhow::ensure!(missed.is_empty(), "nobody gives {missed:?}");
    Ok(())
}

async fn farewell(scene: &Scene) -> anyhow::Result<()> {
    let world = &scene.world;
    scene.create("pods", &scene.pod("before", SHOW)).await?;
    scene.running("before").await?;
    let mut reader = Reader::open(scene, &PAGES)?;
    new_settings_are_everybodys(scene, &mut reader).await?;
    reader.give("helm upgrade keysluice webhook-config/chart").await?;
    let told = reader.give("helm uninstall keysluice --namespace keysluice-system --wait").await?;
    anyhow::ensure!(told.contains("uninstalled"), "{told}");
    until("no pod of ours is left", PATIENCE, async || {
        Ok(webhook::pods(scene).await?.is_empty().then_some(()))
    })
    .await?;
    let all = world.kubectl(&[
        "get",
        "all,job,secret,validatingadmissionpolicybinding",
        "--namespace",
        RELEASE,
        "--output=name",
    ]);
    let left: Vec<String> =
        all.await?.lines().filter(|line| line.contains("keysluice")).map(str::to_owned).collect();
    // The Roles of workloads stay, so what bounds them stays.
    let kept = ["evictions", "rollouts", "secret-types"].map(|name| {
        format!("validatingadmissionpolicybinding.admissionregistration.k8s.io/keysluice-{name}")
    });
    anyhow::ensure!(left == kept, "{left:?}");
    let after = scene
        .create("pods", &webhook::unscheduled(scene, "after"))
        .await
        .context("nothing may block pods")?;
    anyhow::ensure!(sidecar(&after).is_err(), "somebody still mutates pods");
    scene.rotate("before", "second").await
}

/// After the page's line no replica with the settings of before is left.
async fn new_settings_are_everybodys(scene: &Scene, reader: &mut Reader<'_>) -> anyhow::Result<()> {
    webhook::upgrade(scene, &serde_json::json!({"injector": {"cpuRequest": "7m"}})).await?;
    reader.give("until").await?;
    for number in 0..30 {
        let pod = webhook::unscheduled(scene, &format!("settled-{number}"));
        let made = scene.create("pods", &pod).await?;
        let requests = &sidecar(&made)?["resources"]["requests"];
        anyhow::ensure!(requests["cpu"] == "7m", "pod {number}: {requests}");
    }
    Ok(())
}
