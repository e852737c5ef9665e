//! How long to wait before asking an API server again that failed us.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A server that asks for more than this is not believed.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// Doubles with each failure; each step is spread by half, so that replicas do not come back
/// together.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The next wait; `random` is from 0 to 1. `asked` is the server's Retry-After: never less than
    /// that.
    pub(super) fn next(&mut self, asked: Option<Duration>, random: f64) -> Duration {
        let step = self.first.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        asked.unwrap_or_default().min(LONGEST_ASKED) + spread(step, random)
    }

    /// All is well again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// From half of `duration` to all of it and a half.
pub(super) fn spread(duration: Duration, random: f64) -> Duration {
    duration.mul_f64(0.5 + random.clamp(0.0, 1.0))
}

/// From 0 to 1. The standard library's hash keys are the operating system's randomness: enough for
/// this, and no dependency.
pub(super) fn random() -> f64 {
    let bits = u32::try_from(RandomState::new().hash_one(0_u8) >> 32).unwrap_or_default();
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::new(Duration::from_millis(200), Duration::from_secs(10))
    }

    #[test]
    fn waits_double_up_to_ten_seconds_and_start_over_after_success() {
        let mut backoff = backoff();
        let waits: Vec<_> = (0..9).map(|_| backoff.next(None, 0.5).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
        backoff.reset();
        assert_eq!(backoff.next(None, 0.5).as_millis(), 200);
    }

    #[test]
    fn waits_are_spread_by_half_and_never_shorter_than_the_server_asks() {
        assert_eq!(backoff().next(None, 0.0).as_millis(), 100);
        assert_eq!(backoff().next(None, 1.0).as_millis(), 300);
        assert_eq!(backoff().next(Some(Duration::from_secs(3)), 0.5).as_millis(), 3200);
        assert_eq!(backoff().next(Some(Duration::from_secs(86_400)), 0.5).as_millis(), 60_200);
        assert!((0..100).map(|_| random()).all(|random| (0.0..=1.0).contains(&random)));
    }
}
