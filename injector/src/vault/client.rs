//! GET of one object, or of a page of a list, with the token sent at once (no 401 round trip).

use super::challenge::{Challenge, is_parent};
use super::error::{VaultError, VaultErrorKind};
use super::object::Object;
use super::queue::Queue;
use crate::call_id::identified;
use crate::calls::Call;
use crate::clock::{Time, http_date, since_boot};
use crate::fault::Fault;
use crate::foreign::{Head, is_object};
use crate::http::{self, BODY_LIMIT_BYTES, CONCURRENCY, Http};
use crate::identity::{AccessToken, TokenSource};
use crate::redact::short;
use crate::throttle::{Throttle, retry_after};
use keysluice_plan::VaultUrl;
use reqwest::header::{ACCEPT, AUTHORIZATION, DATE, HeaderValue};
use reqwest::{Client, Response};
use secrecy::{ExposeSecret, SecretBox};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

const MAX_PAGES_AT_ONCE: usize = 2;

/// What a vault said.
#[derive(Debug)]
pub struct Answer {
    /// Its body.
    pub body: SecretBox<Vec<u8>>,
    /// When it was made, in seconds since 1970 by the vault's clock.
    pub date: Option<i64>,
    /// Given back with the body: not more bodies are in memory than requests may be under way.
    #[allow(dead_code)] // held, never read
    permit: Option<OwnedSemaphorePermit>,
}

/// What a request is for, and how long its answer may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) call: Call,
    pub(super) limit_bytes: usize,
}

/// Asks vaults, at most [`CONCURRENCY`] requests at once.
#[derive(Debug)]
pub struct VaultClient {
    http: Arc<Http>,
    queues: BTreeMap<VaultUrl, Queue>,
    /// More vaults than requests at once have a share of one each, and all of them together no more
    /// than this.
    permits: Arc<Semaphore>,
    /// Pages are larger than objects: few of them are in memory at once.
    pub(super) pages: Semaphore,
    throttle: Arc<Throttle>,
}

