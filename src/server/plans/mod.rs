//! The listener for the sidecars of running pods: a token, what a Plan was made of, and the answer.
//!
//! It has a thread, limits and shares of the budget of its own, so that no review waits for it.

mod keys;
mod token;
mod verified;

pub use keys::KeySource;
pub use token::TokenError;

use super::accept::spawn_service;
use super::body::{self, BodyError};
use super::budget::ByteBudget;
use super::handler::Handler;
use super::in_flight::InFlightGuard;
use super::limits::Limits;
use super::pace::Pace;
use super::service::{Delivery, Service};
use crate::budget::Budget;
use crate::cluster::{self, Cluster};
use crate::metrics::{Metrics, PlanAnswer};
use crate::mutate::live;
use crate::mutate::{Context, Needs, PLAN_PATH};
use crate::reason;
use crate::settings::Authorities;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, RETRY_AFTER,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use keys::{Keys, KeysError};
use keysluice_plan::MAX_UPDATE_BYTES;
use keysluice_plan::reason::Reason;
use serde_json::json;
use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use token::Caller;
use tokio::sync::oneshot;
use verified::Verified;

/// New connections in a second: each costs a handshake, 0.15 ms. Fifty thousand sidecars that ask
/// every two minutes make 420.
const HANDSHAKES: u32 = 500;
/// Requests in a second: each costs a signature at most.
const REQUESTS: u32 = 1000;
/// Classes of a namespace that are resolved in a second for pods that run; one namespace has an
/// eighth.
const UPDATES: u32 = 400;
/// A sidecar sends everything at once.
const BODY_TIME: Duration = Duration::from_secs(5);

/// Answers the sidecars.
pub struct Plans<C> {
    reviews: Arc<Handler<C>>,
    authorities: Authorities,
    keys: Keys,
    verified: Verified,
    bodies: Arc<ByteBudget>,
    requests: Mutex<Pace<IpAddr>>,
    updates: Mutex<Pace<String>>,
}

impl<C> std::fmt::Debug for Plans<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plans")
    }
}

/// Serves Plans on a thread of its own until `stop` resolves; see [`super::spawn`].
pub fn spawn_plans<C: Cluster>(
    listener: std::net::TcpListener,
    tls: Arc<rustls::ServerConfig>,
    plans: Arc<Plans<C>>,
    budget: Budget,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<oneshot::Receiver<()>> {
    let limits = Limits {
        connections_bytes: budget.plan_connections_bytes(),
        connections: 1024,
        idle: Duration::from_secs(30),
        drain: Duration::ZERO,
        handshakes_per_second: Some(HANDSHAKES),
        ..Limits::of(budget)
    };
    spawn_service(listener, tls, plans, limits, stop)
}

/// What is answered instead of a Plan.
struct Refused {
    status: StatusCode,
    reason: Reason,
    message: String,
}

impl Refused {
    fn new(status: StatusCode, reason: Reason, message: impl Display) -> Self {
        Self { status, reason, message: message.to_string() }
    }

    fn without_keys(problem: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason::KS511, problem)
    }

    fn busy() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, reason::KS516, "too many requests for Plans")
    }
}

impl From<TokenError> for Refused {
    fn from(error: TokenError) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error.reason(), error)
    }
}

impl From<live::RequestError> for Refused {
    fn from(error: live::RequestError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.reason(), error)
    }
}

/// A Plan, or that nothing has changed.
struct Answered {
    etag: String,
    body: Option<Vec<u8>>,
}

