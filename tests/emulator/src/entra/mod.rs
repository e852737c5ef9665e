//! Entra's token endpoint, `POST /{tenant}/oauth2/v2.0/token`, and the tenant's discovery document.

mod assertion;
mod error;

use http::{HeaderName, Method, StatusCode, header};
use serde_json::json;

use self::error::TokenError;
pub(crate) use self::error::body as error_body;
use crate::call::Call;
use crate::directory::{App, Directory};
use crate::random;
use crate::reply::Reply;
use crate::world::World;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Answers a token request of `tenant`.
pub(crate) fn token(world: &World, tenant: &str, call: &Call, now: i64) -> Reply {
    if call.is_for_token_proxy() && !is_bound(&world.directory, tenant, call) {
        return Reply::json(
            StatusCode::FORBIDDEN,
            &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                "reason": "Forbidden", "code": 403,
                "message": "the identity is not bound to this cluster"}),
        );
    }
    let reply = match issue(&world.directory, tenant, call, now) {
        Ok((app, resource)) => {
            let lifetime = world.token_lifetime_seconds(app);
            let token = app.access_token(&resource, now, lifetime, &world.keys.entra);
            Reply::json(
                StatusCode::OK,
                &json!({
                    "token_type": "Bearer",
                    "expires_in": lifetime,
                    "ext_expires_in": lifetime,
                    "access_token": token,
                }),
            )
        }
        Err(error) => error.reply(now),
    };
    with_headers(reply)
}

/// Answers `/{tenant}/v2.0/.well-known/openid-configuration`. The endpoints lie at the host that
/// was asked: MSAL compares it with the authority.
pub(crate) fn discovery(world: &World, tenant: &str, call: &Call, now: i64) -> Reply {
    if !world.directory.has_tenant(tenant) {
        return with_headers(TokenError::UnknownTenant(tenant.to_owned()).reply(now));
    }
    let base = format!("https://{}/{tenant}", call.authority);
    with_headers(Reply::json(
        StatusCode::OK,
        &json!({
            "issuer": format!("{base}/v2.0"),
            "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
            "token_endpoint": format!("{base}/oauth2/v2.0/token"),
            "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
            "end_session_endpoint": format!("{base}/oauth2/v2.0/logout"),
            "jwks_uri": format!("{base}/discovery/v2.0/keys"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt",
                "client_secret_basic"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
        }),
    ))
}

/// Answers `/common/discovery/instance`, which MSAL asks about an authority it does not know.
pub(crate) fn instance(call: &Call) -> Reply {
    let tenant = call
        .parameter("authorization_endpoint")
        .and_then(|url| url.strip_prefix("https://")?.split('/').nth(1))
        .unwrap_or("common");
    with_headers(Reply::json(
        StatusCode::OK,
        &json!({
            "tenant_discovery_endpoint":
                format!("https://{}/{tenant}/v2.0/.well-known/openid-configuration",
                    call.authority),
            "api-version": "1.1",
            "metadata": [{
                "preferred_network": call.authority,
                "preferred_cache": call.authority,
                "aliases": [call.authority],
            }],
        }),
    ))
}

/// The keys that verify access tokens.
pub(crate) fn keys(world: &World) -> Reply {
    Reply::json(StatusCode::OK, &world.keys.entra.jwks())
}

/// Checks in Entra's order: request, tenant, scope, application, credential. Unknown fields
/// (telemetry, `claims`) are let through.
fn issue<'a>(
    directory: &'a Directory,
    tenant: &str,
    call: &Call,
    now: i64,
) -> Result<(&'a App, String), TokenError> {
    if call.method != Method::POST {
        return Err(TokenError::Method(call.method.to_string()));
    }
    if !directory.has_tenant(tenant) {
        return Err(TokenError::UnknownTenant(tenant.to_owned()));
    }
    let form = call.form();
    let field = |name: &'static str| {
        form.iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    };
    let required = |name| field(name).ok_or(TokenError::MissingParameter(name));

    match required("grant_type")? {
        "client_credentials" => {}
        other => return Err(TokenError::GrantType(other.to_owned())),
    }
    let client_id = required("client_id")?;
    let resource = resource(required("scope")?)?;
    let app = directory.app(tenant, client_id).ok_or_else(|| TokenError::UnknownApplication {
        client_id: client_id.to_owned(),
        tenant: tenant.to_owned(),
    })?;

    if let Some(assertion) = field("client_assertion") {
        match required("client_assertion_type")? {
            JWT_BEARER => {}
            other => return Err(TokenError::AssertionType(other.to_owned())),
        }
        // Most SDKs send the file as it is, with a trailing newline if it has one.
        let endpoint = format!("https://{}/{tenant}/oauth2/v2.0/token", call.authority);
        let asked = (&*endpoint, call.is_for_token_proxy());
        assertion::verify(directory, app, assertion.trim(), asked, now)?;
    } else {
        let secret = field("client_secret").ok_or(TokenError::NoCredential)?;
        if app.client_secret.as_ref().is_none_or(|expected| expected.expose() != secret) {
            return Err(TokenError::WrongSecret(app.client_id.clone()));
        }
    }
    Ok((app, resource))
}

/// Whether the client of the request has a credential for the token proxy.
fn is_bound(directory: &Directory, tenant: &str, call: &Call) -> bool {
    let form = call.form();
    let client_id = form.iter().find(|(key, _)| key == "client_id");
    let app = client_id.and_then(|(_, id)| directory.app(tenant, id));
    app.is_some_and(|app| {
        let mut credentials = app.federated_credentials.iter();
        credentials.any(|credential| credential.audience == assertion::IDENTITY_BINDING_AUDIENCE)
    })
}

/// What MSAL adds to every scope; none names a resource.
const OPENID_SCOPES: [&str; 3] = ["openid", "offline_access", "profile"];

/// `https://vault.azure.net/.default` names the resource `https://vault.azure.net`. A second slash
/// stays in the audience, as in Entra.
fn resource(scope: &str) -> Result<String, TokenError> {
    let invalid = || TokenError::Scope(scope.to_owned());
    let mut scopes = scope.split_whitespace().filter(|scope| !OPENID_SCOPES.contains(scope));
    let (Some(only), None) = (scopes.next(), scopes.next()) else { return Err(invalid()) };
    let resource = only.strip_suffix("/.default").filter(|resource| !resource.is_empty());
    resource.map(str::to_owned).ok_or_else(invalid)
}

fn with_headers(reply: Reply) -> Reply {
    reply
        .with(header::CACHE_CONTROL, "no-store, no-cache")
        .with(header::PRAGMA, "no-cache")
        .with(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains")
        .with(HeaderName::from_static("x-ms-request-id"), random::guid())
        .with(HeaderName::from_static("x-ms-ests-server"), "2.1.0 - emulator")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_scope_with_default_names_a_resource() {
        for (scope, expected) in [
            ("https://vault.azure.net/.default", Some("https://vault.azure.net")),
            (
                "https://vault.azure.net/.default openid offline_access profile",
                Some("https://vault.azure.net"),
            ),
            ("openid profile", None),
            ("https://vault.azure.net//.default", Some("https://vault.azure.net/")),
            (" api://x/.default ", Some("api://x")),
            ("https://vault.azure.net", None),
            ("https://a/.default https://b/.default", None),
            ("/.default", None),
        ] {
            assert_eq!(resource(scope).ok().as_deref(), expected, "{scope}");
        }
    }
}
