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
    /// A person has to act, or a change is propagating: 403, 404. Asked again, slowly.
    Slow,
    /// Can never work with this configuration.
    Permanent,
}

/// What went wrong, where the sidecar goes on differently. Codes are for people: no step depends on
/// their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FaultKind {
    /// Nothing more than the class says.
    #[default]
    Other,
    /// The command line names no Plan, or two.
    Usage,
    /// There is no access token, so no vault was asked.
    NoToken,
    /// The vault has no such object.
    NotFound,
    /// The object's version is disabled.
    Disabled,
    /// The identity lacks the right.
    Forbidden,
    /// The vault does not take the request.
    BadRequest,
    /// The vault throttles.
    Throttled,
    /// The vault's list is not one of Key Vault.
    BadList,
    /// The secret does not hold the part that is asked for.
    NoPart,
    /// A PodDisruptionBudget allows no eviction now.
    Budget,
    /// The files of one certificate would be of different versions.
    TwoVersions,
}

/// One failure: code, what failed, how to go on. Never holds a secret's value or a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Code with cause and fix.
    pub reason: Reason,
    /// What failed: vault, object name, path.
    pub message: String,
    /// What went wrong, for the sidecar itself.
    pub kind: FaultKind,
    /// How to go on.
    pub class: Class,
    /// What the other side asked us to wait.
    pub retry_after: Option<Duration>,
    /// No request was sent, because an earlier wait is not over: not one more failure.
    pub waiting: bool,
}

impl Fault {
    /// A fault without Retry-After.
    pub fn new(reason: Reason, class: Class, message: impl fmt::Display) -> Self {
        let (kind, message) = (FaultKind::Other, message.to_string());
        Self { reason, message, kind, class, retry_after: None, waiting: false }
    }

    /// Whether a reader learns nothing new from the other one: it has the same code.
    pub fn reads_like(&self, other: &Self) -> bool {
        self.reason == other.reason
    }

    /// The same fault with this kind.
    #[must_use]
    pub fn of_kind(self, kind: FaultKind) -> Self {
        Self { kind, ..self }
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
    fn no_step_depends_on_the_number_of_a_code() {
        // Only what is news to a reader is told by comparing codes, and that here.
        let mut directories = vec![std::path::PathBuf::from("src")];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else if !path.ends_with("fault.rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let production = text.split("#[cfg(test)]\nmod ").next().unwrap();
                    for compared in ["reason == ", "reason != ", "(&fault.reason)", "code.starts"] {
                        let is_test = path.to_string_lossy().ends_with("tests.rs");
                        assert!(is_test || !production.contains(compared), "{path:?}: {compared}");
                    }
                }
            }
        }
    }

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
