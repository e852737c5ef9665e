//! One request: method, path, body, decision, log line.

use super::body::{self, BodyError, Room};
use crate::admission::{self, Answer, ReviewError};
use crate::cluster::{self, Cluster};
use crate::log::Decision;
use crate::metrics::Metrics;
use crate::reason;
use crate::settings::Settings;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use prometheus_client::metrics::gauge::Gauge;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

/// Bounds of the work in hand; what exceeds them is told to come again.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests at once.
    pub requests: i64,
    /// Bytes of their bodies.
    pub body_bytes: usize,
    /// Decisions that wait for the API server.
    pub lookups: u32,
}

impl Default for Load {
    fn default() -> Self {
        Self { requests: 1024, body_bytes: 64 << 20, lookups: 256 }
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
    pub async fn handle(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let version = request.version();
        let in_flight = InFlight::enter(&self.metrics.in_flight);
        let mut response = self.route(request, in_flight.count).await;
        if self.is_draining() && version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    async fn route(&self, request: Request<Incoming>, in_flight: i64) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if path != "/mutate" && path != "/mutate-v1-pod" {
            return refuse(StatusCode::NOT_FOUND, &format!("no such path {path:?}; reviews go to /mutate"));
        }
        if request.method() != Method::POST {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "reviews are sent by POST");
        }
        if let Err(found) = check_content_type(request.headers()) {
            let message = format!("Content-Type is {found:?}, not application/json");
            return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, &message);
        }
        let body = request.into_body();
        // The API server repeats the call after a 429 with Retry-After; once the body is read, only the uid's own answer will do.
        let Some(_share) = self.room.share(&body).filter(|_| in_flight <= self.load.requests) else {
            body::discard(body).await;
            return self.shed();
        };
        match body::read(body).await {
            Ok(body) => self.review(&body).await,
            Err(error @ BodyError::TooLarge) => {
                refuse(StatusCode::PAYLOAD_TOO_LARGE, &format!("{} {error}", reason::KS702))
            }
            Err(error @ BodyError::Broken(_)) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
            Err(error @ BodyError::Late) => refuse(StatusCode::REQUEST_TIMEOUT, &error.to_string()),
        }
    }

    async fn review(&self, body: &[u8]) -> Response<Full<Bytes>> {
        let start = Instant::now();
        let incoming = match admission::read(body) {
            Ok(incoming) => incoming,
            Err(error) => return refuse(StatusCode::BAD_REQUEST, &malformed(&error)),
        };
        let needs = incoming.needs(&self.settings);
        let answer = match self.look_up(incoming.namespace(), &needs).await {
            Some(Ok(facts)) => {
                // A bug in a decision must not cost more than that decision.
                let decide = AssertUnwindSafe(|| incoming.answer(&self.settings, &facts));
                std::panic::catch_unwind(decide).unwrap_or_else(|_| {
                    self.metrics.panics.inc();
                    incoming.failed("the decision panicked; this is a bug")
                })
            }
            Some(Err(error)) => incoming.unavailable(&error.to_string()),
            None => {
                self.metrics.shed.inc();
                incoming.overloaded()
            }
        };
        let duration = start.elapsed();
        self.metrics.review(&answer, duration);
        log(&incoming, &answer, duration);
        json(StatusCode::OK, answer.body)
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
        let waiting = Waiting::enter(&self.lookups);
        if waiting.count > self.load.lookups {
            return None;
        }
        Some(facts.await)
    }

    fn shed(&self) -> Response<Full<Bytes>> {
        self.metrics.shed.inc();
        let message = format!("{} too many requests at once", reason::KS706);
        let mut response = refuse(StatusCode::TOO_MANY_REQUESTS, &message);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        response
    }
}

/// Counted as long as it lives, also when the client goes away in between.
struct InFlight<'a> {
    gauge: &'a Gauge,
    count: i64,
}

impl<'a> InFlight<'a> {
    fn enter(gauge: &'a Gauge) -> Self {
        Self { gauge, count: gauge.inc() + 1 }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// The same for look-ups.
struct Waiting<'a> {
    counter: &'a AtomicU32,
    count: u32,
}

impl<'a> Waiting<'a> {
    fn enter(counter: &'a AtomicU32) -> Self {
        Self { counter, count: counter.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(1, Ordering::Relaxed);
    }
}

fn log(incoming: &admission::Incoming<'_>, answer: &Answer, duration: Duration) {
    let pod = incoming.pod();
    let line = Decision {
        namespace: incoming.namespace(),
        pod: &pod.map(admission::pod::Pod::display_name).unwrap_or_default(),
        service_account: pod.map(admission::pod::Pod::service_account).unwrap_or_default(),
        outcome: answer.outcome.as_str(),
        reason: answer.reason.map(|reason| reason.code),
        message: answer.message.as_deref(),
        duration,
    };
    line.log();
}

fn check_content_type(headers: &HeaderMap) -> Result<(), &str> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") { Ok(()) } else { Err(content_type) }
}

fn malformed(error: &ReviewError) -> String {
    format!("{} {error}; hint: {}", reason::KS701, reason::KS701.fix)
}

fn refuse(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    tracing::warn!(status = status.as_u16(), message, "request refused");
    let denial = admission::review::Status::new(status.as_u16(), message);
    let verdict = admission::review::Verdict::Denied(&denial);
    json(status, admission::review::respond("admission.k8s.io/v1", "", verdict, &[]))
}

fn json(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
