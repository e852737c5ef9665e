//! Reading one object now: what a cache does not have may have been created this instant.

use super::client::ApiError;
use crate::cluster::DEADLINE;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OnceCell, Semaphore};

/// Reads at once, each on a connection of its own: a burst of new names queues here and not in our memory.
const AT_ONCE: usize = 16;

/// An object, that there is none, or why nobody knows.
pub(super) type Answer<T> = Result<Option<T>, Arc<ApiError>>;
type Flight<T> = Arc<OnceCell<Answer<T>>>;

/// The reads under way: at most one for each key, shared by all who wait for it. Nothing is kept afterwards.
#[derive(Debug)]
pub(super) struct Flights<T> {
    open: Mutex<HashMap<String, Flight<T>>>,
    permits: Semaphore,
}

impl<T: Clone> Flights<T> {
    pub(super) fn new() -> Self {
        Self { open: Mutex::default(), permits: Semaphore::new(AT_ONCE) }
    }

    /// Reads `key` by `fetch`, together with whoever else wants it.
    pub(super) async fn read<F>(&self, key: &str, fetch: impl Fn() -> F) -> Answer<T>
    where
        F: Future<Output = Result<Option<T>, ApiError>>,
    {
        let read = async {
            let first = Seat::take(self, key);
            let answer = first.fly(&fetch).await;
            let began_before_us = first.joined;
            drop(first);
            // "There is none" from a read that began before we came may be older than the object we are here for.
            if began_before_us && matches!(answer, Ok(None)) {
                return Seat::take(self, key).fly(&fetch).await;
            }
            answer
        };
        let timed_out = |_| Err(Arc::new(ApiError::Timeout { waited: DEADLINE }));
        tokio::time::timeout(DEADLINE, read).await.unwrap_or_else(timed_out)
    }
}

/// A place in a flight. The last to leave, and whoever leaves after landing, closes it.
struct Seat<'a, T> {
    flights: &'a Flights<T>,
    key: &'a str,
    flight: Flight<T>,
    joined: bool,
}

impl<'a, T: Clone> Seat<'a, T> {
    fn take(flights: &'a Flights<T>, key: &'a str) -> Self {
        let mut open = flights.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = open.get(key) {
            return Self { flights, key, flight: Arc::clone(flight), joined: true };
        }
        let flight = Flight::default();
        open.insert(key.to_owned(), Arc::clone(&flight));
        Self { flights, key, flight, joined: false }
    }

    /// If the one who flies gives up (its own deadline), the next in the queue begins anew.
    async fn fly<F>(&self, fetch: &impl Fn() -> F) -> Answer<T>
    where
        F: Future<Output = Result<Option<T>, ApiError>>,
    {
        let fetch = async || {
            let _permit = self.flights.permits.acquire().await;
            fetch().await.map_err(Arc::new)
        };
        self.flight.get_or_init(fetch).await.clone()
    }
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        let mut open = self.flights.open.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = open.get(self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight));
        // Two are the table and us.
        if ours && (self.flight.initialized() || Arc::strong_count(&self.flight) == 2) {
            open.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn many_who_want_one_object_cost_one_read() {
        let (flights, reads) = (Flights::new(), AtomicUsize::new(0));
        let fetch = || async {
            reads.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(Some(7))
        };
        let (a, b, c, other) = tokio::join!(
            flights.read("n/a", fetch),
            flights.read("n/a", fetch),
            flights.read("n/a", fetch),
            flights.read("n/b", fetch)
        );
        assert!([a, b, c, other].into_iter().all(|answer| answer.unwrap() == Some(7)));
        assert_eq!(reads.load(Ordering::Relaxed), 2);
        assert!(flights.open.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn that_there_is_none_is_believed_only_of_a_read_that_began_after_us() {
        let (flights, reads, created) = (Flights::new(), AtomicUsize::new(0), Notify::new());
        let fetch = || async {
            // The first read saw the server before the object was there.
            let first = reads.fetch_add(1, Ordering::Relaxed) == 0;
            created.notified().await;
            created.notify_one();
            Ok((!first).then_some("object"))
        };
        let late = async {
            created.notify_one();
            flights.read("n/a", fetch).await
        };
        let (early, late) = tokio::join!(flights.read("n/a", fetch), late);
        assert_eq!((early.unwrap(), late.unwrap()), (None, Some("object")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_costs_the_deadline_and_leaves_nothing_behind() {
        let flights: Flights<u8> = Flights::new();
        let before = tokio::time::Instant::now();
        let answers =
            tokio::join!(flights.read("n/a", std::future::pending), flights.read("n/a", std::future::pending));
        assert!(matches!(answers, (Err(_), Err(_))));
        assert_eq!(before.elapsed(), DEADLINE);
        assert!(flights.open.lock().unwrap().is_empty());
    }
}
