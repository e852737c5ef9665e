//! One connection: handshake, HTTP/1.1 or 2 as agreed there, deadlines, and its end when the server drains.

use super::accept::{Limits, Phase};
use super::handler::Handler;
use super::read_ahead::ReadAhead;
use crate::cluster::Cluster;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 250;

/// What connections share.
pub(super) struct Connections<C> {
    pub(super) acceptor: TlsAcceptor,
    pub(super) handler: Arc<Handler<C>>,
    pub(super) limits: Limits,
    pub(super) phases: watch::Receiver<Phase>,
}

impl<C: Cluster> Connections<C> {
    /// Serves one connection to its end.
    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let handshake = self.acceptor.accept(ReadAhead::new(stream));
        let stream = match tokio::time::timeout(self.limits.handshake, handshake).await {
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
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let pulse = Arc::new(Pulse::default());
        let io = TokioIo::new(Watched { stream, pulse: Arc::clone(&pulse) });
        let service = {
            let (connections, pulse) = (Arc::clone(&self), Arc::clone(&pulse));
            service_fn(move |request| {
                let (connections, pulse) = (Arc::clone(&connections), Arc::clone(&pulse));
                async move {
                    pulse.begin();
                    let response = connections.handler.handle(request).await;
                    pulse.end(connections.handler.is_draining());
                    response
                }
            })
        };
        let result = if is_http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).max_concurrent_streams(STREAMS).keep_alive_interval(self.limits.header);
            self.drive(builder.serve_connection(io, service), &pulse, true).await
        } else {
            // hyper's own limit for the head also closes idle connections and arms a timer for each request: see `Pulse`.
            let mut builder = http1::Builder::new();
            builder.header_read_timeout(None);
            self.drive(builder.serve_connection(io, service), &pulse, false).await
        };
        if let Err(error) = result {
            tracing::debug!(%error, "connection ended");
        }
    }

    /// Runs a connection; ends it at the deadlines, and gracefully when the server closes.
    async fn drive(&self, connection: impl Graceful, pulse: &Pulse, is_http2: bool) -> hyper::Result<()> {
        let mut connection = pin!(connection);
        let mut phases = self.phases.clone();
        let mut closing = pin!(async move { phases.wait_for(|phase| *phase == Phase::Closing).await.is_ok() });
        let tick = self.limits.header / 2;
        let mut alarm = pin!(tokio::time::sleep(tick));
        let mut doctor = Doctor::new(self.limits);
        let mut is_ending = false;
        poll_fn(move |cx| {
            loop {
                if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                    return Poll::Ready(result);
                }
                // A connection that is ending has no more requests; its answers are bounded by the whole drain.
                if is_ending {
                    return Poll::Pending;
                }
                // HTTP/1.1 says it with `Connection: close`; here it takes a frame, behind the first answer.
                let goes_away = is_http2 && pulse.answered_while_draining.load(Ordering::Relaxed);
                if goes_away || closing.as_mut().poll(cx).is_ready() {
                    connection.as_mut().shut_down();
                    is_ending = true;
                    continue;
                }
                if alarm.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                let now = Instant::now();
                alarm.as_mut().reset(now + tick);
                match doctor.examine(pulse, now, is_http2) {
                    Health::Fine => {}
                    Health::Idle => {
                        connection.as_mut().shut_down();
                        is_ending = true;
                    }
                    Health::Stuck => return Poll::Ready(Ok(())),
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

/// Signs of life of a connection: written in passing, looked at a few times a minute, so that a request costs no timer.
#[derive(Debug, Default)]
struct Pulse {
    /// Requests between head and answer.
    open: AtomicU32,
    /// Requests so far.
    begun: AtomicU32,
    /// Bytes came since the last request began or ended.
    stirred: AtomicBool,
    answered_while_draining: AtomicBool,
}

impl Pulse {
    fn begin(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self, is_draining: bool) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.stirred.store(false, Ordering::Relaxed);
        if is_draining {
            self.answered_while_draining.store(true, Ordering::Relaxed);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Fine,
    /// Nobody has asked anything for a long time.
    Idle,
    /// Half a request head, for too long.
    Stuck,
}

/// Compares a [`Pulse`] with what it was.
#[derive(Debug)]
struct Doctor {
    limits: Limits,
    begun: u32,
    /// Since when there is half a head, and since when there is nothing.
    partial: Option<Instant>,
    idle: Option<Instant>,
}

impl Doctor {
    fn new(limits: Limits) -> Self {
        Self { limits, begun: 0, partial: None, idle: None }
    }

    fn examine(&mut self, pulse: &Pulse, now: Instant, is_http2: bool) -> Health {
        let begun = pulse.begun.load(Ordering::Relaxed);
        if begun != self.begun || pulse.open.load(Ordering::Relaxed) > 0 {
            *self = Self { begun, ..Self::new(self.limits) };
            return Health::Fine;
        }
        // In HTTP/2 bytes come without a request, too.
        let is_partial = !is_http2 && pulse.stirred.load(Ordering::Relaxed);
        let (since, other, limit, health) = if is_partial {
            (&mut self.partial, &mut self.idle, self.limits.header, Health::Stuck)
        } else {
            (&mut self.idle, &mut self.partial, self.limits.idle, Health::Idle)
        };
        *other = None;
        let elapsed = now.duration_since(*since.get_or_insert(now));
        if elapsed >= limit.saturating_sub(Duration::from_millis(1)) { health } else { Health::Fine }
    }
}

/// A stream that notes in the pulse when bytes come.
struct Watched<S> {
    stream: S,
    pulse: Arc<Pulse>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if result.is_ready() {
            self.pulse.stirred.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_head_is_stuck_after_its_limit_and_an_idle_connection_long_after() {
        let limits = Limits::default();
        let (pulse, start) = (Pulse::default(), Instant::now());
        let mut doctor = Doctor::new(limits);
        let at = |doctor: &mut Doctor, seconds| doctor.examine(&pulse, start + Duration::from_secs(seconds), false);
        assert_eq!((at(&mut doctor, 5), at(&mut doctor, 60)), (Health::Fine, Health::Fine));
        assert_eq!(at(&mut doctor, 5 + limits.idle.as_secs()), Health::Idle);
        pulse.stirred.store(true, Ordering::Relaxed);
        assert_eq!((at(&mut doctor, 200), at(&mut doctor, 205)), (Health::Fine, Health::Fine));
        assert_eq!(at(&mut doctor, 210), Health::Stuck);
        assert_eq!(doctor.examine(&pulse, start + Duration::from_secs(220), true), Health::Fine);
        pulse.begin();
        assert_eq!((at(&mut doctor, 300), at(&mut doctor, 900)), (Health::Fine, Health::Fine));
        pulse.end(false);
        assert_eq!((at(&mut doctor, 901), at(&mut doctor, 1000)), (Health::Fine, Health::Fine));
        assert_eq!(at(&mut doctor, 901 + limits.idle.as_secs()), Health::Idle);
    }
}
