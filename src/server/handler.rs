//! One request: method, path, body, decision, log line.

use super::body::{self, BODY_LIMIT_BYTES, BodyError};
use super::budget::{ByteBudget, LookupBudget};
use super::in_flight::{Asked, InFlightGuard};
use super::limits::Load;
use super::paths::Paths;
use super::refusal::Refusal;
use super::service::{Delivery, Service};
use super::turns::Turns;
use super::workload_share::WorkloadShare;
use crate::bounded::shortened;
use crate::cluster::Cluster;
use crate::metrics::{Metrics, Shed};
use crate::reason;
use crate::settings::Settings;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Answers requests.
#[derive(Debug)]
pub struct Handler<C> {
    pub(super) settings: Settings,
    pub(super) cluster: C,
    pub(super) metrics: Arc<Metrics>,
    load: Load,
    pub(super) paths: Arc<Paths>,
    reviews: Arc<ByteBudget>,
    pub(super) turns: Arc<Turns>,
    pub(super) lookups: LookupBudget,
    pub(super) workloads: WorkloadShare,
    draining: AtomicBool,
}

impl<C: Cluster> Handler<C> {
    /// A handler for one set of settings.
    pub fn new(settings: Settings, cluster: C, metrics: Arc<Metrics>, load: Load) -> Self {
        let (reviews, turns) =
            (ByteBudget::new(load.body_bytes), Arc::new(Turns::new(load.requests)));
        let (lookups, draining) = (LookupBudget::new(load.lookups), AtomicBool::new(false));
        let workloads = WorkloadShare::of(&load);
        Self {
            settings,
            cluster,
            metrics,
            load,
            paths: Arc::default(),
            reviews,
            turns,
            lookups,
            workloads,
            draining,
        }
    }

    /// Answers at these paths.
    #[must_use]
    pub fn with_paths(self, paths: Arc<Paths>) -> Self {
        Self { paths, ..self }
    }

    /// What the operator decided.
    pub fn settings(&self) -> &Settings {
        &self.settings
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

    /// What the request may hold a review of.
    async fn check(&self, head: &Parts) -> Result<Of, Refusal> {
        let path = head.uri.path();
        if self.paths.accepts_workloads(path) {
            return check(head).map(|()| Of::Workload);
        }
        if !self.paths.accepts(path).await {
            let message =
                format!("no such path {:?}; only the API server calls here", shortened(path, 100));
            return Err(Refusal::new(StatusCode::NOT_FOUND, reason::KS701, message));
        }
        check(head).map(|()| Of::Pod(path.into()))
    }

    async fn answer(
        &self,
        body: &mut Incoming,
        guard: &mut InFlightGuard,
        of: Of,
    ) -> Result<Vec<u8>, Refusal> {
        let Of::Pod(path) = of else { return self.review_workload(body, guard).await };
        match body::read(body, guard, self.load.body_time, BODY_LIMIT_BYTES).await {
            Ok(body) => self.review(body, guard, path).await,
            // The API server repeats the call after a 429 with Retry-After, whether the body was
            // read or not.
            Err(BodyError::NoRoom) => {
                self.metrics.shed(Shed::Memory);
                Err(Refusal::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    reason::KS706,
                    "too many requests at once",
                ))
            }
            Err(error @ BodyError::TooLarge { .. }) => {
                Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, reason::KS702, error))
            }
            Err(error @ BodyError::Broken(_)) => {
                Err(Refusal::new(StatusCode::BAD_REQUEST, reason::KS701, error))
            }
            Err(error @ BodyError::Late) => {
                Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, reason::KS701, error))
            }
        }
    }

    /// The answer to a review; its room is the guard's until it has left.
    async fn review(
        &self,
        body: Bytes,
        guard: &mut InFlightGuard,
        path: Box<str>,
    ) -> Result<Vec<u8>, Refusal> {
        let asked =
            Asked { source: Arc::clone(&guard.activity.source), path, start: Instant::now() };
        let has_place = guard.take_place(self.load.requests);
        let answer = if has_place {
            self.decide(&body, &asked).await?
        } else {
            self.turn_away(&body, &asked, Shed::Reviews)?
        };
        guard.give_back();
        if guard.take(answer.capacity()) {
            return Ok(answer);
        }
        guard.give_back();
        drop(answer);
        let answer = self.turn_away(&body, &asked, Shed::Memory)?;
        let _ = guard.take(answer.capacity());
        Ok(answer)
    }
}

impl<C: Cluster> Service for Handler<C> {
    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn bodies(&self) -> Arc<ByteBudget> {
        Arc::clone(&self.reviews)
    }

    fn start_draining(&self) {
        self.start_draining();
    }

    fn is_second_to_others(&self) -> bool {
        false
    }

    /// Answers one request; never fails, never panics.
    async fn handle(
        &self,
        request: Request<Incoming>,
        mut guard: InFlightGuard,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, mut body) = request.into_parts();
        let is_http1 = head.version < Version::HTTP_2;
        let checked = self.check(&head).await;
        // A head may have 16 KiB; nothing else of it is needed any more.
        drop(head);
        let answer = async { self.answer(&mut body, &mut guard, checked?).await };
        let caught = AssertUnwindSafe(answer).catch_unwind().await;
        let answered = caught.unwrap_or_else(|_| {
            self.metrics.panics.inc();
            Err(Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                reason::KS709,
                "the request made us panic; this is a bug",
            ))
        });
        let (status, bytes) = match answered {
            Ok(bytes) => (StatusCode::OK, bytes),
            Err(refusal) => {
                self.metrics.refused(refusal.status.as_u16(), refusal.code());
                guard.refuse();
                guard.give_back();
                if is_http1 && refusal.leaves_body() {
                    body::discard(&mut body).await;
                }
                (refusal.status, refusal.tell())
            }
        };
        guard.answer();
        let is_draining = self.is_draining();
        if is_draining {
            guard.activity.answered_while_draining.store(true, Ordering::Relaxed);
        }
        let mut response = Response::new(Full::new(Delivery::of(bytes, guard)));
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
}

/// What a review is about, by its path.
enum Of {
    /// A pod; the path.
    Pod(Box<str>),
    Workload,
}

fn check(head: &Parts) -> Result<(), Refusal> {
    if head.method != Method::POST {
        return Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            reason::KS701,
            "reviews are sent by POST",
        ));
    }
    let content_type =
        head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        let message =
            format!("Content-Type is {:?}, not application/json", shortened(content_type, 100));
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason::KS701, message));
    }
    Ok(())
}
