//! What is held for callers, in bytes: one pool for connections and one for reviews, and the rule
//! by which they are shared.

use super::table::ConnectionTable;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// Whether a holder of `own` of the `all` that is taken may take this much more.
///
/// Three quarters are for whoever comes first: one holder may have all of them. The last quarter is
/// for holders of little, a sixteenth of the whole, so that a crowd of one caller (or of one
/// namespace) leaves room for the others.
pub(super) fn has_room(limit: usize, all: usize, own: usize, amount: usize) -> bool {
    let all = all + amount;
    all <= limit / 4 * 3 || (all <= limit && own + amount <= limit / 16)
}

/// Bytes taken of a limit.
#[derive(Debug)]
pub(super) struct Pool {
    taken: AtomicUsize,
    pub(super) limit_bytes: usize,
    /// Requests whose bodies are there and whose answers have not left.
    pub(super) places: AtomicUsize,
}

impl Pool {
    pub(super) fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), limit_bytes, places: AtomicUsize::new(0) })
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// Everything that one source address holds. (All addresses of an IPv6 network of 64 bits count as
/// one source.)
#[derive(Debug)]
pub(super) struct Source {
    table: Weak<ConnectionTable>,
    connections: Arc<Pool>,
    pub(super) reviews: Arc<Pool>,
    /// Of its connections: TLS state, buffers, requests.
    connection_bytes: AtomicUsize,
    /// Of its reviews: bodies and answers.
    review_bytes: AtomicUsize,
    /// Connections in their TLS handshake.
    pub(super) handshakes: AtomicUsize,
}

impl Source {
    pub(super) fn new(
        table: Weak<ConnectionTable>,
        connections: Arc<Pool>,
        reviews: Arc<Pool>,
    ) -> Self {
        let zero = || AtomicUsize::new(0);
        Self {
            table,
            connections,
            reviews,
            connection_bytes: zero(),
            review_bytes: zero(),
            handshakes: zero(),
        }
    }

    /// Takes room for bytes of reviews; whether there was any. They count as taken all the same,
    /// until they are given back.
    #[must_use]
    pub(super) fn take_review(&self, bytes: usize) -> bool {
        let own = self.review_bytes.fetch_add(bytes, Ordering::Relaxed);
        let all = self.reviews.taken.fetch_add(bytes, Ordering::Relaxed);
        has_room(self.reviews.limit_bytes, all, own, bytes)
    }

    pub(super) fn give_review(&self, bytes: usize) {
        self.review_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.reviews.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn connection_bytes(&self) -> usize {
        self.connection_bytes.load(Ordering::Relaxed)
    }

    /// Counts bytes of connections; where the pool does not have them, connections are closed.
    pub(super) fn take_connection(&self, bytes: usize) {
        self.connection_bytes.fetch_add(bytes, Ordering::Relaxed);
        let all = self.connections.taken.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if all > self.connections.limit_bytes
            && let Some(table) = self.table.upgrade()
        {
            table.relieve();
        }
    }

    pub(super) fn give_connection(&self, bytes: usize) {
        self.connection_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.connections.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_may_take_three_quarters_and_others_a_little_of_the_rest() {
        let pool = Pool::new(1600);
        let source = || Source::new(Weak::new(), Pool::new(0), Arc::clone(&pool));
        let (greedy, modest) = (source(), source());
        assert!(greedy.take_review(1200));
        assert!(!greedy.take_review(1));
        greedy.give_review(1);
        assert!(modest.take_review(100) && !modest.take_review(1));
        modest.give_review(101);
        greedy.give_review(1200);
        let left = [&greedy, &modest].map(|source| source.review_bytes.load(Ordering::Relaxed));
        assert_eq!((pool.taken(), left), (0, [0, 0]));
    }
}
