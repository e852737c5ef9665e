//! Sockets: TLS and plain listeners, HTTP/1.1 with keep-alive, and the faults that need a socket.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::call::Call;
use crate::fault::{self, Break};
use crate::journal::RequestRecord;
use crate::reply::Reply;
use crate::route::Route;
use crate::world::World;
use crate::{control, entra, imds, issuer, moment, pipeline, vault};

const BODY_LIMIT_BYTES: usize = 4 << 20;
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// The state, shared by all connections.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    /// The state itself. It stays whole when a holder panics: every change is made at once.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts until `stop` closes. `tls: None` serves plain HTTP.
pub(crate) async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    shared: Shared,
    mut stop: watch::Receiver<()>,
) {
    loop {
        let accepted = tokio::select! {
            _ = stop.changed() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors: a short pause instead of a busy loop.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (tls, shared, mut stop) = (tls.clone(), shared.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                _ = stop.changed() => {}
                () = connection(stream, tls, shared) => {}
            }
        });
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Shared) {
    // Answers are small: waiting for more would only add 40 ms. A socket that refuses serves as
    // well.
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve(stream, shared).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_LIMIT, tls.accept(stream)).await
            {
                shared.lock().journal.connected();
                serve(stream, shared).await;
            }
        }
    }
}

/// A stream whose TCP connection can be reset.
trait Resettable {
    fn reset(&self);

    /// Name in the TLS handshake.
    fn server_name(&self) -> Option<String> {
        None
    }
}

impl Resettable for TcpStream {
    fn reset(&self) {
        // Without it the client sees an orderly end of stream, an error as well.
        let _ = self.set_zero_linger();
    }
}

impl Resettable for TlsStream<TcpStream> {
    fn reset(&self) {
        self.get_ref().0.reset();
    }

    fn server_name(&self) -> Option<String> {
        self.get_ref().1.server_name().map(str::to_owned)
    }
}

async fn serve<S>(stream: S, shared: Shared)
where
    S: AsyncRead + AsyncWrite + Resettable + Unpin + Send + 'static,
{
    let reset = Arc::new(AtomicBool::new(false));
    let server_name = stream.server_name();
    let service = {
        let reset = Arc::clone(&reset);
        service_fn(move |request| {
            let (shared, reset) = (shared.clone(), Arc::clone(&reset));
            let server_name = server_name.clone();
            async move {
                let response = respond(request, server_name, &shared).await;
                if response.is_none() {
                    reset.store(true, Ordering::Release);
                }
                response.ok_or(ResetOnPurpose)
            }
        })
    };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    // Errors are the client's: it has gone, or it spoke no HTTP.
    let _ = (&mut connection).await;
    if reset.load(Ordering::Acquire) {
        connection.into_parts().io.inner().reset();
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a fault asked for a reset")]
struct ResetOnPurpose;

/// The answer, or `None` if the connection is to be reset.
async fn respond(
    request: Request<Incoming>,
    server_name: Option<String>,
    shared: &Shared,
) -> Option<Response<ReplyBody>> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, BODY_LIMIT_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Some(response(Reply::empty(StatusCode::PAYLOAD_TOO_LARGE), false)),
    };
    let call = Call { server_name, ..Call::new(parts, body) };
    let route = Route::of(&call);
    if route == Route::Control {
        return Some(response(control::answer(&mut shared.lock(), &call, moment::now()), false));
    }

    let (outcome, delay) = {
        let mut world = shared.lock();
        world.journal.started();
        let outcome = world.faults.strike(&route);
        let delay = world.delay + outcome.delay;
        (outcome, delay)
    };
    let _in_flight = InFlight(shared);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }

    let mut world = shared.lock();
    let now = moment::now();
    let reply = match (outcome.broken, outcome.status, outcome.answer) {
        (Some(Break::Reset), ..) => None,
        (.., Some(answer)) => Some(answer),
        (_, Some((status, retry_after)), _) => {
            Some(fault::reply(status, retry_after, &route, &call, now))
        }
        _ => Some(answer(&mut world, &route, &call, now)),
    };
    let truncated = outcome.broken == Some(Break::Truncate);
    if let Some(reply) = &reply {
        world.diagnostics.answered(&route, &call, reply);
    }
    let record = RequestRecord {
        kind: route.kind(),
        method: call.method.to_string(),
        host: call.host().to_owned(),
        path: call.path.clone(),
        status: reply.as_ref().map(|reply| reply.status.as_u16()),
        at_ms: 0,
    };
    world.journal.answered(record, truncated);
    reply.map(|reply| response(reply, truncated))
}

/// The heart: an answer from the state, the call and the time.
fn answer(world: &mut World, route: &Route<'_>, call: &Call, now: i64) -> Reply {
    match *route {
        Route::Token { tenant } | Route::TokenProxy { tenant } => {
            entra::token(world, tenant, call, now)
        }
        Route::TenantDiscovery { tenant } => entra::discovery(world, tenant, call, now),
        Route::TenantKeys => entra::keys(world),
        Route::InstanceDiscovery => entra::instance(call),
        Route::IssuerDiscovery => issuer::discovery(world),
        Route::IssuerKeys => issuer::keys(world),
        Route::Vault { vault, domain, operation } => {
            vault::answer(world, vault, domain, operation, call, now)
        }
        Route::Imds => imds::token(world, call, now),
        Route::GithubToken => pipeline::github(world, call),
        Route::AzurePipelinesToken => pipeline::azure(world, call),
        Route::SecretPatch { namespace, name } => world.kubernetes.answer(namespace, name, call),
        Route::Eviction { namespace, name } => {
            world.kubernetes.workloads.evict(namespace, name, call)
        }
        Route::WorkloadPatch { namespace, resource, name } => {
            world.kubernetes.workloads.patch([namespace, resource, name], call)
        }
        Route::Control | Route::Nowhere => Reply::json(
            StatusCode::NOT_FOUND,
            &json!({"error": {
                "code": "NotFound",
                "message": format!("the emulator has nothing at {}{}", call.host(), call.path),
            }}),
        ),
    }
}

/// Counts a call out, also when the client went away.
struct InFlight<'a>(&'a Shared);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.lock().journal.finished();
    }
}

fn response(reply: Reply, truncated: bool) -> Response<ReplyBody> {
    let length = reply.body.len();
    let body = if truncated { reply.body.slice(..length / 2) } else { reply.body };
    let mut response =
        Response::new(ReplyBody { rest: Some(body), announced_bytes: length, truncated });
    *response.status_mut() = reply.status;
    response.headers_mut().extend(reply.headers);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// A body that may be shorter than its `Content-Length`.
struct ReplyBody {
    rest: Option<Bytes>,
    announced_bytes: usize,
    truncated: bool,
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(bytes) = self.rest.take().filter(|bytes| !bytes.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if std::mem::take(&mut self.truncated) {
            // hyper flushes when a body has to wait, and drops what it has buffered when a body
            // ends early.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(Bytes::is_empty) && !self.truncated
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced_bytes as u64)
    }
}
