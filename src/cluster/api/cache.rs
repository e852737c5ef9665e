//! What is kept of one kind of object, and how fresh it is.

use super::event::Object;
use crate::cluster::CacheStatus;
use arc_swap::ArcSwapOption;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The objects of one kind, as compact as what we need of them.
pub(super) trait Table: Send + Sync + 'static {
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

    /// An empty table that takes at most so much memory.
    fn new(limit_bytes: usize) -> Self;
    /// Takes up an object, or its new state.
    fn upsert(&mut self, object: &Object<'_>);
    /// An object that cannot be read. What is forgotten is read live, and answered with what is
    /// wrong.
    fn unreadable(&mut self, namespace: &str, name: &str) {
        self.remove(namespace, name);
    }
    /// Forgets an object.
    fn remove(&mut self, namespace: &str, name: &str);
    /// How many there are.
    fn len(&self) -> usize;
    /// What they take.
    fn bytes(&self) -> usize {
        0
    }
    /// Drops objects, those of the largest namespaces first, until they take no more than this.
    fn shrink(&mut self, _limit_bytes: usize) {}
}

/// A table that one watch writes and every review reads.
#[derive(Debug)]
pub(super) struct Cache<T> {
    tables: RwLock<Tables<T>>,
    limit_bytes: usize,
    /// Tells who waits for an object that the table has changed.
    changed: Notify,
    synced: AtomicBool,
    started: Instant,
    /// Milliseconds from `started` to the last event or bookmark.
    heard_ms: AtomicU64,
    /// Beside the table, so that a status request takes no lock.
    objects: AtomicUsize,
    trouble: ArcSwapOption<String>,
}

/// The table that answers, and the one that is being listed to take its place. Together they take
/// no more than one may: where there is no room for both, the older one gives way.
#[derive(Debug)]
struct Tables<T> {
    current: T,
    fresh: Option<T>,
}

impl<T: Table> Cache<T> {
    /// An empty cache of at most so many bytes.
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self {
            tables: RwLock::new(Tables { current: T::new(limit_bytes), fresh: None }),
            limit_bytes,
            changed: Notify::new(),
            synced: AtomicBool::new(false),
            started: Instant::now(),
            heard_ms: AtomicU64::new(0),
            objects: AtomicUsize::new(0),
            trouble: ArcSwapOption::empty(),
        }
    }

    /// Looks something up, in the table that is being listed too: what the older one dropped for it
    /// is there.
    pub(super) fn find<R>(&self, look: impl Fn(&T) -> Option<R>) -> Option<R> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        look(&tables.current).or_else(|| tables.fresh.as_ref().and_then(look))
    }

    /// Looks at the table that answers.
    pub(super) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.tables.read().unwrap_or_else(PoisonError::into_inner).current)
    }

    /// Changes the table that answers.
    pub(super) fn write(&self, change: impl FnOnce(&mut T)) {
        let mut tables = self.write_lock();
        change(&mut tables.current);
        self.objects.store(tables.current.len(), Ordering::Relaxed);
        drop(tables);
        self.changed.notify_waiters();
    }

    /// Begins a new table, which is complete once [`Cache::complete`] is called.
    pub(super) fn begin(&self) {
        let abandoned = self.write_lock().fresh.replace(T::new(self.limit_bytes));
        drop(abandoned);
    }

    /// Changes the new table.
    pub(super) fn write_fresh(&self, change: impl FnOnce(&mut T)) {
        let mut tables = self.write_lock();
        let Tables { current, fresh: Some(fresh) } = &mut *tables else { return };
        change(fresh);
        current.shrink(self.limit_bytes.saturating_sub(fresh.bytes()));
        drop(tables);
        self.changed.notify_waiters();
    }

    /// Puts the new table in the place of the old one, which answered until now; an empty one if
    /// none was begun.
    pub(super) fn complete(&self) {
        let mut tables = self.write_lock();
        let fresh = tables.fresh.take().unwrap_or_else(|| T::new(self.limit_bytes));
        self.objects.store(fresh.len(), Ordering::Relaxed);
        let old = std::mem::replace(&mut tables.current, fresh);
        drop(tables);
        // Freed outside the lock: dropping 50,000 names takes longer than a review.
        drop(old);
        self.synced.store(true, Ordering::Release);
        self.heard();
        self.changed.notify_waiters();
    }

    /// Resolves once a table has changed, if it is polled before.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    fn write_lock(&self) -> RwLockWriteGuard<'_, Tables<T>> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
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
