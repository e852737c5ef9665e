//! Reading one object now: what a cache does not have may have been created this instant.

use super::error::ApiError;
use super::gate::Gate;
use crate::cluster::DEADLINE;
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Reads at once, each on a connection of its own: a burst of new names queues here and does not
/// take memory for answers.
const MAX_READS: usize = 16;
/// How long a missing object is not asked for again. Callers wait for the end of that time, as the
/// object may have been created since.
const MISS_LASTS: Duration = Duration::from_secs(1);
/// Misses that are remembered; a name has at most 317 bytes with its namespace.
const MAX_MISSES: usize = 1024;

/// An object, its absence, or why neither is known.
pub(super) type Answer<T> = Result<Option<T>, Arc<ApiError>>;
/// A read under way, and its answer.
type Pending<T> = Arc<OnceCell<Answer<T>>>;

/// Reads objects, at most once at a time for each key: all callers of one key share an answer. An
/// object is not kept after that; its absence is, for a second.
#[derive(Debug)]
pub(super) struct SingleFlight<T> {
    pending: Mutex<HashMap<String, Pending<T>>>,
    misses: Mutex<HashMap<String, Miss>>,
    gate: Gate,
    /// Counts callers and reads, in one order.
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

/// One object of a cache that a watch fills meanwhile.
pub(super) trait Lookup<T> {
    /// The object, if the cache has it by now.
    fn find(&self) -> Option<T>;
    /// Resolves once the cache has changed.
    fn changed(&self) -> impl Future<Output = ()> + Send;
}

impl<T: Clone> SingleFlight<T> {
    pub(super) fn new() -> Self {
        Self {
            pending: Mutex::default(),
            misses: Mutex::default(),
            gate: Gate::new(MAX_READS),
            order: AtomicU64::new(0),
        }
    }

    /// Reads an object by `fetch`, once for all callers that want it now.
    pub(super) async fn run<F>(
        &self,
        (namespace, name): (&str, &str),
        cache: &impl Lookup<T>,
        fetch: impl Fn() -> F,
    ) -> Answer<T>
    where
        F: Future<Output = Result<Option<T>, ApiError>>,
    {
        let key = &*super::service_accounts::key(namespace, name);
        let arrived = self.next();
        let read = async {
            loop {
                // Only a read that began after this call says that there is no object: an older one
                // may have asked before the object was created.
                match self.missed(key) {
                    Some(miss) if miss.began > arrived => return Ok(None),
                    Some(miss) => {
                        if let Some(known) = wait_until(miss.ended + MISS_LASTS, cache).await {
                            return Ok(Some(known));
                        }
                        if self.missed(key).is_some_and(|later| later.began > miss.began) {
                            continue;
                        }
                    }
                    None => {}
                }
                let waiter = Waiter::join(self, key);
                let answer = waiter.pending.get_or_init(|| self.read(namespace, key, &fetch));
                let answer = answer.await.clone();
                if !(waiter.is_late && matches!(answer, Ok(None))) {
                    return answer;
                }
            }
        };
        tokio::time::timeout(DEADLINE, read)
            .await
            .unwrap_or_else(|_| Err(Arc::new(ApiError::Timeout { server: None, waited: DEADLINE })))
    }

    /// One read, once the namespace may have another; remembers that there is no such object.
    async fn read<F>(&self, namespace: &str, key: &str, fetch: impl Fn() -> F) -> Answer<T>
    where
        F: Future<Output = Result<Option<T>, ApiError>>,
    {
        let _permit = self.gate.enter(namespace).await;
        let began = self.next();
        let answer = fetch().await.map_err(Arc::new);
        if matches!(answer, Ok(None)) {
            self.remember(key, began);
        }
        answer
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
        if misses.len() >= MAX_MISSES {
            misses.retain(|_, miss| miss.ended + MISS_LASTS > ended);
        }
        // Without room every call reads.
        if misses.len() < MAX_MISSES || misses.contains_key(key) {
            misses.insert(key.to_owned(), Miss { began, ended });
        }
    }
}

/// Waits until then, or until the cache has the object.
async fn wait_until<T>(then: Instant, cache: &impl Lookup<T>) -> Option<T> {
    loop {
        let changed = cache.changed();
        if let Some(found) = cache.find() {
            return Some(found);
        }
        if Instant::now() >= then {
            return None;
        }
        tokio::select! { () = changed => {}, () = tokio::time::sleep_until(then) => {} }
    }
}

/// A waiter on a read under way. Dropping the last one, or any one after completion, removes the
/// entry.
struct Waiter<'a, T> {
    reads: &'a SingleFlight<T>,
    key: &'a str,
    pending: Pending<T>,
    /// Whether the read had begun before.
    is_late: bool,
}

