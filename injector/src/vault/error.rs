//! Why there is no object.

use super::challenge::Challenge;
use crate::fault::{Class, Fault, FaultKind};
use crate::foreign::{Foreign, may_hold_secret, without_user_info};
use crate::http::{Failure, FailureKind, HttpError};
use keysluice_plan::reason::{
    KS401, KS402, KS403, KS404, KS405, KS406, KS407, KS408, KS409, KS410, KS411, KS412, KS413,
    KS414, KS415, KS417, KS418, Reason,
};
use serde::Deserialize;
use std::time::Duration;

/// Why a vault gave no object; the caller knows which object.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// It answered, but not with the object.
    #[error("{status} {kind}{}", request_id.as_deref().map(named_request).unwrap_or_default())]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it said.
        kind: VaultErrorKind,
        /// For a support request.
        request_id: Option<String>,
        /// What it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// The answer is not from Key Vault: a proxy or another server sent it.
    #[error(
        "{foreign} is not an answer of Key Vault: something between the pod and the vault may \
         answer in its place"
    )]
    Foreign {
        /// What came.
        foreign: Box<Foreign>,
        /// What it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// 401, and a new token did not help or is not to be had.
    #[error("401 {kind} {} for scope \
        {scope}{}", if *renewed { "also with a new token" } else { "with the token" },
        challenge.as_deref().map(wants).unwrap_or_default())]
    Unauthorized {
        /// Whether the token was a new one.
        renewed: bool,
        /// What it said.
        kind: VaultErrorKind,
        /// What the token was for.
        scope: String,
        /// What it wants.
        challenge: Option<Box<Challenge>>,
    },
    /// The token would be for a domain that is not the vault's.
    #[error("the scope {scope:?} is not that of a parent domain of {host}; nothing was sent")]
    ForeignScope {
        /// Scope of the identity.
        scope: String,
        /// The vault.
        host: String,
    },
    /// The challenge names a domain that is not the vault's.
    #[error(
        "the vault asks for a token for {:?}, which is not a parent domain of {host}; the \
         token went to this host: treat it as disclosed",
        without_user_info(resource)
    )]
    ForeignChallenge {
        /// What it asks for.
        resource: String,
        /// The vault.
        host: String,
    },
    /// Not asked: it said to wait.
    #[error("not asked for another {} s, as it demanded", wait.as_secs())]
    Waiting {
        /// The rest of the wait.
        wait: Duration,
    },
    /// No complete answer.
    #[error("{0}")]
    Network(#[from] Failure),
    /// No client.
    #[error(transparent)]
    Http(#[from] HttpError),
}

fn named_request(id: &str) -> String {
    format!(" (x-ms-request-id {id})")
}

fn wants(challenge: &Challenge) -> String {
    let mut text = "; the vault wants".to_owned();
    for (name, value) in
        [("authority", &challenge.authorization), ("resource", &challenge.resource)]
    {
        if let Some(value) = value {
            text.extend([" ", name, " ", &without_user_info(value)]);
        }
    }
    text
}

/// `{"error":{"code","message","innererror":{"code"}}}`, shortened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VaultErrorKind {
    code: String,
    inner: String,
    message: String,
}

/// The codes of a 404 of Key Vault.
const NOT_FOUND: [&str; 3] = ["SecretNotFound", "KeyNotFound", "CertificateNotFound"];

/// The ids of the caller in a message of Key Vault, which gives them in a line of their own.
fn caller(message: &str) -> Option<String> {
    const LONGEST: usize = 100;
    let start = message.find("appid=")?;
    let ids = message[start..].split(";iss=").next()?;
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"=;-".contains(&byte);
    (ids.len() <= LONGEST && ids.bytes().all(is_id)).then(|| crate::redact::short(ids))
}

#[derive(Deserialize, Default)]
struct Envelope {
    #[serde(default)]
    error: Body,
}

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default, alias = "innerError")]
    innererror: Option<Inner>,
}

#[derive(Deserialize, Default)]
struct Inner {
    #[serde(default)]
    code: String,
}

