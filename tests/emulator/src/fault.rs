//! Faults on request: throttling, failures, delays, cut bodies, reset connections.

use std::time::Duration;

use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::call::Call;
use crate::entra;
use crate::kubernetes;
use crate::reply::Reply;
use crate::route::{CallKind, Route};
use crate::vault;

/// What goes wrong, with which calls, and how often.
///
/// As JSON: `{"kind": "secretGet", "object": "db-password", "effect": {"status": 429,
/// "retryAfterSeconds": 2}, "times": 3}`. Effects are `{"status": 503}`, `{"status": 403,
/// "contentType": "text/html", "body": "<html>"}`, `{"delayMilliseconds": 500}`, `"truncate"` and
/// `"reset"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// What happens.
    pub effect: Effect,
    /// Only to calls of this kind.
    #[serde(default)]
    pub kind: Option<CallKind>,
    /// Only to calls for the object of this name.
    #[serde(default)]
    pub object: Option<String>,
    /// Only to calls of this vault.
    #[serde(default)]
    pub vault: Option<String>,
    /// For so many calls; until cleared if missing.
    #[serde(default)]
    pub times: Option<u32>,
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Effect {
    /// An error answer in the service's own shape.
    Status {
        /// HTTP status, 400 to 599.
        status: u16,
        /// `Retry-After`, which Key Vault usually does not send.
        #[serde(default, rename = "retryAfterSeconds", skip_serializing_if = "Option::is_none")]
        retry_after_seconds: Option<u32>,
    },
    /// Another answer, such as a proxy's page or an error of Entra that has no other way to occur.
    Answer {
        /// HTTP status.
        status: u16,
        /// `Content-Type`.
        #[serde(default, rename = "contentType")]
        content_type: String,
        /// The body as it is.
        body: String,
        /// `Location`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<String>,
    },
    /// The right answer, late.
    Delay {
        /// How late, in milliseconds.
        #[serde(rename = "delayMilliseconds")]
        milliseconds: u64,
    },
    /// The connection breaks.
    Break(Break),
}

/// How a connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Break {
    /// After half of the body.
    Truncate,
    /// Before any answer.
    Reset,
}

impl Fault {
    /// Answers with this status.
    pub fn status(status: u16) -> Self {
        Self::of(Effect::Status { status, retry_after_seconds: None })
    }

    /// Status 429 with `Retry-After`.
    pub fn throttle(retry_after_seconds: u32) -> Self {
        Self::of(Effect::Status { status: 429, retry_after_seconds: Some(retry_after_seconds) })
    }

    /// Answers late.
    pub fn delay(delay: Duration) -> Self {
        Self::of(Effect::Delay {
            milliseconds: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Sends half of the body, then closes.
    pub fn truncate() -> Self {
        Self::of(Effect::Break(Break::Truncate))
    }

    /// Resets the connection instead of answering.
    pub fn reset() -> Self {
        Self::of(Effect::Break(Break::Reset))
    }

    /// Answers with this instead.
    pub fn answer(status: u16, content_type: impl Into<String>, body: impl Into<String>) -> Self {
        let (content_type, body) = (content_type.into(), body.into());
        Self::of(Effect::Answer { status, content_type, body, location: None })
    }

    /// Leads to another place.
    pub fn redirect(status: u16, location: impl Into<String>) -> Self {
        let (content_type, body, location) = (String::new(), String::new(), Some(location.into()));
        Self::of(Effect::Answer { status, content_type, body, location })
    }

    fn of(effect: Effect) -> Self {
        Self { effect, kind: None, object: None, vault: None, times: None }
    }

    /// Only for calls of this kind.
    #[must_use]
    pub fn on(mut self, kind: CallKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Only for calls for the object of this name.
    #[must_use]
    pub fn object(mut self, name: impl Into<String>) -> Self {
        self.object = Some(name.into());
        self
    }

    /// Only for calls of this vault.
    #[must_use]
    pub fn vault(mut self, name: impl Into<String>) -> Self {
        self.vault = Some(name.into());
        self
    }

    /// Only for the next `times` calls.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    fn matches(&self, route: &Route<'_>) -> bool {
        let vault = match route {
            Route::Vault { vault, .. } => Some(*vault),
            _ => None,
        };
        let same = |wanted: &Option<String>, found: Option<&str>| {
            wanted
                .as_ref()
                .is_none_or(|wanted| found.is_some_and(|found| found.eq_ignore_ascii_case(wanted)))
        };
        self.kind.is_none_or(|kind| kind == route.kind())
            && same(&self.object, route.object())
            && same(&self.vault, vault)
    }
}

/// What is to happen to one call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) delay: Duration,
    pub(crate) status: Option<(u16, Option<u32>)>,
    pub(crate) answer: Option<Reply>,
    pub(crate) broken: Option<Break>,
}

/// The faults in force, oldest first.
#[derive(Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn inject(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn in_force(&self) -> &[Fault] {
        &self.0
    }

