//! HTTP/1.1 below kube's client: a connection for each request, and a few idle ones for reads.
//!
//! A connection may be lost on the way without a word, as when a node or a load balancer dies. A
//! request on an idle connection meets that, one on a new connection does not. hyper-util's pool
//! does not tell which of the two a request got, so the idle connections are kept here.

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use kube::client::Body;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tower::{BoxError, Service, ServiceExt as _};

/// TCP connection and TLS handshake.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// Idle connections that are kept: as many as one review may read at once, without many classes.
const MAX_IDLE: usize = 4;

/// Extension of a read that may be sent on an idle connection. Without an answer within this time
/// the connection counts as lost, and the read is sent again on a new one. Requests without the
/// extension are sent once, on a new connection: writes, because the first may have arrived, and
/// watches, because they stay on their connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reuse(pub(super) Duration);

/// Sends requests on the connections that a connector makes.
#[derive(Clone)]
pub(super) struct Transport<C> {
    connector: C,
    idle: Arc<Idle>,
}

type Sender = http1::SendRequest<Body>;

#[derive(Default)]
struct Idle(Mutex<Vec<Sender>>);

/// The body of an answer. Its connection is idle when it has been read to the end, and closed when
/// it is dropped before.
pub(super) struct Answer {
    body: Incoming,
    connection: Option<Sender>,
    idle: Arc<Idle>,
}

/// What the connections of a connector can do.
pub(super) trait Stream: Read + Write + Send + Unpin + 'static {}
impl<S: Read + Write + Send + Unpin + 'static> Stream for S {}

impl<C> Transport<C>
where
    C: Service<Uri, Response: Stream, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    pub(super) fn new(connector: C) -> Self {
        Self { connector, idle: Arc::default() }
    }

    async fn send(self, request: Request<Body>) -> Result<Response<Answer>, BoxError> {
        let (mut head, body) = request.into_parts();
        let target = std::mem::take(&mut head.uri);
        let host = target.authority().map_or("", |authority| authority.as_str());
        head.headers.insert(HOST, HeaderValue::from_str(host)?);
        if let Some(path) = target.path_and_query() {
            head.uri = Uri::from(path.clone());
        }
        if let Some(Reuse(patience)) = head.extensions.get().copied()
            && let Some(response) = self.send_on_idle(&head, patience).await
        {
            return Ok(response);
        }
        let connect = tokio::time::timeout(CONNECT, self.connect(target));
        let mut connection = connect.await.map_err(|_| NotConnected)??;
        let response = connection.send_request(Request::from_parts(head, body)).await?;
        Ok(self.answer(connection, response))
    }

    /// `None` if there is no idle connection that works.
    async fn send_on_idle(&self, head: &Parts, patience: Duration) -> Option<Response<Answer>> {
        loop {
            let mut connection = self.idle.pop()?;
            let send = async {
                connection.ready().await?;
                connection.send_request(Request::from_parts(head.clone(), Body::empty())).await
            };
            match tokio::time::timeout(patience, send).await {
                Ok(Ok(response)) => return Some(self.answer(connection, response)),
                // The API server closed it meanwhile.
                Ok(Err(_)) => {}
                // The others went the same way.
                Err(_) => self.idle.clear(),
            }
        }
    }

    async fn connect(&self, target: Uri) -> Result<Sender, BoxError> {
        let stream = self.connector.clone().oneshot(target).await.map_err(Into::into)?;
        // One TLS record. Left alone, hyper's buffer grows to 400 KiB under a long list and stays
        // there.
        let mut builder = http1::Builder::new();
        let (sender, connection) =
            builder.read_buf_exact_size(Some(16 << 10)).handshake(stream).await?;
        tokio::spawn(async move {
            // The request on it says what happened. It may become a WebSocket.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    fn answer(&self, connection: Sender, response: Response<Incoming>) -> Response<Answer> {
        let idle = Arc::clone(&self.idle);
        response.map(|body| Answer { body, connection: Some(connection), idle })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no connection within {} s", CONNECT.as_secs())]
struct NotConnected;

impl<C> Service<Request<Body>> for Transport<C>
where
    C: Service<Uri, Response: Stream, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none()
            && let Some(connection) = self.connection.take()
        {
            self.idle.push(connection);
        }
        Poll::Ready(frame)
    }
}

impl Idle {
    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Sender>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pop(&self) -> Option<Sender> {
        self.all().pop()
    }

    fn push(&self, connection: Sender) {
        let mut all = self.all();
        if all.len() < MAX_IDLE {
            all.push(connection);
        }
    }

    fn clear(&self) {
        self.all().clear();
    }
}

#[cfg(test)]
mod tests;