impl VaultErrorKind {
    /// From the body of an answer with this status; `None` where it is not Key Vault's error.
    pub fn parse(status: u16, body: &[u8]) -> Option<Self> {
        let Envelope { error } = serde_json::from_slice(body).ok()?;
        // The service never redirects, and answers what it accepts with 200. A gateway may have
        // errors of this form too: only a code of Key Vault's own says that an object
        // does not exist.
        if status < 400
            || may_hold_secret(body)
            || (status == 404 && !NOT_FOUND.contains(&&*error.code))
        {
            return None;
        }
        let short = crate::redact::short;
        let mut message = short(&error.message);
        if let Some(caller) = caller(&error.message).filter(|caller| !message.contains(caller)) {
            message = format!("{message} Caller: {caller}");
        }
        (!error.code.is_empty()).then(|| Self {
            code: short(&error.code),
            inner: short(&error.innererror.unwrap_or_default().code),
            message,
        })
    }

    fn explained(&self, status: u16) -> (Reason, Class, FaultKind) {
        let (reason, kind) = match (status, self.inner.as_str()) {
            (401, _) => (KS401, FaultKind::Other),
            (403, "AccessDenied" | "ForbiddenByPolicy") => (KS403, FaultKind::Forbidden),
            (403, "ForbiddenByFirewall" | "ForbiddenByConnection") => (KS405, FaultKind::Other),
            (403, inner) if inner.ends_with("Disabled") => (KS406, FaultKind::Disabled),
            (403, _) if self.message.contains("Client address is not authorized") => {
                (KS405, FaultKind::Other)
            }
            (403, _) => (KS402, FaultKind::Forbidden),
            (404, _) => (KS404, FaultKind::NotFound),
            (429, _) => return (KS407, Class::Transient, FaultKind::Throttled),
            (408 | 500.., _) => return (KS408, Class::Transient, FaultKind::Other),
            _ => (KS415, FaultKind::BadRequest),
        };
        (reason, Class::Slow, kind)
    }
}

impl std::fmt::Display for VaultErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.code.is_empty() {
            "(no Key Vault error in the answer)"
        } else {
            &self.code
        })?;
        if !self.inner.is_empty() {
            write!(f, " ({})", self.inner)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

impl VaultError {
    /// As code and message; `object` is `secret "db" in https://kv.vault.azure.net/`.
    pub fn fault(&self, object: &str) -> Fault {
        let (reason, class, kind) = match self {
            Self::Refused { status, kind, .. } => kind.explained(*status),
            // Without Key Vault's words a status is about the way to the vault, not about roles and
            // names.
            Self::Foreign { foreign, .. } => match foreign.status() {
                429 => (KS407, Class::Transient, FaultKind::Throttled),
                _ if foreign.is_unavailable() => (KS408, Class::Transient, FaultKind::Other),
                _ => (KS413, Class::Transient, FaultKind::Other),
            },
            Self::Unauthorized { .. } => (KS401, Class::Slow, FaultKind::Other),
            Self::ForeignScope { .. } | Self::ForeignChallenge { .. } => {
                (KS414, Class::Permanent, FaultKind::Other)
            }
            Self::Waiting { .. } => (KS407, Class::Transient, FaultKind::Throttled),
            Self::Network(failure) => match failure.kind {
                FailureKind::Dns => (KS409, Class::Transient, FaultKind::Other),
                FailureKind::Tls => (KS410, Class::Transient, FaultKind::Other),
                FailureKind::Timeout => (KS412, Class::Transient, FaultKind::Other),
                FailureKind::Connect => (KS411, Class::Transient, FaultKind::Other),
                FailureKind::Proxy => (KS417, Class::Transient, FaultKind::Other),
                FailureKind::ProxyRefused => (KS418, Class::Transient, FaultKind::Other),
                FailureKind::Body => (KS413, Class::Transient, FaultKind::Other),
            },
            Self::Http(error) => return error.fault(),
        };
        let retry_after = match self {
            Self::Refused { retry_after, .. } | Self::Foreign { retry_after, .. } => *retry_after,
            Self::Waiting { wait } => Some(*wait),
            _ => None,
        };
        let waiting = matches!(self, Self::Waiting { .. });
        let message = format!("{object}: {self}");
        Fault { reason, message, kind, class, retry_after, waiting }
    }
}

#[cfg(test)]
mod tests;
