//! Limits concurrent reads from the API server, fairly by namespace.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// A number of permits. One namespace may have all of them; where others wait, the next free one
/// goes to the namespace that has the fewest.
#[derive(Debug)]
pub(super) struct Gate {
    queues: Mutex<Queues>,
}

#[derive(Debug)]
struct Queues {
    free: usize,
    namespaces: HashMap<String, Queue>,
}

/// Of one namespace.
#[derive(Debug, Default)]
struct Queue {
    inside: usize,
    waiting: VecDeque<oneshot::Sender<()>>,
}

/// A permit, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit<'g> {
    gate: &'g Gate,
    namespace: String,
}

impl Gate {
    pub(super) fn new(permits: usize) -> Self {
        Self { queues: Mutex::new(Queues { free: permits, namespaces: HashMap::new() }) }
    }

    /// Waits for a permit.
    pub(super) async fn enter(&self, namespace: &str) -> Permit<'_> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut queues = self.lock();
            queues.namespaces.entry(namespace.to_owned()).or_default().waiting.push_back(sender);
            queues.admit();
        }
        // From here on the permit is given back, also by a waiter that is dropped at the moment it
        // gets one.
        let waiter = Waiter { gate: self, namespace: Some(namespace.to_owned()), receiver };
        waiter.permit().await
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, namespace: &str) {
        let mut queues = self.lock();
        queues.free += 1;
        if let Some(queue) = queues.namespaces.get_mut(namespace) {
            queue.inside -= 1;
        }
        queues.admit();
    }
}

impl Queues {
    fn admit(&mut self) {
        while self.free > 0 {
            let waiting = self.namespaces.values_mut().filter(|queue| !queue.waiting.is_empty());
            let Some(queue) = waiting.min_by_key(|queue| queue.inside) else { break };
            // A waiter that was dropped meanwhile takes no permit.
            if queue.waiting.pop_front().is_some_and(|waiter| waiter.send(()).is_ok()) {
                queue.inside += 1;
                self.free -= 1;
            }
        }
        self.namespaces.retain(|_, queue| queue.inside > 0 || !queue.waiting.is_empty());
    }
}

/// A waiter in a queue.
struct Waiter<'g> {
    gate: &'g Gate,
    /// `None` once it has its permit.
    namespace: Option<String>,
    receiver: oneshot::Receiver<()>,
}

impl<'g> Waiter<'g> {
    async fn permit(mut self) -> Permit<'g> {
        // The sender lives in the queue until it sends.
        let _ = (&mut self.receiver).await;
        Permit { gate: self.gate, namespace: self.namespace.take().unwrap_or_default() }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.receiver.close();
        // The permit was sent, and nobody received it.
        if let Some(namespace) = &self.namespace
            && self.receiver.try_recv().is_ok()
        {
            self.gate.leave(namespace);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.gate.leave(&self.namespace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    type Entering<'g> = Pin<Box<dyn Future<Output = Permit<'g>> + 'g>>;

    fn poll<'g>(entering: &mut Entering<'g>) -> Option<Permit<'g>> {
        match entering.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    fn enter<'g>(gate: &'g Gate, namespace: &'g str) -> Entering<'g> {
        Box::pin(gate.enter(namespace))
    }

    #[test]
    fn one_namespace_may_have_all_permits_and_the_next_free_one_goes_to_another() {
        let gate = Gate::new(4);
        let mut inside: Vec<_> =
            (0..4).map(|_| poll(&mut enter(&gate, "greedy")).unwrap()).collect();
        let mut queue: Vec<_> = (0..10).map(|_| enter(&gate, "greedy")).collect();
        assert!(queue.iter_mut().all(|entering| poll(entering).is_none()));
        let mut modest = enter(&gate, "modest");
        assert!(poll(&mut modest).is_none());
        inside.pop();
        assert!(queue.iter_mut().all(|entering| poll(entering).is_none()));
        let modest = poll(&mut modest).unwrap();
        drop(inside);
        assert_eq!(queue.iter_mut().filter_map(poll).collect::<Vec<_>>().len(), 3);
        drop(modest);
    }

    #[test]
    fn a_dropped_waiter_leaves_no_permit_taken() {
        let gate = Gate::new(1);
        let first = poll(&mut enter(&gate, "a")).unwrap();
        let (mut second, mut third) = (enter(&gate, "a"), enter(&gate, "b"));
        assert!(poll(&mut second).is_none() && poll(&mut third).is_none());
        drop(second);
        drop(first);
        // Its permit was sent, and it is dropped before it receives it.
        drop(third);
        assert!(poll(&mut enter(&gate, "c")).is_some());
        let queues = gate.lock();
        assert_eq!((queues.free, queues.namespaces.len()), (1, 0));
    }
}
