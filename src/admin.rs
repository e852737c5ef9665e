//! The second, plain listener: liveness and readiness.

use crate::cluster::Cluster;
use crate::server::Handler;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Serves `/livez` and `/readyz` until the process ends; the body of `/readyz` says why not, and how old each cache is.
///
/// A cache that was synced once stays ready while the API server is down: it answers, and a restart would only empty it.
pub async fn serve<C: Cluster>(listener: TcpListener, handler: Arc<Handler<C>>) -> std::io::Result<()> {
    let routes = Router::new().route("/livez", get(|| async { "ok\n" })).route("/readyz", get(ready::<C>));
    axum::serve(listener, routes.with_state(handler)).await
}

async fn ready<C: Cluster>(State(handler): State<Arc<Handler<C>>>) -> (StatusCode, String) {
    if handler.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    let caches = handler.cluster().caches();
    let synced = caches.iter().all(|cache| cache.synced);
    let mut body = if synced { "ok\n" } else { "not ready\n" }.to_owned();
    for cache in caches {
        let _ = writeln!(body, "{cache}");
    }
    (if synced { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body)
}
