//! The accept loop: handshakes beside each other, every wait bounded, drained in order.

use super::activity::{CONNECTION_BYTES, ConnectionActivity};
use super::connection::{Connections, Phase};
use super::handler::Handler;
use super::limits::Limits;
use super::pace::Pace;
use super::service::Service;
use super::source::Source;
use super::table::ConnectionTable;
use crate::cluster::Cluster;
use crate::metrics::Shed;
use crate::reason::KS718;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// Connections that were accepted and wait for room.
const WAITING: usize = 1024;
/// How many of them begin at once, and when it is tried again.
const AT_ONCE: usize = 16;
const AGAIN: Duration = Duration::from_millis(50);

/// How much the kernel prefers other threads: a sixth of the time of one that competes.
const NICE: i32 = 10;

/// Serves reviews on a thread of its own until `stop` resolves and the connections are drained;
/// then the result resolves. It resolves to an error if the thread panicked.
pub fn spawn<C: Cluster>(
    listener: std::net::TcpListener,
    tls: Arc<rustls::ServerConfig>,
    handler: Arc<Handler<C>>,
    limits: Limits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<oneshot::Receiver<()>> {
    spawn_service(listener, tls, handler, limits, stop)
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
                Ok(listener) => serve(listener, tls, service, limits, stop).await,
                Err(error) => return tracing::error!(%error, "{KS718} no connections"),
            }
            // The receiver is gone if the process is being stopped at once.
            let _ = done.send(());
        });
    })?;
    Ok(ended)
}

async fn serve<S: Service>(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    handler: Arc<S>,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let (phase, phases) = watch::channel(Phase::Open);
    let table =
        ConnectionTable::new(limits.connections_bytes, limits.connections, handler.bodies());
    let acceptor = TlsAcceptor::from(tls);
    let shared = Connections {
        acceptor,
        handler: Arc::clone(&handler),
        limits,
        table: Arc::clone(&table),
        phases,
    };
    let mut pace = limits.handshakes_per_second.map(Pace::new);
    let mut door = Door { connections: Arc::new(shared), queue: VecDeque::new() };
    let drained = async {
        stop.await;
        handler.start_draining();
        tokio::time::sleep(limits.drain).await;
    };
    tokio::pin!(drained);
    loop {
        tokio::select! {
            () = &mut drained => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let now = Instant::now().into_std();
                    if pace.as_mut().is_none_or(|pace| pace.admits(peer.ip(), now)) {
                        door.arrived(stream, peer.ip());
                    } else {
                        handler.metrics().shed(Shed::Handshakes);
                    }
                }
                // Out of file descriptors or a connection reset in the queue: the next accept may
                // succeed.
                Err(error) => {
                    tracing::warn!(%error, "{KS718} accept failed");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
            () = table.changed.notified(), if !door.queue.is_empty() => door.admit(),
            // By then another one may be idle.
            () = tokio::time::sleep(AGAIN), if !door.queue.is_empty() => door.admit(),
        }
    }
    drop((listener, door));
    let _ = phase.send(Phase::Closing);
    let ended = async {
        while !table.is_empty() {
            table.changed.notified().await;
        }
    };
    if tokio::time::timeout(limits.finish, ended).await.is_err() {
        tracing::warn!("{KS718} connections were still open after {:?}", limits.finish);
    }
}

/// Lets connections in, those of the sources that hold least before the others.
struct Door<S> {
    connections: Arc<Connections<S>>,
    queue: VecDeque<Waiting>,
}

/// A connection that was accepted and has no room yet.
struct Waiting {
    stream: TcpStream,
    source: Arc<Source>,
    since: Instant,
}

impl<S: Service> Door<S> {
    fn arrived(&mut self, stream: TcpStream, address: IpAddr) {
        let table = &self.connections.table;
        let source = table.source(address);
        let is_first = !self.queue.iter().any(|waiting| Arc::ptr_eq(&waiting.source, &source));
        if is_first && table.admits(&source, CONNECTION_BYTES) {
            return self.serve(stream, source);
        }
        if self.queue.len() >= WAITING {
            self.turn_one_away(&source);
        }
        self.queue.push_back(Waiting { stream, source, since: Instant::now() });
    }

    /// Of the source with most that wait the one that came last.
    fn turn_one_away(&mut self, newcomer: &Arc<Source>) {
        let mut counts = HashMap::new();
        for source in self.queue.iter().map(|waiting| &waiting.source).chain([newcomer]) {
            *counts.entry(Arc::as_ptr(source)).or_insert(0_usize) += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(source, _)| source);
        let last =
            self.queue.iter().rposition(|waiting| Some(Arc::as_ptr(&waiting.source)) == most);
        self.queue.remove(last.unwrap_or(0));
    }

    fn admit(&mut self) {
        let patience = self.connections.limits.handshake;
        self.queue.retain(|waiting| waiting.since.elapsed() < patience);
        let mut refused = Vec::new();
        // A few at a time: others have something to do, too.
        for _ in 0..AT_ONCE {
            let candidates = self.queue.iter().enumerate();
            let next = candidates
                .filter(|(_, waiting)| {
                    !refused.iter().any(|source| Arc::ptr_eq(source, &waiting.source))
                })
                .min_by_key(|(_, waiting)| waiting.source.connection_bytes())
                .map(|(index, waiting)| (index, Arc::clone(&waiting.source)));
            let Some((index, source)) = next else { return };
            if !self.connections.table.admits(&source, CONNECTION_BYTES) {
                refused.push(source);
            } else if let Some(waiting) = self.queue.remove(index) {
                self.serve(waiting.stream, source);
            }
        }
        self.connections.table.changed.notify_one();
    }

    fn serve(&self, stream: TcpStream, source: Arc<Source>) {
        let connections = Arc::clone(&self.connections);
        let (table, metrics) = (Arc::clone(&connections.table), connections.handler.metrics());
        let activity = Arc::new(ConnectionActivity::new(source, metrics.in_flight.clone()));
        let open = Open::new(metrics.connections.clone(), Arc::clone(&table));
        let id = open.id;
        let (leave, leaving) = oneshot::channel();
        let served = Arc::clone(&connections).serve(stream, Arc::clone(&activity), leaving);
        // It runs when this returns, on this thread: it is in the table before it can end.
        let task = tokio::spawn(async move {
            let _open = open;
            served.await;
        });
        table.add(id, task.abort_handle(), activity, leave);
    }
}

/// An open connection, counted and in the table until it is dropped, also by a panic.
struct Open {
    gauge: Gauge,
    table: Arc<ConnectionTable>,
    id: u64,
}

impl Open {
    fn new(gauge: Gauge, table: Arc<ConnectionTable>) -> Self {
        gauge.inc();
        let id = table.next_id();
        Self { gauge, table, id }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.dec();
        self.table.remove(self.id);
    }
}
