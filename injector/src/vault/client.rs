//! GET of one object, or of a page of a list, with the token sent at once (no 401 round trip).

use super::challenge::{Challenge, is_parent};
use super::error::{VaultError, VaultErrorKind};
use crate::clock::{http_date, since_boot};
use crate::fault::Fault;
use crate::http::{self, BODY_LIMIT_BYTES, CONCURRENCY, Failure, FailureKind, Http};
use crate::identity::{AccessToken, TokenSource, short};
use crate::refresh::Time;
use crate::throttle::{Throttle, retry_after};
use keysluice_plan::{File, ObjectName, ObjectType, ObjectVersion, Selection, VaultUrl};
use reqwest::header::{ACCEPT, AUTHORIZATION, DATE, HeaderValue};
use reqwest::{Client, Response};
use secrecy::{ExposeSecret, SecretBox};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;
use zeroize::Zeroizing;

/// The widest supported version (all clouds, private endpoints, emulators).
const API_VERSION: &str = "7.4";

/// Which object; files that share it share one GET.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    vault: VaultUrl,
    kind: ObjectType,
    name: ObjectName,
    version: Option<ObjectVersion>,
    identity: String,
}

impl Object {
    /// The object a file comes from.
    pub fn of(file: &File) -> Self {
        Self {
            vault: file.vault.clone(),
            kind: crate::content::source(file),
            name: file.name.clone(),
            // The Azure provider asks the vault for a version of that name, unless there is a history.
            version: file.version.clone().filter(|version| version.as_str() != "latest"),
            identity: file.identity.clone(),
        }
    }

    /// A secret that was selected.
    pub fn selected(selection: &Selection, name: ObjectName) -> Self {
        let (vault, identity) = (selection.vault.clone(), selection.identity.clone());
        Self { vault, kind: ObjectType::Secret, name, version: None, identity }
    }

    /// The same object in another version.
    #[must_use]
    pub fn at(&self, version: ObjectVersion) -> Self {
        Self { version: Some(version), ..self.clone() }
    }

    /// The same object in its newest version.
    #[must_use]
    pub fn without_version(&self) -> Self {
        Self { version: None, ..self.clone() }
    }

    /// The pinned version.
    pub fn version(&self) -> Option<&ObjectVersion> {
        self.version.as_ref()
    }

    /// Its name.
    pub fn name(&self) -> &ObjectName {
        &self.name
    }

    /// What it is.
    pub fn kind(&self) -> ObjectType {
        self.kind
    }

    /// The vault it is in.
    pub fn vault(&self) -> &VaultUrl {
        &self.vault
    }

    /// Name of the identity that fetches it.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    fn url(&self) -> String {
        let version = self.version.as_ref().map(|version| format!("/{version}")).unwrap_or_default();
        format!("{}{}/{}{version}?api-version={API_VERSION}", self.vault, self.collection(), self.name)
    }

    pub(super) fn versions_url(&self) -> String {
        format!("{}{}/{}/versions?api-version={API_VERSION}", self.vault, self.collection(), self.name)
    }

    /// Of the list of all objects of its kind.
    pub(super) fn list_url(&self) -> String {
        format!("{}{}?api-version={API_VERSION}", self.vault, self.collection())
    }

    pub(super) fn secrets_url(vault: &VaultUrl) -> String {
        format!("{vault}secrets?api-version={API_VERSION}")
    }

    pub(super) fn collection(&self) -> &'static str {
        match self.kind {
            ObjectType::Secret => "secrets",
            ObjectType::Key => "keys",
            ObjectType::Cert => "certificates",
        }
    }
}

/// `secret "db" in https://kv.vault.azure.net/`, the way every message names an object.
impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.kind.as_str(), self.name.as_str())?;
        if let Some(version) = &self.version {
            write!(f, " version {version}")?;
        }
        write!(f, " in {}", self.vault)
    }
}

/// What a vault said.
#[derive(Debug)]
pub struct Answer {
    /// Its body.
    pub body: SecretBox<Vec<u8>>,
    /// When it was made, in seconds since 1970 by the vault's clock.
    pub date: Option<i64>,
}

/// Asks vaults, at most [`CONCURRENCY`] requests at once.
#[derive(Debug)]
pub struct VaultClient {
    http: Arc<Http>,
    queues: BTreeMap<VaultUrl, Queue>,
    /// More vaults than requests at once have a share of one each, and all of them together no more than this.
    permits: Semaphore,
    throttle: Arc<Throttle>,
}

/// Those who want to ask one vault. Each vault has its share: one that hangs takes nothing from the others.
#[derive(Debug)]
struct Queue {
    permits: Semaphore,
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    /// When the last answer was complete, whatever it said.
    answered: Option<Time>,
    /// The last time-out, of a request or of looking its name up, during which nothing else was answered, and when it was.
    silent: Option<(Time, Failure)>,
    /// URLs that had no answer in time, and none since.
    late: BTreeSet<String>,
}

