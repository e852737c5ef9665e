//! How long to wait before the next try, and the jitter that keeps a thousand pods from asking at
//! once.

use crate::fault::Class;
use std::time::Duration;

/// Nothing waits longer than this for a retry, however long its interval.
const LONGEST: Duration = Duration::from_secs(300);

/// Where in its life the thing that failed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The pod's containers wait for it.
    Start,
    /// There is a last good file.
    Running {
        /// The volume's refresh interval.
        interval: Duration,
    },
}

/// The delay after the `failures`-th failure in a row (1 is the first): doubles up to a bound.
pub fn delay(stage: Stage, class: Class, failures: u32) -> Duration {
    let (first, longest) = match (stage, class) {
        (Stage::Start, Class::Transient) => (Duration::from_millis(250), Duration::from_secs(15)),
        (Stage::Start, Class::Slow | Class::Permanent) => {
            (Duration::from_secs(1), Duration::from_secs(15))
        }
        (Stage::Running { interval }, Class::Transient) => {
            (Duration::from_secs(1), interval.min(LONGEST))
        }
        (Stage::Running { interval }, Class::Slow | Class::Permanent) => {
            (Duration::from_secs(30), interval.min(LONGEST))
        }
    };
    first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(longest)
}

/// A small seeded generator (SplitMix64): spreads load, keeps nothing secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jitter(u64);

impl Jitter {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `duration` ± 10 %.
    pub fn spread(&mut self, duration: Duration) -> Duration {
        duration.saturating_mul(900 + self.below(201)) / 1000
    }

    /// `duration` + 0 to 10 %, for a wait that the server demanded.
    pub fn stretch(&mut self, duration: Duration) -> Duration {
        duration.saturating_mul(1000 + self.below(101)) / 1000
    }

    /// Anything from 0 to `duration`.
    pub fn within(&mut self, duration: Duration) -> Duration {
        duration.saturating_mul(self.below(10_001)) / 10_000
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        u32::try_from((z ^ (z >> 31)) % u64::from(bound)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_their_bound() {
        let running = Stage::Running { interval: Duration::from_secs(120) };
        let hourly = Stage::Running { interval: Duration::from_secs(3600) };
        let short = Stage::Running { interval: Duration::from_secs(2) };
        for (stage, class, failures, expected_millis) in [
            (Stage::Start, Class::Transient, 1, 250),
            (Stage::Start, Class::Transient, 2, 500),
            (Stage::Start, Class::Transient, 40, 15_000),
            (Stage::Start, Class::Slow, 1, 1000),
            (running, Class::Transient, 1, 1000),
            (running, Class::Transient, 3, 4000),
            (running, Class::Transient, 30, 120_000),
            (hourly, Class::Transient, u32::MAX, 300_000),
            (running, Class::Slow, 1, 30_000),
            (short, Class::Slow, 1, 2000),
        ] {
            assert_eq!(
                delay(stage, class, failures),
                Duration::from_millis(expected_millis),
                "{stage:?} {class:?} {failures}"
            );
        }
    }

    #[test]
    fn jitter_stays_within_a_tenth_and_uses_both_sides() {
        let mut jitter = Jitter::new(7);
        let all: Vec<_> =
            (0..1000).map(|_| jitter.spread(Duration::from_secs(100)).as_secs()).collect();
        assert!(all.iter().all(|seconds| (90..=110).contains(seconds)));
        assert!(
            all.iter().any(|&seconds| seconds < 93) && all.iter().any(|&seconds| seconds > 107)
        );
    }
}
