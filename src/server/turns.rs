//! Fair shares of the decision thread between namespaces whose reviews take much of it.
//!
//! Mostly there is no queue: a review that is read is decided at once. When one has taken more than
//! two milliseconds, or is so large that it may, those that come next take turns for a while, one
//! after the other, and between two turns everything else that is ready runs. The next turn goes to
//! the source address that has had least time, and there to the namespace that has had least, so
//! that an ordinary pod waits for one decision under way and not for those that another namespace
//! has waiting.

mod queue;

use super::budget::has_room;
use super::source::Source;
use super::worked;
use queue::Queue;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A decision that takes longer is not an ordinary one.
const LONG: Duration = Duration::from_millis(2);
/// How much time turns take until everything else runs.
const SLICE: Duration = Duration::from_millis(2);
/// How long after the last long one decisions take turns.
const CALM: Duration = Duration::from_secs(1);
/// How long a decision waits for its turn.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who decides next.
#[derive(Debug)]
pub(super) struct Turns {
    /// Whether decisions take turns now.
    is_busy: AtomicBool,
    queue: Mutex<Queue>,
    limit: usize,
}

/// The right to decide; the next one has it when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    source: usize,
    namespace: Box<str>,
    begun: Instant,
    /// Its receiver is gone: it was never begun.
    is_void: bool,
}

/// There is no turn for it in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoTurn;

impl Turns {
    /// `limit` is how many may wait at once.
    pub(super) fn new(limit: usize) -> Self {
        Self { is_busy: AtomicBool::new(false), queue: Mutex::default(), limit }
    }

