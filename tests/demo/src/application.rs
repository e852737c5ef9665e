//! An application that reads its secrets again when it is told.

use anyhow::{Context as _, ensure};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A listener on the pod's loopback address.
#[derive(Debug)]
pub(crate) struct Application {
    listener: TcpListener,
}

impl Application {
    pub(crate) async fn listen() -> anyhow::Result<Self> {
        Ok(Self { listener: TcpListener::bind("127.0.0.1:0").await? })
    }

    /// What its team adds to the pod's annotations.
    fn annotations(&self) -> anyhow::Result<[String; 2]> {
        let address = self.listener.local_addr()?;
        Ok([
            format!("keysluice.dev/on-change: http://{address}/reload"),
            "keysluice.dev/on-change-spread: 0s".to_owned(),
        ])
    }

    /// Adds the annotations to a pod's manifest. Gives the lines that were added.
    pub(crate) fn annotate(&self, manifest: &Path) -> anyhow::Result<String> {
        let text = std::fs::read_to_string(manifest)?;
        let (head, tail) = text.split_once("metadata:\n").context("no metadata in the manifest")?;
        ensure!(!text.contains("annotations:"), "the manifest has annotations of its own");
        let [reaction, spread] = self.annotations()?;
        let added = format!("  annotations:\n    {reaction}\n    {spread}\n");
        let text = format!("{head}metadata:\n{added}{tail}");
        std::fs::File::create(manifest)?.write_all(text.as_bytes())?;
        Ok(added)
    }

    /// Waits for the request of the sidecar, and answers it. Gives its first line.
    pub(crate) async fn told(&self, limit: Duration) -> anyhow::Result<String> {
        let request = tokio::time::timeout(limit, self.request()).await;
        request.context("the application was not told of the change")?
    }

    /// Whether another request is waiting.
    pub(crate) async fn is_told_again(&self) -> bool {
        tokio::time::timeout(Duration::from_millis(1), self.listener.accept()).await.is_ok()
    }

    async fn request(&self) -> anyhow::Result<String> {
        let (mut stream, _) = self.listener.accept().await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && head.len() < 4096 {
            ensure!(stream.read_buf(&mut head).await? > 0, "half a request");
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await?;
        let head = String::from_utf8(head)?;
        Ok(head.lines().next().unwrap_or_default().to_owned())
    }
}
