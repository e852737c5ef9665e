//! What one source address holds.

use super::budget::{ByteBudget, has_room};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// Makes room where connections hold more than their budget.
pub(super) trait MakeRoom: fmt::Debug + Send + Sync {
    /// Closes connections until the budget holds.
    fn make_room(&self);
}

/// Everything that one source address holds. (All addresses of an IPv6 network of 64 bits count as
/// one source.)
#[derive(Debug)]
pub(super) struct Source {
    address: IpAddr,
    table: Weak<dyn MakeRoom>,
    connections: Arc<ByteBudget>,
    pub(super) reviews: Arc<ByteBudget>,
    /// Of its connections: TLS state, buffers, requests.
    connection_bytes: AtomicUsize,
    /// Of its reviews: bodies and answers.
    review_bytes: AtomicUsize,
    /// Connections in their TLS handshake.
    pub(super) handshakes: AtomicUsize,
}

impl Source {
    pub(super) fn new(
        address: IpAddr,
        table: Weak<dyn MakeRoom>,
        connections: Arc<ByteBudget>,
        reviews: Arc<ByteBudget>,
    ) -> Self {
        Self {
            address,
            table,
            connections,
            reviews,
            connection_bytes: AtomicUsize::new(0),
            review_bytes: AtomicUsize::new(0),
            handshakes: AtomicUsize::new(0),
        }
    }

    /// Connections that are in their TLS handshake now.
    pub(super) fn open_handshakes(&self) -> usize {
        self.handshakes.load(Ordering::Relaxed)
    }

    /// The address, or the network.
    pub(super) fn address(&self) -> IpAddr {
        self.address
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
            table.make_room();
        }
    }

    pub(super) fn give_connection(&self, bytes: usize) {
        self.connection_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.connections.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Source {
    /// A source without connections to close.
    pub(super) fn alone(connections: Arc<ByteBudget>, reviews: Arc<ByteBudget>) -> Self {
        #[derive(Debug)]
        struct Nothing;
        impl MakeRoom for Nothing {
            fn make_room(&self) {}
        }
        Self::new(IpAddr::from([127, 0, 0, 1]), Weak::<Nothing>::new(), connections, reviews)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_may_take_three_quarters_and_others_a_little_of_the_rest() {
        let pool = ByteBudget::new(1600);
        let greedy = Source::alone(ByteBudget::new(0), Arc::clone(&pool));
        let modest = Source::alone(ByteBudget::new(0), Arc::clone(&pool));
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
