//! The book's commands for an administrator, given as they are printed: those that only a cluster
//! with a node can answer.

use crate::scene::{SHOW, Scene, sidecar};
use crate::webhook;
use crate::world::{PATIENCE, RELEASE, helm, run, source, until};
use anyhow::Context as _;
use std::path::PathBuf;
use tokio::process::Command;

crate::scenarios!(the_commands_of_the_pages_show_what_the_pages_say);

/// Played last of all.
pub(crate) const FAREWELL: &[crate::Scenario] = &[crate::Scenario {
    name: "upgrade_and_uninstall_as_printed_leave_running_pods_alone_and_block_no_other",
    play: |scene| Box::pin(farewell(scene)),
}];

/// What the tests without a node leave to us.
const LEFT_TO_US: &str = "tests/data/chart/node-commands.txt";

/// The pages as an administrator reads them, in a directory like the checkout.
struct Reader<'a> {
    scene: &'a Scene,
    directory: PathBuf,
    commands: Vec<String>,
    given: Vec<String>,
}

impl<'a> Reader<'a> {
    fn open(scene: &'a Scene) -> anyhow::Result<Self> {
        let directory = scene.world.layout.path(&format!("reader-{}", scene.namespace));
        std::fs::create_dir_all(directory.join("bin"))?;
        std::os::unix::fs::symlink(source("webhook-config"), directory.join("webhook-config"))?;
        std::os::unix::fs::symlink(helm()?, directory.join("bin/helm"))?;
        let mut pod = scene.pod("shown", SHOW);
        pod["metadata"]["namespace"] = scene.namespace.clone().into();
        std::fs::write(directory.join("pod.yaml"), pod.to_string())?;
        let mut commands = Vec::new();
        for page in ["install", "upgrade", "uninstall", "operate"] {
            let text =
                std::fs::read_to_string(source(&format!("docs/{page}.md")))?.replace("\\\n", "");
            let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
            commands.extend(
                blocks
                    .flat_map(str::lines)
                    .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")),
            );
        }
        Ok(Self { scene, directory, commands, given: Vec::new() })
    }

    /// Gives the first command of the pages that begins so, `POD` being a pod of the webhook; its
    /// output.
    async fn give(&mut self, beginning: &str) -> anyhow::Result<String> {
        self.give_in_turn(&[beginning]).await
    }

    /// Gives several in one shell, of which the last in the background ends with it.
    async fn give_in_turn(&mut self, beginnings: &[&str]) -> anyhow::Result<String> {
        let mut commands = Vec::new();
        for beginning in beginnings {
            let command = self.commands.iter().find(|command| command.starts_with(beginning));
            commands.push(
                command
                    .with_context(|| format!("the pages have no command {beginning:?}"))?
                    .clone(),
            );
        }
        let script =
            format!("trap 'kill ${{!:-}} 2>/dev/null || true' EXIT\n{}", commands.join("\n"));
        let pods = webhook::pods(self.scene).await?;
        let pod = pods.first().and_then(|pod| pod["metadata"]["name"].as_str()).unwrap_or("POD");
        let world = &self.scene.world;
        let mut shell = Command::new("sh");
        shell.args(["-euc", &script.replace("POD", pod)]).current_dir(&self.directory);
        let (ours, path) = (world.layout.path("bin"), std::env::var("PATH")?);
        shell.env(
            "PATH",
            format!("{}:{}:{path}", self.directory.join("bin").display(), ours.display()),
        );
        shell.env("KUBECONFIG", world.layout.kubeconfig());
        world.give_helm_a_home(&mut shell);
        self.given.append(&mut commands);
        run(shell, None).await
    }
}

async fn the_commands_of_the_pages_show_what_the_pages_say(scene: &Scene) -> anyhow::Result<()> {
    let mut reader = Reader::open(scene)?;
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
    let missed: Vec<&str> =
        left.lines().filter(|line| !reader.given.iter().any(|given| given == line)).collect();
    anyhow::ensure!(missed.is_empty(), "nobody gives {missed:?}");
    Ok(())
}

async fn farewell(scene: &Scene) -> anyhow::Result<()> {
    let world = &scene.world;
    scene.create("pods", &scene.pod("before", SHOW)).await?;
    scene.running("before").await?;
    let mut reader = Reader::open(scene)?;
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
    anyhow::ensure!(left.is_empty(), "{left:?}");
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
