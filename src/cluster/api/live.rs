//! Reading one object now: what a cache does not have may have been created this instant.

use super::client::ApiError;
use super::gate::Gate;
use crate::cluster::DEADLINE;
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Reads at once, each on a connection of its own: a burst of new names queues here and not in our
/// memory.
const AT_ONCE: usize = 16;
/// An object that was missing is not asked for again before; whoever needs it waits, as it may have
/// been created since.
const MISS_LASTS: Duration = Duration::from_secs(1);
/// Misses that are remembered; a name has at most 317 bytes with its namespace.
const MOST_MISSES: usize = 1024;

/// An object, its absence, or why neither is known.
pub(super) type Answer<T> = Result<Option<T>, Arc<ApiError>>;
type Flight<T> = Arc<OnceCell<Answer<T>>>;

/// The reads under way: at most one for each key, shared by all who wait for it. Of what was read
/// nothing is kept; that there was nothing, for a second.
#[derive(Debug)]
pub(super) struct Flights<T> {
    open: Mutex<HashMap<String, Flight<T>>>,
    misses: Mutex<HashMap<String, Miss>>,
    gate: Gate,
    /// Counts who comes and what is read, in one order.
    order: AtomicU64,
}

/// That there was no such object.
#[derive(Debug, Clone, Copy)]
struct Miss {
    /// When the read began, in the order of everything.
    began: u64,
    /// When it ended.
    ended: Instant,
}

/// What the cache says meanwhile.
pub(super) trait Told<T> {
    /// The object, if it is known by now.
    fn known(&self) -> Option<T>;
    /// Resolves once the cache has changed.
    fn changed(&self) -> impl Future<Output = ()> + Send;
}

impl<T: Clone> Flights<T> {
    pub(super) fn new() -> Self {
        Self {
            open: Mutex::default(),
            misses: Mutex::default(),
            gate: Gate::new(AT_ONCE),
            order: AtomicU64::new(0),
        }
    }

    /// Reads an object by `fetch`, together with all other waiters for it.
    pub(super) async fn read<F>(
        &self,
        (namespace, name): (&str, &str),
        told: &impl Told<T>,
        fetch: impl Fn() -> F,
    ) -> Answer<T>
    where
        F: Future<Output = Result<Option<T>, ApiError>>,
    {
        let key = &*super::service_accounts::key(namespace, name);
        let arrived = self.next();
        let fetch = async || {
            let _place = self.gate.enter(namespace).await;
            let began = self.next();
            let answer = fetch().await.map_err(Arc::new);
            if matches!(answer, Ok(None)) {
                self.remember(key, began);
            }
            answer
        };
        let read = async {
            loop {
                // "There is none" is believed only of a read that began after we came: an older one
                // may have seen the server before the object was there that we are here for.
                match self.missed(key) {
                    Some(miss) if miss.began > arrived => return Ok(None),
                    Some(miss) => {
                        if let Some(known) = wait_until(miss.ended + MISS_LASTS, told).await {
                            return Ok(Some(known));
                        }
                        if self.missed(key).is_some_and(|later| later.began > miss.began) {
                            continue;
                        }
                    }
                    None => {}
                }
                let seat = Seat::take(self, key);
                let answer = seat.flight.get_or_init(&fetch).await.clone();
                if !(seat.joined && matches!(answer, Ok(None))) {
                    return answer;
                }
            }
        };
        let timed_out = |_| Err(Arc::new(ApiError::Timeout { waited: DEADLINE }));
        tokio::time::timeout(DEADLINE, read).await.unwrap_or_else(timed_out)
    }

    fn next(&self) -> u64 {
        self.order.fetch_add(1, Ordering::Relaxed)
    }

    fn missed(&self, key: &str) -> Option<Miss> {
        self.misses.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    fn remember(&self, key: &str, began: u64) {
        let ended = Instant::now();
        let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        if misses.len() >= MOST_MISSES {
            misses.retain(|_, miss| miss.ended + MISS_LASTS > ended);
        }
        // Without room it is as before: a read for each who asks.
        if misses.len() < MOST_MISSES || misses.contains_key(key) {
            misses.insert(key.to_owned(), Miss { began, ended });
        }
    }
}

/// Waits until then, or until the cache has the object.
async fn wait_until<T>(then: Instant, told: &impl Told<T>) -> Option<T> {
    loop {
        let changed = told.changed();
        if let Some(known) = told.known() {
            return Some(known);
        }
        if Instant::now() >= then {
            return None;
        }
        tokio::select! { () = changed => {}, () = tokio::time::sleep_until(then) => {} }
    }
}

/// A waiter on an in-flight request. Dropping the last one, or any one after completion, removes
/// the entry.
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
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Notify;

