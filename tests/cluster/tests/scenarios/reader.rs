//! The book's pages as an administrator reads them: commands given as they are printed.

use crate::scene::{SHOW, Scene};
use crate::webhook;
use crate::world::{helm, run, source};
use anyhow::Context as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// Somebody with some pages, in a directory like the checkout.
pub(crate) struct Reader<'a> {
    scene: &'a Scene,
    directory: PathBuf,
    commands: Vec<String>,
    given: Vec<String>,
    replaced: Vec<(&'static str, String)>,
}

impl<'a> Reader<'a> {
    /// Opens pages of the book by their names. `pod.yaml` is a pod of the scene.
    pub(crate) fn open(scene: &'a Scene, pages: &[&str]) -> anyhow::Result<Self> {
        let directory =
            scene.world.layout.path(&format!("reader-{}-{}", scene.namespace, pages[0]));
        std::fs::create_dir_all(directory.join("bin"))?;
        symlink(source("webhook-config"), directory.join("webhook-config"))?;
        symlink(helm()?, directory.join("bin/helm"))?;
        let mut pod = scene.pod("shown", SHOW);
        pod["metadata"]["namespace"] = scene.namespace.clone().into();
        std::fs::write(directory.join("pod.yaml"), pod.to_string())?;
        let mut commands = Vec::new();
        for page in pages {
            let text =
                std::fs::read_to_string(source(&format!("docs/{page}.md")))?.replace("\\\n", "");
            // A block in a list is indented; what is behind `#` is for people.
            let mut inside = false;
            for line in text.lines().map(str::trim) {
                match line {
                    "```sh" => inside = true,
                    "```" => inside = false,
                    _ if inside && !line.starts_with('#') => {
                        commands.push(line.split_whitespace().collect::<Vec<_>>().join(" "));
                    }
                    _ => {}
                }
            }
        }
        Ok(Self { scene, directory, commands, given: Vec::new(), replaced: Vec::new() })
    }

    /// Puts something of our own where the pages have a word for it.
    pub(crate) fn replacing(mut self, word: &'static str, with: &str) -> Self {
        self.replaced.push((word, with.to_owned()));
        self
    }

    /// A file of the reader's.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Lays a directory where the pages name the chart of a repository: Helm looks there first.
    pub(crate) fn has_chart(&self, name: &str, chart: &Path) -> anyhow::Result<()> {
        let path = self.directory.join(name);
        std::fs::create_dir_all(path.parent().context("a chart is named REPOSITORY/CHART")?)?;
        Ok(symlink(chart, path)?)
    }

    /// Gives the first command of the pages that begins so, `POD` being a pod of the webhook; its
    /// output.
    pub(crate) async fn give(&mut self, beginning: &str) -> anyhow::Result<String> {
        self.give_in_turn(&[beginning]).await
    }

    /// Gives several in one shell, of which the last in the background ends with it.
    pub(crate) async fn give_in_turn(&mut self, beginnings: &[&str]) -> anyhow::Result<String> {
        let mut commands = Vec::new();
        for beginning in beginnings {
            let command = self.commands.iter().find(|command| command.starts_with(beginning));
            commands.push(
                command
                    .with_context(|| format!("the pages have no command {beginning:?}"))?
                    .clone(),
            );
        }
        let mut script =
            format!("trap 'kill ${{!:-}} 2>/dev/null || true' EXIT\n{}", commands.join("\n"));
        for (word, with) in &self.replaced {
            script = script.replace(word, with);
        }
        let pods = webhook::pods(self.scene).await?;
        let pod = pods.first().and_then(|pod| pod["metadata"]["name"].as_str()).unwrap_or("POD");
        let world = &self.scene.world;
        let mut shell = Command::new("sh");
        shell.args(["-euc", &script.replace("POD", pod)]).current_dir(&self.directory);
        let (ours, path) = (world.layout.path("bin"), std::env::var("PATH")?);
        let own = self.directory.join("bin");
        shell.env("PATH", format!("{}:{}:{path}", own.display(), ours.display()));
        shell.env("KUBECONFIG", world.layout.kubeconfig());
        world.give_helm_a_home(&mut shell);
        self.given.append(&mut commands);
        run(shell, None).await
    }

    /// Of these commands the ones that were not given.
    pub(crate) fn not_given<'b>(&self, commands: impl Iterator<Item = &'b str>) -> Vec<&'b str> {
        commands.filter(|command| !self.given.iter().any(|given| given == command)).collect()
    }

    /// Fails where the pages print a command that was not given.
    pub(crate) fn gave_all(&self) -> anyhow::Result<()> {
        let missed = self.not_given(self.commands.iter().map(String::as_str));
        anyhow::ensure!(missed.is_empty(), "commands that nobody gave: {missed:#?}");
        Ok(())
    }
}
