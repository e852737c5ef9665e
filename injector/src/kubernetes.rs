//! The Kubernetes API server, asked with the pod's own ServiceAccount token: PATCH of one object,
//! and POST of an eviction.
//!
//! Merge patches and server-side apply are enough for everything the sidecar does there: a merge
//! patch without fields reads, so no other verb is needed than `create` and `patch` by name.

mod refusal;

pub(crate) use refusal::Refusal;

use crate::calls::Call;
use crate::fault::{Class, Fault};
use crate::file::read_regular;
use crate::http::{self, Http};
use crate::throttle::retry_after;
use keysluice_plan::Kubernetes;
use keysluice_plan::reason::{KS641, KS649};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret, SecretBox};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// A Secret holds 1 MiB, in base64 a third more; the rest is for its metadata.
const MAX_OBJECT_BYTES: usize = 2 * 1024 * 1024;
/// No file of the projected volume is larger.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// What the pod is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodReference {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// How to reach the API server. Token and authorities are read anew for each connection.
#[derive(Debug)]
pub(crate) struct Api {
    /// `https://10.0.0.1:443`
    server: String,
    directory: PathBuf,
    pub(crate) pod: PodReference,
}

/// How a PATCH changes the object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patch<'a> {
    Merge,
    Apply { manager: &'a str, force: bool },
}

/// A connection for a few requests in a row.
pub(crate) struct Session<'a> {
    api: &'a Api,
    client: Arc<Client>,
    bearer: HeaderValue,
}

impl Api {
    /// From the projected volume, and the variables that the kubelet gives every container.
    ///
    /// # Errors
    /// KS649 for a file that cannot be read, or a variable that is missing.
    pub(crate) fn open(root: &Path, plan: &Kubernetes) -> Result<Self, Fault> {
        let directory = crate::plan_source::below(root, &plan.directory);
        let pod = PodReference {
            namespace: text(&directory, "namespace")?,
            name: text(&directory, "name")?,
            uid: text(&directory, "uid")?,
        };
        let host = variable("KUBERNETES_SERVICE_HOST")?;
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Ok(Self { server: format!("https://{host}:{port}"), directory, pod })
    }

    /// Begins a session.
    ///
    /// # Errors
    /// KS649 for token or authorities that cannot be read.
    pub(crate) fn session(&self) -> Result<Session<'_>, Fault> {
        let token = read(&self.directory, "token")?;
        let token = String::from_utf8_lossy(&token);
        crate::redact::hold(token.trim());
        let bearer = Zeroizing::new(format!("Bearer {}", token.trim()));
        let mut bearer = HeaderValue::from_str(&bearer)
            .map_err(|_| fault(KS649, &format_args!("{}/token: not a token", self.shown())))?;
        bearer.set_sensitive(true);
        let http = Http::for_cluster(&read(&self.directory, "ca.crt")?)
            .map_err(|error| fault(KS649, &error))?;
        let client = http.client().map_err(|error| error.fault())?;
        Ok(Session { api: self, client, bearer })
    }

    fn shown(&self) -> std::path::Display<'_> {
        self.directory.display()
    }
}

impl Session<'_> {
    /// Patches the object at `path`, `/api/v1/namespaces/shop/secrets/db`; answers with the whole
    /// object as JSON.
    ///
    /// # Errors
    /// [`Refusal`] for what the API server refuses; no answer of one is a refusal too.
    pub(crate) async fn patch(
        &self,
        path: &str,
        how: Patch<'_>,
        body: &Zeroizing<Vec<u8>>,
    ) -> Result<SecretBox<Vec<u8>>, Refusal> {
        let url = match how {
            Patch::Merge => format!("{}{path}", self.api.server),
            Patch::Apply { manager, force } => {
                format!("{}{path}?fieldManager={manager}&force={force}", self.api.server)
            }
        };
        let content_type = match how {
            Patch::Merge => "application/merge-patch+json",
            // JSON is YAML.
            Patch::Apply { .. } => "application/apply-patch+yaml",
        };
        self.send(self.client.patch(url), content_type, body).await
    }

    /// Creates at `path`, `/api/v1/namespaces/shop/pods/web-1/eviction`.
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub(crate) async fn create(&self, path: &str, body: &Value) -> Result<(), Refusal> {
        let request = self.client.post(format!("{}{path}", self.api.server));
        let body = serde_json::to_vec(body).unwrap_or_default();
        self.send(request, "application/json", &body).await.map(drop)
    }

    async fn send(
        &self,
        request: RequestBuilder,
        content_type: &'static str,
        body: &[u8],
    ) -> Result<SecretBox<Vec<u8>>, Refusal> {
        let request = request
            .header(AUTHORIZATION, self.bearer.clone())
            .header(CONTENT_TYPE, content_type)
            .header(ACCEPT, "application/json")
            .body(body.to_vec());
        let server = &self.api.server;
        let response = http::send(Call::Kubernetes, request)
            .await
            .map_err(|failure| not_answered(server, &failure))?;
        let (status, wait) = (response.status().as_u16(), retry_after(response.headers()));
        let body = http::body(response, MAX_OBJECT_BYTES)
            .await
            .map_err(|failure| not_answered(server, &failure))?;
        match status {
            200 | 201 => Ok(body),
            _ => Err(Refusal::of_answer(status, wait, body.expose_secret())),
        }
    }
}

fn text(directory: &Path, name: &str) -> Result<String, Fault> {
    let bytes = read(directory, name)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn read(directory: &Path, name: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let path = directory.join(name);
    read_regular(&path, MAX_FILE_BYTES)
        .map_err(|error| fault(KS649, &format_args!("{}: {error}", path.display())))
}

fn variable(name: &str) -> Result<String, Fault> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.ok_or_else(|| fault(KS649, &format_args!("the variable {name} is not set")))
}

fn not_answered(server: &str, failure: &http::Failure) -> Refusal {
    Refusal::of_fault(fault(KS641, &format_args!("{server}: {failure}")))
}

fn fault(reason: keysluice_plan::reason::Reason, message: &dyn std::fmt::Display) -> Fault {
    Fault::new(reason, Class::Transient, message)
}