    /// Whether decisions take turns now.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Relaxed) && !self.end_when_calm(&mut self.lock())
    }

    /// Whether the last long decision is [`CALM`] ago; then turns end, whether or not a review asks
    /// for one.
    fn end_when_calm(&self, queue: &mut Queue) -> bool {
        let is_calm = !queue.is_taken && queue.last_long.is_none_or(|last| last.elapsed() >= CALM);
        if is_calm {
            *queue = Queue::default();
            self.is_busy.store(false, Ordering::Relaxed);
        }
        is_calm
    }

    /// Notes how long a decision without a turn took.
    pub(super) fn note(&self, source: &Arc<Source>, namespace: &str, time: Duration) {
        if is_long(time) {
            let mut queue = self.lock();
            queue.charge(Arc::as_ptr(source) as usize, namespace, time, true);
            self.is_busy.store(true, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn.
    pub(super) async fn enter(
        self: &Arc<Self>,
        source: &Arc<Source>,
        namespace: &str,
    ) -> Result<Turn, NoTurn> {
        let source = Arc::as_ptr(source) as usize;
        let (turn, is_free) = self.join(source, namespace)?;
        if is_free {
            // What is ready runs, and may join, before it is said whose turn it is.
            let mut before = self.turn(source, namespace.into());
            tokio::task::yield_now().await;
            before.begun = Instant::now();
            drop(before);
        }
        // A turn that comes too late, or to a client that is gone, is dropped with the channel, and
        // so passed on.
        let Ok(Ok(mut turn)) = tokio::time::timeout(PATIENCE, turn).await else {
            return Err(NoTurn);
        };
        if self.is_slice_over() {
            tokio::task::yield_now().await;
        }
        turn.begun = Instant::now();
        worked::begin(turn.begun);
        Ok(turn)
    }

    /// Ordinary decisions follow each other; after a long one what is ready runs, and what came is
    /// read.
    fn is_slice_over(&self) -> bool {
        let mut queue = self.lock();
        let is_over = queue.slice >= SLICE;
        if is_over {
            queue.slice = Duration::ZERO;
        }
        is_over
    }

    fn turn(self: &Arc<Self>, source: usize, namespace: Box<str>) -> Turn {
        Turn { turns: Arc::clone(self), source, namespace, begun: Instant::now(), is_void: false }
    }

    /// Its place in the queue, and whether it is nobody's turn.
    fn join(
        &self,
        source: usize,
        namespace: &str,
    ) -> Result<(oneshot::Receiver<Turn>, bool), NoTurn> {
        let mut queue = self.lock();
        let of_namespace = queue.namespace(source, namespace);
        let before = of_namespace.waiting.len();
        of_namespace.waiting.retain(|waiting| !waiting.is_closed());
        let own = of_namespace.waiting.len();
        queue.waiting -= before - own;
        if !has_room(self.limit, queue.waiting, own, 1) {
            return Err(NoTurn);
        }
        let (give, turn) = oneshot::channel();
        queue.namespace(source, namespace).waiting.push_back(give);
        queue.waiting += 1;
        let is_free = !std::mem::replace(&mut queue.is_taken, true);
        self.is_busy.store(true, Ordering::Relaxed);
        Ok((turn, is_free))
    }

    fn pass_on(self: &Arc<Self>, turn: &Turn) {
        let time = turn.begun.elapsed();
        let mut queue = self.lock();
        queue.charge(turn.source, &turn.namespace, time, is_long(time));
        while let Some((source, namespace, next)) = queue.next() {
            queue.waiting -= 1;
            match next.send(self.turn(source, namespace)) {
                Ok(()) => return,
                Err(mut turn) => turn.is_void = true,
            }
        }
        queue.is_taken = false;
        self.end_when_calm(&mut queue);
    }
}

/// Whether a decision that ends now, after this time, took long of itself.
fn is_long(time: Duration) -> bool {
    time >= LONG && worked::at_most() >= LONG
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_void {
            Arc::clone(&self.turns).pass_on(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::ByteBudget;
    use super::*;

    fn source() -> Arc<Source> {
        Arc::new(Source::alone(ByteBudget::new(0), ByteBudget::new(0)))
    }

    fn work(time: Duration) {
        let before = worked::of_thread();
        while worked::of_thread().saturating_sub(before) < time {}
    }

    /// Decisions that wait, each noted by its name when it has its turn, which then takes this
    /// long.
    fn decide(
        turns: &Arc<Turns>,
        source: &Arc<Source>,
        namespace: &'static str,
        order: &Arc<Mutex<Vec<&'static str>>>,
        time: Duration,
    ) -> tokio::task::JoinHandle<()> {
        let (turns, source, order) = (Arc::clone(turns), Arc::clone(source), Arc::clone(order));
        tokio::spawn(async move {
            let turn = turns.enter(&source, namespace).await.unwrap();
            order.lock().unwrap().push(namespace);
            work(time);
            drop(turn);
        })
    }

    #[tokio::test]
    async fn the_next_turn_goes_to_the_source_and_the_namespace_that_had_least_time() {
        let (turns, order) = (Arc::new(Turns::new(100)), Arc::new(Mutex::new(Vec::new())));
        let (cluster, stranger) = (source(), source());
        let long = Duration::from_millis(3);
        let mut tasks: Vec<_> =
            (0..8).map(|_| decide(&turns, &cluster, "greedy", &order, long)).collect();
        tasks.extend((0..8).map(|_| decide(&turns, &stranger, "any", &order, long)));
        tasks.push(decide(&turns, &cluster, "modest", &order, Duration::ZERO));
        for task in tasks {
            task.await.unwrap();
        }
        let order = order.lock().unwrap();
        let place = order.iter().position(|name| *name == "modest").unwrap();
        assert!(place <= 3, "{order:?}");
        assert!(turns.is_busy());
    }

    #[tokio::test]
    async fn a_turn_of_one_that_is_gone_is_passed_on_and_calm_returns() {
        let turns = Arc::new(Turns::new(100));
        let source = source();
        let first = turns.enter(&source, "a").await.unwrap();
        let mut gone = Box::pin(turns.enter(&source, "b"));
        let mut late = Box::pin(turns.enter(&source, "c"));
        for waiting in [&mut gone, &mut late] {
            let pending = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(waiting.as_mut().poll(cx).is_pending())
            });
            assert!(pending.await);
        }
        // It has its turn, and goes before it knows.
        drop(first);
        drop(gone);
        drop(late.await.unwrap());
        assert!(!turns.is_busy(), "none of them was long");
    }

    #[tokio::test]
    async fn a_decision_that_stands_still_is_not_long() {
        let (turns, source) = (Arc::new(Turns::new(16)), source());
        let decide = |act: fn(Duration)| {
            let begun = Instant::now();
            worked::begin(begun);
            act(2 * LONG);
            turns.note(&source, "a", begun.elapsed());
            turns.is_busy()
        };
        assert!(!decide(std::thread::sleep));
        let turn = turns.enter(&source, "a").await.unwrap();
        std::thread::sleep(2 * LONG);
        drop(turn);
        assert!(!turns.is_busy());
        assert!(decide(work));
        std::thread::sleep(CALM);
        assert!(!turns.is_busy(), "it ends although no review asks for a turn");
    }

    #[tokio::test]
    async fn a_namespace_leaves_places_in_the_queue_for_others() {
        let turns = Arc::new(Turns::new(16));
        let source = source();
        let _taken = turns.enter(&source, "greedy").await.unwrap();
        let waiting: Vec<_> =
            (0..20).map(|_| turns.join(Arc::as_ptr(&source) as usize, "greedy").ok()).collect();
        assert_eq!(waiting.iter().flatten().count(), 12);
        assert!(turns.join(Arc::as_ptr(&source) as usize, "modest").is_ok());
    }
}