impl Queue {
    /// Waits for its turn. Where a vault gave no answer in time, those who were in the queue by then need not wait as long again;
    /// where only one object hangs, it goes behind the others the next time.
    async fn turn(&self, url: &str) -> Result<Option<SemaphorePermit<'_>>, Failure> {
        let arrived = since_boot();
        if self.heard().late.contains(url) {
            yield_now().await;
        }
        // An error here would mean the semaphore was closed, which nobody does.
        let permit = self.permits.acquire().await.ok();
        match &self.heard().silent {
            Some((at, failure)) if *at >= arrived => Err(failure.clone()),
            _ => Ok(permit),
        }
    }

    /// What became of a request that began at `sent`.
    fn note(&self, url: &str, sent: Time, error: &VaultError) {
        match error {
            VaultError::Network(failure) if matches!(failure.kind, FailureKind::Timeout | FailureKind::Dns) => {
                let mut heard = self.heard();
                heard.late.insert(url.to_owned());
                if heard.answered.is_none_or(|at| at < sent) {
                    heard.silent = Some((since_boot(), failure.clone()));
                }
            }
            VaultError::Network(_) | VaultError::Http(_) | VaultError::Waiting { .. } => {}
            _ => self.answered(url),
        }
    }

    fn answered(&self, url: &str) {
        let mut heard = self.heard();
        heard.answered = Some(since_boot());
        heard.late.remove(url);
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VaultClient {
    /// For these vaults, with what others know of waits.
    pub fn new<'a>(http: Arc<Http>, throttle: Arc<Throttle>, vaults: impl Iterator<Item = &'a VaultUrl>) -> Self {
        let vaults: BTreeSet<&VaultUrl> = vaults.collect();
        let share = (CONCURRENCY / vaults.len().max(1)).max(1);
        let queue = || Queue { permits: Semaphore::new(share), heard: Mutex::default() };
        let queues = vaults.into_iter().map(|vault| (vault.clone(), queue())).collect();
        Self { http, queues, permits: Semaphore::new(CONCURRENCY), throttle }
    }

    /// Whether a vault has answered since then.
    pub fn has_answered(&self, vault: &VaultUrl, since: Time) -> bool {
        self.queues.get(vault).and_then(|queue| queue.heard().answered).is_some_and(|at| at >= since)
    }

    /// The object as the vault has it now.
    pub async fn get(&self, object: &Object, source: &TokenSource) -> Result<Answer, Fault> {
        self.ask(&object.url(), &object.vault, &object.to_string(), source, BODY_LIMIT_BYTES).await
    }

    /// The answer at this URL of the vault. After a 401 it tries once more with a new token, unless the challenge is
    /// a stranger's. `label` is what a fault is about.
    pub(super) async fn ask(
        &self,
        url: &str,
        vault: &VaultUrl,
        label: &str,
        source: &TokenSource,
        limit_bytes: usize,
    ) -> Result<Answer, Fault> {
        let queue = self.queues.get(vault);
        let client = self.http.client().map_err(|error| error.fault())?;
        let allowed = check_scope(vault, source.scope()).and_then(|()| self.may_ask(vault));
        allowed.map_err(|error| error.fault(label))?;
        let mut token = source.token().await?;
        let _permit = match queue {
            Some(queue) => queue.turn(url).await.map_err(|failure| VaultError::from(failure).fault(label))?,
            None => None,
        };
        let _one_of_all = self.permits.acquire().await.ok();
        let sent = since_boot();
        let fault = |error: VaultError| {
            queue.inspect(|queue| queue.note(url, sent, &error));
            error.fault(label)
        };
        let mut renewed = false;
        loop {
            let response = self.send(&client, url, vault, &token).await.map_err(fault)?;
            if response.status().as_u16() != 401 {
                let answer = self.read(vault, response, limit_bytes).await.map_err(fault)?;
                queue.inspect(|queue| queue.answered(url));
                return Ok(answer);
            }
            let challenge = Challenge::parse(response.headers()).map(Box::new);
            if let Some(foreign) = challenge.as_ref().filter(|challenge| !challenge.fits(vault.host())) {
                let resource = foreign.resource.clone().unwrap_or_default();
                return Err(fault(VaultError::ForeignChallenge { resource, host: vault.host().to_owned() }));
            }
            let body = http::body(response, BODY_LIMIT_BYTES).await.map_err(|failure| fault(failure.into()))?;
            let Some(other) = (if renewed { None } else { source.instead_of(&token).await }) else {
                let (kind, scope) = (VaultErrorKind::parse(body.expose_secret()), source.scope().to_owned());
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
        url: &str,
        vault: &VaultUrl,
        token: &AccessToken,
    ) -> Result<Response, VaultError> {
        self.may_ask(vault)?;
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose()));
        let mut header = HeaderValue::from_str(&bearer).unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        header.set_sensitive(true);
        let request = client.get(url).header(ACCEPT, "application/json").header(AUTHORIZATION, header);
        request.send().await.map_err(|error| Failure::of_request(&error).into())
    }

    async fn read(&self, vault: &VaultUrl, response: Response, limit_bytes: usize) -> Result<Answer, VaultError> {
        let status = response.status().as_u16();
        if status == 200 {
            self.throttle.answered(vault.as_str());
            let date = response.headers().get(DATE).and_then(|date| http_date(date.to_str().ok()?));
            return Ok(Answer { body: http::body(response, limit_bytes).await?, date });
        }
        // A demand of 429 and 503 is about the vault, one of another status about the object.
        let retry_after = match (status, retry_after(response.headers())) {
            (429 | 503, Some(wait)) => Some(self.throttle.note(vault.as_str(), wait)),
            // Key Vault seldom says for how long.
            (429, None) => Some(self.throttle.note_unsaid(vault.as_str())),
            (_, wait) => wait,
        };
        let request_id = response.headers().get("x-ms-request-id").and_then(|id| id.to_str().ok()).map(short);
        // The status tells enough if the body breaks off.
        let body = http::body(response, BODY_LIMIT_BYTES).await;
        let kind = body.map(|body| VaultErrorKind::parse(body.expose_secret())).unwrap_or_default();
        Err(VaultError::Refused { status, kind, request_id, retry_after })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_fails_with_a_vault_that_is_silent_and_not_with_one_object() {
        let mut failure = Failure::too_long(1);
        failure.kind = FailureKind::Timeout;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for answers in [false, true] {
            let queue = Queue { permits: Semaphore::new(1), heard: Mutex::default() };
            runtime.block_on(async {
                let sent = since_boot();
                let permit = queue.turn("first").await.unwrap();
                let hangs = async {
                    // The other one is in the queue by now.
                    yield_now().await;
                    if answers {
                        queue.answered("other");
                    }
                    queue.note("first", sent, &VaultError::Network(failure.clone()));
                    drop(permit);
                };
                let ((), second) = tokio::join!(hangs, queue.turn("second"));
                assert_eq!(second.is_err(), !answers);
                drop(second);
                assert!(queue.turn("third").await.is_ok(), "who comes later asks");
            });
        }
    }

    #[test]
    fn an_object_that_hung_goes_behind_the_others_until_it_is_answered() {
        let mut failure = Failure::too_long(1);
        failure.kind = FailureKind::Timeout;
        let queue = Queue { permits: Semaphore::new(1), heard: Mutex::default() };
        let order = Mutex::new(Vec::new());
        let ask = |url: &'static str| {
            let (queue, order) = (&queue, &order);
            async move {
                let _permit = queue.turn(url).await;
                order.lock().unwrap().push(url);
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            queue.note("a", since_boot(), &VaultError::Network(failure));
            tokio::join!(ask("a"), ask("b"));
            queue.answered("a");
            tokio::join!(ask("a"), ask("b"));
        });
        assert_eq!(*order.lock().unwrap(), ["b", "a", "a", "b"]);
    }

    #[test]
    fn urls_and_names_follow_the_object() {
        let mut file: File = serde_json::from_value(serde_json::json!({
            "path": "db", "mode": "0644", "identity": "a", "vault": "https://kv.vault.azure.net", "type": "secret", "name": "db"
        }))
        .unwrap();
        let object = Object::of(&file);
        assert_eq!(object.url(), "https://kv.vault.azure.net/secrets/db?api-version=7.4");
        assert_eq!(object.to_string(), "secret \"db\" in https://kv.vault.azure.net/");
        file.object_type = ObjectType::Key;
        file.version = Some("0123".parse().unwrap());
        let object = Object::of(&file);
        assert_eq!(object.url(), "https://kv.vault.azure.net/keys/db/0123?api-version=7.4");
        assert_eq!(object.to_string(), "key \"db\" version 0123 in https://kv.vault.azure.net/");
        assert_eq!(object.versions_url(), "https://kv.vault.azure.net/keys/db/versions?api-version=7.4");
        file.version = Some("latest".parse().unwrap());
        file.object_type = ObjectType::Cert;
        assert_eq!(Object::of(&file).url(), "https://kv.vault.azure.net/certificates/db?api-version=7.4");
        file.part = Some(keysluice_plan::Part::Chain);
        assert_eq!(Object::of(&file).url(), "https://kv.vault.azure.net/secrets/db?api-version=7.4");
    }
}
