//! The answer of a token endpoint, Entra or IMDS: a token, or why there is none.

use super::entra_error::EntraError;
use super::token::{self, Grant};
use crate::calls::Call;
use crate::foreign::{Foreign, Head};
use crate::http::{self, Failure};
use crate::throttle::retry_after;
use reqwest::RequestBuilder;
use secrecy::ExposeSecret;
use std::time::Duration;

/// An answer without a token.
pub(super) struct Refused {
    /// HTTP status.
    pub(super) status: u16,
    /// From `Retry-After`.
    pub(super) retry_after: Option<Duration>,
    /// The endpoint's error (IMDS has the fields of Entra's), or the answer of something that is
    /// neither Entra nor IMDS.
    pub(super) error: Result<EntraError, Box<Foreign>>,
}

/// Sends a token request and reads the answer, of at most [`http::BODY_LIMIT_BYTES`].
///
/// # Errors
/// [`Failure`] where no whole answer arrived.
pub(super) async fn receive(
    call: Call,
    request: RequestBuilder,
) -> Result<Result<Grant, Refused>, Failure> {
    let response = http::send(call, request).await?;
    let (status, wait) = (response.status().as_u16(), retry_after(response.headers()));
    let head = Head::of(&response);
    let body = http::body(response, http::BODY_LIMIT_BYTES).await?;
    let body = body.expose_secret();
    if let Some(grant) = token::parse(body).filter(|_| status == 200) {
        return Ok(Ok(grant));
    }
    let error = EntraError::parse(status, body).ok_or_else(|| Box::new(head.with(body)));
    Ok(Err(Refused { status, retry_after: wait, error }))
}
