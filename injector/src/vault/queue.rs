//! The queue before one vault: its share of the requests at once, and what it means to the others
//! when one has no answer.

#![allow(clippy::disallowed_methods, reason = "this room seeds the hash of names")]

use super::error::VaultError;
use crate::clock::{Time, since_boot};
use crate::http::{Failure, FailureKind};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;

/// A Plan has fewer objects; a list whose links are new each time has any number of pages.
const MAX_LATE: usize = 1024;

/// Those who want to ask one vault. Each vault has its share: one that hangs takes nothing from the
/// others.
#[derive(Debug)]
pub(super) struct Queue {
    permits: Semaphore,
    state: Mutex<QueueState>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct QueueState {
    /// When the last answer was complete, whatever it said.
    answered: Option<Time>,
    /// The last time-out, of a request or of looking its name up, during which nothing else was
    /// answered, and when it was.
    silent: Option<(Time, Failure)>,
    /// Hashes of URLs that had no answer in time, and none since; at most [`MAX_LATE`].
    late: BTreeSet<u64>,
}

impl Queue {
    /// With this share of the requests at once.
    pub(super) fn new(share: usize) -> Self {
        Self { permits: Semaphore::new(share), state: Mutex::default(), hasher: RandomState::new() }
    }

    /// When the last complete answer came.
    pub(super) fn answered_at(&self) -> Option<Time> {
        self.state().answered
    }

    /// Waits for its turn. Where a vault gave no answer in time, those who were in the queue by
    /// then need not wait as long again; where only one object hangs, it goes behind the others the
    /// next time.
    pub(super) async fn turn(&self, url: &str) -> Result<Option<SemaphorePermit<'_>>, Failure> {
        let arrived = since_boot();
        if self.state().late.contains(&self.hasher.hash_one(url)) {
            yield_now().await;
        }
        // An error here would mean the semaphore was closed, which nobody does.
        let permit = self.permits.acquire().await.ok();
        match &self.state().silent {
            Some((at, failure)) if *at >= arrived => Err(failure.clone()),
            _ => Ok(permit),
        }
    }

    /// What became of a request that began at `sent`.
    pub(super) fn note(&self, url: &str, sent: Time, error: &VaultError) {
        match error {
            VaultError::Network(failure)
                if matches!(failure.kind, FailureKind::Timeout | FailureKind::Dns) =>
            {
                let mut state = self.state();
                if state.late.len() >= MAX_LATE {
                    state.late.clear();
                }
                state.late.insert(self.hasher.hash_one(url));
                if state.answered.is_none_or(|at| at < sent) {
                    state.silent = Some((since_boot(), failure.clone()));
                }
            }
            VaultError::Network(_) | VaultError::Http(_) | VaultError::Waiting { .. } => {}
            _ => self.answered(url),
        }
    }

    /// An answer was complete.
    pub(super) fn answered(&self, url: &str) {
        let mut state = self.state();
        state.answered = Some(since_boot());
        state.late.remove(&self.hasher.hash_one(url));
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_fails_with_a_vault_that_is_silent_and_not_with_one_object() {
        let mut failure = Failure::too_long(1);
        failure.kind = FailureKind::Timeout;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for answers in [false, true] {
            let queue = Queue::new(1);
            runtime.block_on(async {
                let sent = since_boot();
                let permit = queue.turn("first").await.unwrap();
                let hangs = async {
                    // The other one is in the queue by now.
                    yield_now().await;
                    if answers {
                        queue.answered("other");
                    }
                    queue.note("first", sent, &VaultError::Network(failure.clone()));
                    drop(permit);
                };
                let ((), second) = tokio::join!(hangs, queue.turn("second"));
                assert_eq!(second.is_err(), !answers);
                drop(second);
                assert!(queue.turn("third").await.is_ok(), "who comes later asks");
            });
        }
    }

    #[test]
    fn urls_that_are_never_asked_again_are_not_kept_for_ever() {
        let queue = Queue::new(1);
        let mut failure = Failure::too_long(1);
        failure.kind = FailureKind::Timeout;
        for page in 0..3 * MAX_LATE {
            queue.note(
                &format!("page {page}"),
                since_boot(),
                &VaultError::Network(failure.clone()),
            );
        }
        assert!(queue.state().late.len() <= MAX_LATE);
    }

    /// Waits for its turn and notes that it came.
    async fn ask(queue: &Queue, url: &'static str, order: &Mutex<Vec<&'static str>>) {
        let _permit = queue.turn(url).await;
        order.lock().unwrap().push(url);
    }

    #[test]
    fn an_object_that_hung_goes_behind_the_others_until_it_is_answered() {
        let mut failure = Failure::too_long(1);
        failure.kind = FailureKind::Timeout;
        let queue = Queue::new(1);
        let order = Mutex::new(Vec::new());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            queue.note("a", since_boot(), &VaultError::Network(failure));
            tokio::join!(ask(&queue, "a", &order), ask(&queue, "b", &order));
            queue.answered("a");
            tokio::join!(ask(&queue, "a", &order), ask(&queue, "b", &order));
        });
        assert_eq!(*order.lock().unwrap(), ["b", "a", "a", "b"]);
    }
}
