//! The token request to Entra (OAuth 2.0 client credentials with a JWT assertion).

use super::answer::{Refused, receive};
use super::assertion_source::AssertionSource;
use super::error::IdentityError;
use super::token::Grant;
use crate::http::Http;

/// What a token request needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenRequest<'a> {
    pub(super) client_id: &'a str,
    pub(super) tenant_id: &'a str,
    pub(super) authority: &'a str,
    pub(super) assertion: &'a AssertionSource,
    pub(super) scope: &'a str,
}

/// One token. After a refusal of an expired assertion it reads the assertion again and tries once
/// more, because the kubelet may just have replaced the file.
pub(super) async fn token(http: &Http, request: TokenRequest<'_>) -> Result<Grant, IdentityError> {
    match exchange(http, request).await {
        Err(IdentityError::Entra { error, .. }) if error.is_expired_assertion() => {
            exchange(http, request).await
        }
        other => other,
    }
}

async fn exchange(http: &Http, request: TokenRequest<'_>) -> Result<Grant, IdentityError> {
    let TokenRequest { client_id, tenant_id, authority, assertion, scope } = request;
    if !authority.starts_with("https://") {
        return Err(IdentityError::Authority { authority: authority.to_owned() });
    }
    let assertion = assertion.read()?;
    let network =
        |failure| IdentityError::Network { endpoint: authority.to_owned(), imds: false, failure };
    let url = format!("{}/{tenant_id}/oauth2/v2.0/token", authority.trim_end_matches('/'));
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("scope", scope),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion.expose()),
    ];
    let answer = receive(http.client()?.post(url).form(&form)).await.map_err(network)?;
    let Refused { retry_after, error, .. } = match answer {
        Ok(grant) => return Ok(grant),
        Err(refused) => refused,
    };
    Err(match error {
        Ok(error) => IdentityError::Entra {
            client_id: client_id.to_owned(),
            tenant_id: tenant_id.to_owned(),
            claims: error.is_about_assertion().then(|| Box::new(assertion.claims())),
            error: Box::new(error),
            retry_after,
        },
        Err(foreign) => IdentityError::Foreign {
            endpoint: authority.to_owned(),
            imds: false,
            foreign,
            retry_after,
        },
    })
}
