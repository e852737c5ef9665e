//! Requests to the API server whose answers are read piece by piece, and no further than a limit.

use super::connection::{Connection, Source};
use super::error::{ApiError, ClientError};
use super::transport::Reuse;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::client::{Body, Connection as WebSocket};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Metadata alone where the API server knows how (it does since 1.15), as our caches need no more.
pub(super) const METADATA: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
/// Whole objects.
pub(super) const OBJECTS: &str = "application/json";
/// A patch as a list of operations (RFC 6902).
pub(super) const JSON_PATCH: &str = "application/json-patch+json";
/// How long the head of an answer may take; priority and fairness queues a request for up to a
/// minute.
const HEAD: Duration = Duration::from_secs(60);
/// How long for one object where the connection was idle: it may have been lost on the way, and the
/// same is read on a new one.
const IDLE_HEAD: Duration = Duration::from_secs(1);
/// A body of one piece: an object with 1.5 MiB in the API server's store, or a page, which is asked
/// for anew with half as many items.
pub(super) const MAX_BODY_BYTES: usize = 4 << 20;

const HTML: &str = "HTML";

/// A client of the API server. Rates are not limited here: the API server's priority and fairness
/// does that.
#[derive(Clone)]
pub struct Client {
    connection: Arc<Connection>,
}

impl Client {
    /// The API server of a kubeconfig's current context, or that of the pod we run in. Needs a
    /// runtime, and runs the exec plug-in that the kubeconfig may name.
    pub fn connect(kubeconfig: Option<&Path>) -> Result<Self, ClientError> {
        let source = kubeconfig.map_or(Source::Pod, |path| Source::Kubeconfig(path.to_owned()));
        Ok(Self { connection: Arc::new(Connection::open(source)?) })
    }

    /// Namespace of the kubeconfig's context, or of the pod.
    pub fn default_namespace(&self) -> String {
        self.connection.default_namespace()
    }

    /// GETs `path` and gives the body once the status is known to be good; for watches, which take
    /// a connection of their own.
    pub(super) async fn open(&self, path: &str, accept: &'static str) -> Result<Body, ApiError> {
        self.send(request(Method::GET, path, accept, Bytes::new())?).await
    }

    /// GETs an object at `path`.
    pub(super) async fn read(&self, path: &str, accept: &'static str) -> Result<Vec<u8>, ApiError> {
        self.read_object(path, accept, MAX_BODY_BYTES).await
    }

    /// GETs the object at `path`, unless it is larger than this.
    pub(super) async fn read_object(
        &self,
        path: &str,
        accept: &'static str,
        limit_bytes: usize,
    ) -> Result<Vec<u8>, ApiError> {
        self.collect(self.get(path, accept, Reuse(IDLE_HEAD)).await?, limit_bytes).await
    }

    /// GETs a page of the list at `path`. The API server may take its time for one, and the
    /// connection was in use a moment ago.
    pub(super) async fn read_page(
        &self,
        path: &str,
        accept: &'static str,
    ) -> Result<Vec<u8>, ApiError> {
        self.collect(self.get(path, accept, Reuse(HEAD)).await?, MAX_BODY_BYTES).await
    }

    /// GETs a small document that is no object, such as those of token discovery.
    pub async fn document(&self, path: &str) -> Result<Vec<u8>, ApiError> {
        // The API server answers 406 to what names neither of the types that it has.
        self.read_object(path, "application/json, application/jwk-set+json", 256 << 10).await
    }

    async fn get(&self, path: &str, accept: &'static str, reuse: Reuse) -> Result<Body, ApiError> {
        let mut request = request(Method::GET, path, accept, Bytes::new())?;
        request.extensions_mut().insert(reuse);
        self.send(request).await
    }

    /// Opens a WebSocket at `path`.
    pub(super) async fn connect_to(&self, path: &str) -> Result<WebSocket, ApiError> {
        let request = Request::get(path).header(USER_AGENT, agent()).body(Vec::new());
        let connected = self.connection.current().await?;
        let opened = connected.connect(request.map_err(ApiError::unreachable)?).await;
        opened.map_err(|error| connected.failed(error))
    }

