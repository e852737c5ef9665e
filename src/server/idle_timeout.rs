//! When a connection is closed for doing nothing, or for not finishing what it began: checked a few
//! times a minute.

use super::activity::ConnectionActivity;
use super::limits::Limits;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// What a check of a connection found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    InUse,
    /// There was no request for longer than the limit.
    Idle,
    /// Half a request head, or an answer that the client does not take, for longer than the limit.
    Stuck,
}

/// Compares the activity of one connection with that of the check before.
#[derive(Debug)]
pub(super) struct IdleTimeout {
    limits: Limits,
    /// Since when there is half a head, and since when there is nothing.
    partial: Option<Instant>,
    idle: Option<Instant>,
    /// When the generations changed: open requests of the other one began before that.
    flipped: Instant,
}

impl IdleTimeout {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self { limits, partial: None, idle: None, flipped: now }
    }

    pub(super) fn check(&mut self, activity: &ConnectionActivity, now: Instant) -> Activity {
        let begun = activity.begun();
        if activity.looked.swap(begun, Ordering::Relaxed) != begun || activity.open_requests() > 0 {
            (self.partial, self.idle) = (None, None);
            activity.idle_checks.store(0, Ordering::Relaxed);
            let young = activity.generation.load(Ordering::Relaxed);
            if activity.open[1 - young].load(Ordering::Relaxed) == 0 {
                activity.generation.store(1 - young, Ordering::Relaxed);
                self.flipped = now;
            } else if has_passed(self.limits.finish, self.flipped, now) {
                return Activity::Stuck;
            }
            return Activity::InUse;
        }
        activity.idle_checks.fetch_add(1, Ordering::Relaxed);
        let is_partial = activity.has_partial_request();
        let (since, other, limit, found) = if is_partial {
            (&mut self.partial, &mut self.idle, self.limits.header, Activity::Stuck)
        } else {
            (&mut self.idle, &mut self.partial, self.limits.idle, Activity::Idle)
        };
        *other = None;
        let since = *since.get_or_insert(now);
        if has_passed(limit, since, now) { found } else { Activity::InUse }
    }
}

