//! The accept loop: handshakes beside each other, every wait bounded, drained in order.

use super::connection::Connections;
use super::handler::Handler;
use super::pulse::Pulse;
use super::roster::Roster;
use crate::cluster::Cluster;
use prometheus_client::metrics::gauge::Gauge;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio_rustls::TlsAcceptor;

/// Bounds of the listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; one more takes the place of one without a handshake, or an idle one, and waits where there is none.
    pub connections: usize,
    /// TLS handshake.
    pub handshake: Duration,
    /// Request head, from its first byte; found out in steps of half of it.
    pub header: Duration,
    /// A connection without requests; longer than the 90 s after which the API server's client closes it, so that we never close
    /// one under a request on its way.
    pub idle: Duration,
    /// How long a draining server goes on accepting, so that nobody meets a closed door before the endpoint is gone.
    pub drain: Duration,
    /// How long a request may take until its answer has left, and so how long a draining server waits for those in flight.
    pub finish: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(180),
            drain: Duration::from_secs(10),
            finish: Duration::from_secs(15),
        }
    }
}

/// What connections are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Finish and close.
    Closing,
}

/// Serves on a thread of its own until `stop` resolves and the connections are drained; then the result resolves. It resolves to an error if
/// the thread panicked.
///
/// One thread, because a thread alone never wakes another: on two cores that is worth more reviews per CPU-second than a second one adds, and one
/// answers tens of thousands of reviews a second. What else the process does runs elsewhere and cannot delay an answer.
pub fn spawn<C: Cluster>(
    listener: std::net::TcpListener,
    tls: Arc<rustls::ServerConfig>,
    handler: Arc<Handler<C>>,
    limits: Limits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<oneshot::Receiver<()>> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (done, ended) = oneshot::channel();
    std::thread::Builder::new().name("webhook".to_owned()).spawn(move || {
        runtime.block_on(async {
            match TcpListener::from_std(listener) {
                Ok(listener) => serve(listener, tls, handler, limits, stop).await,
                Err(error) => return tracing::error!(%error, "the listener cannot be used"),
            }
            // Nobody waits any more if the process is being stopped at once.
            let _ = done.send(());
        });
    })?;
    Ok(ended)
}

async fn serve<C: Cluster>(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    handler: Arc<Handler<C>>,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let permits = Arc::new(Semaphore::new(limits.connections));
    let (phase, phases) = watch::channel(Phase::Open);
    let acceptor = TlsAcceptor::from(tls);
    let connections = Arc::new(Connections { acceptor, handler: Arc::clone(&handler), limits, phases });
    let drained = async {
        stop.await;
        handler.start_draining();
        tokio::time::sleep(limits.drain).await;
    };
    tokio::pin!(drained);
    let mut roster = Roster::default();
    'accept: loop {
        let accepted = tokio::select! {
            () = &mut drained => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            // Out of file descriptors or a connection reset in the queue: the next accept may succeed.
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let permit = loop {
            if permits.available_permits() == 0 {
                roster.make_room(limits.connections);
            }
            tokio::select! {
                () = &mut drained => break 'accept,
                permit = Arc::clone(&permits).acquire_owned() => break permit.expect("the semaphore is never closed"),
                // By then another one may be idle.
                () = tokio::time::sleep(limits.header / 2) => {}
            }
        };
        let metrics = handler.metrics();
        let pulse = Arc::new(Pulse::new(metrics.in_flight.clone()));
        let open = Open::new(metrics.connections.clone(), permit);
        let (leave, leaving) = oneshot::channel();
        let served = Arc::clone(&connections).serve(stream, Arc::clone(&pulse), leaving);
        let task = tokio::spawn(async move {
            let _open = open;
            served.await;
        });
        roster.add(task.abort_handle(), pulse, leave, limits.connections - permits.available_permits());
    }
    drop(listener);
    let _ = phase.send(Phase::Closing);
    // Every connection has a permit: when all are back, none is open.
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    if tokio::time::timeout(limits.finish, permits.acquire_many(all)).await.is_err() {
        tracing::warn!("connections were still open after {:?}", limits.finish);
    }
}

/// An open connection, counted and within its limit until it is dropped, also by a panic.
struct Open {
    gauge: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Open {
    fn new(gauge: Gauge, permit: OwnedSemaphorePermit) -> Self {
        gauge.inc();
        Self { gauge, _permit: permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}
