//! A client of the enclosure's API server, for whoever is inside: JSON in, JSON out.

use crate::layout::{ADMIN_TOKEN, API_PORT, Layout, NODE_ADDRESS};
use anyhow::Context as _;
use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::Value;
use std::time::{Duration, Instant};

/// May do anything.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
}

/// What the API server said no to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{method} {path}: {code}: {message}")]
pub struct Refused {
    /// Method of the request.
    pub method: String,
    /// Path of the request.
    pub path: String,
    /// HTTP status.
    pub code: u16,
    /// `message` of the `Status`.
    pub message: String,
}

impl Api {
    /// The API server of `layout`'s enclosure.
    pub async fn connect(layout: &Layout) -> anyhow::Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let begun = Instant::now();
        // Not as soon as the file is there: it is written a moment later.
        let written = |pem: String| pem.trim_end().ends_with("-----END CERTIFICATE-----");
        while !std::fs::read_to_string(layout.authority()).is_ok_and(written) {
            anyhow::ensure!(
                begun.elapsed() < Duration::from_secs(60),
                "the API server makes no certificate"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let pem = tokio::fs::read(layout.authority()).await?;
        let builder =
            Client::builder().tls_certs_only(Certificate::from_pem_bundle(&pem)?).no_proxy();
        Ok(Self { client: builder.timeout(Duration::from_secs(30)).build()? })
    }

    /// Waits until it answers that it is ready.
    pub async fn until_ready(&self, patience: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            match self.text("/readyz").await {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > patience => {
                    return Err(error).context("the API server is not ready");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// The object or list at `path`.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.json(Method::GET, path, None).await
    }

    /// The object at `path`, if there is one.
    pub async fn find(&self, path: &str) -> anyhow::Result<Option<Value>> {
        match self.get(path).await {
            Err(error)
                if error.downcast_ref::<Refused>().is_some_and(|refused| refused.code == 404) =>
            {
                Ok(None)
            }
            found => found.map(Some),
        }
    }

    /// The text at `path`: a log, a health check.
    pub async fn text(&self, path: &str) -> anyhow::Result<String> {
        String::from_utf8(self.request(Method::GET, path, None).await?).context("not UTF-8")
    }

    /// Creates an object in the collection at `path`.
    pub async fn create(&self, path: &str, object: &Value) -> anyhow::Result<Value> {
        self.json(Method::POST, path, Some(object)).await
    }

    /// Merges `changes` into the object at `path`.
    pub async fn patch(&self, path: &str, changes: &Value) -> anyhow::Result<Value> {
        self.json(Method::PATCH, path, Some(changes)).await
    }

    /// Replaces the object at `path`.
    pub async fn replace(&self, path: &str, object: &Value) -> anyhow::Result<Value> {
        self.json(Method::PUT, path, Some(object)).await
    }

    /// Deletes the object at `path`.
    pub async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.json(Method::DELETE, path, None).await
    }

    async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let bytes = self.request(method, path, body).await?;
        serde_json::from_slice(&bytes).with_context(|| format!("{path}: not JSON"))
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Vec<u8>> {
        let kind = if method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let url = format!("https://{NODE_ADDRESS}:{API_PORT}{path}");
        let mut request = self.client.request(method.clone(), url).bearer_auth(ADMIN_TOKEN);
        if let Some(body) = body {
            request = request.header("content-type", kind).body(body.to_string());
        }
        let response = request.send().await.with_context(|| format!("{method} {path}"))?;
        let status = response.status();
        let bytes = response.bytes().await.with_context(|| format!("{method} {path}"))?;
        if !status.is_success() {
            return Err(refused(&method, path, status, &bytes).into());
        }
        Ok(bytes.to_vec())
    }
}

fn refused(method: &Method, path: &str, status: StatusCode, body: &[u8]) -> Refused {
    let message = serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|answer| answer["message"].as_str().map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    Refused { method: method.to_string(), path: path.to_owned(), code: status.as_u16(), message }
}