    /// Creates an object in the collection at `path`, and gives what the API server made of it.
    pub(super) async fn create(&self, path: &str, object: Bytes) -> Result<Vec<u8>, ApiError> {
        let mut request = request(Method::POST, path, OBJECTS, object)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OBJECTS));
        self.collect(self.send(request).await?, MAX_BODY_BYTES).await
    }

    /// Deletes the object at `path`.
    pub(super) async fn delete(&self, path: &str) -> Result<(), ApiError> {
        self.write(request(Method::DELETE, path, OBJECTS, Bytes::new())?).await
    }

    /// Changes the object at `path` by a JSON patch.
    pub(super) async fn patch(&self, path: &str, operations: Bytes) -> Result<(), ApiError> {
        let mut request = request(Method::PATCH, path, METADATA, operations)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON_PATCH));
        self.write(request).await
    }

    async fn write(&self, request: Request<Body>) -> Result<(), ApiError> {
        self.collect(self.send(request).await?, MAX_BODY_BYTES).await.map(drop)
    }

    async fn send(&self, request: Request<Body>) -> Result<Body, ApiError> {
        let send = async {
            let connected = self.connection.current().await?;
            connected.send(request).await.map_err(|error| connected.failed(error))
        };
        let answered = async { good(Box::pin(within(HEAD, send)).await??).await };
        answered.await.map_err(|error| self.placed(error))
    }

    async fn collect(&self, body: Body, limit_bytes: usize) -> Result<Vec<u8>, ApiError> {
        collect(body, limit_bytes).await.map_err(|error| self.placed(error))
    }

    /// An object of the API as JSON. Something else than an object is not of an API server.
    pub(super) fn parse(&self, body: &[u8]) -> Result<Value, ApiError> {
        let content = match body.trim_ascii_start().first() {
            Some(b'{') => return Ok(serde_json::from_slice(body)?),
            Some(b'<') => HTML,
            Some(_) => "not a JSON object",
            None => "an empty answer",
        };
        Err(self.placed(ApiError::NotTheServer { server: None, status: 200, content }))
    }

    fn placed(&self, error: ApiError) -> ApiError {
        error.at(&self.connection.place())
    }
}

fn request(
    method: Method,
    path: &str,
    accept: &'static str,
    body: Bytes,
) -> Result<Request<Body>, ApiError> {
    let request = Request::builder().method(method).uri(path).header(ACCEPT, accept);
    request.header(USER_AGENT, agent()).body(Body::from(body)).map_err(ApiError::unreachable)
}

/// Whether an answer is made for a browser.
fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
}

fn agent() -> HeaderValue {
    HeaderValue::from_static(concat!("keysluice/", env!("CARGO_PKG_VERSION")))
}

/// The body of a success, or what the API server's Status says.
async fn good(response: Response<Body>) -> Result<Body, ApiError> {
    let status = response.status();
    let is_page = is_page(response.headers());
    if status.is_success() && !is_page {
        return Ok(response.into_body());
    }
    let retry_after =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = collect(response.into_body(), 64 << 10).await.unwrap_or_default();
    let said = serde_json::from_slice::<super::event::Status<'_>>(&body).unwrap_or_default();
    // Plain text is what the API server says where it does not have the kind at all.
    let has_no_status = &*said.kind != "Status" && !body.starts_with(b"404 page not found");
    let content = if is_page || body.trim_ascii_start().starts_with(b"<") {
        Some(HTML)
    } else if status.is_redirection() {
        Some("a redirection")
    } else if status == StatusCode::NOT_FOUND {
        Some("without a Status")
    } else {
        None
    };
    if let Some(content) = content.filter(|_| has_no_status) {
        return Err(ApiError::NotTheServer { server: None, status: status.as_u16(), content });
    }
    let message = match &*said.message {
        "" => status.canonical_reason().unwrap_or("no reason given").to_owned(),
        message => message.to_owned(),
    };
    Err(ApiError::Refused {
        server: None,
        status: status.as_u16(),
        message,
        retry_after: retry_after.map(Duration::from_secs),
    })
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// The next piece of a body, or `None` at its end.
pub(super) async fn next_chunk(
    body: &mut Body,
    patience: Duration,
) -> Result<Option<Bytes>, ApiError> {
    loop {
        match within(patience, body.frame()).await? {
            None => return Ok(None),
            Some(Ok(frame)) => {
                // Trailers say nothing.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(error)) => return Err(ApiError::failed(error, "")),
        }
    }
}

async fn collect(mut body: Body, limit_bytes: usize) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = next_chunk(&mut body, HEAD).await? {
        if bytes.len() + chunk.len() > limit_bytes {
            return Err(ApiError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn within<T>(patience: Duration, future: impl Future<Output = T>) -> Result<T, ApiError> {
    tokio::time::timeout(patience, future)
        .await
        .map_err(|_| ApiError::Timeout { server: None, waited: patience })
}

#[cfg(test)]
mod tests;