    /// A cache that is told nothing.
    struct Silent;

    impl<T> Told<T> for Silent {
        fn known(&self) -> Option<T> {
            None
        }

        async fn changed(&self) {
            std::future::pending::<()>().await;
        }
    }

    const A: (&str, &str) = ("n", "a");

    #[tokio::test]
    async fn many_who_want_one_object_cost_one_read() {
        let (flights, reads) = (Flights::new(), AtomicUsize::new(0));
        let fetch = || async {
            reads.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(Some(7))
        };
        let (a, b, c, other) = tokio::join!(
            flights.read(A, &Silent, fetch),
            flights.read(A, &Silent, fetch),
            flights.read(A, &Silent, fetch),
            flights.read(("n", "b"), &Silent, fetch)
        );
        assert!([a, b, c, other].into_iter().all(|answer| answer.unwrap() == Some(7)));
        assert_eq!(reads.load(Ordering::Relaxed), 2);
        assert!(flights.open.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
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
            flights.read(A, &Silent, fetch).await
        };
        let (early, late) = tokio::join!(flights.read(A, &Silent, fetch), late);
        assert_eq!((early.unwrap(), late.unwrap()), (None, Some("object")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_object_is_asked_for_once_a_second_however_many_want_it() {
        let (flights, reads) = (Flights::<u8>::new(), AtomicUsize::new(0));
        let fetch = || async {
            reads.fetch_add(1, Ordering::Relaxed);
            Ok(None)
        };
        let begun = Instant::now();
        assert_eq!(flights.read(A, &Silent, fetch).await.unwrap(), None);
        assert_eq!(begun.elapsed(), Duration::ZERO, "the first is told at once");
        let many = (0..100).map(|_| flights.read(A, &Silent, fetch));
        for answer in
            crate::cluster::All::of(many.map(|read| async { Ok(read.await) })).await.unwrap()
        {
            assert_eq!(answer.unwrap(), None);
        }
        assert_eq!((reads.load(Ordering::Relaxed), begun.elapsed()), (2, MISS_LASTS));
        let names: Vec<String> = (0..3000).map(|number| number.to_string()).collect();
        for name in &names {
            assert_eq!(flights.read(("n", name), &Silent, fetch).await.unwrap(), None);
        }
        assert!(flights.misses.lock().unwrap().len() <= MOST_MISSES);
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_the_cache_hears_of_meanwhile_is_not_asked_for() {
        #[derive(Default)]
        struct Cache(Mutex<Option<u8>>, Notify);
        impl Told<u8> for Cache {
            fn known(&self) -> Option<u8> {
                *self.0.lock().unwrap()
            }

            fn changed(&self) -> impl Future<Output = ()> + Send {
                self.1.notified()
            }
        }
        let (flights, cache, reads) = (Flights::new(), Cache::default(), AtomicUsize::new(0));
        let fetch = || async {
            reads.fetch_add(1, Ordering::Relaxed);
            Ok(None)
        };
        assert_eq!(flights.read(A, &cache, fetch).await.unwrap(), None);
        let begun = Instant::now();
        let told = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            *cache.0.lock().unwrap() = Some(7);
            cache.1.notify_waiters();
        };
        let (answer, ()) = tokio::join!(flights.read(A, &cache, fetch), told);
        assert_eq!((answer.unwrap(), reads.load(Ordering::Relaxed)), (Some(7), 1));
        assert_eq!(begun.elapsed(), Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_costs_the_deadline_and_leaves_nothing_behind() {
        let flights: Flights<u8> = Flights::new();
        let before = Instant::now();
        let answers = tokio::join!(
            flights.read(A, &Silent, std::future::pending),
            flights.read(A, &Silent, std::future::pending)
        );
        assert!(matches!(answers, (Err(_), Err(_))));
        assert_eq!(before.elapsed(), DEADLINE);
        assert!(flights.open.lock().unwrap().is_empty());
    }
}
