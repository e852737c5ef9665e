//! `Retry-After`: whom not to ask before when, in this run and in the next.

use crate::backoff::Jitter;
use crate::clock::{http_date, since_boot};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longer waits are cut: a proxy that says "tomorrow" must not stop a pod for a day.
const LONGEST: Duration = Duration::from_secs(600);
/// A vault that throttles without saying for how long is left alone for a second, then for twice as
/// long each time, to this.
const LONGEST_UNSAID: Duration = Duration::from_secs(120);
/// With jitter, and rounded: nothing we wrote lies further ahead.
const LONGEST_STORED: Duration = Duration::from_secs(661);

/// `Retry-After` in both forms of RFC 9110: seconds, or a date. That counts from the `Date` of the
/// same answer, which every server with a clock sends: the node's clock has no effect. Without one
/// it counts as absent.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let value = text(RETRY_AFTER)?;
    let seconds = value.parse::<u64>().ok().or_else(|| {
        let seconds = http_date(value)?.checked_sub(http_date(text(DATE)?)?)?;
        Some(u64::try_from(seconds).unwrap_or_default())
    })?;
    Some(Duration::from_secs(seconds).min(LONGEST))
}

/// What vaults, Entra and IMDS told this pod to wait; shared by all who ask them.
#[derive(Debug)]
pub struct Throttle(Mutex<(ThrottleState, Jitter)>, Mutex<BTreeMap<String, u32>>);

impl Throttle {
    /// With what an earlier run was told.
    pub fn new(state: ThrottleState, seed: u64) -> Self {
        Self(Mutex::new((state, Jitter::new(seed))), Mutex::default())
    }

    /// The rest of the wait, if there is one.
    pub fn wait(&self, endpoint: &str) -> Option<Duration> {
        self.locked().0.wait(endpoint, since_boot())
    }

    /// Notes a wait and answers with the one that holds: up to a tenth longer, or the rest of an
    /// earlier, longer one.
    pub fn note(&self, endpoint: &str, wait: Duration) -> Duration {
        let (state, jitter) = &mut *self.locked();
        state.note(endpoint, wait, jitter, since_boot())
    }

    /// Notes a wait that the endpoint did not name: the longer, the more often in a row. Requests
    /// that were refused together count once.
    pub fn note_unsaid(&self, endpoint: &str) -> Duration {
        if let Some(rest) = self.wait(endpoint) {
            return rest;
        }
        let mut refusals = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        let times = refusals.entry(endpoint.to_owned()).or_default();
        let wait = Duration::from_secs(2_u64.saturating_pow(*times)).min(LONGEST_UNSAID);
        *times += 1;
        self.note(endpoint, wait)
    }

    /// The endpoint answered.
    pub fn answered(&self, endpoint: &str) {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).remove(endpoint);
    }

    /// To be kept for the next run.
    pub fn state(&self) -> ThrottleState {
        self.locked().0.clone()
    }

    fn locked(&self) -> MutexGuard<'_, (ThrottleState, Jitter)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Per endpoint, the moment (milliseconds since the node booted: a clock that is set changes no
/// wait) before which it is not to be asked again. Kept on the private tmpfs, so that a container
/// that was restarted does not ask at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThrottleState(BTreeMap<String, u64>);

impl ThrottleState {
    /// Reads a state that may be missing or garbled: then there is none.
    pub fn read(text: &[u8]) -> Self {
        serde_json::from_slice(text).unwrap_or_default()
    }

    fn wait(&self, endpoint: &str, now: Duration) -> Option<Duration> {
        let wait = Duration::from_millis(*self.0.get(endpoint)?).checked_sub(now)?;
        // A moment further ahead is one of another boot.
        (!wait.is_zero() && wait <= LONGEST_STORED).then_some(wait)
    }