    /// Takes from the faults what befalls a call: all matching delays, and the first matching other
    /// fault.
    pub(crate) fn strike(&mut self, route: &Route<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        for fault in &mut self.0 {
            let decided =
                outcome.status.is_some() || outcome.answer.is_some() || outcome.broken.is_some();
            let delays = matches!(fault.effect, Effect::Delay { .. });
            if !fault.matches(route) || fault.times == Some(0) || (decided && !delays) {
                continue;
            }
            fault.times = fault.times.map(|left| left - 1);
            match &fault.effect {
                Effect::Status { status, retry_after_seconds } => {
                    outcome.status = Some((*status, *retry_after_seconds));
                }
                Effect::Answer { status, content_type, body, location } => {
                    outcome.answer = Some(given(*status, content_type, body, location.as_deref()));
                }
                Effect::Delay { milliseconds } => {
                    outcome.delay += Duration::from_millis(*milliseconds);
                }
                Effect::Break(how) => outcome.broken = Some(*how),
            }
        }
        self.0.retain(|fault| fault.times != Some(0));
        outcome
    }
}

fn given(status: u16, content_type: &str, body: &str, location: Option<&str>) -> Reply {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = Reply::empty(status);
    reply.body = body.to_owned().into();
    if !content_type.is_empty() {
        reply = reply.with(header::CONTENT_TYPE, content_type);
    }
    match location {
        None => reply,
        Some(location) => reply.with(header::LOCATION, location),
    }
}

/// The error answer of the service that was called.
pub(crate) fn reply(
    status: u16,
    retry_after_seconds: Option<u32>,
    route: &Route<'_>,
    call: &Call,
    now: i64,
) -> Reply {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reply = match route {
        Route::Vault { .. } => vault::fault(status, call),
        Route::SecretPatch { .. } | Route::Eviction { .. } | Route::WorkloadPatch { .. } => {
            kubernetes::status(status.as_u16(), "InternalError", "the server does not serve now")
        }
        Route::Imds => Reply::json(
            status,
            &json!({"error": "service_error", "error_description": status.as_str()}),
        ),
        _ if status == StatusCode::TOO_MANY_REQUESTS => entra::error_body(
            status,
            "temporarily_unavailable",
            90_055,
            "The tenant is throttled.",
            now,
        ),
        _ => entra::error_body(
            status,
            "temporarily_unavailable",
            90_033,
            "A transient error has occurred.",
            now,
        ),
    };
    match retry_after_seconds {
        Some(seconds) => reply.with(header::RETRY_AFTER, seconds.to_string()),
        None => reply,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Route<'_> = Route::Token { tenant: "t" };

    #[test]
    fn a_fault_strikes_as_often_as_told() {
        let mut faults = Faults::default();
        faults.inject(Fault::status(503).on(CallKind::Token).times(2));
        assert_eq!(faults.strike(&Route::Imds), Outcome::default());
        for expected in [Some((503, None)), Some((503, None)), None] {
            assert_eq!(faults.strike(&TOKEN).status, expected);
        }
        assert!(faults.in_force().is_empty());
    }

    #[test]
    fn delays_add_up_and_the_first_other_fault_decides() {
        let mut faults = Faults::default();
        faults.inject(Fault::delay(Duration::from_millis(5)));
        faults.inject(Fault::throttle(7).times(1));
        faults.inject(Fault::reset().times(1));
        faults.inject(Fault::delay(Duration::from_millis(6)));
        let delay = Duration::from_millis(11);
        assert_eq!(
            faults.strike(&TOKEN),
            Outcome { delay, status: Some((429, Some(7))), ..Outcome::default() }
        );
        assert_eq!(
            faults.strike(&TOKEN),
            Outcome { delay, broken: Some(Break::Reset), ..Outcome::default() }
        );
        assert_eq!(faults.strike(&TOKEN), Outcome { delay, ..Outcome::default() });
    }

    #[test]
    fn a_fault_reads_from_json() {
        let read = |text: &str| serde_json::from_str::<Fault>(text).unwrap();
        assert_eq!(
            read(
                r#"{"kind":"secretGet","object":"a","effect":{"status":429,"retryAfterSeconds":2},
                    "times":3}"#
            ),
            Fault::throttle(2).on(CallKind::SecretGet).object("a").times(3)
        );
        assert_eq!(
            read(r#"{"effect":{"delayMilliseconds":9}}"#),
            Fault::delay(Duration::from_millis(9))
        );
        assert_eq!(
            read(r#"{"effect":{"status":403,"contentType":"text/html","body":"<html>"}}"#),
            Fault::answer(403, "text/html", "<html>")
        );
        assert_eq!(read(r#"{"effect":"reset","vault":"v"}"#), Fault::reset().vault("v"));
    }
}
