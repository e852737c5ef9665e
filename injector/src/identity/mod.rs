//! Access tokens: one request per credential and scope. A token is kept until shortly before it
//! expires, and stays in use while its renewal fails.

mod answer;
mod assertion;
mod assertion_source;
mod cache;
mod certificate_source;
mod client_certificate;
mod credential;
mod entra_error;
mod error;
mod exchange;
mod imds;
mod principal;
mod renewal;
mod token;
mod token_proxy;

pub use assertion::Claims;
pub use cache::TokenCache;
pub use certificate_source::CertificateError;
pub use entra_error::EntraError;
pub use error::{IdentityError, ProofKind};
pub use principal::PrincipalError;
pub use token::AccessToken;
pub(crate) use token::Times;

use crate::fault::Fault;
use credential::Credential;
use keysluice_plan::Identity;
use std::path::Path;
use std::sync::Arc;

/// Gives tokens for one identity of the Plan.
#[derive(Debug)]
pub struct TokenSource {
    /// For messages.
    name: String,
    key: (Credential, String),
    cache: Arc<TokenCache>,
}

impl TokenSource {
    /// For `identity`; its token file lies below `root`.
    pub fn new(identity: &Identity, root: &Path, cache: Arc<TokenCache>) -> Self {
        let credential = Credential::of(&identity.credential, root);
        Self { name: identity.name.clone(), key: (credential, identity.scope.clone()), cache }
    }

    /// The scope of the tokens.
    pub fn scope(&self) -> &str {
        &self.key.1
    }

    /// A token that is valid now: the cached one, or a new one.
    pub async fn token(&self) -> Result<Arc<AccessToken>, Fault> {
        self.cache.token(&self.key, &self.name).await
    }

    /// Drops the token, also for other users of the cache with the same credential and scope.
    pub(crate) fn forget(&self) {
        self.cache.forget(&self.key);
    }

    /// Another token than the one that a vault rejected, if a new one is available now. Without a
    /// new one, other vaults keep the old one.
    pub async fn instead_of(&self, token: &Arc<AccessToken>) -> Option<Arc<AccessToken>> {
        if !self.cache.rejected(&self.key, token).await {
            return None;
        }
        self.token().await.ok().filter(|other| !Arc::ptr_eq(other, token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Environment, Http};
    use crate::throttle::{Throttle, ThrottleState};
    use serde_json::json;

    fn identity(name: &str, scope: &str, client_id: &str) -> Identity {
        let credential = json!({"kind": "federated", "clientId": client_id, "tenantId": "t",
            "authority": "http://not-https/", "tokenFile": "/token"});
        serde_json::from_value(json!({"name": name, "scope": scope, "credential": credential}))
            .unwrap()
    }

    #[tokio::test]
    async fn identities_of_one_credential_and_scope_share_a_token_and_keep_their_names() {
        let http = Arc::new(Http::new(None, &Environment::default()).unwrap());
        let throttle = Arc::new(Throttle::new(ThrottleState::default(), 1));
        let cache = Arc::new(TokenCache::new(http, throttle, 1));
        for (name, scope, client_id, tokens) in
            [("a", "s", "1", 1), ("b", "s", "1", 1), ("c", "s2", "1", 2), ("d", "s", "2", 3)]
        {
            let identity = identity(name, scope, client_id);
            let source = TokenSource::new(&identity, Path::new("/"), Arc::clone(&cache));
            let message = source.token().await.unwrap_err().message;
            assert!(message.starts_with(&format!("identity {name:?}: authority")), "{message}");
            assert_eq!(cache.len(), tokens, "{name}");
        }
    }
}
