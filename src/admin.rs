//! The second, plain listener: liveness, readiness, metrics, and the log's level.

use crate::cluster::Cluster;
use crate::log;
use crate::server::{CertificateSlot, Handler};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::net::TcpListener;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves `/livez`, `/readyz` (its body says why not, and how old each cache is), `/metrics` and `/log-level` until the process ends.
///
/// A cache that was synced once stays ready while the API server is down: it answers, and a restart would only empty it.
/// `curl -X PUT -d debug …/log-level` changes the level: debug, info or warn.
pub async fn serve<C: Cluster>(
    listener: TcpListener,
    handler: Arc<Handler<C>>,
    slot: Arc<CertificateSlot>,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready::<C>))
        .route("/metrics", get(metrics::<C>))
        .route("/log-level", get(|| async { format!("{}\n", log::level()) }).put(set_log_level));
    axum::serve(listener, routes.with_state(Admin { handler, slot })).await
}

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

async fn ready<C: Cluster>(State(Admin { handler, slot }): State<Admin<C>>) -> (StatusCode, String) {
    if handler.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    let caches = handler.cluster().caches();
    let ready = slot.is_loaded() && caches.iter().all(|cache| cache.synced);
    let mut body = if ready { "ok\n" } else { "not ready\n" }.to_owned();
    if !slot.is_loaded() {
        body.push_str("certificate: none that the API server trusts yet; the log says what is missing\n");
    }
    for cache in caches {
        let _ = writeln!(body, "{cache}");
    }
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body)
}

async fn metrics<C: Cluster>(State(Admin { handler, .. }): State<Admin<C>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, OPEN_METRICS)], handler.metrics().text(&handler.cluster().caches()))
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
