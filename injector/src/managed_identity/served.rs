//! The identities of the endpoint, and their tokens.

use super::answer::{Answer, Moment};
use super::request::{Asked, Request, Wanted};
use super::slots::{Slots, Step};
use crate::clock::since_boot;
use crate::fault::Fault;
use crate::fetch::seed;
use crate::http::Http;
use crate::identity::{AccessToken, TokenCache, TokenSource};
use crate::log;
use crate::throttle::Throttle;
use keysluice_plan::{Identity, ManagedIdentityEndpoint};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the endpoint gives tokens of.
#[derive(Debug)]
pub(super) struct Served {
    endpoint: ManagedIdentityEndpoint,
    root: PathBuf,
    /// Apart from the tokens for vaults: what applications ask for cannot push those out.
    cache: Arc<TokenCache>,
    slots: Mutex<Slots>,
}

impl Served {
    pub(super) fn new(
        endpoint: &ManagedIdentityEndpoint,
        root: &Path,
        http: Arc<Http>,
        throttle: Arc<Throttle>,
    ) -> Self {
        Self {
            endpoint: endpoint.clone(),
            root: root.to_owned(),
            cache: Arc::new(TokenCache::new(http, throttle, seed())),
            slots: Mutex::new(Slots::new(endpoint.identities.len())),
        }
    }

    /// What the App Service protocol must show.
    pub(super) fn header(&self) -> &str {
        &self.endpoint.header
    }

    /// Answers a request.
    pub(super) async fn answer(self: &Arc<Self>, request: Request) -> Answer {
        let protocol = request.protocol;
        let (asked, protocol) = match (request.asked, protocol) {
            (Ok(asked), Some(protocol)) => (asked, protocol),
            (Ok(_), None) => return Answer::of_refused(None, super::request::Refused::Path),
            (Err(refused), _) => return Answer::of_refused(protocol, refused),
        };
        let Asked { resource, identity } = asked;
        let Some(index) = self.find(&identity) else {
            let is_named = identity != Wanted::Default;
            return Answer::without_identity(protocol, is_named);
        };
        let client_id = self.endpoint.identities[index].client_id().unwrap_or_default();
        match self.token(index, &resource).await {
            Ok(token) => Answer::of_token(protocol, client_id, &resource, &token, moment()),
            Err(fault) => Answer::of_fault(protocol, &fault),
        }
    }

    /// The identity that is asked for. Ids are compared in any case, as Azure does.
    fn find(&self, wanted: &Wanted) -> Option<usize> {
        self.endpoint.identities.iter().position(|identity| match wanted {
            Wanted::Default => identity.default,
            Wanted::ClientId(id) => {
                identity.client_id().is_some_and(|known| known.eq_ignore_ascii_case(id))
            }
            Wanted::ObjectId(id) => contains(&identity.object_ids, id),
            Wanted::ResourceId(id) => contains(&identity.resource_ids, id),
        })
    }

    async fn token(
        self: &Arc<Self>,
        identity: usize,
        resource: &str,
    ) -> Result<Arc<AccessToken>, Fault> {
        let step =
            self.slots().step(identity, resource, since_boot(), || self.source(identity, resource));
        match step {
            Step::Token(token) => Ok(token),
            Step::Fail(fault) => Err(fault),
            Step::Wait(source) => self.request(identity, resource, &source).await,
            Step::Renew(token, source) => {
                let (served, resource) = (Arc::clone(self), resource.to_owned());
                tokio::spawn(async move {
                    let _ = served.request(identity, &resource, &source).await;
                });
                Ok(token)
            }
        }
    }

    /// A token of the cache, which makes one request for all who wait.
    async fn request(
        &self,
        identity: usize,
        resource: &str,
        source: &TokenSource,
    ) -> Result<Arc<AccessToken>, Fault> {
        let result = source.token().await;
        let is_news = self.slots().done(identity, resource, &result, since_boot());
        if let (Err(fault), true) = (&result, is_news) {
            log::warn(fault);
        }
        result
    }

    fn source(&self, identity: usize, resource: &str) -> TokenSource {
        let known = &self.endpoint.identities[identity];
        let identity = Identity {
            name: known.client_id().unwrap_or_default().to_owned(),
            scope: scope_of(resource),
            credential: known.credential.clone(),
        };
        TokenSource::new(&identity, &self.root, Arc::clone(&self.cache))
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn contains(names: &[String], wanted: &str) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(wanted))
}

/// The scope of a resource, as Azure Workload Identity's proxy makes it: a slash at the end belongs
/// to the resource, which is the audience of the token.
fn scope_of(resource: &str) -> String {
    if resource.ends_with("/.default") {
        return resource.to_owned();
    }
    format!("{resource}/.default")
}

fn moment() -> Moment {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Moment { since_boot: since_boot(), unix }
}

#[cfg(test)]
mod tests {
    use super::scope_of;

    #[test]
    fn a_resource_becomes_a_scope_and_a_scope_stays_one() {
        for (resource, scope) in [
            ("https://vault.azure.net", "https://vault.azure.net/.default"),
            ("https://management.azure.com/", "https://management.azure.com//.default"),
            ("https://graph.microsoft.com/.default", "https://graph.microsoft.com/.default"),
            (
                "00000003-0000-0000-c000-000000000000",
                "00000003-0000-0000-c000-000000000000/.default",
            ),
            ("api://app", "api://app/.default"),
        ] {
            assert_eq!(scope_of(resource), scope);
        }
    }
}
