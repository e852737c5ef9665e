//! The three guides, as printed: manifest in, Running with the right files out, and a rotation that
//! reaches the file.

use crate::scene::{Scene, value_of};
use crate::world::{PATIENCE, source, until};
use anyhow::Context as _;
use keysluice_cluster::layout::ISSUER;
use keysluice_demo::{GUIDES, Guide};
use serde_json::json;
use std::path::Path;

crate::scenarios!(
    the_workload_identity_guide_works_as_printed,
    the_secret_sync_guide_works_as_printed,
    the_managed_identity_guide_works_as_printed,
);

async fn the_workload_identity_guide_works_as_printed(scene: &Scene) -> anyhow::Result<()> {
    follow(scene, &GUIDES[0]).await
}

async fn the_secret_sync_guide_works_as_printed(scene: &Scene) -> anyhow::Result<()> {
    follow(scene, &GUIDES[1]).await
}

async fn the_managed_identity_guide_works_as_printed(scene: &Scene) -> anyhow::Result<()> {
    follow(scene, &GUIDES[2]).await
}

async fn follow(scene: &Scene, guide: &Guide) -> anyhow::Result<()> {
    let world = &scene.world;
    let mut seed = guide.seed();
    for credential in seed.apps.iter_mut().flat_map(|app| &mut app.federated_credentials) {
        credential.issuer = Some(ISSUER.to_owned());
    }
    world.emulator.seed(seed)?;
    if guide.namespace != "default" {
        world
            .api
            .create("/api/v1/namespaces", &json!({"metadata": {"name": guide.namespace}}))
            .await?;
    }
    scene.also(guide.namespace);
    if guide.directory == "managed-identity" {
        // `kubectl create serviceaccount`, as that guide has it.
        let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", guide.namespace);
        world.api.create(&accounts, &json!({"metadata": {"name": "keyvault-sa"}})).await?;
    }
    let directory =
        guide.fill_in(Path::new(&source("tests/data")), &world.layout.path("guides"))?;
    // In the order of the guides: each of them has its ServiceAccount and class before it deploys.
    let apply = async |file: &str| {
        let path = directory.join(file).display().to_string();
        world.kubectl(&["apply", "--namespace", guide.namespace, "--filename", &path]).await
    };
    for file in ["serviceaccount.yaml", "secretproviderclass.yaml"] {
        if directory.join(file).exists() {
            apply(file).await?;
        }
    }
    if guide.secret.is_some() {
        let refused = apply(guide.workload).await.err().map(|error| format!("{error:#}"));
        let refused = refused.context("a pod that may not write its Secret was admitted")?;
        anyhow::ensure!(refused.contains("KS724"), "{refused}");
        // The one step that is not the guide's, as docs/secrets-sync.md prints it.
        scene.grant(&["-f", &directory.display().to_string()]).await?;
    }
    apply(guide.workload).await?;

    let pods = format!("/api/v1/namespaces/{}/pods", guide.namespace);
    let pod = until("the guide's pod exists", PATIENCE, async || {
        let list = world.api.get(&pods).await?;
        Ok(list["items"][0]["metadata"]["name"].as_str().map(str::to_owned))
    })
    .await?;
    world.figure(format!("{}: {}", guide.directory, running_after(scene, guide, &pod).await?));
    let read = async |path: &str| {
        let container = [
            "exec",
            "--namespace",
            guide.namespace,
            &pod,
            "--container",
            "busybox",
            "--",
            "cat",
            path,
        ];
        world.kubectl(&container).await
    };
    for (path, content) in guide.promises {
        let found = read(path).await?;
        anyhow::ensure!(
            found.lines().next() == Some(content),
            "{path} has {found:?}, not {content:?}"
        );
    }
    if let Some((secret, keys)) = guide.secret {
        let synced = world.api.get(&secret_path(guide, secret)).await?;
        for (key, path) in keys {
            let found = value_of(&synced, key)?;
            anyhow::ensure!(found == read(path).await?, "key {key} differs from {path}");
        }
    }
    let (name, path, value) = guide.rotation;
    world.emulator.set_secret(guide.vault, name, value);
    until("the rotated value is in the file", PATIENCE, async || {
        Ok((read(path).await? == value).then_some(()))
    })
    .await?;
    let Some((secret, keys)) = guide.secret else { return Ok(()) };
    let (key, _) = keys.iter().find(|(_, file)| *file == path).context("a key of that file")?;
    until("the rotated value is in the Secret", PATIENCE, async || {
        let synced = world.api.get(&secret_path(guide, secret)).await?;
        Ok((value_of(&synced, key)? == value).then_some(()))
    })
    .await
}

fn secret_path(guide: &Guide, name: &str) -> String {
    format!("/api/v1/namespaces/{}/secrets/{name}", guide.namespace)
}

/// The pod's start, as the guide's reader sees it.
async fn running_after(scene: &Scene, guide: &Guide, pod: &str) -> anyhow::Result<String> {
    let begun = std::time::Instant::now();
    let pod = scene.running_in(guide.namespace, pod, PATIENCE).await?;
    let image = pod["status"]["containerStatuses"][0]["imageID"].as_str().context("no image")?;
    Ok(format!(
        "ready {:.1} s after `kubectl apply` returned, {image}",
        begun.elapsed().as_secs_f32()
    ))
}
