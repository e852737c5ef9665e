//! What went wrong, in the form a user, a log line and the refresh machine take it.

use crate::redact::redact;
use keysluice_plan::reason::Reason;
use std::fmt;
use std::time::Duration;

/// How likely another try helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Soon gone by itself: throttling, 5xx, network.
    Transient,
    /// Somebody has to act, or a change is propagating: 403, 404. Asked again, slowly.
    Slow,
    /// Can never work with this configuration.
    Permanent,
}

/// One failure: code, what failed, how to go on. Never holds a secret's value or a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Code with cause and fix.
    pub reason: Reason,
    /// What failed: vault, object name, path.
    pub message: String,
    /// How to go on.
    pub class: Class,
    /// What the other side asked us to wait.
    pub retry_after: Option<Duration>,
    /// Nobody was asked, because an earlier wait is not over: not one failure more.
    pub waiting: bool,
}

impl Fault {
    /// A fault without Retry-After.
    pub fn new(reason: Reason, class: Class, message: impl fmt::Display) -> Self {
        Self { reason, message: message.to_string(), class, retry_after: None, waiting: false }
    }
}

/// `KS404 secret "db" in https://kv.vault.azure.net/: …; hint: …`
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}; hint: {}", self.reason, redact(&self.message), self.reason.fix)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;
    use keysluice_plan::reason::KS404;

    #[test]
    fn a_fault_reads_as_code_what_and_hint() {
        let fault = Fault::new(
            KS404,
            Class::Slow,
            "secret \"db\" in https://kv.vault.azure.net/: 404 SecretNotFound",
        );
        let text = fault.to_string();
        assert!(
            text.starts_with("KS404 secret \"db\" in https://kv.vault.azure.net/: 404"),
            "{text}"
        );
        assert!(text.contains("; hint: check the name"), "{text}");
    }
}
