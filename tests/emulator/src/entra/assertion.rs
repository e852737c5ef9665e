//! The check of a client assertion, as strict as Entra's: a federated token, or one that the client
//! signed with its certificate.

use serde_json::Value;

use super::error::TokenError;
use crate::directory::{App, Directory};
use crate::moment;
use crate::signing::{signature_is_valid, unverified_claims};

/// Of tokens for AKS' token proxy.
pub(super) const IDENTITY_BINDING_AUDIENCE: &str = "api://AKSIdentityBinding";

/// Clocks may differ by this much.
const SKEW_SECONDS: i64 = 300;

/// Whether `assertion` proves to be `app`, for the token endpoint that was asked (and whether by
/// way of the token proxy).
pub(super) fn verify(
    directory: &Directory,
    app: &App,
    assertion: &str,
    (endpoint, by_proxy): (&str, bool),
    now: i64,
) -> Result<(), TokenError> {
    match unverified_claims(assertion) {
        Some(claims) if text(&claims, "iss").eq_ignore_ascii_case(&app.client_id) => {
            own(app, assertion, &claims, endpoint)?;
            within_time(&claims, now)
        }
        claims => {
            if app.federated_credentials.is_empty() {
                return Err(TokenError::NoFederatedCredential(app.client_id.clone()));
            }
            let claims = claims.ok_or(TokenError::Malformed)?;
            federated(directory, app, assertion, &claims, by_proxy)?;
            within_time(&claims, now)
        }
    }
}

/// A credential must match issuer, subject (case-sensitively) and audience exactly, and the
/// issuer's keys verify the RS256 signature.
fn federated(
    directory: &Directory,
    app: &App,
    assertion: &str,
    claims: &Value,
    by_proxy: bool,
) -> Result<(), TokenError> {
    let (issuer, subject) = (text(claims, "iss"), text(claims, "sub"));
    let of_issuer =
        || app.federated_credentials.iter().filter(|credential| credential.issuer == issuer);
    if of_issuer().next().is_none() {
        return Err(TokenError::Issuer(issuer.to_owned()));
    }
    let of_subject = || of_issuer().filter(|credential| credential.subject == subject);
    if of_subject().next().is_none() {
        return Err(
            if of_issuer().any(|credential| credential.subject.eq_ignore_ascii_case(subject)) {
                TokenError::SubjectCase(subject.to_owned())
            } else {
                TokenError::Subject(subject.to_owned())
            },
        );
    }
    let audiences = audiences(claims);
    // The token proxy brings a token of its own for what it was shown; Entra knows no other way
    // from that audience.
    let counts = |audience: &str| by_proxy == (audience == IDENTITY_BINDING_AUDIENCE);
    if !of_subject().any(|credential| {
        counts(&credential.audience) && audiences.contains(&credential.audience.as_str())
    }) {
        return Err(TokenError::Audience(audiences.join(",")));
    }
    let keys = directory
        .issuer_keys(issuer)
        .ok_or(TokenError::Signature("The keys of the issuer are not known."))?;
    if !signature_is_valid(assertion, keys) {
        return Err(TokenError::Signature(
            "The key used to sign the assertion is not among the issuer's keys.",
        ));
    }
    Ok(())
}

/// The client is issuer and subject, the token endpoint is the audience, and a registered
/// certificate's key signed.
fn own(app: &App, assertion: &str, claims: &Value, endpoint: &str) -> Result<(), TokenError> {
    if !app.client_certificates.iter().any(|certificate| certificate.signed(assertion)) {
        return Err(TokenError::Signature("[Reason - The key was not found.]"));
    }
    if !text(claims, "sub").eq_ignore_ascii_case(&app.client_id) {
        return Err(TokenError::Malformed);
    }
    if !audiences(claims).contains(&endpoint) {
        return Err(TokenError::AssertionAudience);
    }
    Ok(())
}

fn within_time(claims: &Value, now: i64) -> Result<(), TokenError> {
    let expires = claims["exp"].as_i64().unwrap_or(0);
    let not_before = claims["nbf"].as_i64().unwrap_or(i64::MIN);
    // An expired assertion gets no grace: Entra's own is not documented, and a client must not
    // count on it.
    if now >= expires || now.saturating_add(SKEW_SECONDS) < not_before {
        return Err(TokenError::Time {
            now: moment::rfc3339(now),
            not_before: moment::rfc3339(not_before),
            expires: moment::rfc3339(expires),
        });
    }
    Ok(())
}

fn text<'a>(claims: &'a Value, name: &str) -> &'a str {
    claims[name].as_str().unwrap_or_default()
}

/// `aud` is a string or a list of strings.
fn audiences(claims: &Value) -> Vec<&str> {
    match &claims["aud"] {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        Value::String(one) => vec![one],
        _ => Vec::new(),
    }
}
