//! The answers: their status, and the bodies that Azure has for them.

use super::request::{Protocol, Refused};
use crate::clock::Time;
use crate::fault::{Class, Fault};
use crate::identity::{AccessToken, Times};
use serde::Serialize;
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// `Retry-After` where Entra gave none: as long as a failure is kept.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// An answer without its head. Its body may hold a token.
pub(super) struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    body: Zeroizing<Vec<u8>>,
}

/// Without the body.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// The same moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) since_boot: Time,
    /// Seconds since 1970.
    pub(super) unix: u64,
}

/// Fields of both protocols: those of App Service are strings too.
#[derive(Serialize)]
struct TokenBody<'a> {
    access_token: &'a str,
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<&'a str>,
    expires_on: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ext_expires_in: Option<&'a str>,
    not_before: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    resource: &'a str,
    token_type: &'a str,
}

#[derive(Serialize)]
struct ImdsError<'a> {
    error: &'a str,
    error_description: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AppServiceError<'a> {
    status_code: u16,
    message: &'a str,
}

impl Answer {
    /// A token of this client id for this resource.
    pub(super) fn of_token(
        protocol: Protocol,
        client_id: &str,
        resource: &str,
        token: &AccessToken,
        now: Moment,
    ) -> Self {
        let Times { granted, expiry, .. } = token.times();
        let rest = expiry.saturating_sub(now.since_boot).as_secs();
        let age = now.since_boot.saturating_sub(granted).as_secs();
        let expires_in = rest.to_string();
        let is_imds = protocol == Protocol::Imds;
        let body = TokenBody {
            access_token: token.expose(),
            client_id,
            expires_in: is_imds.then_some(&*expires_in),
            expires_on: &(now.unix + rest).to_string(),
            ext_expires_in: is_imds.then_some(&*expires_in),
            not_before: &now.unix.saturating_sub(age).to_string(),
            refresh_token: is_imds.then_some(""),
            resource,
            token_type: "Bearer",
        };
        // Large enough from the start: a buffer that grows leaves the token behind.
        let length = token.expose().len() + client_id.len() + 2 * resource.len() + 512;
        Self::new(200, None, length, &body)
    }

    /// The pod has no such identity. Azure's words, which tools look for.
    pub(super) fn without_identity(protocol: Protocol, is_named: bool) -> Self {
        let text = match (protocol, is_named) {
            (Protocol::Imds, true) => "Identity not found",
            (Protocol::Imds, false) => {
                "Multiple user assigned identities exist, please specify the clientId / resourceId \
                 of the identity in the token request"
            }
            (Protocol::AppService, true) => {
                "No User Assigned or Delegated Managed Identity found for specified \
                 ClientId/ResourceId/PrincipalId."
            }
            (Protocol::AppService, false) => "Unable to load the proper Managed Identity.",
        };
        Self::error(Some(protocol), 400, "invalid_request", text, None)
    }

    /// There is no token now. Clients repeat what is answered with 429 and 503, and nothing else.
    pub(super) fn of_fault(protocol: Protocol, fault: &Fault) -> Self {
        let (status, error) = match (fault.class, fault.retry_after) {
            (Class::Transient, Some(_)) => (429, "temporarily_unavailable"),
            (Class::Transient, None) => (503, "temporarily_unavailable"),
            (Class::Slow | Class::Permanent, _) => (400, "invalid_request"),
        };
        let wait = (status != 400).then(|| fault.retry_after.unwrap_or(RETRY_AFTER));
        Self::error(Some(protocol), status, error, &fault.to_string(), wait)
    }

    /// The request itself is refused.
    pub(super) fn of_refused(protocol: Option<Protocol>, refused: Refused) -> Self {
        let (status, error, text) = match refused {
            Refused::Malformed(problem) => (400, "invalid_request", problem.to_owned()),
            Refused::HeadSize => {
                (431, "invalid_request", "the head of the request has more than 8 KiB".to_owned())
            }
            Refused::HeadTime => {
                (408, "invalid_request", "the request is not complete within 5 s".to_owned())
            }
            Refused::Path => (
                404,
                "not_found",
                "the endpoint serves /msi/token and /metadata/identity/oauth2/token".to_owned(),
            ),
            Refused::Method => (405, "invalid_request", "the method is not GET".to_owned()),
            Refused::Body => (400, "invalid_request", "the request has a body".to_owned()),
            Refused::Host => (
                400,
                "invalid_request",
                "the header Host is not an address or localhost".to_owned(),
            ),
            Refused::Forwarded => (
                400,
                "bad_request_102",
                "the request has the header X-Forwarded-For: it came through a proxy".to_owned(),
            ),
            Refused::Metadata => {
                (400, "bad_request_102", "Required metadata header not specified".to_owned())
            }
            Refused::Header => (
                401,
                "unauthorized",
                "the header X-IDENTITY-HEADER is not the value of IDENTITY_HEADER".to_owned(),
            ),
            Refused::Version(oldest) => {
                (400, "invalid_request", format!("api-version is not {oldest} or a later date"))
            }
            Refused::Twice(name) => {
                (400, "invalid_request", format!("{name} is in the query twice"))
            }
            Refused::Identities => (
                400,
                "invalid_request",
                "the query names an identity by more than one of client_id, object_id and \
                 mi_res_id"
                    .to_owned(),
            ),
            Refused::NoResource => {
                (400, "invalid_request", "Required query variable 'resource' is missing".to_owned())
            }
            Refused::Resource => (
                400,
                "invalid_resource",
                "resource is not one URL or application id of at most 1024 characters".to_owned(),
            ),
        };
        Self::error(protocol, status, error, &text, None)
    }

    fn error(
        protocol: Option<Protocol>,
        status: u16,
        error: &str,
        text: &str,
        retry_after: Option<Duration>,
    ) -> Self {
        let length = 2 * text.len() + 128;
        if protocol == Some(Protocol::AppService) {
            let body = AppServiceError { status_code: status, message: text };
            return Self::new(status, retry_after, length, &body);
        }
        let body = ImdsError { error, error_description: text };
        Self::new(status, retry_after, length, &body)
    }

    fn new(
        status: u16,
        retry_after: Option<Duration>,
        length: usize,
        body: &impl Serialize,
    ) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        // Strings and numbers are always written.
        let _ = serde_json::to_writer(&mut *bytes, body);
        Self { status, retry_after, body: bytes }
    }

    /// The whole answer.
    pub(super) fn into_bytes(self, closes: bool) -> Zeroizing<Vec<u8>> {
        let Self { status, retry_after, body } = self;
        let mut head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: application/json; charset=utf-8\r\n\
             Content-Length: {}\r\nCache-Control: no-store\r\n",
            phrase(status),
            body.len()
        );
        if let Some(wait) = retry_after {
            // A rest of a second is a second.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            head.push_str(&format!("Retry-After: {seconds}\r\n"));
        }
        if status == 405 {
            head.push_str("Allow: GET\r\n");
        }
        head.push_str(if closes { "Connection: close\r\n\r\n" } else { "\r\n" });
        let mut bytes = Zeroizing::new(Vec::with_capacity(head.len() + body.len()));
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Bad Request",
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
