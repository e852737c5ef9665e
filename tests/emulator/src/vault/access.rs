//! Who calls: the access token and the challenge for one.

use http::header;

use super::error::{Refusal, VaultError};
use super::store::Vault;
use crate::call::Call;
use crate::directory::token_issuer;
use crate::reply::Reply;
use crate::route::{Collection, Domain};
use crate::seed::Permission;
use crate::signing::{signature_is_valid, unverified_claims};
use crate::world::World;

/// The identity behind a verified token.
pub(super) struct Caller {
    client_id: String,
    object_id: String,
    issuer: String,
}

impl Caller {
    /// Verifies the access token of `call` for `vault`: signature, issuer, audience, time.
    pub(super) fn verify(
        world: &World,
        vault: &Vault,
        domain: Domain,
        call: &Call,
        now: i64,
    ) -> Result<Self, VaultError> {
        let token = call.header("authorization").and_then(bearer).ok_or(VaultError::NoToken)?;
        let claims = unverified_claims(token)
            .ok_or(VaultError::BadToken("The token is not a signed JWT."))?;
        if !signature_is_valid(token, &world.keys.entra.jwks()) {
            return Err(VaultError::UnknownKey);
        }
        let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
        let (issuer, expected) = (text("iss"), token_issuer(&vault.tenant_id));
        if !issuer.eq_ignore_ascii_case(&expected) {
            return Err(VaultError::Issuer { expected, found: issuer });
        }
        if text("aud") != domain.resource() {
            return Err(VaultError::Audience {
                expected: domain.resource().to_owned(),
                found: text("aud"),
            });
        }
        if claims["exp"].as_i64().is_none_or(|expires| now >= expires) {
            return Err(VaultError::Expired);
        }
        if claims["nbf"].as_i64().is_some_and(|not_before| now < not_before) {
            return Err(VaultError::BadToken("The token is not valid yet."));
        }
        Ok(Self { client_id: text("appid"), object_id: text("oid"), issuer })
    }

    /// Checks the role assignments of `vault`; `object: None` means the whole vault.
    pub(super) fn authorize(
        &self,
        vault: &Vault,
        collection: Collection,
        permission: Permission,
        object: Option<&str>,
    ) -> Result<(), VaultError> {
        if vault
            .roles
            .iter()
            .any(|role| role.allows(&self.client_id, collection, permission, object))
        {
            return Ok(());
        }
        let collection_path = collection.path();
        let action = match (collection, permission) {
            (Collection::Secrets, Permission::Get) => "getSecret/action",
            (Collection::Secrets, Permission::Set) => "setSecret/action",
            (Collection::Secrets, Permission::List) => "readMetadata/action",
            _ => "read",
        };
        let scope = object
            .map(|name| format!("/{collection_path}/{}", name.to_ascii_lowercase()))
            .unwrap_or_default();
        Err(VaultError::Rbac(Box::new(Refusal {
            client_id: self.client_id.clone(),
            object_id: self.object_id.clone(),
            issuer: self.issuer.clone(),
            action: format!("Microsoft.KeyVault/vaults/{collection_path}/{action}"),
            resource: format!(
                "/subscriptions/00000000-0000-0000-0000-000000000000/resourcegroups/emulator\
                 /providers/microsoft.keyvault/vaults/{}{scope}",
                vault.name
            ),
            vault: vault.name.clone(),
        })))
    }
}

/// The token of a header `Authorization`.
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Adds the challenge to a 401: where to get a token and for which resource.
pub(super) fn challenge(world: &World, vault: &Vault, domain: Domain, reply: Reply) -> Reply {
    let authority = match domain {
        Domain::AzureNet => "https://login.microsoftonline.com".to_owned(),
        Domain::Localhost => format!("https://login.localhost:{}", world.ports.https),
    };
    reply.with(
        header::WWW_AUTHENTICATE,
        format!(
            "Bearer authorization=\"{authority}/{}\", resource=\"{}\"",
            vault.tenant_id,
            domain.resource()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_header_has_a_token() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("abc"), None);
    }
}
