//! The bounds of the listener and of the work in hand.

use crate::budget::Budget;
use std::time::Duration;

/// Bounds of the listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What connections may take. One more than there is room for closes one of the source that
    /// holds most, or waits: see `ConnectionTable`.
    pub connections_bytes: usize,
    /// Connections at once, whatever they take.
    pub connections: usize,
    /// TLS handshake.
    pub handshake: Duration,
    /// Request head, from its first byte; found out in steps of half of it.
    pub header: Duration,
    /// A connection without requests; longer than the 90 s after which the API server's client
    /// closes it, so that we never close one under a request on its way.
    pub idle: Duration,
    /// How long a draining server goes on accepting, so that nobody meets a closed door before the
    /// endpoint is gone.
    pub drain: Duration,
    /// How long a request may take until its answer has left, and so how long a draining server
    /// waits for those in flight.
    pub finish: Duration,
    /// New connections in a second, and an eighth of them of one source; `None` takes all.
    pub handshakes_per_second: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self::of(Budget::default())
    }
}

impl Limits {
    /// The bounds for a memory limit.
    pub fn of(budget: Budget) -> Self {
        Self {
            connections_bytes: budget.connections_bytes(),
            connections: 4096,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(180),
            drain: Duration::from_secs(10),
            finish: Duration::from_secs(15),
            handshakes_per_second: None,
        }
    }
}

/// Bounds of the work in hand; what exceeds them is told to come again.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests at once whose bodies are there; beyond that eight of each connection.
    pub requests: usize,
    /// What their bodies and answers may take; the last quarter is for source addresses that hold
    /// little.
    pub body_bytes: usize,
    /// How long a body may take: the API server sends it at once, and by default gives a webhook as
    /// long as this.
    pub body_time: Duration,
    /// Classes that decisions wait for the API server to tell; a decision that waits for something
    /// else counts as one. The last quarter is for namespaces that wait for little.
    pub lookups: usize,
}

impl Default for Load {
    fn default() -> Self {
        Self::of(Budget::default())
    }
}

impl Load {
    /// The bounds for a memory limit.
    pub fn of(budget: Budget) -> Self {
        let body_bytes = budget.reviews_bytes();
        Self { requests: 1024, body_bytes, body_time: Duration::from_secs(5), lookups: 256 }
    }
}
