//! What a listener serves: reviews, or Plans.

use super::accept;
use super::budget::ByteBudget;
use super::in_flight::InFlightGuard;
use super::limits::Limits;
use crate::metrics::Metrics;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How much the kernel prefers other threads: a sixth of the time of one that competes.
const NICE: i32 = 10;

/// Answers the requests of a listener.
pub(super) trait Service: Send + Sync + 'static {
    /// What is counted.
    fn metrics(&self) -> &Metrics;

    /// What bodies and answers take.
    fn bodies(&self) -> Arc<ByteBudget>;

    /// The listener is about to stop.
    fn start_draining(&self);

    /// Whether its thread gives way to the others.
    fn is_second_to_others(&self) -> bool;

    /// Answers one request.
    fn handle(
        &self,
        request: Request<Incoming>,
        guard: InFlightGuard,
    ) -> impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send;
}

/// Serves on a thread of its own until `stop` resolves and the connections are drained; then the
/// result resolves. It resolves to an error if the thread panicked.
///
/// One thread, because a thread alone never wakes another: on two cores that is worth more reviews
/// per CPU-second than a second one adds, and one answers tens of thousands of reviews a second.
/// What else the process does runs elsewhere and cannot delay an answer.
pub(super) fn spawn_service<S: Service>(
    listener: std::net::TcpListener,
    tls: Arc<rustls::ServerConfig>,
    service: Arc<S>,
    limits: Limits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<oneshot::Receiver<()>> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (done, ended) = oneshot::channel();
    let is_second = service.is_second_to_others();
    let name = if is_second { "plans" } else { "webhook" };
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // On Linux this is the thread's own. Where it fails, nothing that counts changes.
        if is_second && let Err(error) = rustix::process::nice(NICE) {
            tracing::debug!(%error, "the thread's priority stays as it is");
        }
        runtime.block_on(async {
            match TcpListener::from_std(listener) {
                Ok(listener) => accept::serve(listener, tls, service, limits, stop).await,
                Err(error) => return tracing::error!(%error, "the listener cannot be used"),
            }
            // The receiver is gone if the process is being stopped at once.
            let _ = done.send(());
        });
    })?;
    Ok(ended)
}

/// An answer that is dropped when its last byte has left.
pub(super) struct Delivery {
    bytes: Vec<u8>,
    _ticket: InFlightGuard,
}

impl Delivery {
    /// The body of an answer; the guard goes with it.
    pub(super) fn of(bytes: Vec<u8>, guard: InFlightGuard) -> Bytes {
        Bytes::from_owner(Self { bytes, _ticket: guard })
    }
}

impl AsRef<[u8]> for Delivery {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