fn has_passed(limit: Duration, since: Instant, now: Instant) -> bool {
    now.duration_since(since) >= limit.saturating_sub(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::super::budget::ByteBudget;
    use super::super::in_flight::InFlightGuard;
    use super::super::source::Source;
    use super::*;
    use prometheus_client::metrics::gauge::Gauge;
    use std::sync::Arc;

    fn activity() -> Arc<ConnectionActivity> {
        let source = Arc::new(Source::alone(ByteBudget::new(1 << 20), ByteBudget::new(1 << 20)));
        Arc::new(ConnectionActivity::new(source, Gauge::default()))
    }

    #[test]
    fn half_a_head_is_stuck_after_its_limit_and_an_idle_connection_long_after() {
        let limits = Limits::default();
        let (activity, start) = (activity(), Instant::now());
        let mut idle_timeout = IdleTimeout::new(limits, start);
        let at = |idle_timeout: &mut IdleTimeout, seconds| {
            idle_timeout.check(&activity, start + Duration::from_secs(seconds))
        };
        assert_eq!(
            (at(&mut idle_timeout, 5), at(&mut idle_timeout, 60)),
            (Activity::InUse, Activity::InUse)
        );
        assert_eq!(at(&mut idle_timeout, 5 + limits.idle.as_secs()), Activity::Idle);
        activity.received(1);
        assert_eq!(
            (at(&mut idle_timeout, 200), at(&mut idle_timeout, 205)),
            (Activity::InUse, Activity::InUse)
        );
        assert_eq!(at(&mut idle_timeout, 210), Activity::Stuck);
        activity.is_http2.store(true, Ordering::Relaxed);
        assert_eq!(at(&mut idle_timeout, 220), Activity::InUse);
        activity.is_http2.store(false, Ordering::Relaxed);
        let guard = InFlightGuard::new(Arc::clone(&activity));
        assert_eq!(
            (at(&mut idle_timeout, 300), at(&mut idle_timeout, 305)),
            (Activity::InUse, Activity::InUse)
        );
        drop(guard);
        assert_eq!(
            (at(&mut idle_timeout, 901), at(&mut idle_timeout, 1000)),
            (Activity::InUse, Activity::InUse)
        );
        assert_eq!(at(&mut idle_timeout, 901 + limits.idle.as_secs()), Activity::Idle);
    }

    #[test]
    fn an_answer_that_nobody_takes_is_stuck_however_many_others_are_taken() {
        let limits = Limits::default();
        let (activity, start) = (activity(), Instant::now());
        let mut idle_timeout = IdleTimeout::new(limits, start);
        let _kept = InFlightGuard::new(Arc::clone(&activity));
        let mut found = Activity::InUse;
        let mut seconds = 0;
        while found == Activity::InUse && seconds < 100 {
            seconds += 5;
            let taken = InFlightGuard::new(Arc::clone(&activity));
            found = idle_timeout.check(&activity, start + Duration::from_secs(seconds));
            drop(taken);
        }
        assert_eq!((found, seconds), (Activity::Stuck, 5 + limits.finish.as_secs()));
    }

    /// Whether a new request of this connection has a place, and its guard.
    fn ask_for_place(activity: &Arc<ConnectionActivity>) -> (bool, InFlightGuard) {
        let mut guard = InFlightGuard::new(Arc::clone(activity));
        (guard.take_place(100), guard)
    }

    #[test]
    fn the_first_eight_requests_of_a_connection_always_have_a_place() {
        let in_flight = Gauge::default();
        let (connections, reviews) = (ByteBudget::new(1 << 20), ByteBudget::new(1 << 20));
        let source = Arc::new(Source::alone(Arc::clone(&connections), Arc::clone(&reviews)));
        let greedy = Arc::new(ConnectionActivity::new(Arc::clone(&source), in_flight.clone()));
        let modest = Arc::new(ConnectionActivity::new(Arc::clone(&source), in_flight.clone()));
        let many: Vec<_> = (0..80).map(|_| ask_for_place(&greedy)).collect();
        assert_eq!(many.iter().filter(|(has_place, _)| *has_place).count(), 75);
        // A burst is counted in order: eight of twenty at once are the first eight.
        let burst: Vec<_> = (0..20).map(|_| ask_for_place(&modest)).collect();
        assert_eq!(burst.iter().filter(|(has_place, _)| *has_place).count(), 8);
        drop((many, burst));
        assert_eq!((in_flight.get(), greedy.open_requests(), modest.open_requests()), (0, 0, 0));
        drop((greedy, modest));
        assert_eq!((connections.taken(), reviews.places.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_connection_that_is_closed_is_charged_with_nothing_whatever_it_still_does() {
        let activity = activity();
        activity.received(1000);
        let guard = InFlightGuard::new(Arc::clone(&activity));
        assert!(
            activity.source.connection_bytes() > super::super::activity::CONNECTION_BYTES + 1000
        );
        activity.close();
        activity.received(1000);
        drop(guard);
        activity.establish();
        assert_eq!(
            (
                activity.source.connection_bytes(),
                activity.source.handshakes.load(Ordering::Relaxed)
            ),
            (0, 0)
        );
    }

    #[test]
    fn what_is_refused_is_not_activity() {
        let (activity, limits, start) = (activity(), Limits::default(), Instant::now());
        let mut idle_timeout = IdleTimeout::new(limits, start);
        for seconds in [5, 10, 15] {
            let mut guard = InFlightGuard::new(Arc::clone(&activity));
            guard.refuse();
            drop(guard);
            assert_eq!(
                idle_timeout.check(&activity, start + Duration::from_secs(seconds)),
                Activity::InUse
            );
        }
        assert_eq!(activity.idle_checks(), 3);
    }
}
