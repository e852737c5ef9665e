//! A request that is no review, or comes at the wrong time: an HTTP status, counted, logged and
//! said in the body.

use crate::admission::review::{self, Status, Verdict};
use crate::bounded::shortened;
use http::StatusCode;
use keysluice_plan::reason::Reason;
use std::fmt::Display;

/// What callers and the log are told at most: a refusal quotes the request.
const MAX_MESSAGE_BYTES: usize = 1024;

/// Why there is no answer to a review.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    reason: Reason,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, reason: Reason, message: impl Display) -> Self {
        Self { status, reason, message: format!("{reason} {message}") }
    }

    /// The code; a metric label.
    pub(super) fn code(&self) -> &'static str {
        self.reason.code
    }

    /// Whether the request's body was not read and may still come.
    pub(super) fn leaves_body(&self) -> bool {
        !matches!(
            self.status,
            StatusCode::BAD_REQUEST
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::INTERNAL_SERVER_ERROR
        )
    }

    /// Logs it, and gives the body that says it.
    pub(super) fn tell(&self) -> Vec<u8> {
        let (status, message) = (self.status.as_u16(), shortened(&self.message, MAX_MESSAGE_BYTES));
        tracing::warn!(status, message, "request refused");
        review::respond(
            "admission.k8s.io/v1",
            "",
            Verdict::Denied(&Status::new(status, message)),
            &[],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::KS701;

    #[test]
    fn a_refusal_quotes_no_more_than_a_line() {
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, KS701, "é".repeat(1 << 20));
        assert!(refusal.tell().len() < MAX_MESSAGE_BYTES + 200);
    }
}
