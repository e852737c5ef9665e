//! The second, plain listener: liveness and readiness.

use crate::cluster::Cluster;
use crate::server::Handler;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Serves `/livez` and `/readyz` until the process ends; the body of `/readyz` says why not.
pub async fn serve<C: Cluster>(listener: TcpListener, handler: Arc<Handler<C>>) -> std::io::Result<()> {
    let routes = Router::new().route("/livez", get(|| async { "ok\n" })).route("/readyz", get(ready::<C>));
    axum::serve(listener, routes.with_state(handler)).await
}

async fn ready<C: Cluster>(State(handler): State<Arc<Handler<C>>>) -> (StatusCode, &'static str) {
    if handler.is_draining() { (StatusCode::SERVICE_UNAVAILABLE, "draining\n") } else { (StatusCode::OK, "ok\n") }
}
