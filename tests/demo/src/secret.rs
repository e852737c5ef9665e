//! The Kubernetes Secret of a guide, in the emulator that plays the API server, and the application
//! that is told when it has changed.

use super::Scene;
use super::application::Application;
use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keysluice_demo::Pod;
use std::path::Path;
use std::time::{Duration, Instant};

impl Scene<'_> {
    /// The guide's Secret, if it has one, has the content of its files.
    pub(super) fn secret_is_there(&self) -> anyhow::Result<()> {
        let Some((name, keys)) = self.guide.secret else { return Ok(()) };
        for (path, expected) in self.guide.promises {
            ensure!(self.secret_value(path)? == *expected, "the Secret does not have {path}");
        }
        let keys: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
        let (namespace, keys) = (self.guide.namespace, keys.join(", "));
        let told = format!("Secret {namespace}/{name}: {keys}, written before the gate opened");
        self.tell.good(&told);
        Ok(())
    }

    /// The guide's Secret gets the rotated value too.
    pub(super) async fn secret_follows(&self, pod: &mut Pod) -> anyhow::Result<()> {
        let Some((name, _)) = self.guide.secret else { return Ok(()) };
        let (_, path, value) = self.guide.rotation;
        let begun = Instant::now();
        while self.secret_value(path)? != value {
            pod.sidecar.ensure_running()?;
            ensure!(begun.elapsed() < Duration::from_secs(5), "the Secret does not follow");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (namespace, elapsed) = (self.guide.namespace, begun.elapsed().as_millis());
        self.tell.good(&format!("Secret {namespace}/{name} follows {elapsed} ms after the file"));
        Ok(())
    }

    /// The application of the guide with a Secret wants to be told of changes.
    pub(super) async fn application(&self, manifest: &Path) -> anyhow::Result<Option<Application>> {
        if self.guide.secret.is_none() {
            return Ok(None);
        }
        let application = Application::listen().await?;
        self.tell.step("Two annotations more: the application wants to be told of changes");
        self.tell.detail(&application.annotate(manifest)?);
        Ok(Some(application))
    }

    /// The sidecar tells the application once, after the Secret was written.
    pub(super) async fn application_is_told(
        &self,
        application: Option<&Application>,
    ) -> anyhow::Result<()> {
        let Some(application) = application else { return Ok(()) };
        let begun = Instant::now();
        let line = application.told(Duration::from_secs(10)).await?;
        ensure!(line == "POST /reload HTTP/1.1", "the application was told {line:?}");
        ensure!(!application.is_told_again().await, "the application was told twice");
        let elapsed = begun.elapsed().as_secs_f64();
        self.tell.good(&format!(
            "the sidecar tells the application {elapsed:.1} s after the Secret: {line}"
        ));
        Ok(())
    }

    /// What the guide's Secret holds for a file of the application.
    fn secret_value(&self, path: &str) -> anyhow::Result<String> {
        let (name, keys) = self.guide.secret.context("this guide has no Secret")?;
        let (key, _) = keys.iter().find(|(_, file)| *file == path).context("no key for it")?;
        let secret = self.emulator.secret(self.guide.namespace, name);
        let secret = secret.context("the Secret was not written")?.object();
        let value = secret["data"][key].as_str().unwrap_or_default();
        Ok(String::from_utf8(BASE64_STANDARD.decode(value)?)?)
    }
}
