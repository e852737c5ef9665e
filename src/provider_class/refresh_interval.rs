//! How often the files of a class are refreshed.

use std::str::FromStr;
use std::time::Duration;

/// Time between two refreshes: 1 second to 24 hours.
///
/// Written as a Go duration (`30s`, `2m`, `1h30m`, `1.5h`) or as a bare number of seconds (`120`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefreshInterval(Duration);

impl RefreshInterval {
    /// The shortest that is accepted.
    pub const MIN: Duration = Duration::from_secs(1);
    /// The longest that is accepted.
    pub const MAX: Duration = Duration::from_secs(24 * 60 * 60);

    /// The time.
    pub fn duration(self) -> Duration {
        self.0
    }
}

/// Why an interval was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefreshIntervalError {
    /// Not a duration.
    #[error("{0:?} is not a duration such as 30s, 2m or 1h30m")]
    Form(String),
    /// Too short or too long.
    #[error("{0:?} is not between 1s and 24h")]
    Range(String),
}

impl FromStr for RefreshInterval {
    type Err = RefreshIntervalError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let nanos = nanoseconds(text).ok_or_else(|| RefreshIntervalError::Form(text.to_owned()))?;
        let range = Self::MIN.as_nanos()..=Self::MAX.as_nanos();
        match u64::try_from(nanos) {
            Ok(nanos) if range.contains(&u128::from(nanos)) => {
                Ok(Self(Duration::from_nanos(nanos)))
            }
            _ => Err(RefreshIntervalError::Range(text.to_owned())),
        }
    }
}

/// Sum of the parts; saturates far above any interval that is accepted.
fn nanoseconds(text: &str) -> Option<u128> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(text.parse::<u128>().unwrap_or(u128::MAX).saturating_mul(SECOND));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = 0_u128;
    while !rest.is_empty() {
        let number_end =
            rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|end| *end > 0)?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        total = total.saturating_add(part(number, unit)?);
        rest = tail;
    }
    text.ends_with(|c: char| c.is_ascii_alphabetic()).then_some(total)
}

const SECOND: u128 = 1_000_000_000;

fn part(number: &str, unit: &str) -> Option<u128> {
    let unit = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let mut total = match whole {
        "" => 0,
        _ => whole.parse::<u128>().unwrap_or(u128::MAX).saturating_mul(unit),
    };
    let mut scale = unit;
    for digit in fraction.bytes() {
        scale /= 10;
        total = total.saturating_add(u128::from(digit - b'0') * scale);
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_and_bare_seconds_are_read() {
        for (text, millis) in [
            ("30s", 30_000),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("1m0.5s", 60_500),
            (".5m", 30_000),
            ("+5s", 5_000),
            ("1500ms", 1_500),
            ("120", 120_000),
            ("1", 1_000),
            ("24h", 86_400_000),
        ] {
            assert_eq!(
                text.parse::<RefreshInterval>().unwrap().duration(),
                Duration::from_millis(millis),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_duration_or_out_of_bounds_is_refused() {
        for text in
            ["", "s", "1h30", "-5s", "1d", "2 m", "1..5s", ".s", "+", "1.5", "five", "2M", "1e3s"]
        {
            assert_eq!(
                text.parse::<RefreshInterval>(),
                Err(RefreshIntervalError::Form(text.to_owned())),
                "{text}"
            );
        }
        for text in
            ["0", "0s", "999ms", "25h", "86401", "99999999999999999999999999999999999999999999h"]
        {
            assert_eq!(
                text.parse::<RefreshInterval>(),
                Err(RefreshIntervalError::Range(text.to_owned())),
                "{text}"
            );
        }
    }
}
