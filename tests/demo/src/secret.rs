//! The Kubernetes Secret of a guide, in the emulator that plays the API server.

use super::Scene;
use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keysluice_demo::Pod;
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
