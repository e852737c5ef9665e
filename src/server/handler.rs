//! One request: method, path, body, decision, log line.

use crate::admission::{self, Answer, Outcome, ReviewError};
use crate::cluster::{self, Cluster};
use crate::reason;
use crate::settings::Settings;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A review is at most this large (the API server's own limit is 3 MiB of object, twice for updates).
pub const BODY_LIMIT_BYTES: usize = 7 << 20;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers requests.
#[derive(Debug)]
pub struct Handler<C> {
    settings: Settings,
    cluster: C,
    draining: AtomicBool,
}

impl<C: Cluster> Handler<C> {
    /// A handler for one set of settings.
    pub fn new(settings: Settings, cluster: C) -> Self {
        Self { settings, cluster, draining: AtomicBool::new(false) }
    }

    /// From now on every answer asks the client to close its connection.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether [`Handler::start_draining`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Answers one request; never fails, never panics.
    pub async fn handle(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let version = request.version();
        let mut response = self.route(request).await;
        if self.is_draining() && version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    async fn route(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if path != "/mutate" && path != "/mutate-v1-pod" {
            return refuse(StatusCode::NOT_FOUND, &format!("no such path {path:?}; reviews go to /mutate"));
        }
        if request.method() != Method::POST {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "reviews are sent by POST");
        }
        let content_type =
            request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return refuse(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                &format!("Content-Type is {content_type:?}, not application/json"),
            );
        }
        let body = Limited::new(request.into_body(), BODY_LIMIT_BYTES);
        match tokio::time::timeout(BODY_TIMEOUT, body.collect()).await {
            Ok(Ok(body)) => self.review(&body.to_bytes()).await,
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let limit = format!("{} the body is larger than {BODY_LIMIT_BYTES} bytes", reason::KS702);
                refuse(StatusCode::PAYLOAD_TOO_LARGE, &limit)
            }
            Ok(Err(error)) => refuse(StatusCode::BAD_REQUEST, &format!("the body broke off: {error}")),
            Err(_) => refuse(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
        }
    }

    async fn review(&self, body: &[u8]) -> Response<Full<Bytes>> {
        let start = Instant::now();
        let incoming = match admission::read(body) {
            Ok(incoming) => incoming,
            Err(error) => return refuse(StatusCode::BAD_REQUEST, &malformed(&error)),
        };
        let needs = incoming.needs(&self.settings);
        let answer = match cluster::facts(&self.cluster, incoming.namespace(), &needs).await {
            Ok(facts) => {
                // A bug in a decision must not cost more than that decision.
                let decide = AssertUnwindSafe(|| incoming.answer(&self.settings, &facts));
                std::panic::catch_unwind(decide)
                    .unwrap_or_else(|_| incoming.unavailable("the decision panicked; this is a bug"))
            }
            Err(error) => incoming.unavailable(&error.to_string()),
        };
        log(&incoming, &answer, start.elapsed());
        json(StatusCode::OK, answer.body)
    }
}

fn log(incoming: &admission::Incoming<'_>, answer: &Answer, duration: Duration) {
    let pod = incoming.pod().map(admission::pod::Pod::display_name).unwrap_or_default();
    let service_account = incoming.pod().map(admission::pod::Pod::service_account).unwrap_or_default();
    let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let reason = answer.reason.map(|reason| reason.code).unwrap_or_default();
    let message = answer.message.as_deref().unwrap_or_default();
    let (namespace, outcome) = (incoming.namespace(), answer.outcome.as_str());
    if answer.outcome == Outcome::Denied {
        tracing::warn!(%namespace, %pod, service_account, outcome, reason, message, microseconds, "review");
    } else {
        tracing::info!(%namespace, %pod, service_account, outcome, microseconds, "review");
    }
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
