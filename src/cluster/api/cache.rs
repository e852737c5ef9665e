//! What is kept of one kind of object, and how fresh it is.

use super::event::Object;
use crate::cluster::CacheStatus;
use arc_swap::ArcSwapOption;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// The objects of one kind, as compact as what we need of them.
pub(super) trait Table: Default + Send + Sync + 'static {
    /// Plural, as in the path; also the metric's label.
    const NAME: &'static str;
    /// Where it is listed.
    const PATH: &'static str;
    /// What is asked for.
    const ACCEPT: &'static str;
    /// Which of them; empty for all.
    const FIELD_SELECTOR: &'static str = "";

    /// How many objects a page of a list may have, about 200 KiB of them.
    const PAGE_ITEMS: usize = 250;
    /// Whether a cluster may do without this kind; then 404 means that there are none.
    const OPTIONAL: bool = false;

    /// Takes up an object, or its new state.
    fn upsert(&mut self, object: &Object<'_>);
    /// An object that cannot be read. What is forgotten is read live, and answered with what is wrong.
    fn unreadable(&mut self, namespace: &str, name: &str) {
        self.remove(namespace, name);
    }
    /// Forgets an object.
    fn remove(&mut self, namespace: &str, name: &str);
    /// How many there are.
    fn len(&self) -> usize;
}

/// A table that one watch writes and every review reads.
#[derive(Debug)]
pub(super) struct Cache<T> {
    table: RwLock<T>,
    synced: AtomicBool,
    started: Instant,
    /// Milliseconds from `started` to the last event or bookmark.
    heard_ms: AtomicU64,
    /// Beside the table, so that whoever looks how things are takes no lock.
    objects: AtomicUsize,
    trouble: ArcSwapOption<String>,
}

impl<T: Table> Cache<T> {
    pub(super) fn new() -> Self {
        Self {
            table: RwLock::default(),
            synced: AtomicBool::new(false),
            started: Instant::now(),
            heard_ms: AtomicU64::new(0),
            objects: AtomicUsize::new(0),
            trouble: ArcSwapOption::empty(),
        }
    }

    /// Looks something up; the lock is held for that alone.
    pub(super) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes something; the lock is held for that alone.
    pub(super) fn write(&self, change: impl FnOnce(&mut T)) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut table);
        self.objects.store(table.len(), Ordering::Relaxed);
    }

    /// Puts a complete table in the place of the old one, which answered until now.
    pub(super) fn replace(&self, table: T) {
        let objects = table.len();
        let old = std::mem::replace(&mut *self.table.write().unwrap_or_else(PoisonError::into_inner), table);
        self.objects.store(objects, Ordering::Relaxed);
        // Freed outside the lock: dropping 50,000 names takes longer than a review.
        drop(old);
        self.synced.store(true, Ordering::Release);
        self.heard();
    }

    /// Whether the table was complete once.
    pub(super) fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// The API server said something.
    pub(super) fn heard(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(elapsed, Ordering::Relaxed);
    }

    /// What keeps us from hearing more.
    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        // With every event there is none, as nearly always before.
        if trouble.is_some() || self.trouble.load().is_some() {
            self.trouble.store(trouble.map(Arc::new));
        }
    }

    pub(super) fn status(&self) -> CacheStatus {
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        CacheStatus {
            name: T::NAME,
            synced: self.is_synced(),
            objects: self.objects.load(Ordering::Relaxed),
            age: self.started.elapsed().saturating_sub(heard),
            trouble: self.trouble.load_full(),
        }
    }
}
