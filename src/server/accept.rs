//! The accept loop: handshakes beside each other, every wait bounded, drained in order.

use super::handler::Handler;
use crate::cluster::Cluster;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// Request head, and a connection's first request.
    pub header: Duration,
    /// A connection without a request. Longer than the API server keeps one (90 s): a POST that meets a closing connection fails.
    pub idle: Duration,
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
            idle: Duration::from_secs(180),
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
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(self.limits.header)
            .max_concurrent_streams(STREAMS);
        let activity = Arc::new(Activity::default());
        let (handler, used) = (&self.handler, Arc::clone(&activity));
        let service = service_fn(move |request| {
            let (handler, used) = (Arc::clone(handler), Arc::clone(&used));
            async move {
                let _in_flight = used.begin();
                handler.handle(request).await
            }
        });
        let connection = watcher.watch(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
            },
            () = activity.overdue(self.limits) => tracing::debug!("connection without a request closed"),
        }
    }
}

/// A request that is being answered, or was given up by its client.
struct InFlight<'a>(&'a Activity);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 128;

/// Whether a connection is used: a silent one must not hold its place for ever.
#[derive(Debug, Default)]
struct Activity {
    requests: AtomicU64,
    in_flight: AtomicU64,
}

impl Activity {
    fn begin(&self) -> InFlight<'_> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    /// Resolves when the first request, or the next one, did not come in time.
    async fn overdue(&self, limits: Limits) {
        let mut seen = 0;
        let mut wait = limits.header;
        loop {
            tokio::time::sleep(wait).await;
            let requests = self.requests.load(Ordering::Relaxed);
            if requests == seen && self.in_flight.load(Ordering::Relaxed) == 0 {
                return;
            }
            (seen, wait) = (requests, limits.idle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::Cloud;
    use crate::cluster::manifests::Manifests;
    use crate::settings::Settings;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;

    /// A client connected to a server with short limits.
    async fn connect() -> TlsStream<TcpStream> {
        let (tls, ca) = crate::server::tls::own(&["localhost".to_owned()]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = Settings::new(Cloud::well_known("").unwrap());
        let handler = Arc::new(Handler::new(settings, Manifests::default()));
        let limits =
            Limits { header: Duration::from_millis(200), idle: Duration::from_millis(400), ..Limits::default() };
        tokio::spawn(serve(listener, tls, handler, limits, std::future::pending()));

        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
    }

    async fn closes_within(stream: &mut TlsStream<TcpStream>, limit: Duration) -> bool {
        let mut rest = Vec::new();
        // A close without a TLS goodbye is an error of the read: closed all the same.
        tokio::time::timeout(limit, stream.read_to_end(&mut rest)).await.is_ok()
    }

    #[tokio::test]
    async fn a_connection_without_a_request_is_closed() {
        for said in [
            "",
            "PRI * HT",
            "POST /mutate HTTP/1.1\r\nHost: x\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        ] {
            let mut stream = connect().await;
            stream.write_all(said.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            assert!(closes_within(&mut stream, Duration::from_secs(5)).await, "after {said:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_used_stays_open_until_it_is_idle_for_long() {
        let mut stream = connect().await;
        let mut buffer = [0; 4096];
        for _ in 0..3 {
            stream.write_all(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            assert!(stream.read(&mut buffer).await.unwrap() > 0);
        }
        assert!(closes_within(&mut stream, Duration::from_secs(5)).await);
    }
}
