//! Time, sleep and chance, handed in so that tests can choose them.

#![allow(clippy::disallowed_methods, reason = "this room owns the clock and chance of the crate")]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// An instant, on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// What the wall says: for the times in certificates.
    pub wall: OffsetDateTime,
    /// Since some start, never set back or forward: for delays.
    pub uptime: Duration,
}

/// The edge to time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Moment;
    /// Waits. May return early, for instance because a watch told of a change.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
    /// A number in 0..1, so that replicas do not move in step.
    fn chance(&self) -> f64;
}

/// The machine's clock, tokio's timer.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment { wall: OffsetDateTime::now_utc(), uptime: self.start.elapsed() }
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn chance(&self) -> f64 {
        // The standard library seeds every hasher by the operating system's randomness: enough to
        // spread replicas.
        let bits = u32::try_from(RandomState::new().build_hasher().finish() >> 32).unwrap_or(0);
        f64::from(bits) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_spread_over_its_range() {
        let clock = SystemClock::default();
        let drawn = (0..200).map(|_| clock.chance()).collect::<Vec<_>>();
        assert!(drawn.iter().all(|chance| (0.0..=1.0).contains(chance)));
        assert!(
            drawn.iter().any(|chance| *chance < 0.3) && drawn.iter().any(|chance| *chance > 0.7)
        );
    }
}
