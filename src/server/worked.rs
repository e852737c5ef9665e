//! How long a thread itself worked.
//!
//! Under a CPU limit, or beside other programs, a decision stands still for longer than it takes.
//! That says nothing about the review.

use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How often the kernel is asked, at most: a question takes as long as a tenth of a small review.
const RARELY: Duration = Duration::from_millis(1);

thread_local! {
    /// When the kernel was asked last, and how long this thread had worked by then.
    static ASKED: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// Work of this thread begins now.
pub(super) fn begin(now: Instant) {
    if ASKED.get().is_none_or(|(at, _)| now.saturating_duration_since(at) >= RARELY) {
        ASKED.set(Some((now, of_thread())));
    }
}

/// How long this thread worked since [`begin`], or up to a millisecond more.
pub(super) fn at_most() -> Duration {
    ASKED.get().map_or(Duration::MAX, |(_, before)| of_thread().saturating_sub(before))
}

/// Processor time of this thread.
pub(super) fn of_thread() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_counts_and_standing_still_does_not() {
        let long = Duration::from_millis(5);
        begin(Instant::now());
        std::thread::sleep(long);
        assert!(at_most() < long);
        let before = of_thread();
        while of_thread().saturating_sub(before) < long {}
        assert!(at_most() >= long);
        std::thread::sleep(RARELY);
        begin(Instant::now());
        assert!(at_most() < long);
    }
}
