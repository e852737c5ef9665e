//! One request: method, path, body, decision, log line.

use super::body::{self, BodyError, Room};
use super::caught::{Panicked, caught};
use super::pulse::Ticket;
use super::refusal::Refusal;
use crate::admission::{self, Answer, Incoming as Review};
use crate::cluster::{self, Cluster};
use crate::log::{Decision, shortened};
use crate::metrics::Metrics;
use crate::reason;
use crate::settings::Settings;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

/// Bounds of the work in hand; what exceeds them is told to come again.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests at once; beyond that one of each connection.
    pub requests: i64,
    /// Bytes of their bodies that have come; one connection may hold a quarter.
    pub body_bytes: usize,
    /// How long a body may take: the API server sends it at once, and by default gives a webhook as long as this.
    pub body_time: Duration,
    /// Classes that decisions wait for the API server to tell; a decision that waits for something else counts as one.
    pub lookups: u32,
}

impl Default for Load {
    fn default() -> Self {
        Self { requests: 1024, body_bytes: 64 << 20, body_time: Duration::from_secs(5), lookups: 256 }
    }
}

/// Answers requests.
#[derive(Debug)]
pub struct Handler<C> {
    settings: Settings,
    cluster: C,
    metrics: Arc<Metrics>,
    load: Load,
    room: Room,
    lookups: AtomicU32,
    draining: AtomicBool,
}

impl<C: Cluster> Handler<C> {
    /// A handler for one set of settings.
    pub fn new(settings: Settings, cluster: C, metrics: Arc<Metrics>, load: Load) -> Self {
        let (room, lookups, draining) = (Room::new(load.body_bytes), AtomicU32::new(0), AtomicBool::new(false));
        Self { settings, cluster, metrics, load, room, lookups, draining }
    }

    /// From now on every answer asks the client to close its connection.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether [`Handler::start_draining`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// What is known of the cluster.
    pub fn cluster(&self) -> &C {
        &self.cluster
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Answers one request; never fails, never panics.
    pub(super) async fn handle(
        &self,
        request: Request<Incoming>,
        mut ticket: Ticket,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, mut body) = request.into_parts();
        let is_http1 = head.version < Version::HTTP_2;
        let answered = caught(self.answer(&head, &mut body, &ticket)).await.unwrap_or_else(|Panicked| {
            self.metrics.panics.inc();
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, None, "the request made us panic; this is a bug"))
        });
        let (status, bytes) = match answered {
            Ok(bytes) => (StatusCode::OK, bytes),
            Err(refusal) => {
                self.metrics.refused(refusal.status.as_u16(), refusal.code());
                ticket.give_up_place();
                if is_http1 && refusal.leaves_body() {
                    body::discard(&mut body).await;
                }
                (refusal.status, refusal.tell())
            }
        };
        let is_draining = self.is_draining();
        if is_draining {
            ticket.pulse.answered_while_draining.store(true, Ordering::Relaxed);
        }
        let mut response = Response::new(Full::new(Bytes::from_owner(Delivery { bytes, _ticket: ticket })));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if is_draining && is_http1 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    async fn answer(&self, head: &Parts, body: &mut Incoming, ticket: &Ticket) -> Result<Vec<u8>, Refusal> {
        check(head)?;
        if !ticket.has_place(self.load.requests) {
            return Err(self.shed());
        }
        match body::read(body, &self.room, &ticket.pulse, self.load.body_time).await {
            Ok((body, _share)) => self.review(&body).await,
            // The API server repeats the call after a 429 with Retry-After, whether the body was read or not.
            Err(BodyError::NoRoom) => Err(self.shed()),
            Err(error @ BodyError::TooLarge) => {
                Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Some(reason::KS702), error))
            }
            Err(error @ BodyError::Broken(_)) => Err(Refusal::new(StatusCode::BAD_REQUEST, None, error)),
            Err(error @ BodyError::Late) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, None, error)),
        }
    }

    async fn review(&self, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let start = Instant::now();
        let incoming = admission::read(body).map_err(|error| {
            let message = format!("{error}; hint: {}", reason::KS701.fix);
            Refusal::new(StatusCode::BAD_REQUEST, Some(reason::KS701), message)
        })?;
        // As long as the uid is known, a bug is a denial in words.
        let answer = caught(self.decide(&incoming)).await.unwrap_or_else(|Panicked| {
            self.metrics.panics.inc();
            incoming.failed()
        });
        let duration = start.elapsed();
        self.metrics.review(&answer, duration);
        log(&incoming, &answer, duration);
        Ok(answer.body)
    }

    async fn decide(&self, incoming: &Review<'_>) -> Answer {
        let needs = incoming.needs(&self.settings);
        match self.look_up(incoming.namespace(), &needs).await {
            Some(Ok(facts)) => incoming.answer(&self.settings, &facts),
            Some(Err(error)) => incoming.unavailable(&error.to_string()),
            None => {
                self.metrics.shed.inc();
                incoming.overloaded()
            }
        }
    }

    /// Asks the cluster: mostly a cache. `None` if too many others wait for what is in none.
    async fn look_up(
        &self,
        namespace: &str,
        needs: &crate::mutate::Needs<'_>,
    ) -> Option<Result<crate::mutate::Facts, cluster::ClusterError>> {
        let mut facts = pin!(cluster::facts(&self.cluster, namespace, needs));
        let at_once = poll_fn(|cx| Poll::Ready(facts.as_mut().poll(cx))).await;
        if let Poll::Ready(facts) = at_once {
            return Some(facts);
        }
        let requests = u32::try_from(needs.classes.len()).unwrap_or(u32::MAX).max(1);
        let waiting = Waiting::enter(&self.lookups, requests);
        if waiting.count > self.load.lookups {
            return None;
        }
        Some(facts.await)
    }

    fn shed(&self) -> Refusal {
        self.metrics.shed.inc();
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, Some(reason::KS706), "too many requests at once")
    }
}

