//! The connection to the API server: where it is, who we are, and requests whose answers are read
//! piece by piece.

use super::endpoint::{ClientError, Endpoint};
use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use std::error::Error as StdError;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

type Idle = SendRequest<Full<Bytes>>;
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
/// How long where the connection was idle: it may have been forgotten on the way, and a new one is
/// asked the same.
const IDLE_HEAD: Duration = Duration::from_secs(1);
/// Idle connections that are kept: as many as one review may ask at once, without many classes.
const IDLE: usize = 4;
/// A body of one piece: an object with 1.5 MiB in the API server's store, or a page, which is asked
/// for anew with half as many items.
const BODY_LIMIT_BYTES: usize = 4 << 20;

/// TCP connection and TLS handshake.
const CONNECT: Duration = Duration::from_secs(5);

/// A client of the API server. Rates are not limited here: the API server's priority and fairness
/// does that.
#[derive(Clone)]
pub struct Client {
    endpoint: Arc<Endpoint>,
    /// Connections for the occasional read; a watch has its own and ends with it.
    idle: Arc<Mutex<Vec<Idle>>>,
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
    #[error("the API server's answer has no end")]
    TooLarge,
}

impl Client {
    /// The API server of a kubeconfig's current context.
    pub fn from_kubeconfig(path: &Path) -> Result<Self, ClientError> {
        Ok(Self::new(Endpoint::from_kubeconfig(path)?))
    }

    /// The API server of the pod we run in, with its ServiceAccount's token.
    pub fn in_cluster() -> Result<Self, ClientError> {
        Ok(Self::new(Endpoint::in_cluster()?))
    }

    fn new(endpoint: Endpoint) -> Self {
        Self { endpoint: Arc::new(endpoint), idle: Arc::default() }
    }

    /// GETs `path` and gives the body once the status is known to be good.
    pub(super) async fn open(
        &self,
        path: &str,
        accept: &'static str,
    ) -> Result<Incoming, ApiError> {
        let mut connection = Box::pin(self.connect()).await?;
        let request = self.request(Method::GET, path, accept, Bytes::new())?;
        let response = within(HEAD, connection.send_request(request)).await?;
        good(response.map_err(unreachable)?).await
    }

    /// GETs `path`, all of it.
    pub(super) async fn read(&self, path: &str, accept: &'static str) -> Result<Vec<u8>, ApiError> {
        self.exchange(self.request(Method::GET, path, accept, Bytes::new())?).await
    }

    /// GETs the object at `path`, unless it is larger than this.
    pub(super) async fn read_object(
        &self,
        path: &str,
        accept: &'static str,
        limit_bytes: usize,
    ) -> Result<Vec<u8>, ApiError> {
        self.exchange_within(self.request(Method::GET, path, accept, Bytes::new())?, limit_bytes)
            .await
    }

    /// Creates an object in the collection at `path`.
    pub(super) async fn create(&self, path: &str, object: Bytes) -> Result<(), ApiError> {
        let mut request = self.request(Method::POST, path, OBJECTS, object)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OBJECTS));
        self.exchange(request).await.map(drop)
    }

    /// Changes the object at `path` by a JSON patch.
    pub(super) async fn patch(&self, path: &str, operations: Bytes) -> Result<(), ApiError> {
        let mut request = self.request(Method::PATCH, path, METADATA, operations)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON_PATCH));
        self.exchange(request).await.map(drop)
    }

    /// Sends a request that may arrive twice: a read, or a write that only works on the version it
    /// names.
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Vec<u8>, ApiError> {
        self.exchange_within(request, BODY_LIMIT_BYTES).await
    }

    async fn exchange_within(
        &self,
        request: Request<Full<Bytes>>,
        limit_bytes: usize,
    ) -> Result<Vec<u8>, ApiError> {
        let (connection, response) = if let Some(sent) = self.send_on_idle(&request).await {
            sent
        } else {
            let mut connection = Box::pin(self.connect()).await?;
            let response =
                within(HEAD, connection.send_request(request)).await?.map_err(unreachable)?;
            (connection, response)
        };
        let answer = match good(response).await {
            Ok(body) => collect(body, limit_bytes).await,
            Err(error) => Err(error),
        };
        // Also after a refusal. One whose answer was not read to its end is closed by now.
        let mut idle = self.idle();
        if idle.len() < IDLE {
            idle.push(connection);
        }
        answer
    }

    /// On an idle connection; `None` if there is none that works.
    async fn send_on_idle(
        &self,
        request: &Request<Full<Bytes>>,
    ) -> Option<(Idle, Response<Incoming>)> {
        loop {
            let mut connection = self.idle().pop()?;
            let send = async {
                connection.ready().await?;
                connection.send_request(request.clone()).await
            };
            match tokio::time::timeout(IDLE_HEAD, send).await {
                Ok(Ok(response)) => return Some((connection, response)),
                // The API server closed it meanwhile.
                Ok(Err(_)) => {}
                // The others went the same way.
                Err(_) => self.idle().clear(),
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, ApiError> {
        let Endpoint { host, port, base, .. } = &*self.endpoint;
        let host =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut request = Request::builder()
            .method(method)
            .uri([base, path].concat())
            .header(HOST, host)
            .header(ACCEPT, accept)
            .header(
                USER_AGENT,
                HeaderValue::from_static(concat!("keysluice/", env!("CARGO_PKG_VERSION"))),
            );
        if let Some(authorization) = self.endpoint.authorization().map_err(unreachable)? {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(Full::new(body)).map_err(unreachable)
    }

    async fn connect(&self) -> Result<Idle, ApiError> {
        let Endpoint { host, port, .. } = &*self.endpoint;
        let tls = self.endpoint.tls().map_err(unreachable)?;
        let connect = async {
            let stream = TcpStream::connect((&**host, *port)).await.map_err(unreachable)?;
            stream.set_nodelay(true).map_err(unreachable)?;
            // A watch is silent for a minute at a time: without this a vanished API server looks
            // like a quiet one.
            let keepalive = TcpKeepalive::new()
                .with_time(Duration::from_secs(15))
                .with_interval(Duration::from_secs(5))
                .with_retries(3);
            SockRef::from(&stream).set_tcp_keepalive(&keepalive).map_err(unreachable)?;
            let Some((config, name)) = tls else { return handshake(stream).await };
            handshake(TlsConnector::from(config).connect(name, stream).await.map_err(unreachable)?)
                .await
        };
        within(CONNECT, connect).await?
    }
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Idle, ApiError> {
    // One TLS record. Left alone, hyper's buffer grows to 400 KiB under a long list and stays
    // there.
    let mut builder = http1::Builder::new();
    builder.read_buf_exact_size(Some(16 << 10));
    let (sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
    tokio::spawn(async move {
        // The request on it says what happened.
        let _ = connection.await;
    });
    Ok(sender)
}

/// The body of a success, or what the API server's Status says.
async fn good(response: Response<Incoming>) -> Result<Incoming, ApiError> {
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
    body: &mut Incoming,
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
            Some(Err(error)) => return Err(unreachable(error)),
        }
    }
}

async fn collect(mut body: Incoming, limit_bytes: usize) -> Result<Vec<u8>, ApiError> {
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
