//! A token, how long it lives, and the answer it comes in.

use secrecy::{ExposeSecret, SecretBox};
use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// Renewal starts this long before the end at the latest.
const MARGIN: Duration = Duration::from_secs(300);
/// Tokens that live at least this long are renewed at half their life (what every Azure SDK does).
const LONG_LIVED: Duration = Duration::from_secs(7200);

/// An access token; prints nothing, zeroised when dropped.
#[derive(Debug)]
pub struct AccessToken {
    text: SecretBox<String>,
    times: Times,
}

/// Of a token, since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Times {
    pub(crate) granted: Duration,
    /// When another one is requested.
    pub(crate) renewal: Duration,
    pub(crate) expiry: Duration,
}

impl AccessToken {
    /// From its text.
    pub fn new(text: String) -> Self {
        Self { text: SecretBox::new(Box::new(text)), times: Times::default() }
    }

    /// The same token with its times.
    pub(crate) fn with_times(self, times: Times) -> Self {
        Self { times, ..self }
    }

    /// The text, for the one header or response it goes into.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// Its times.
    pub(crate) fn times(&self) -> Times {
        self.times
    }
}

impl<'de> Deserialize<'de> for AccessToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// A token and its times, as they were when it arrived.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) token: AccessToken,
    pub(super) lifetime: Lifetime,
}

/// Seconds from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime {
    pub(super) expires_in: Duration,
    pub(super) refresh_in: Option<Duration>,
}

impl Lifetime {
    /// Not even jitter defers a renewal past this: a request that starts with the token must still
    /// be served.
    pub(super) fn latest(self) -> Duration {
        self.expires_in.saturating_sub(Duration::from_secs(60).min(self.expires_in / 4))
    }

    /// The earliest of: what the server advises, half of a long life, five minutes before the end
    /// (half of a very short life).
    pub(super) fn renew_in(self) -> Duration {
        let half = (self.expires_in >= LONG_LIVED).then_some(self.expires_in / 2);
        let before_end = self.expires_in.saturating_sub(MARGIN.min(self.expires_in / 2));
        [self.refresh_in, half].into_iter().flatten().fold(before_end, Duration::min)
    }
}

/// Body of a successful answer, of Entra (numbers) and of IMDS (strings). `refresh_in` is advice:
/// what cannot be read is none.
#[derive(Deserialize)]
struct Answer {
    access_token: AccessToken,
    #[serde(deserialize_with = "seconds")]
    expires_in: Duration,
    #[serde(default, deserialize_with = "optional_seconds")]
    refresh_in: Option<Duration>,
}

/// Reads a token answer; the error says nothing of the body.
pub(super) fn parse(body: &[u8]) -> Option<Grant> {
    let Answer { access_token, expires_in, refresh_in } = serde_json::from_slice(body).ok()?;
    let usable = !access_token.expose().is_empty()
        && access_token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    usable.then_some(Grant { token: access_token, lifetime: Lifetime { expires_in, refresh_in } })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = match Seconds::deserialize(deserializer)? {
        Seconds::Number(seconds) => seconds,
        Seconds::Text(text) => text.parse().map_err(serde::de::Error::custom)?,
    };
    // A year is longer than any token; the bound keeps sums of times in range.
    Ok(Duration::from_secs(seconds.min(31_536_000)))
}

#[allow(clippy::unnecessary_wraps)] // what serde calls
fn optional_seconds<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    Ok(seconds(deserializer).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_at_the_earliest_of_three_times() {
        for (expires, refresh, expected) in [
            (3599, None, 3299),
            (86399, None, 43199),
            (86399, Some(1000), 1000),
            (7200, None, 3600),
            (60, None, 30),
            (3600, Some(9000), 3300),
        ] {
            let lifetime = Lifetime {
                expires_in: Duration::from_secs(expires),
                refresh_in: refresh.map(Duration::from_secs),
            };
            assert_eq!(lifetime.renew_in().as_secs(), expected, "{lifetime:?}");
        }
    }

    #[test]
    fn answers_of_entra_and_imds_are_read() {
        let entra = parse(
            br#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,
                "access_token":"abc"}"#,
        )
        .unwrap();
        let imds = parse(
            br#"{"access_token":"abc","expires_in":"3599","expires_on":"1","refresh_in":"60"}"#,
        )
        .unwrap();
        assert_eq!((entra.token.expose(), entra.lifetime.expires_in.as_secs()), ("abc", 3599));
        assert_eq!(
            (imds.token.expose(), imds.lifetime.refresh_in),
            ("abc", Some(Duration::from_secs(60)))
        );
    }

    #[test]
    fn advice_that_cannot_be_read_costs_no_token() {
        for advice in ["null", "\"\"", "\"soon\"", "-1", "1.5", "{}"] {
            let body =
                format!(r#"{{"access_token":"abc","refresh_in":{advice},"expires_in":3599}}"#);
            let lifetime = parse(body.as_bytes()).map(|grant| grant.lifetime);
            let expected = Lifetime { expires_in: Duration::from_secs(3599), refresh_in: None };
            assert_eq!(lifetime, Some(expected), "{advice}");
        }
    }

    #[test]
    fn what_cannot_be_a_header_is_no_token() {
        for body in [
            r#"{"access_token":"","expires_in":1}"#,
            r#"{"access_token":"a\nb","expires_in":1}"#,
            r#"{"expires_in":1}"#,
            "<html>",
        ] {
            assert!(parse(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn a_token_is_never_printed() {
        let grant = parse(br#"{"access_token":"canary","expires_in":1}"#).unwrap();
        assert!(!format!("{grant:?}").contains("canary"));
    }
}
