//! What the API server refuses, and why, without a value of the object.

use crate::fault::{Class, Fault};
use crate::redact::short;
use keysluice_plan::reason::{KS641, KS642, KS643, KS645, KS646, Reason};
use serde::Deserialize;
use std::time::Duration;

/// Cause of a 429 for an eviction.
const BUDGET: &str = "DisruptionBudget";
/// Nobody is asked to wait for longer.
const MAX_WAIT_SECONDS: u64 = 3600;

/// An answer other than the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// HTTP status; 0 where no answer came.
    pub(crate) status: u16,
    reason: Reason,
    class: Class,
    /// In the API server's words, or what was wrong with the connection.
    text: String,
    retry_after: Option<Duration>,
    /// Whether the disruption of a pod is what is refused.
    budget: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    kind: String,
    message: String,
    details: Details,
}

#[derive(Deserialize, Default)]
#[serde(default)]
#[serde(rename_all = "camelCase")]
struct Details {
    causes: Vec<Cause>,
    retry_after_seconds: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Cause {
    reason: String,
    field: String,
}

impl Refusal {
    /// No answer.
    pub(super) fn of_fault(fault: Fault) -> Self {
        let Fault { reason, class, message, retry_after, .. } = fault;
        Self { status: 0, reason, class, text: message, retry_after, budget: false }
    }

    /// An answer with this status and body.
    pub(super) fn of_answer(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let told: Status = serde_json::from_slice(body).unwrap_or_default();
        let text = if told.kind == "Status" {
            text_of(status, &told)
        } else {
            "the answer is not from a Kubernetes API server".to_owned()
        };
        let (reason, class) = match status {
            401 => (KS642, Class::Transient),
            // A quota, a policy and a namespace that ends are told as 403 too.
            403 if text.contains("cannot create") || text.contains("cannot patch") => {
                (KS643, Class::Slow)
            }
            403 | 404 | 413 => (KS646, Class::Slow),
            409 => (KS646, Class::Transient),
            422 => (KS645, Class::Slow),
            400..500 if status != 429 => (KS646, Class::Slow),
            _ => (KS641, Class::Transient),
        };
        let text = format!("{status} {text}");
        let mut causes = told.details.causes.iter().map(|cause| cause.reason.as_str());
        let budget = status == 429 && causes.any(|cause| cause == BUDGET);
        let told_wait = Duration::from_secs(told.details.retry_after_seconds.min(MAX_WAIT_SECONDS));
        let told_wait = (!told_wait.is_zero()).then_some(told_wait);
        let retry_after = retry_after.or(told_wait);
        Self { status, reason, class, text, retry_after, budget }
    }

    /// Whether a PodDisruptionBudget refuses the disruption for now.
    pub(crate) fn is_about_budget(&self) -> bool {
        self.budget
    }

    /// Whether an object of that name has another uid than the one meant.
    pub(crate) fn is_about_uid(&self) -> bool {
        self.status == 409 && self.text.contains("UID in precondition")
    }

    /// Whether RBAC gives the ServiceAccount no right.
    pub(crate) fn is_about_right(&self) -> bool {
        self.status == 403
            && (self.text.contains("cannot create") || self.text.contains("cannot patch"))
    }

    /// An answer that is not the object.
    pub(crate) fn not_an_object() -> Self {
        Self::of_answer(0, None, b"")
    }

    /// Whether an admission plug-in refuses an owner (`OwnerReferencesPermissionEnforcement`).
    pub(crate) fn is_about_owner(&self) -> bool {
        self.status == 403 && self.text.contains("ownerRef")
    }

    /// The same with another code and class.
    pub(crate) fn fault_with(self, what: &str, reason: Reason, class: Class) -> Fault {
        Self { reason, class, ..self }.fault(what)
    }

    /// As code and message; `what` is the object.
    pub(crate) fn fault(self, what: &str) -> Fault {
        let message = format_args!("{what}: {}", self.text);
        Fault { retry_after: self.retry_after, ..Fault::new(self.reason, self.class, message) }
    }
}

/// The message of a 422 may quote the whole object, so only its fields are shown.
fn text_of(status: u16, told: &Status) -> String {
    if status != 422 {
        return short(&told.message);
    }
    let causes = told.details.causes.iter().take(4);
    let causes: Vec<String> =
        causes.map(|cause| format!("{} {}", short(&cause.field), short(&cause.reason))).collect();
    if causes.is_empty() { "the object is not valid".to_owned() } else { causes.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault(status: u16, message: &str) -> Fault {
        let body = json!({"kind": "Status", "message": message,
            "details": {"causes": [{"reason": "FieldValueInvalid", "field": "type"}]}});
        Refusal::of_answer(status, None, body.to_string().as_bytes()).fault("Secret \"db\"")
    }

    #[test]
    fn what_the_server_says_becomes_a_code() {
        let right = "secrets \"db\" is forbidden: User \"u\" cannot patch resource \"secrets\"";
        for (status, message, reason, class) in [
            (401, "Unauthorized", KS642, Class::Transient),
            (403, right, KS643, Class::Slow),
            (403, "exceeded quota: q", KS646, Class::Slow),
            (403, "because it is being terminated", KS646, Class::Slow),
            (409, "the object has been modified", KS646, Class::Transient),
            (422, "type: Invalid value: \"c2VjcmV0\"", KS645, Class::Slow),
            (429, "too many requests", KS641, Class::Transient),
            (503, "unavailable", KS641, Class::Transient),
        ] {
            let fault = fault(status, message);
            assert_eq!((fault.reason, fault.class), (reason, class), "{status} {message}");
            assert!(fault.message.starts_with("Secret \"db\": "), "{fault}");
        }
    }

    #[test]
    fn an_invalid_object_is_not_quoted() {
        let text = fault(422, "Invalid value: \"c2VjcmV0\"").to_string();
        assert!(text.contains("422 type FieldValueInvalid") && !text.contains("c2Vj"), "{text}");
        let foreign = Refusal::of_answer(200, None, b"<html>").fault("x");
        assert!(foreign.message.contains("not from a Kubernetes API server"), "{foreign}");
    }
}