    fn note(
        &mut self,
        endpoint: &str,
        wait: Duration,
        jitter: &mut Jitter,
        now: Duration,
    ) -> Duration {
        let over: Vec<String> =
            self.0.keys().filter(|other| self.wait(other, now).is_none()).cloned().collect();
        for endpoint in over {
            self.0.remove(&endpoint);
        }
        // Requests that were refused together wait together, and nobody shortens a wait.
        if let Some(known) = self.wait(endpoint, now).filter(|known| *known >= wait) {
            return known;
        }
        let wait = jitter.stretch(wait);
        self.0.insert(
            endpoint.to_owned(),
            u64::try_from((now + wait).as_millis()).unwrap_or(u64::MAX),
        );
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(5000);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn seconds_are_read_and_bounded() {
        for (value, expected) in [
            ("60", Some(60)),
            (" 2 ", Some(2)),
            ("0", Some(0)),
            ("999999", Some(600)),
            ("-1", None),
            ("tomorrow", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn a_date_counts_from_that_of_the_answer_and_is_bounded() {
        const DATES: [&str; 2] = ["Wed, 21 Oct 2026 07:28:00 GMT", "not a date"];
        for (value, date, expected) in [
            ("Wed, 21 Oct 2026 07:28:09 GMT", Some(DATES[0]), Some(9)),
            // The obsolete forms count too.
            ("Wednesday, 21-Oct-26 07:29:00 GMT", Some(DATES[0]), Some(60)),
            ("Wed Oct 21 07:28:01 2026", Some(DATES[0]), Some(1)),
            ("Wed, 21 Oct 2026 07:27:00 GMT", Some(DATES[0]), Some(0)),
            ("Thu, 22 Oct 2026 07:28:00 GMT", Some(DATES[0]), Some(600)),
            ("Wed, 21 Oct 2026 07:28:09 GMT", Some(DATES[1]), None),
            ("Wed, 21 Oct 2026 07:28:09 GMT", None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            headers.extend(date.map(|date| (DATE, date.parse().unwrap())));
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn a_wait_survives_and_ends_when_it_said() {
        let (mut state, mut jitter) = (ThrottleState::default(), Jitter::new(1));
        let wait = state.note("https://a/", MINUTE, &mut jitter, NOW);
        let state = ThrottleState::read(&serde_json::to_vec(&state).unwrap());
        let rest = state.wait("https://a/", NOW).unwrap();
        assert!(rest <= wait && wait < rest + Duration::from_millis(1), "{rest:?} of {wait:?}");
        assert_eq!(
            (state.wait("https://b/", NOW), state.wait("https://a/", NOW + wait)),
            (None, None)
        );
        assert_eq!(ThrottleState::read(b"garbage"), ThrottleState::default());
    }

    #[test]
    fn a_fleet_returns_spread_out_and_never_early() {
        let waits = (0..1000)
            .map(|seed| ThrottleState::default().note("a", MINUTE, &mut Jitter::new(seed), NOW));
        let waits: Vec<_> = waits.map(|wait| wait.as_secs_f64()).collect();
        assert!(waits.iter().all(|wait| (60.0..=66.0).contains(wait)));
        assert!(waits.iter().any(|&wait| wait < 61.0) && waits.iter().any(|&wait| wait > 65.0));
    }

    #[test]
    fn a_shorter_wait_does_not_replace_a_longer_one() {
        let (mut state, mut jitter) = (ThrottleState::default(), Jitter::new(1));
        state.note("a", MINUTE, &mut jitter, NOW);
        let rest = state.wait("a", NOW).unwrap();
        for wait in [Duration::from_secs(1), MINUTE] {
            assert_eq!(
                state.note("a", wait, &mut jitter, NOW),
                rest,
                "refused together, asked together"
            );
        }
        assert!(state.note("a", MINUTE * 2, &mut jitter, NOW) >= MINUTE * 2);
        assert!(state.wait("a", NOW).unwrap() >= MINUTE * 2);
    }

    fn next_wait(throttle: &Throttle) -> f64 {
        // As if the wait were over.
        throttle.locked().0 = ThrottleState::default();
        throttle.note_unsaid("a").as_secs_f64()
    }

    #[test]
    fn a_wait_nobody_named_doubles_until_there_is_an_answer() {
        let throttle = Throttle::new(ThrottleState::default(), 1);
        for expected in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 120.0, 120.0] {
            let wait = next_wait(&throttle);
            assert!((expected..=expected * 1.1).contains(&wait), "{wait} of {expected}");
            assert!(
                throttle.note_unsaid("a").as_secs_f64() <= wait,
                "refused together, counted once"
            );
        }
        throttle.answered("a");
        assert!(next_wait(&throttle) < 1.2);
    }

    #[test]
    fn a_wait_of_another_boot_makes_nobody_wait() {
        let (mut state, mut jitter) = (ThrottleState::default(), Jitter::new(1));
        state.note("a", LONGEST, &mut jitter, NOW + MINUTE * 60);
        assert!(state.wait("a", NOW + MINUTE * 60).is_some());
        assert_eq!(state.wait("a", NOW), None);
        state.note("b", MINUTE, &mut jitter, NOW);
        assert_eq!(state.0.len(), 1, "and is forgotten");
    }

    #[test]
    fn a_number_no_clock_reaches_is_no_wait() {
        for text in [r#"{"a":18446744073709551615}"#, r#"{"a":1e300}"#, r#"{"a":-1}"#] {
            assert_eq!(ThrottleState::read(text.as_bytes()).wait("a", NOW), None, "{text}");
        }
    }
}