impl<C: Cluster> Plans<C> {
    /// For pods that this handler admits.
    pub fn new(
        reviews: Arc<Handler<C>>,
        authorities: Authorities,
        keys: KeySource,
        budget: Budget,
    ) -> Self {
        Self {
            reviews,
            authorities,
            keys: Keys::new(keys),
            verified: Verified::new(budget.plan_tokens_bytes()),
            bodies: ByteBudget::new(budget.plan_bodies_bytes()),
            requests: Mutex::new(Pace::new(REQUESTS)),
            updates: Mutex::new(Pace::new(UPDATES)),
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        guard: &mut InFlightGuard,
    ) -> Result<Answered, Refused> {
        let (head, mut body) = request.into_parts();
        let address = guard.activity.source.address();
        if !lock(&self.requests).admits(address, Instant::now()) {
            return Err(Refused::busy());
        }
        if head.uri.path() != PLAN_PATH {
            let message = format!("no such path; sidecars ask at {PLAN_PATH}");
            return Err(Refused::new(StatusCode::NOT_FOUND, reason::KS513, message));
        }
        if head.method != Method::POST {
            let message = "sidecars ask by POST";
            return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, reason::KS513, message));
        }
        let caller = self.caller(&head.headers).await?;
        let known = head.headers.get(IF_NONE_MATCH).cloned();
        drop(head);
        let body = body::read(&mut body, guard, BODY_TIME, MAX_UPDATE_BYTES).await;
        let body = body.map_err(|error| match error {
            BodyError::NoRoom => Refused::busy(),
            BodyError::TooLarge { .. } => {
                Refused::new(StatusCode::PAYLOAD_TOO_LARGE, reason::KS513, error)
            }
            BodyError::Late => Refused::new(StatusCode::REQUEST_TIMEOUT, reason::KS513, error),
            BodyError::Broken(_) => Refused::new(StatusCode::BAD_REQUEST, reason::KS513, error),
        })?;
        self.plan(&caller, &body, known.as_ref()).await
    }

    async fn caller(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Refused> {
        let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let (hash, now) = (verified::hash(token), unix_now());
        if let Some(caller) = self.verified.get(&hash, now) {
            return Ok(caller);
        }
        let keys = self.keys.of(token).await.map_err(|error| match error {
            KeysError::Token(error) => error.into(),
            KeysError::Unknown(problem) => Refused::without_keys(problem),
        })?;
        let caller = Arc::new(keys.verify(token, now)?);
        self.verified.keep(hash, &caller, now);
        Ok(caller)
    }

    /// The classes are those of the token's namespace; nothing else of a request is believed.
    async fn plan(
        &self,
        caller: &Caller,
        body: &[u8],
        known: Option<&HeaderValue>,
    ) -> Result<Answered, Refused> {
        let request = live::read(body)?;
        let namespace = &*caller.namespace;
        let classes: Vec<&str> = request.classes().keys().map(String::as_str).collect();
        let Some(_waiting) = self.reviews.lookups.enter(namespace, classes.len().max(1)) else {
            return Err(Refused::busy());
        };
        let account = Some(&*caller.service_account);
        let needs = Needs { service_account: account, classes, ..Needs::default() };
        let facts = cluster::facts(self.reviews.cluster(), namespace, needs).await;
        let facts = facts.map_err(|error| {
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, error.reason(), error)
        })?;
        let authorities = self.authorities.pem();
        let etag = live::etag(&facts.classes, &authorities);
        if known.is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
            return Ok(Answered { etag, body: None });
        }
        let edited = live::edited(&request, &facts.classes);
        if !lock(&self.updates).admits_many(namespace.to_owned(), edited, Instant::now()) {
            return Err(Refused::busy());
        }
        let settings = self.reviews.settings();
        let context = Context { settings, namespace, uid: "", facts: &facts };
        let update = live::update(&request, context, &authorities)?;
        for class in update.classes.keys() {
            tracing::info!(namespace, pod = caller.pod, class, "running pod follows its class");
        }
        let body = serde_json::to_vec(&update);
        let body = body.map_err(|error| {
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, reason::KS513, error)
        })?;
        Ok(Answered { etag, body: Some(body) })
    }
}

impl<C: Cluster> Service for Plans<C> {
    fn metrics(&self) -> &Metrics {
        self.reviews.metrics()
    }

    fn bodies(&self) -> Arc<ByteBudget> {
        Arc::clone(&self.bodies)
    }

    fn start_draining(&self) {}

    fn is_second_to_others(&self) -> bool {
        true
    }

    async fn handle(
        &self,
        request: Request<Incoming>,
        mut guard: InFlightGuard,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let answer = AssertUnwindSafe(self.answer(request, &mut guard)).catch_unwind().await;
        let answer = answer.unwrap_or_else(|_| {
            self.metrics().panics.inc();
            let message = "the request made us panic; this is a bug";
            Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, reason::KS513, message))
        });
        guard.give_back();
        let (status, etag, body) = match answer {
            Ok(Answered { etag, body: Some(body) }) => {
                self.metrics().plan(PlanAnswer::Changed, "");
                (StatusCode::OK, Some(etag), body)
            }
            Ok(Answered { etag, body: None }) => {
                self.metrics().plan(PlanAnswer::Unchanged, "");
                (StatusCode::NOT_MODIFIED, Some(etag), Vec::new())
            }
            Err(Refused { status, reason, message }) => {
                self.metrics().plan(PlanAnswer::Refused, reason.code);
                tracing::debug!(
                    status = status.as_u16(),
                    code = reason.code,
                    message,
                    "request for a Plan refused"
                );
                guard.refuse();
                let body = json!({"code": reason.code,
                    "message": format!("{reason} {message}; hint: {}", reason.fix)});
                (status, None, body.to_string().into_bytes())
            }
        };
        let _ = guard.take(body.capacity());
        guard.answer();
        let mut response = Response::new(Full::new(Delivery::of(body, guard)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if status != StatusCode::NOT_MODIFIED {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
            headers.insert(ETAG, etag);
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Ok(response)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_no_fault_of_the_pod() {
        for (refused, status, code) in [
            (Refused::busy(), 429, "KS516"),
            (Refused::without_keys("no answer".to_owned()), 503, "KS511"),
        ] {
            assert_eq!((refused.status.as_u16(), refused.reason.code), (status, code));
        }
    }
}
