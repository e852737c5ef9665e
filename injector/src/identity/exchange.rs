//! The token request to Entra (OAuth 2.0 client credentials), with a JWT assertion or a secret.

#![allow(clippy::disallowed_methods, reason = "this room dates the client's own assertions")]

use super::answer::{Refused, receive};
use super::assertion::Assertion;
use super::assertion_source::AssertionSource;
use super::error::{IdentityError, ProofKind};
use super::principal::{Principal, PrincipalError, Proof};
use super::token::Grant;
use super::token_proxy;
use crate::calls::Call;
use crate::http::Http;
use keysluice_plan::TokenProxy;
use secrecy::{ExposeSecret, SecretBox};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a token request needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenRequest<'a> {
    pub(super) client: Client<'a>,
    pub(super) tenant_id: &'a str,
    pub(super) authority: &'a str,
    pub(super) proxy: Option<&'a TokenProxy>,
    pub(super) scope: &'a str,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Client<'a> {
    Federated {
        client_id: &'a str,
        assertion: &'a AssertionSource,
    },
    /// The mounted Secret.
    Principal(&'a Path),
}

/// What one request sends.
enum Sent {
    Assertion(Assertion),
    Secret(SecretBox<String>),
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
    let TokenRequest { client, tenant_id, authority, proxy, scope } = request;
    // What stands before the host of a URL is a secret, and messages show the authority.
    if !authority.starts_with("https://") || authority.contains('@') {
        return Err(IdentityError::Authority { authority: authority.to_owned() });
    }
    let url = token_url(authority, tenant_id);
    let (client_id, sent, proof) = prove(client, &url).await?;
    let mut form =
        vec![("grant_type", "client_credentials"), ("client_id", &*client_id), ("scope", scope)];
    match &sent {
        Sent::Assertion(assertion) => form.extend([
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion.expose()),
        ]),
        Sent::Secret(secret) => form.push(("client_secret", secret.expose_secret().as_str())),
    }
    let post = match proxy {
        Some(proxy) => token_proxy::post(http, proxy, &url)?,
        None => http.client()?.post(&url),
    };
    let answer = receive(Call::Entra, post.form(&form)).await.map_err(|failure| {
        if let Some(proxy) = proxy {
            return IdentityError::TokenProxy { url: proxy.url.clone(), failure };
        }
        let failure = http.explained(&url, failure);
        IdentityError::Network { endpoint: authority.to_owned(), imds: false, failure }
    })?;
    let Refused { retry_after, error, status } = match answer {
        Ok(grant) => return Ok(grant),
        Err(refused) => refused,
    };
    Err(match error {
        Ok(error) => IdentityError::Entra {
            tenant_id: tenant_id.to_owned(),
            claims: match &sent {
                Sent::Assertion(assertion) if error.is_about_assertion() => {
                    Some(Box::new(assertion.claims()))
                }
                _ => None,
            },
            client_id,
            proof,
            error: Box::new(error),
            retry_after,
        },
        Err(foreign) if proxy.is_some() && matches!(status, 401 | 403) => {
            IdentityError::Unbound { client_id, foreign }
        }
        Err(foreign) => IdentityError::Foreign {
            endpoint: proxy.map_or(authority, |proxy| &proxy.url).to_owned(),
            imds: false,
            foreign,
            retry_after,
        },
    })
}

/// The token endpoint. For AD FS of an Azure Stack the tenant is `adfs`, which its authority may
/// have already.
fn token_url(authority: &str, tenant_id: &str) -> String {
    let authority = authority.trim_end_matches('/');
    if tenant_id.eq_ignore_ascii_case("adfs") {
        return format!("{}/adfs/oauth2/token", authority.trim_end_matches("/adfs"));
    }
    format!("{authority}/{tenant_id}/oauth2/v2.0/token")
}

/// Client id and proof, as they are now: the kubelet replaces the files of both kinds.
async fn prove(client: Client<'_>, url: &str) -> Result<(String, Sent, ProofKind), IdentityError> {
    let directory = match client {
        Client::Federated { client_id, assertion } => {
            let sent = Sent::Assertion(assertion.read()?);
            return Ok((client_id.to_owned(), sent, ProofKind::Federated));
        }
        Client::Principal(directory) => directory,
    };
    // The key of a certificate may take a second to decrypt: beside the one thread.
    let (of, url) = (directory.to_owned(), url.to_owned());
    let proved = tokio::task::spawn_blocking(move || prove_principal(&of, &url)).await;
    proved.unwrap_or_else(|error| {
        let (path, error) = (directory.to_owned(), std::io::Error::other(error));
        Err(PrincipalError::Read { path, error }.into())
    })
}

fn prove_principal(
    directory: &Path,
    url: &str,
) -> Result<(String, Sent, ProofKind), IdentityError> {
    let Principal { client_id, proof } = Principal::read(directory)?;
    match proof {
        Proof::Secret(secret) => Ok((client_id, Sent::Secret(secret), ProofKind::Secret)),
        Proof::Certificate(certificate) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let assertion = certificate.assertion(&client_id, url, now).map_err(|error| {
                let (key, directory) = ("the certificate", directory.to_owned());
                PrincipalError::Certificate { key, directory, error }
            })?;
            crate::redact::hold(assertion.expose());
            Ok((client_id, Sent::Assertion(assertion), ProofKind::Certificate))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::token_url;

    #[test]
    fn the_token_endpoint_is_the_tenants_or_that_of_ad_fs() {
        for (authority, tenant, expected) in [
            ("https://login.x/", "t", "https://login.x/t/oauth2/v2.0/token"),
            ("https://adfs.x/adfs/", "adfs", "https://adfs.x/adfs/oauth2/token"),
            ("https://adfs.x", "ADFS", "https://adfs.x/adfs/oauth2/token"),
        ] {
            assert_eq!(token_url(authority, tenant), expected);
        }
    }
}