/// An answer that is dropped when its last byte has left.
struct Delivery {
    bytes: Vec<u8>,
    _ticket: Ticket,
}

impl AsRef<[u8]> for Delivery {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Counted as long as it lives, also when the client goes away in between.
struct Waiting<'a> {
    counter: &'a AtomicU32,
    requests: u32,
    count: u32,
}

impl<'a> Waiting<'a> {
    fn enter(counter: &'a AtomicU32, requests: u32) -> Self {
        Self { counter, requests, count: counter.fetch_add(requests, Ordering::Relaxed) + requests }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(self.requests, Ordering::Relaxed);
    }
}

fn log(incoming: &admission::Incoming<'_>, answer: &Answer, duration: Duration) {
    let (pod, because) = (incoming.pod(), answer.because());
    let line = Decision {
        namespace: incoming.namespace(),
        pod: &pod.map(admission::pod::Pod::display_name).unwrap_or_default(),
        service_account: pod.map(admission::pod::Pod::service_account).unwrap_or_default(),
        outcome: answer.outcome.as_str(),
        reason: answer.reason.map(|reason| reason.code),
        message: answer.message.as_deref(),
        because: because.as_deref(),
        duration,
    };
    line.log();
}

fn check(head: &Parts) -> Result<(), Refusal> {
    let path = head.uri.path();
    if path != "/mutate" && path != "/mutate-v1-pod" {
        let path = shortened(path, 100);
        return Err(Refusal::new(StatusCode::NOT_FOUND, None, format!("no such path {path:?}; reviews go to /mutate")));
    }
    if head.method != Method::POST {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, None, "reviews are sent by POST"));
    }
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        let message = format!("Content-Type is {:?}, not application/json", shortened(content_type, 100));
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, None, message));
    }
    Ok(())
}
