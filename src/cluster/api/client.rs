//! Requests to the API server whose answers are read piece by piece, and no further than a limit.

use super::connection::{ClientError, Connection, Source};
use super::transport::Reuse;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::client::{AuthError, Body, Connection as WebSocket};
use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

type BoxError = Box<dyn StdError + Send + Sync>;

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
const MAX_BODY_BYTES: usize = 4 << 20;

/// A client of the API server. Rates are not limited here: the API server's priority and fairness
/// does that.
#[derive(Clone)]
pub struct Client {
    connection: Arc<Connection>,
}

/// Why the API server did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No connection, or it broke.
    #[error("no answer from the API server: {}", chain(&**source))]
    Unreachable {
        /// What happened.
        #[source]
        source: BoxError,
    },
    /// It took too long.
    #[error("no answer from the API server within {} s", waited.as_secs())]
    Timeout {
        /// How long we waited.
        waited: Duration,
    },
    /// It refused.
    #[error("the API server answered {status}: {message}")]
    Refused {
        /// HTTP status, or the code of a Status in a watch.
        status: u16,
        /// The message of its Status.
        message: String,
        /// When to ask again.
        retry_after: Option<Duration>,
    },
    /// 404 by a proxy or load balancer: whether there is such an object is not known.
    #[error("404 without a Status: something else than the API server answered")]
    NotTheServer,
    /// Not the JSON that was asked for.
    #[error("the API server's answer cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// JSON, but no object as the API has them.
    #[error("the object has a field of another type than the API gives it")]
    Unreadable,
    /// More than we take.
    #[error("the API server's response exceeds {MAX_BODY_BYTES} bytes")]
    TooLarge,
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
        collect(self.get(path, accept, Reuse(IDLE_HEAD)).await?, limit_bytes).await
    }

    /// GETs a page of the list at `path`. The API server may take its time for one, and the
    /// connection was in use a moment ago.
    pub(super) async fn read_page(
        &self,
        path: &str,
        accept: &'static str,
    ) -> Result<Vec<u8>, ApiError> {
        collect(self.get(path, accept, Reuse(HEAD)).await?, MAX_BODY_BYTES).await
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
        let connected = self.connection.current().await.map_err(unreachable)?;
        connected.connect(request.map_err(unreachable)?).await.map_err(failed)
    }

    /// Creates an object in the collection at `path`, and gives what the API server made of it.
    pub(super) async fn create(&self, path: &str, object: Bytes) -> Result<Vec<u8>, ApiError> {
        let mut request = request(Method::POST, path, OBJECTS, object)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OBJECTS));
        collect(self.send(request).await?, MAX_BODY_BYTES).await
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
        collect(self.send(request).await?, MAX_BODY_BYTES).await.map(drop)
    }

    async fn send(&self, request: Request<Body>) -> Result<Body, ApiError> {
        let send = async {
            let connected = self.connection.current().await.map_err(unreachable)?;
            connected.send(request).await.map_err(failed)
        };
        good(Box::pin(within(HEAD, send)).await??).await
    }
}

fn request(
    method: Method,
    path: &str,
    accept: &'static str,
    body: Bytes,
) -> Result<Request<Body>, ApiError> {
    let request = Request::builder().method(method).uri(path).header(ACCEPT, accept);
    request.header(USER_AGENT, agent()).body(Body::from(body)).map_err(unreachable)
}

fn agent() -> HeaderValue {
    HeaderValue::from_static(concat!("keysluice/", env!("CARGO_PKG_VERSION")))
}

/// The body of a success, or what the API server's Status says.
async fn good(response: Response<Body>) -> Result<Body, ApiError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response.into_body());
    }
    let retry_after =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = collect(response.into_body(), 64 << 10).await.unwrap_or_default();
    let said = serde_json::from_slice::<super::event::Status<'_>>(&body).unwrap_or_default();
    // Plain text is what the API server says where it does not have the kind at all.
    if status == StatusCode::NOT_FOUND
        && &*said.kind != "Status"
        && !body.starts_with(b"404 page not found")
    {
        return Err(ApiError::NotTheServer);
    }
    let message = match &*said.message {
        "" => status.canonical_reason().unwrap_or("no reason given").to_owned(),
        message => message.to_owned(),
    };
    Err(ApiError::Refused {
        status: status.as_u16(),
        message,
        retry_after: retry_after.map(Duration::from_secs),
    })
}

/// kube wraps what happened in a text of its own.
fn failed(error: kube::Error) -> ApiError {
    match error {
        kube::Error::Service(source) => ApiError::Unreachable { source: plugin(source) },
        // Only of a WebSocket; the status of other answers is looked at here.
        kube::Error::Api(status) => {
            ApiError::Refused { status: status.code, message: status.message, retry_after: None }
        }
        error => unreachable(error),
    }
}

/// What an exec plug-in printed may be a secret.
fn plugin(error: BoxError) -> BoxError {
    match error.downcast_ref::<AuthError>() {
        Some(AuthError::AuthExecRun { out, .. }) => {
            ClientError::Plugin { status: out.status }.into()
        }
        _ => error,
    }
}

fn unreachable(error: impl Into<BoxError>) -> ApiError {
    ApiError::Unreachable { source: error.into() }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl ApiError {
    /// The status of a refusal.
    pub(super) fn status(&self) -> Option<u16> {
        if let Self::Refused { status, .. } = self { Some(*status) } else { None }
    }

    /// When the API server wants to be asked again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        if let Self::Refused { retry_after, .. } = self { *retry_after } else { None }
    }

    /// Whether the same request may succeed a moment later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::NotTheServer => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::Malformed(_) | Self::Unreadable | Self::TooLarge => false,
        }
    }
}

impl From<super::lines::LineTooLong> for ApiError {
    fn from(_: super::lines::LineTooLong) -> Self {
        Self::TooLarge
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
            Some(Err(error)) => return Err(failed(error)),
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
    tokio::time::timeout(patience, future).await.map_err(|_| ApiError::Timeout { waited: patience })
}

/// hyper's errors say "client error (Connect)"; the cause stands below.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}
