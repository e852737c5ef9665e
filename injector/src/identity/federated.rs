//! The projected token, exchanged at Entra (OAuth 2.0 client credentials with a JWT assertion).

use super::assertion::Assertion;
use super::entra_error::EntraError;
use super::error::IdentityError;
use super::token::{self, Grant};
use crate::http::{self, Http};
use crate::throttle::retry_after;
use secrecy::ExposeSecret;
use std::path::Path;

/// What a token request needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) client_id: &'a str,
    pub(super) tenant_id: &'a str,
    pub(super) authority: &'a str,
    pub(super) token_file: &'a Path,
    pub(super) scope: &'a str,
}

/// One token; an expired assertion is read again and tried once more, because the kubelet may just have replaced it.
pub(super) async fn token(http: &Http, request: &Request<'_>) -> Result<Grant, IdentityError> {
    match exchange(http, request).await {
        Err(IdentityError::Entra { error, .. }) if error.is_expired_assertion() => exchange(http, request).await,
        other => other,
    }
}

async fn exchange(http: &Http, request: &Request<'_>) -> Result<Grant, IdentityError> {
    let Request { client_id, tenant_id, authority, token_file, scope } = *request;
    if !authority.starts_with("https://") {
        return Err(IdentityError::Authority { authority: authority.to_owned() });
    }
    let assertion = Assertion::read(token_file)?;
    crate::redact::hold(assertion.expose());
    let network = |failure| IdentityError::Network { endpoint: authority.to_owned(), imds: false, failure };
    let url = format!("{}/{tenant_id}/oauth2/v2.0/token", authority.trim_end_matches('/'));
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("scope", scope),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion.expose()),
    ];
    let response = http::send(http.client()?.post(url).form(&form)).await.map_err(network)?;
    let (status, wait) = (response.status().as_u16(), retry_after(response.headers()));
    let body = http::body(response, http::BODY_LIMIT_BYTES).await.map_err(network)?;
    if status == 200 {
        return token::parse(body.expose_secret())
            .ok_or_else(|| IdentityError::Answer { endpoint: authority.to_owned() });
    }
    let error = Box::new(EntraError::parse(status, body.expose_secret()));
    let claims = error.is_about_assertion().then(|| Box::new(assertion.claims()));
    Err(IdentityError::Entra {
        client_id: client_id.to_owned(),
        tenant_id: tenant_id.to_owned(),
        error,
        claims,
        retry_after: wait,
    })
}
