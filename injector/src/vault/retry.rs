//! `Retry-After`, and what it means for everything else in the same vault.

use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longer waits are cut: a proxy that says "tomorrow" must not stop a pod for a day.
const LONGEST: Duration = Duration::from_secs(600);

/// The seconds of `Retry-After`; the date form is not used by Azure and counts as absent.
pub fn after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse::<u64>().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST))
}

/// Per vault, the moment before which it is not to be asked again. Kept on the private tmpfs, so that a container that was
/// restarted does not ask at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThrottleState(BTreeMap<String, u64>);

impl ThrottleState {
    /// The rest of the wait, if there is one.
    pub fn wait(&self, vault: &str, now: SystemTime) -> Option<Duration> {
        let until = UNIX_EPOCH + Duration::from_secs(*self.0.get(vault)?);
        // A file of a machine with another clock cannot make us wait for ever.
        until.duration_since(now).ok().filter(|wait| !wait.is_zero()).map(|wait| wait.min(LONGEST))
    }

    /// Notes a wait; what is over is forgotten.
    pub fn note(&mut self, vault: &str, wait: Duration, now: SystemTime) {
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let current = seconds(now);
        self.0.retain(|_, until| *until > current);
        self.0.insert(vault.to_owned(), seconds(now + wait) + 1);
    }
}

/// Reads a state that may be missing or garbled: then there is none.
pub fn throttle_state_from(text: &[u8]) -> ThrottleState {
    serde_json::from_slice(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_and_bounded() {
        for (value, expected) in [
            ("60", Some(60)),
            (" 2 ", Some(2)),
            ("0", Some(0)),
            ("999999", Some(600)),
            ("-1", None),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            assert_eq!(after(&headers), expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(after(&HeaderMap::new()), None);
    }

    #[test]
    fn a_wait_survives_and_ends() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let mut state = ThrottleState::default();
        state.note("https://a/", Duration::from_secs(60), now);
        let state = throttle_state_from(&serde_json::to_vec(&state).unwrap());
        assert_eq!(state.wait("https://a/", now), Some(Duration::from_secs(61)));
        assert_eq!(state.wait("https://b/", now), None);
        assert_eq!(state.wait("https://a/", now + Duration::from_secs(61)), None);
        assert_eq!(throttle_state_from(b"garbage"), ThrottleState::default());
    }
}
