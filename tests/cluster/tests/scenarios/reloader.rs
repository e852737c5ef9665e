//! Reloader beside Keysluice: its annotations for Secrets roll a workload once for each rotation.
//! Reloader's module is not to be had everywhere, so [`Reloader`] stands in for it.

use crate::scene::Scene;
use crate::synced::{self, SECRET};
use crate::world::{PATIENCE, until};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

crate::scenarios!(reloaders_annotation_rolls_a_deployment_once_for_each_rotation);

const ANNOTATION: &str = "secret.reloader.stakater.com/reload";
/// The variable that Reloader's default strategy writes into a template.
const VARIABLE: &str = "STAKATER_DB_SYNCED_SECRET";

/// What Reloader does with one Secret: it watches it, compares its data, not its metadata, and
/// writes a hash of changed data into the templates of the Deployments that name it.
struct Reloader<'s> {
    scene: &'s Scene,
    version: String,
    data: Value,
}

impl<'s> Reloader<'s> {
    async fn start(scene: &'s Scene) -> anyhow::Result<Self> {
        let mut reloader = Self { scene, version: String::new(), data: Value::Null };
        reloader.note(&scene.get("secrets", SECRET).await?);
        Ok(reloader)
    }

    /// Whether the data are others than before.
    fn note(&mut self, secret: &Value) -> bool {
        let version = secret["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        version.clone_into(&mut self.version);
        std::mem::replace(&mut self.data, secret["data"].clone()) != secret["data"]
    }

    /// Handles what has happened to the Secret, and for a second what happens; how often its data
    /// changed.
    async fn watch(&mut self) -> anyhow::Result<usize> {
        let events = format!(
            "{}?watch=true&resourceVersion={}&timeoutSeconds=1\
             &fieldSelector=metadata.name%3D{SECRET}",
            self.scene.path("secrets"),
            self.version
        );
        let mut changes = 0;
        for line in self.scene.world.api.text(&events).await?.lines() {
            let event: Value = serde_json::from_str(line)?;
            if event["type"] == "MODIFIED" && self.note(&event["object"]) {
                self.reload().await?;
                changes += 1;
            }
        }
        Ok(changes)
    }

    async fn reload(&self) -> anyhow::Result<()> {
        let mut hasher = DefaultHasher::new();
        self.data.to_string().hash(&mut hasher);
        let hash = format!("{:x}", hasher.finish());
        let path = self.scene.path("deployments");
        let deployments = self.scene.world.api.get(&path).await?;
        for deployment in deployments["items"].as_array().context("no list")? {
            let names = deployment["metadata"]["annotations"][ANNOTATION].as_str();
            if !names.is_some_and(|names| names.split(',').any(|name| name == SECRET)) {
                continue;
            }
            let mut containers = deployment["spec"]["template"]["spec"]["containers"].clone();
            let variables = containers[0]["env"].as_array_mut().context("no variables")?;
            variables.retain(|variable| variable["name"] != VARIABLE);
            variables.push(json!({"name": VARIABLE, "value": hash}));
            let changes = json!({"spec": {"template": {"spec": {"containers": containers}}}});
            let name = deployment["metadata"]["name"].as_str().context("no name")?;
            self.scene.world.api.patch(&format!("{path}/{name}"), &changes).await?;
        }
        Ok(())
    }
}

async fn reloaders_annotation_rolls_a_deployment_once_for_each_rotation(
    scene: &Scene,
) -> anyhow::Result<()> {
    synced::class(scene).await?;
    let mut deployment = synced::deployment(scene, "web", 2);
    deployment["metadata"]["annotations"] = json!({ANNOTATION: SECRET});
    deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1.into();
    scene.create("deployments", &deployment).await?;
    synced::grant(scene).await?;
    let mut pods = scene.all_running("web", 2, PATIENCE).await?;
    let mut reloader = Reloader::start(scene).await?;
    for value in ["second", "third"] {
        scene.world.emulator.set_secret(&scene.vault, "db", value);
        tokio::try_join!(synced::refresh(scene, &pods[0]), synced::refresh(scene, &pods[1]))?;
        until("the Secret changes", PATIENCE, async || {
            let secret = scene.get("secrets", SECRET).await?;
            Ok((crate::scene::value_of(&secret, "password")? == value).then_some(()))
        })
        .await?;
        let changes = reloader.watch().await?;
        anyhow::ensure!(changes == 1, "{changes} changes of the data for one rotation");
        let rollout = ["rollout", "status", "deployment", "web", "--namespace", &scene.namespace];
        scene.world.kubectl(&rollout).await?;
        pods = scene.all_running("web", 2, PATIENCE).await?;
        for pod in &pods {
            let name = pod["metadata"]["name"].as_str().context("no name")?;
            scene.says(name, &format!("{value} {value}")).await?;
        }
    }
    // The new pods own the Secret too, and look again: neither changes its data.
    tokio::try_join!(synced::refresh(scene, &pods[0]), synced::refresh(scene, &pods[1]))?;
    let changes = reloader.watch().await?;
    anyhow::ensure!(changes == 0, "{changes} changes of the data without a rotation");
    let sets = scene.world.api.get(&scene.path("replicasets")).await?;
    let sets = sets["items"].as_array().context("no list")?.len();
    anyhow::ensure!(sets == 3, "{sets} ReplicaSets for the first template and two rotations");
    Ok(())
}
