//! The second, plain listener: liveness, readiness, metrics, and the log's level. Anybody who
//! reaches the pod may ask; only who is in it may change.

use crate::cluster::Cluster;
use crate::log;
use crate::reason::KS718;
use crate::server::{CertificateSlot, Handler};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// A request head, and a whole connection: one request each.
const HEAD: Duration = Duration::from_secs(5);
const CONNECTION: Duration = Duration::from_secs(30);
/// A new connection beyond this ends the oldest one, so that a probe always gets through.
const CONNECTIONS: usize = 256;
/// The longest body: a level.
const BODY_BYTES: usize = 16;

/// Serves `/livez`, `/readyz` (its body says why not, and how old each cache is), `/metrics` and
/// `/log-level` until the process ends.
///
/// A cache that was synced once stays ready while the API server is down: it answers, and a restart
/// would only empty it. `curl -X PUT -d debug http://127.0.0.1:…/log-level` changes the level:
/// debug, info or warn.
pub async fn serve<C: Cluster>(
    listener: TcpListener,
    handler: Arc<Handler<C>>,
    slot: Arc<CertificateSlot>,
) -> Infallible {
    let routes = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready::<C>))
        .route("/metrics", get(metrics::<C>))
        .merge(log_level());
    serve_routes(listener, routes.with_state(Admin { handler, slot }), CONNECTIONS, HEAD).await
}

/// The log's level. Who asks is looked at before anything of a body is read; a level has five
/// letters.
fn log_level<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let change = put(set_log_level)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(from_fn(from_the_pod_itself));
    Router::new().route("/log-level", get(|| async { format!("{}\n", log::level()) }).merge(change))
}

async fn serve_routes(
    listener: TcpListener,
    routes: Router,
    limit: usize,
    head: Duration,
) -> Infallible {
    let mut open = VecDeque::<AbortHandle>::new();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Out of file descriptors or a connection reset in the queue: the next accept may
            // succeed.
            Err(error) => {
                tracing::warn!(%error, "{KS718} accept failed on the admin listener");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= limit
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let service = TowerToHyperService::new(routes.clone().layer(Extension(Peer(peer))));
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(head)
            .max_header_size(8 << 10)
            .keep_alive(false);
        builder.max_buf_size(16 << 10);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        open.push_back(tokio::spawn(tokio::time::timeout(CONNECTION, connection)).abort_handle());
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
struct Peer(SocketAddr);

#[derive(Debug)]
struct Admin<C> {
    handler: Arc<Handler<C>>,
    slot: Arc<CertificateSlot>,
}

impl<C> Clone for Admin<C> {
    fn clone(&self) -> Self {
        Self { handler: Arc::clone(&self.handler), slot: Arc::clone(&self.slot) }
    }
}

async fn ready<C: Cluster>(
    State(Admin { handler, slot }): State<Admin<C>>,
) -> (StatusCode, String) {
    if handler.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    let caches = handler.cluster().caches();
    let ready = slot.is_loaded() && caches.iter().all(|cache| cache.synced);
    let mut body = if ready { "ok\n" } else { "not ready\n" }.to_owned();
    if !slot.is_loaded() {
        body.push_str(
            "certificate: none that the API server trusts yet; the log says what is missing\n",
        );
    }
    for cache in caches {
        let _ = writeln!(body, "{cache}");
    }
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body)
}

async fn metrics<C: Cluster>(State(Admin { handler, .. }): State<Admin<C>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, OPEN_METRICS)], handler.metrics().text(&handler.cluster().caches()))
}

/// `kubectl port-forward` and a container of the pod come from the loopback.
async fn from_the_pod_itself(request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>();
    if peer.is_some_and(|Peer(peer)| peer.ip().to_canonical().is_loopback()) {
        return next.run(request).await;
    }
    let hint =
        "the log level is changed from the pod itself only; hint: kubectl port-forward POD 9440\n";
    (StatusCode::FORBIDDEN, hint).into_response()
}

async fn set_log_level(body: String) -> (StatusCode, String) {
    match body.trim().parse() {
        Ok(level) => {
            log::set_level(level);
            tracing::warn!(%level, "the log level was changed");
            (StatusCode::OK, format!("{level}\n"))
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use std::task::Poll;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    async fn status_for(peer: &str, body: Body) -> StatusCode {
        let peer = Peer(peer.parse().unwrap());
        let request = Request::put("/log-level").body(body).unwrap();
        let routes = log_level().layer(Extension(peer));
        hyper::service::Service::call(&TowerToHyperService::new(routes), request)
            .await
            .unwrap()
            .status()
    }

    struct Never;

    impl hyper::body::Body for Never {
        type Data = bytes::Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn the_log_level_is_changed_from_the_pod_itself_only() {
        for peer in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(
                status_for(peer, Body::from("loud")).await,
                StatusCode::BAD_REQUEST,
                "{peer}: the word is looked at"
            );
        }
        for peer in ["10.1.2.3:1", "[fd00::1]:1", "[::ffff:10.1.2.3]:1"] {
            // A body that never comes is not waited for.
            assert_eq!(status_for(peer, Body::new(Never)).await, StatusCode::FORBIDDEN, "{peer}");
        }
        let long = Body::from("w".repeat(BODY_BYTES + 1));
        assert_eq!(status_for("127.0.0.1:1", long).await, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn silent_connections_are_cut_off_and_keep_no_probe_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/livez", get(|| async { "ok\n" }));
        tokio::spawn(serve_routes(listener, routes, 2, Duration::from_millis(200)));
        let mut silent = Vec::new();
        for _ in 0..4 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut probe = TcpStream::connect(address).await.unwrap();
        probe.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        probe.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
        for mut silent in silent {
            let mut rest = Vec::new();
            let _ = silent.read_to_end(&mut rest).await;
        }
    }
}
