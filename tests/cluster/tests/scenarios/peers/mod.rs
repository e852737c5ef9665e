//! The programs that Keysluice replaces or works with, as their own releases: each page that leads
//! from one to the other and back, followed under a stream of creations of which none is refused.
//!
//! They are played on a cluster of their own (`make test-peers`), since each begins without
//! Keysluice and ends as its page does.

mod azure_workload_identity;
mod cert_manager;
mod csi_driver;
mod served;
mod stream;

use crate::Scenario;
use crate::reader::Reader;
use crate::scene::Scene;
use crate::webhook;
use crate::world::{PATIENCE, RELEASE, World, source, until};
use anyhow::Context as _;
use keysluice_cluster::Layout;
use std::path::PathBuf;

/// The lists of scenarios, played one by one.
pub(crate) const ALL: &[&[Scenario]] =
    &[cert_manager::ALL, csi_driver::ALL, azure_workload_identity::ALL];

/// What `peers/build.sh` prints, where peers are to be played.
pub(crate) fn directory() -> Option<PathBuf> {
    std::env::var_os("KEYSLUICE_PEERS").map(PathBuf::from)
}

/// Archives of the peers' images.
pub(crate) fn images() -> anyhow::Result<Vec<PathBuf>> {
    let Some(directory) = directory() else {
        return Ok(Vec::new());
    };
    let directory = directory.join("images");
    let entries = std::fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// A file or directory of the peers'.
fn file(relative: &str) -> anyhow::Result<PathBuf> {
    Ok(directory().context("KEYSLUICE_PEERS is not set")?.join(relative))
}

/// A world without Keysluice, where classes are defined as the driver's own chart defines them.
pub(crate) async fn world(layout: Layout) -> anyhow::Result<World> {
    let world = World::open(layout).await?;
    create(&world, "charts/secrets-store-csi-driver/crds").await?;
    Ok(world)
}

/// Creates the objects of a directory of the peers'.
async fn create(world: &World, relative: &str) -> anyhow::Result<()> {
    let path = file(relative)?.display().to_string();
    world.kubectl(&["create", "--filename", &path]).await?;
    Ok(())
}

/// Uninstalls what a scenario of before has left.
async fn begin_without_keysluice(scene: &Scene) -> anyhow::Result<()> {
    let world = &scene.world;
    if world.api.find(&format!("/api/v1/namespaces/{RELEASE}")).await?.is_none() {
        return Ok(());
    }
    world.helm(&["uninstall", "keysluice", "--ignore-not-found", "--wait"]).await?;
    without_replicas(scene).await
}

/// Follows the page that ends Keysluice, to the end of its last replica.
async fn uninstall(scene: &Scene) -> anyhow::Result<()> {
    let mut page = Reader::open(scene, &["uninstall"])?;
    page.give("helm uninstall keysluice --namespace keysluice-system --wait").await?;
    without_replicas(scene).await
}

async fn without_replicas(scene: &Scene) -> anyhow::Result<()> {
    until("no replica is left", PATIENCE, async || {
        Ok(webhook::pods(scene).await?.is_empty().then_some(()))
    })
    .await
}

/// Installs Keysluice by its chart, with what that needs to be told here.
async fn install(scene: &Scene, further: &[&str]) -> anyhow::Result<()> {
    let world = &scene.world;
    let values = world.layout.path("peers-values.json");
    std::fs::write(&values, world.values().to_string())?;
    let (chart, values) = (source("webhook-config/chart"), values.display().to_string());
    let install = ["upgrade", "--install", "keysluice", &chart, "--create-namespace", "--wait"];
    world.helm(&[&install[..], &["--values", &values], further].concat()).await?;
    Ok(())
}

/// Waits until no replica with other settings is left, by the line of the page Upgrade.
async fn settled(page: &mut Reader<'_>) -> anyhow::Result<()> {
    page.give("until [ -z").await?;
    Ok(())
}
