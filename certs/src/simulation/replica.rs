//! A replica: the real driver, on a clock of its own.

use super::world::{World, breathe};
use super::{SKEWS, policy};
use crate::Pair;
use crate::clock::{Clock, Moment};
use crate::path::AnsweredPaths;
use crate::rotator::{Event, Outputs, Rotator};
use crate::store::Store;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::sync::watch;

pub(super) struct SkewedClock(pub(super) World, pub(super) i64);

impl Clock for SkewedClock {
    fn now(&self) -> Moment {
        Moment {
            wall: self.0.wall(self.1),
            uptime: Duration::from_millis(self.0.shared.lock().unwrap().millis),
        }
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.now().uptime + duration;
        while self.now().uptime < until {
            breathe().await;
        }
    }

    fn chance(&self) -> f64 {
        0.5
    }
}

/// A replica's life until it is killed.
pub(super) struct Replica {
    run: Pin<Box<dyn Future<Output = ()>>>,
    leaf: watch::Receiver<Option<Arc<Pair>>>,
    paths: watch::Receiver<AnsweredPaths>,
}

impl Replica {
    pub(super) fn start(world: &World, number: usize) -> Self {
        let (send, leaf) = watch::channel(None);
        let (send_paths, paths) = watch::channel(AnsweredPaths::default());
        let clock = SkewedClock(world.clone(), SKEWS[number]);
        let rotator = Rotator::new(world.clone(), world.clone(), clock, policy());
        let shared = Arc::clone(&world.shared);
        let observe = move |event| match event {
            Event::Stored { reason } => shared.lock().unwrap().reasons.push(reason),
            Event::PublishedPath => shared.lock().unwrap().published_paths += 1,
            Event::Overtaken { store: Store::Secret | Store::Bundle } => {
                shared.lock().unwrap().overtaken += 1;
            }
            _ => {}
        };
        let run = async move {
            rotator.run(Outputs { leaf: &send, paths: &send_paths }, observe).await;
        };
        Self { run: Box::pin(run), leaf, paths }
    }

    pub(super) fn poll(&mut self) {
        assert!(self.run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    pub(super) fn answered(&self) -> AnsweredPaths {
        self.paths.borrow().clone()
    }

    pub(super) fn serves(&self) -> Option<Arc<Pair>> {
        self.leaf.borrow().clone()
    }
}
