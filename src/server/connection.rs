//! One connection: handshake, HTTP/1.1 or 2 as agreed there, deadlines, and its end when the server
//! drains.

use super::activity::ConnectionActivity;
use super::idle_timeout::{Activity, IdleTimeout};
use super::in_flight::InFlightGuard;
use super::limits::Limits;
use super::read_ahead::ReadAhead;
use super::service::Service;
use super::table::{ConnectionTable, GRACE};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// Requests at once on one HTTP/2 connection; a client with more opens another one (Go's does).
const STREAMS: u32 = 100;
/// The greatest request head; the API server's are below 1 KiB.
const HEAD_BYTES: u16 = 16 << 10;
/// What HTTP/1.1 reads ahead at most; one call of `read` never gives more.
const BUFFER_BYTES: usize = 64 << 10;
/// What may wait unread on an HTTP/2 connection: a dozen reviews.
const WINDOW_BYTES: u32 = 256 << 10;

/// What is encrypted ahead of a client that does not take it.
const SEND_BYTES: usize = 32 << 10;

/// What connections are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Finish and close.
    Closing,
}

/// What connections share.
pub(super) struct Connections<S> {
    pub(super) acceptor: TlsAcceptor,
    pub(super) handler: Arc<S>,
    pub(super) limits: Limits,
    pub(super) table: Arc<ConnectionTable>,
    pub(super) phases: watch::Receiver<Phase>,
}

impl<S: Service> Connections<S> {
    /// Serves one connection to its end, or until it is to leave and has finished what it began.
    pub(super) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        activity: Arc<ConnectionActivity>,
        leaving: oneshot::Receiver<()>,
    ) {
        let _ = stream.set_nodelay(true);
        // Each stage on the heap, and only while it lasts: in one future they would take 20 KiB of
        // every connection.
        let handshake =
            Box::pin(self.acceptor.accept(ReadAhead::new(stream, Arc::clone(&activity))));
        let mut stream = match tokio::time::timeout(self.limits.handshake, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                self.handler.metrics().handshake_failures.inc();
                return tracing::debug!(%error, "TLS handshake failed");
            }
            Err(_) => {
                self.handler.metrics().handshake_failures.inc();
                return tracing::debug!("TLS handshake timed out");
            }
        };
        activity.establish();
        self.table.changed.notify_one();
        let session = stream.get_mut().1;
        session.set_buffer_limit(Some(SEND_BYTES));
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        activity.is_http2.store(is_http2, Ordering::Relaxed);
        let io = TokioIo::new(stream);
        let service = {
            let (connections, activity) = (Arc::clone(&self), Arc::clone(&activity));
            service_fn(move |request| {
                let (connections, guard) =
                    (Arc::clone(&connections), InFlightGuard::new(Arc::clone(&activity)));
                async move { connections.handler.handle(request, guard).await }
            })
        };
        let result = if is_http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS)
                .keep_alive_interval(self.limits.header);
            builder.max_header_list_size(HEAD_BYTES.into());
            builder
                .initial_connection_window_size(WINDOW_BYTES)
                .initial_stream_window_size(WINDOW_BYTES);
            self.drive(Box::pin(builder.serve_connection(io, service)), &activity, leaving, true)
                .await
        } else {
            // hyper's own limit for the head also closes idle connections and arms a timer for each
            // request: see `ConnectionActivity`.
            let mut builder = http1::Builder::new();
            builder
                .header_read_timeout(None)
                .max_header_size(HEAD_BYTES.into())
                .max_buf_size(BUFFER_BYTES);
            self.drive(Box::pin(builder.serve_connection(io, service)), &activity, leaving, false)
                .await
        };
        if let Err(error) = result {
            tracing::debug!(%error, "connection ended");
        }
    }

    /// Runs a connection; ends it at the deadlines, and gracefully when the server closes.
    async fn drive(
        &self,
        mut connection: Pin<Box<impl Graceful>>,
        activity: &ConnectionActivity,
        leaving: oneshot::Receiver<()>,
        is_http2: bool,
    ) -> hyper::Result<()> {
        let mut phases = self.phases.clone();
        let mut closing =
            pin!(async move { phases.wait_for(|phase| *phase == Phase::Closing).await.is_ok() });
        let tick = self.limits.header / 2;
        let mut alarm = pin!(tokio::time::sleep(tick));
        let mut idle_timeout = IdleTimeout::new(self.limits, Instant::now());
        // Without the sender no later request can ask for it.
        let mut leaving =
            pin!(async move { leaving.await.is_ok() || std::future::pending().await });
        let mut is_ending = false;
        // Until when requests under way hold up the end.
        let mut last_call = Instant::now();
        poll_fn(move |cx| {
            loop {
                if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                    return Poll::Ready(result);
                }
                // HTTP/1.1 says it with `Connection: close`; here it takes a frame, behind the
                // first answer.
                let goes_away =
                    is_http2 && activity.answered_while_draining.load(Ordering::Relaxed);
                if !is_ending && (goes_away || closing.as_mut().poll(cx).is_ready()) {
                    connection.as_mut().shut_down();
                    is_ending = true;
                    alarm.as_mut().reset(Instant::now() + self.limits.finish);
                    continue;
                }
                if !is_ending && leaving.as_mut().poll(cx).is_ready() {
                    connection.as_mut().shut_down();
                    is_ending = true;
                    let now = Instant::now();
                    last_call = now + self.limits.finish;
                    alarm.as_mut().reset(now + GRACE);
                    continue;
                }
                if alarm.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                // The other side must do its part for a good end; without it there is another.
                let now = Instant::now();
                if is_ending && activity.is_asked() && now < last_call {
                    alarm.as_mut().reset(last_call);
                    continue;
                }
                if is_ending {
                    return Poll::Ready(Ok(()));
                }
                alarm.as_mut().reset(now + tick);
                match idle_timeout.check(activity, now) {
                    Activity::InUse => {}
                    Activity::Idle => {
                        connection.as_mut().shut_down();
                        is_ending = true;
                        alarm.as_mut().reset(now + self.limits.header);
                    }
                    Activity::Stuck => return Poll::Ready(Ok(())),
                }
            }
        })
        .await
    }
}

/// Both kinds of connection of hyper.
trait Graceful: Future<Output = hyper::Result<()>> {
    /// Finishes what was begun, then closes.
    fn shut_down(self: Pin<&mut Self>);
}

impl<I, S> Graceful for http1::Connection<I, S>
where
    Self: Future<Output = hyper::Result<()>>,
    S: hyper::service::HttpService<hyper::body::Incoming>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S::ResBody: hyper::body::Body + 'static,
    <S::ResBody as hyper::body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn shut_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, E> Graceful for http2::Connection<I, S, E>
where
    Self: Future<Output = hyper::Result<()>>,
    S: hyper::service::HttpService<hyper::body::Incoming>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S::ResBody: hyper::body::Body + 'static,
    <S::ResBody as hyper::body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, S::ResBody>,
{
    fn shut_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
