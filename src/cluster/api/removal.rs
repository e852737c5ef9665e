//! Deleting an object for good: again and again, until it is gone or the time is up.

use super::client::{ApiError, Client};
use super::is_name;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

const PAUSE: Duration = Duration::from_millis(500);

/// What an uninstall removes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Switches a policy on.
    PolicyBinding,
    /// Has the API server call the webhook.
    WebhookConfiguration,
}

/// Why it is still there.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// The name could lead to another object.
    #[error("KS724 {name:?} is no name of a {kind}")]
    Name {
        /// Of what.
        kind: Kind,
        /// The name.
        name: String,
    },
    /// The time was up.
    #[error("KS724 {kind} {name} could not be deleted: {source}; hint: kubectl delete {} {name}", kind.resource())]
    TimeUp {
        /// What.
        kind: Kind,
        /// Its name.
        name: String,
        /// What the last attempt met.
        #[source]
        source: ApiError,
    },
}

/// Deletes the object and says whether there was one.
///
/// Whatever goes wrong is tried again until `deadline`: also a refusal, as the right to delete may have been granted this instant.
pub async fn delete_until(client: &Client, kind: Kind, name: &str, deadline: Instant) -> Result<bool, RemovalError> {
    if !is_name(name) {
        return Err(RemovalError::Name { kind, name: name.to_owned() });
    }
    let path = format!("/apis/admissionregistration.k8s.io/v1/{}/{name}", kind.resource());
    loop {
        let attempt = tokio::time::timeout_at(deadline, client.delete(&path)).await;
        let error = match attempt {
            Ok(Ok(())) => return Ok(true),
            Ok(Err(error)) if error.status() == Some(404) => return Ok(false),
            Ok(Err(error)) => error,
            Err(_) => ApiError::Timeout { waited: PAUSE },
        };
        let next = Instant::now() + PAUSE;
        if next >= deadline {
            return Err(RemovalError::TimeUp { kind, name: name.to_owned(), source: error });
        }
        tokio::time::sleep_until(next).await;
    }
}

impl Kind {
    fn resource(self) -> &'static str {
        match self {
            Self::PolicyBinding => "validatingadmissionpolicybindings",
            Self::WebhookConfiguration => "mutatingwebhookconfigurations",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PolicyBinding => "ValidatingAdmissionPolicyBinding",
            Self::WebhookConfiguration => "MutatingWebhookConfiguration",
        })
    }
}
