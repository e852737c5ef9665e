//! Unix seconds and how the services write them.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Now, in Unix seconds.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| i64::try_from(elapsed.as_secs()).ok())
        .unwrap_or_default()
}

/// `2026-01-31 23:59:59Z`, as in Entra's error bodies.
pub(crate) fn entra(seconds: i64) -> String {
    rfc3339(seconds).replace('T', " ")
}

/// `2026-01-31T23:59:59Z`.
pub(crate) fn rfc3339(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Now, with the seven decimals of Azure Monitor: `2026-01-31T23:59:59.1234567Z`.
pub(crate) fn precise() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = rfc3339(i64::try_from(since.as_secs()).unwrap_or_default());
    format!("{}.{:07}Z", seconds.trim_end_matches('Z'), since.subsec_nanos() / 100)
}

#[cfg(test)]
mod tests {
    #[test]
    fn seconds_are_written_as_entra_does() {
        assert_eq!(super::entra(0), "1970-01-01 00:00:00Z");
        assert_eq!(super::entra(i64::MAX), "");
    }
}