impl VaultClient {
    /// For these vaults, with what others know of waits.
    pub fn new<'a>(
        http: Arc<Http>,
        throttle: Arc<Throttle>,
        vaults: impl Iterator<Item = &'a VaultUrl>,
    ) -> Self {
        let vaults: BTreeSet<&VaultUrl> = vaults.collect();
        let share = (CONCURRENCY / vaults.len().max(1)).max(1);
        let queues = vaults.into_iter().map(|vault| (vault.clone(), Queue::new(share))).collect();
        let permits = Arc::new(Semaphore::new(CONCURRENCY));
        Self { http, queues, permits, pages: Semaphore::new(MAX_PAGES_AT_ONCE), throttle }
    }

    /// When each vault gave its last complete answer.
    pub fn answers(&self) -> impl Iterator<Item = (&VaultUrl, Time)> {
        self.queues.iter().filter_map(|(vault, queue)| Some((vault, queue.answered_at()?)))
    }

    /// The object as the vault has it now.
    pub async fn get(&self, object: &Object, source: &TokenSource) -> Result<Answer, Fault> {
        let (url, label) = (object.url(), object.to_string());
        let asked = Asked { call: object.kind().into(), limit_bytes: BODY_LIMIT_BYTES };
        self.ask(&url, object.vault(), &label, source, asked).await
    }

    /// The answer at this URL of the vault. After a 401 it tries once more with a new token, unless
    /// the challenge is a stranger's. `label` is what a fault is about.
    pub(super) async fn ask(
        &self,
        url: &str,
        vault: &VaultUrl,
        label: &str,
        source: &TokenSource,
        Asked { call, limit_bytes }: Asked,
    ) -> Result<Answer, Fault> {
        let queue = self.queues.get(vault);
        let client = self.http.client().map_err(|error| error.fault())?;
        let allowed = check_scope(vault, source.scope()).and_then(|()| self.may_ask(vault));
        allowed.map_err(|error| error.fault(label))?;
        let mut token = source.token().await?;
        let _permit = match queue {
            Some(queue) => {
                queue.turn(url).await.map_err(|failure| VaultError::from(failure).fault(label))?
            }
            None => None,
        };
        let one_of_all = Arc::clone(&self.permits).acquire_owned().await.ok();
        let sent = since_boot();
        let fault = |error: VaultError| {
            queue.inspect(|queue| queue.note(url, sent, &error));
            error.fault(label)
        };
        let mut renewed = false;
        loop {
            let response = self.send(&client, call, url, vault, &token).await.map_err(fault)?;
            if response.status().as_u16() != 401 {
                let answer = self.read(vault, response, limit_bytes).await.map_err(fault)?;
                queue.inspect(|queue| queue.answered(url));
                return Ok(Answer { permit: one_of_all, ..answer });
            }
            let head = Head::of(&response);
            let challenge =
                Challenge::parse(response.headers()).filter(Challenge::is_a_vaults).map(Box::new);
            if let Some(foreign) =
                challenge.as_ref().filter(|challenge| !challenge.fits(vault.host()))
            {
                let resource = foreign.resource.clone().unwrap_or_default();
                return Err(fault(VaultError::ForeignChallenge {
                    resource,
                    host: vault.host().to_owned(),
                }));
            }
            let body = http::body(response, BODY_LIMIT_BYTES)
                .await
                .map_err(|failure| fault(failure.into()))?;
            let kind = VaultErrorKind::parse(401, body.expose_secret());
            if kind.is_none() && challenge.is_none() {
                let foreign = Box::new(head.with(body.expose_secret()));
                return Err(fault(VaultError::Foreign { foreign, retry_after: None }));
            }
            let Some(other) = (if renewed { None } else { source.instead_of(&token).await }) else {
                let (kind, scope) = (kind.unwrap_or_default(), source.scope().to_owned());
                return Err(fault(VaultError::Unauthorized { renewed, kind, scope, challenge }));
            };
            (token, renewed) = (other, true);
        }
    }

    fn may_ask(&self, vault: &VaultUrl) -> Result<(), VaultError> {
        self.throttle.wait(vault.as_str()).map_or(Ok(()), |wait| Err(VaultError::Waiting { wait }))
    }

    async fn send(
        &self,
        client: &Client,
        call: Call,
        url: &str,
        vault: &VaultUrl,
        token: &AccessToken,
    ) -> Result<Response, VaultError> {
        self.may_ask(vault)?;
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose()));
        let mut header =
            HeaderValue::from_str(&bearer).unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        header.set_sensitive(true);
        let request =
            client.get(url).header(ACCEPT, "application/json").header(AUTHORIZATION, header);
        let response = http::send(call, identified(request)).await;
        Ok(response.map_err(|failure| self.http.explained(url, failure))?)
    }

    async fn read(
        &self,
        vault: &VaultUrl,
        response: Response,
        limit_bytes: usize,
    ) -> Result<Answer, VaultError> {
        let status = response.status().as_u16();
        let head = Head::of(&response);
        if status == 200 {
            self.throttle.answered(vault.as_str());
            let date = response.headers().get(DATE).and_then(|date| http_date(date.to_str().ok()?));
            let body = http::body(response, limit_bytes).await?;
            if !is_object(body.expose_secret()) {
                let foreign = Box::new(head.with(body.expose_secret()));
                return Err(VaultError::Foreign { foreign, retry_after: None });
            }
            return Ok(Answer { body, date, permit: None });
        }
        // A demand of 429 and 503 is about the vault, one of another status about the object.
        let retry_after = match (status, retry_after(response.headers())) {
            (429 | 503, Some(wait)) => Some(self.throttle.note(vault.as_str(), wait)),
            // Key Vault seldom says for how long.
            (429, None) => Some(self.throttle.note_unsaid(vault.as_str())),
            (_, wait) => wait,
        };
        let request_id =
            response.headers().get("x-ms-request-id").and_then(|id| id.to_str().ok()).map(short);
        // The status tells enough if the body breaks off.
        let body = http::body(response, BODY_LIMIT_BYTES).await.unwrap_or_default();
        Err(match VaultErrorKind::parse(status, body.expose_secret()) {
            Some(kind) => VaultError::Refused { status, kind, request_id, retry_after },
            None => VaultError::Foreign {
                foreign: Box::new(head.with(body.expose_secret())),
                retry_after,
            },
        })
    }
}

/// Whether a token for `scope` may go to the vault at all.
fn check_scope(vault: &VaultUrl, scope: &str) -> Result<(), VaultError> {
    let host = vault.host();
    if is_parent(scope, host) {
        return Ok(());
    }
    Err(VaultError::ForeignScope { scope: scope.to_owned(), host: host.to_owned() })
}