impl<'a, T: Clone> Waiter<'a, T> {
    fn join(reads: &'a SingleFlight<T>, key: &'a str) -> Self {
        let mut all = reads.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pending) = all.get(key) {
            return Self { reads, key, pending: Arc::clone(pending), is_late: true };
        }
        let pending = Pending::default();
        all.insert(key.to_owned(), Arc::clone(&pending));
        Self { reads, key, pending, is_late: false }
    }
}

impl<T> Drop for Waiter<'_, T> {
    fn drop(&mut self) {
        let mut all = self.reads.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let is_ours = all.get(self.key).is_some_and(|one| Arc::ptr_eq(one, &self.pending));
        // Two are the table and this waiter.
        if is_ours && (self.pending.initialized() || Arc::strong_count(&self.pending) == 2) {
            all.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Notify;

    /// A cache that hears nothing.
    struct Silent;

    impl<T> Lookup<T> for Silent {
        fn find(&self) -> Option<T> {
            None
        }

        async fn changed(&self) {
            std::future::pending::<()>().await;
        }
    }

    const A: (&str, &str) = ("n", "a");

    #[tokio::test]
    async fn many_callers_of_one_object_cost_one_read() {
        let (single, reads) = (SingleFlight::new(), AtomicUsize::new(0));
        let fetch = || async {
            reads.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(Some(7))
        };
        let (a, b, c, other) = tokio::join!(
            single.run(A, &Silent, fetch),
            single.run(A, &Silent, fetch),
            single.run(A, &Silent, fetch),
            single.run(("n", "b"), &Silent, fetch)
        );
        assert!([a, b, c, other].into_iter().all(|answer| answer.unwrap() == Some(7)));
        assert_eq!(reads.load(Ordering::Relaxed), 2);
        assert!(single.pending.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn absence_counts_only_from_a_read_that_began_after_the_call() {
        let (single, reads, created) = (SingleFlight::new(), AtomicUsize::new(0), Notify::new());
        let fetch = || async {
            // The first read saw the server before the object was there.
            let first = reads.fetch_add(1, Ordering::Relaxed) == 0;
            created.notified().await;
            created.notify_one();
            Ok((!first).then_some("object"))
        };
        let late = async {
            created.notify_one();
            single.run(A, &Silent, fetch).await
        };
        let (early, late) = tokio::join!(single.run(A, &Silent, fetch), late);
        assert_eq!((early.unwrap(), late.unwrap()), (None, Some("object")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_object_is_asked_for_once_a_second_for_all_callers() {
        let (single, reads) = (SingleFlight::<u8>::new(), AtomicUsize::new(0));
        let fetch = || async {
            reads.fetch_add(1, Ordering::Relaxed);
            Ok(None)
        };
        let begun = Instant::now();
        assert_eq!(single.run(A, &Silent, fetch).await.unwrap(), None);
        assert_eq!(begun.elapsed(), Duration::ZERO, "the first is answered at once");
        let many = (0..100).map(|_| single.run(A, &Silent, fetch));
        for answer in
            crate::cluster::All::of(many.map(|read| async { Ok(read.await) })).await.unwrap()
        {
            assert_eq!(answer.unwrap(), None);
        }
        assert_eq!((reads.load(Ordering::Relaxed), begun.elapsed()), (2, MISS_LASTS));
        let names: Vec<String> = (0..3000).map(|number| number.to_string()).collect();
        for name in &names {
            assert_eq!(single.run(("n", name), &Silent, fetch).await.unwrap(), None);
        }
        assert!(single.misses.lock().unwrap().len() <= MAX_MISSES);
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_the_cache_hears_of_meanwhile_is_not_asked_for() {
        #[derive(Default)]
        struct Cache(Mutex<Option<u8>>, Notify);
        impl Lookup<u8> for Cache {
            fn find(&self) -> Option<u8> {
                *self.0.lock().unwrap()
            }

            fn changed(&self) -> impl Future<Output = ()> + Send {
                self.1.notified()
            }
        }
        let (single, cache, reads) = (SingleFlight::new(), Cache::default(), AtomicUsize::new(0));
        let fetch = || async {
            reads.fetch_add(1, Ordering::Relaxed);
            Ok(None)
        };
        assert_eq!(single.run(A, &cache, fetch).await.unwrap(), None);
        let begun = Instant::now();
        let told = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            *cache.0.lock().unwrap() = Some(7);
            cache.1.notify_waiters();
        };
        let (answer, ()) = tokio::join!(single.run(A, &cache, fetch), told);
        assert_eq!((answer.unwrap(), reads.load(Ordering::Relaxed)), (Some(7), 1));
        assert_eq!(begun.elapsed(), Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_costs_the_deadline_and_leaves_nothing_behind() {
        let single: SingleFlight<u8> = SingleFlight::new();
        let before = Instant::now();
        let answers = tokio::join!(
            single.run(A, &Silent, std::future::pending),
            single.run(A, &Silent, std::future::pending)
        );
        assert!(matches!(answers, (Err(_), Err(_))));
        assert_eq!(before.elapsed(), DEADLINE);
        assert!(single.pending.lock().unwrap().is_empty());
    }
}
