//! What a connection does and what it holds: counters that requests update in passing, so that a
//! request costs no timer.

use super::source::Source;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// What an open connection takes: TLS state, the tasks' and HTTP's own, the kernel's.
pub(super) const CONNECTION_BYTES: usize = 32 << 10;
/// What a request takes beside its body and its answer.
pub(super) const REQUEST_BYTES: usize = 6 << 10;
/// The most that one connection keeps of what it received and did not finish: read ahead, an
/// incomplete record, a head. (Bodies count as reviews.)
const UNFINISHED_BYTES: usize = 128 << 10;

/// What one connection does now, and what it takes.
#[derive(Debug)]
pub(super) struct ConnectionActivity {
    pub(super) source: Arc<Source>,
    /// Bytes that its source is charged with for it.
    held: AtomicUsize,
    /// It is being closed and no longer charged.
    is_closing: AtomicBool,
    /// Requests whose answers have not left, in two generations; see `IdleTimeout`.
    pub(super) open: [AtomicU32; 2],
    /// The generation in which a request that begins now is counted.
    pub(super) generation: AtomicUsize,
    /// Requests so far.
    pub(super) begun: AtomicU32,
    /// As many had begun at the last check.
    pub(super) looked: AtomicU32,
    /// Requests whose bodies are there, and of those the ones that are answered.
    pub(super) placed: AtomicU32,
    pub(super) answered: AtomicU32,
    /// Bytes that came since the last answer left, up to [`UNFINISHED_BYTES`].
    unfinished: AtomicUsize,
    pub(super) answered_while_draining: AtomicBool,
    /// The handshake is over.
    pub(super) is_established: AtomicBool,
    /// In HTTP/2 bytes come without a request, too.
    pub(super) is_http2: AtomicBool,
    /// How often in a row `IdleTimeout` found no request.
    pub(super) idle_checks: AtomicU32,
    /// Requests of all connections.
    pub(super) in_flight: Gauge,
}

impl ConnectionActivity {
    pub(super) fn new(source: Arc<Source>, in_flight: Gauge) -> Self {
        source.take_connection(CONNECTION_BYTES);
        source.handshakes.fetch_add(1, Ordering::Relaxed);
        Self {
            source,
            held: AtomicUsize::new(CONNECTION_BYTES),
            is_closing: AtomicBool::new(false),
            open: [AtomicU32::new(0), AtomicU32::new(0)],
            generation: AtomicUsize::new(0),
            begun: AtomicU32::new(0),
            looked: AtomicU32::new(0),
            placed: AtomicU32::new(0),
            answered: AtomicU32::new(0),
            unfinished: AtomicUsize::new(0),
            answered_while_draining: AtomicBool::new(false),
            is_established: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            idle_checks: AtomicU32::new(0),
            in_flight,
        }
    }

    pub(super) fn hold(&self, bytes: usize) {
        if !self.is_closing() {
            self.held.fetch_add(bytes, Ordering::Relaxed);
            self.source.take_connection(bytes);
        }
    }

    pub(super) fn release(&self, bytes: usize) {
        if !self.is_closing() {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
            self.source.give_connection(bytes);
        }
    }

    /// Bytes came.
    pub(super) fn received(&self, bytes: usize) {
        let before = self.unfinished.load(Ordering::Relaxed);
        let more = bytes.min(UNFINISHED_BYTES - before);
        if more > 0 {
            self.unfinished.store(before + more, Ordering::Relaxed);
            self.hold(more);
        }
    }

    /// What came is used up.
    pub(super) fn take_unfinished(&self) -> usize {
        self.unfinished.swap(0, Ordering::Relaxed)
    }

    /// The handshake is over.
    pub(super) fn establish(&self) {
        self.release(self.take_unfinished());
        if !self.is_established.swap(true, Ordering::Relaxed) && !self.is_closing() {
            self.source.handshakes.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// It is being closed: from now on it is charged nothing.
    pub(super) fn close(&self) {
        if self.is_closing.swap(true, Ordering::Relaxed) {
            return;
        }
        self.source.give_connection(self.held.swap(0, Ordering::Relaxed));
        if !self.is_established.load(Ordering::Relaxed) {
            self.source.handshakes.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }

    pub(super) fn open_requests(&self) -> u32 {
        self.open.iter().map(|open| open.load(Ordering::Relaxed)).sum()
    }

    /// Requests so far.
    pub(super) fn begun(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether a request is under way.
    pub(super) fn is_asked(&self) -> bool {
        self.open_requests() > 0
    }

    /// Whether something came that is no whole request yet.
    pub(super) fn has_partial_request(&self) -> bool {
        !self.is_http2.load(Ordering::Relaxed) && self.unfinished.load(Ordering::Relaxed) > 0
    }

    /// Whether a request has its body and no answer.
    pub(super) fn is_deciding(&self) -> bool {
        self.placed.load(Ordering::Relaxed) > self.answered.load(Ordering::Relaxed)
    }

    /// Whether an answer has not left.
    pub(super) fn has_answers(&self) -> bool {
        self.answered.load(Ordering::Relaxed) > 0
    }

    /// How often in a row `IdleTimeout` found no request.
    pub(super) fn idle_checks(&self) -> u32 {
        self.idle_checks.load(Ordering::Relaxed)
    }
}

impl Drop for ConnectionActivity {
    fn drop(&mut self) {
        self.close();
    }
}
