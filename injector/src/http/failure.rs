//! Why no complete answer came, told apart by looking through the chain of causes.

use super::resolver::ResolveError;
use crate::redact::short;
use std::error::Error;

/// The kinds a user treats differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The name does not resolve.
    Dns,
    /// The handshake failed.
    Tls,
    /// Nothing came in time.
    Timeout,
    /// The connection could not be made or broke before an answer.
    Connect,
    /// The proxy cannot be reached, or breaks the connection.
    Proxy,
    /// The proxy does not connect.
    ProxyRefused,
    /// The answer broke off, or is too long.
    Body,
}

/// A request without a complete answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// What kind.
    pub kind: FailureKind,
    detail: String,
    /// Whether there was no connection yet.
    connecting: bool,
}

impl Failure {
    /// Of sending a request.
    pub fn of_request(error: &reqwest::Error) -> Self {
        let (kind, detail) = cause(error);
        let kind = kind.unwrap_or(FailureKind::Connect);
        Self { kind, detail, connecting: error.is_connect() }
    }

    /// Of reading the answer.
    pub fn of_body(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            let detail = "timed out in the middle of the answer".to_owned();
            return Self::answered(FailureKind::Timeout, detail);
        }
        let detail = format!("the answer broke off: {}", cause(error).1);
        Self::answered(FailureKind::Body, detail)
    }

    /// Of a request through a proxy, which is then what could not be reached.
    pub(super) fn through(self, proxy: &str) -> Self {
        let refusal = match &*self.detail {
            "tunnel error: proxy authorization required" => Some("it answers 407"),
            "tunnel error: unsuccessful" => Some("it answers CONNECT with an error"),
            _ => None,
        };
        match (refusal, self.kind) {
            (Some(refusal), _) => {
                let detail = format!("proxy {proxy} refuses to connect: {refusal}");
                Self { kind: FailureKind::ProxyRefused, detail, ..self }
            }
            (None, FailureKind::Connect | FailureKind::Dns) => {
                let detail = format!("proxy {proxy}: {}", self.detail);
                Self { kind: FailureKind::Proxy, detail, ..self }
            }
            (None, FailureKind::Timeout) if self.connecting => {
                let detail = format!("proxy {proxy}: no connection in time");
                Self { kind: FailureKind::Proxy, detail, ..self }
            }
            (None, kind) => {
                Self { kind, detail: format!("{} (proxy {proxy})", self.detail), ..self }
            }
        }
    }

    fn answered(kind: FailureKind, detail: String) -> Self {
        Self { kind, detail, connecting: false }
    }

    /// Much was sent, and no head of an answer.
    pub(super) fn without_head() -> Self {
        let detail = "what is sent before the answer has no end".to_owned();
        Self::answered(FailureKind::Timeout, detail)
    }

    /// Longer than any honest answer.
    pub fn too_long(limit_bytes: usize) -> Self {
        let detail = format!("the answer is longer than {} KiB", limit_bytes / 1024);
        Self::answered(FailureKind::Body, detail)
    }
}

/// The innermost text (the outer ones repeat the URL), and the kind where a cause tells it.
fn cause(error: &reqwest::Error) -> (Option<FailureKind>, String) {
    let mut kind = error.is_timeout().then_some(FailureKind::Timeout);
    let mut text = String::new();
    let mut next: Option<&(dyn Error + 'static)> = error.source();
    while let Some(current) = next {
        if current.is::<ResolveError>() {
            return (Some(FailureKind::Dns), current.to_string());
        }
        if current.is::<rustls::Error>() {
            return (Some(FailureKind::Tls), short(&current.to_string()));
        }
        text = current.to_string();
        // An io::Error hides what it wraps from `source`: that gives the wrapped error's own
        // source.
        let inner = current.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        next = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| current.source());
    }
    if kind.is_none() && text.contains("timed out") {
        kind = Some(FailureKind::Timeout);
    }
    // Other people's words: a certificate's names may be thousands.
    let text = short(&text);
    (kind, if text.is_empty() { "the request failed".to_owned() } else { text })
}
