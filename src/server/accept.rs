//! The accept loop: handshakes beside each other, every wait bounded, drained in order.

use super::handler::Handler;
use crate::cluster::Cluster;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Bounds of the listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// TLS handshake.
    pub handshake: Duration,
    /// Request head.
    pub header: Duration,
    /// How long a draining server goes on accepting, so that nobody meets a closed door before the endpoint is gone.
    pub drain: Duration,
    /// How long requests in flight may take after that.
    pub finish: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            finish: Duration::from_secs(15),
        }
    }
}

/// Serves until `stop` resolves and the connections are drained.
pub async fn serve<C: Cluster>(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    handler: Arc<Handler<C>>,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let permits = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let drained = async {
        stop.await;
        handler.start_draining();
        tokio::time::sleep(limits.drain).await;
    };
    tokio::pin!(drained);
    loop {
        let permit = Arc::clone(&permits).acquire_owned();
        let accepted = tokio::select! {
            () = &mut drained => break,
            accepted = async {
                let permit = permit.await.expect("the semaphore is never closed");
                (listener.accept().await, permit)
            } => accepted,
        };
        match accepted {
            (Ok((stream, _)), permit) => {
                let connection = Connection { acceptor: acceptor.clone(), handler: Arc::clone(&handler), limits };
                let watcher = graceful.watcher();
                tokio::spawn(async move {
                    connection.run(stream, watcher).await;
                    drop(permit);
                });
            }
            // Out of file descriptors or a connection reset in the queue: the next accept may succeed.
            (Err(error), _) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(limits.finish, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still open after {:?}", limits.finish);
    }
}

struct Connection<C> {
    acceptor: TlsAcceptor,
    handler: Arc<Handler<C>>,
    limits: Limits,
}

impl<C: Cluster> Connection<C> {
    async fn run(self, stream: TcpStream, watcher: hyper_util::server::graceful::Watcher) {
        let _ = stream.set_nodelay(true);
        let stream = match tokio::time::timeout(self.limits.handshake, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => return tracing::debug!("TLS handshake timed out"),
        };
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.limits.header);
        builder.http2().timer(TokioTimer::new());
        let handler = &self.handler;
        let service = service_fn(move |request| {
            let handler = Arc::clone(handler);
            async move { handler.handle(request).await }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "connection ended");
        }
    }
}
