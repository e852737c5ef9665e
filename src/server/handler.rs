//! One request: method, path, body, decision, log line.

use super::body::{self, BodyError};
use super::caught::{Panicked, caught};
use super::lookups::{Lookups, Waiting};
use super::paths::Paths;
use super::pool::{Pool, Source};
use super::pulse::Ticket;
use super::refusal::Refusal;
use super::turns::{Turn, Turns};
use crate::admission::{self, Answer, Incoming as Review, Outcome, ReviewError};
use crate::bounded::shortened;
use crate::budget::Budget;
use crate::cluster::{self, Cluster, ClusterError};
use crate::log::Decision;
use crate::metrics::Metrics;
use crate::mutate::{Facts, Needs};
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
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

/// A larger review may take more than a millisecond: it takes its turn.
const ORDINARY_BYTES: usize = 64 << 10;

/// Bounds of the work in hand; what exceeds them is told to come again.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests at once whose bodies are there; beyond that eight of each connection.
    pub requests: usize,
    /// What their bodies and answers may take; the last quarter is for source addresses that hold
    /// little.
    pub body_bytes: usize,
    /// How long a body may take: the API server sends it at once, and by default gives a webhook as
    /// long as this.
    pub body_time: Duration,
    /// Classes that decisions wait for the API server to tell; a decision that waits for something
    /// else counts as one. The last quarter is for namespaces that wait for little.
    pub lookups: usize,
}

impl Default for Load {
    fn default() -> Self {
        Self::of(Budget::default())
    }
}

impl Load {
    /// The bounds for a memory limit.
    pub fn of(budget: Budget) -> Self {
        let body_bytes = budget.reviews_bytes();
        Self { requests: 1024, body_bytes, body_time: Duration::from_secs(5), lookups: 256 }
    }
}

/// Answers requests.
#[derive(Debug)]
pub struct Handler<C> {
    settings: Settings,
    cluster: C,
    metrics: Arc<Metrics>,
    load: Load,
    paths: Arc<Paths>,
    reviews: Arc<Pool>,
    turns: Arc<Turns>,
    lookups: Lookups,
    draining: AtomicBool,
}

impl<C: Cluster> Handler<C> {
    /// A handler for one set of settings.
    pub fn new(settings: Settings, cluster: C, metrics: Arc<Metrics>, load: Load) -> Self {
        let (reviews, turns) = (Pool::new(load.body_bytes), Arc::new(Turns::new(load.requests)));
        let (lookups, draining) = (Lookups::new(load.lookups), AtomicBool::new(false));
        Self {
            settings,
            cluster,
            metrics,
            load,
            paths: Arc::default(),
            reviews,
            turns,
            lookups,
            draining,
        }
    }

    /// Answers at these paths.
    #[must_use]
    pub fn with_paths(self, paths: Arc<Paths>) -> Self {
        Self { paths, ..self }
    }

    /// What reviews take.
    pub(super) fn reviews(&self) -> Arc<Pool> {
        Arc::clone(&self.reviews)
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
        let checked = self.check(&head).await.map(|()| Box::<str>::from(head.uri.path()));
        // A head may have 16 KiB; nothing else of it is needed any more.
        drop(head);
        let answer = async { self.answer(&mut body, &mut ticket, checked?).await };
        let answered = caught(answer).await.unwrap_or_else(|Panicked| {
            self.metrics.panics.inc();
            Err(Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                None,
                "the request made us panic; this is a bug",
            ))
        });
        let (status, bytes) = match answered {
            Ok(bytes) => (StatusCode::OK, bytes),
            Err(refusal) => {
                self.metrics.refused(refusal.status.as_u16(), refusal.code());
                ticket.is_refused();
                ticket.give_back();
                if is_http1 && refusal.leaves_body() {
                    body::discard(&mut body).await;
                }
                (refusal.status, refusal.tell())
            }
        };
        ticket.answer();
        let is_draining = self.is_draining();
        if is_draining {
            ticket.pulse.answered_while_draining.store(true, Ordering::Relaxed);
        }
        let mut response =
            Response::new(Full::new(Bytes::from_owner(Delivery { bytes, _ticket: ticket })));
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

    /// Whether the request is one that may hold a review.
    async fn check(&self, head: &Parts) -> Result<(), Refusal> {
        let path = head.uri.path();
        if !self.paths.accepts(path).await {
            let message =
                format!("no such path {:?}; only the API server calls here", shortened(path, 100));
            return Err(Refusal::new(StatusCode::NOT_FOUND, None, message));
        }
        check(head)
    }

    async fn answer(
        &self,
        body: &mut Incoming,
        ticket: &mut Ticket,
        path: Box<str>,
    ) -> Result<Vec<u8>, Refusal> {
        match body::read(body, ticket, self.load.body_time).await {
            Ok(body) => self.review(body, ticket, path).await,
            // The API server repeats the call after a 429 with Retry-After, whether the body was
            // read or not.
            Err(BodyError::NoRoom) => {
                self.metrics.shed.inc();
                Err(Refusal::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    Some(reason::KS706),
                    "too many requests at once",
                ))
            }
            Err(error @ BodyError::TooLarge) => {
                Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Some(reason::KS702), error))
            }
            Err(error @ BodyError::Broken(_)) => {
                Err(Refusal::new(StatusCode::BAD_REQUEST, None, error))
            }
            Err(error @ BodyError::Late) => {
                Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, None, error))
            }
        }
    }

    /// The answer to a review; its room is the ticket's until it has left.
    async fn review(
        &self,
        body: Bytes,
        ticket: &mut Ticket,
        path: Box<str>,
    ) -> Result<Vec<u8>, Refusal> {
        let asked = Asked { source: Arc::clone(&ticket.pulse.source), path, start: Instant::now() };
        let has_place = ticket.take_place(self.load.requests);
        let answer = if has_place {
            self.decide(&body, &asked).await?
        } else {
            self.turn_away(&body, &asked)?
        };
        ticket.give_back();
        if ticket.take(answer.capacity()) {
            return Ok(answer);
        }
        ticket.give_back();
        drop(answer);
        let answer = self.turn_away(&body, &asked)?;
        let _ = ticket.take(answer.capacity());
        Ok(answer)
    }

    async fn decide(&self, body: &[u8], asked: &Asked) -> Result<Vec<u8>, Refusal> {
        let first = match self.in_turn(body, &asked.source).await? {
            Some(turn) => self.first_pass(body, asked, &turn).await?,
            None => return self.turn_away(body, asked),
        };
        let waits = match first {
            Pass::Answered(answer) => return Ok(answer),
            Pass::Waits(waits) => waits,
        };
        // What was read of the body is not kept meanwhile: it takes many times its text.
        let facts = waits.facts.await;
        drop(waits.waiting);
        match self.in_turn(body, &asked.source).await? {
            Some(turn) => self.second_pass(body, asked, &turn, &facts),
            None => self.turn_away(body, asked),
        }
    }

    /// Waits for a turn where decisions take turns; `None` if it has none in time.
    async fn in_turn(&self, body: &[u8], source: &Arc<Source>) -> Result<Option<InTurn>, Refusal> {
        if body.len() <= ORDINARY_BYTES && !self.turns.is_busy() {
            return Ok(Some(InTurn::Calm));
        }
        let outline = admission::outline(body).map_err(|error| no_review(&error))?;
        Ok(self.turns.enter(source, outline.namespace()).await.ok().map(InTurn::Turn))
    }

    /// Decides by what is known at once.
    async fn first_pass<'s>(
        &'s self,
        body: &[u8],
        asked: &Asked,
        turn: &InTurn,
    ) -> Result<Pass<'s>, Refusal> {
        let incoming = admission::read(body).map_err(|error| no_review(&error))?;
        // As long as the uid is known, a bug is a denial in words.
        let answer = match caught(self.answer_at_once(&incoming)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(waits)) => return Ok(Pass::Waits(waits)),
            Err(Panicked) => self.failed(&incoming),
        };
        let is_calm = matches!(turn, InTurn::Calm);
        let (body, duration) = self.tell(&incoming, answer, asked);
        if is_calm {
            self.turns.note(&asked.source, incoming.namespace(), duration);
        }
        Ok(Pass::Answered(body))
    }

    /// Reads the review again, now that everything is known.
    fn second_pass(
        &self,
        body: &[u8],
        asked: &Asked,
        turn: &InTurn,
        facts: &Result<Facts, ClusterError>,
    ) -> Result<Vec<u8>, Refusal> {
        let begun = Instant::now();
        let incoming = admission::read(body).map_err(|error| no_review(&error))?;
        let answered = catch_unwind(AssertUnwindSafe(|| self.answer_with(&incoming, facts)));
        let answer = answered.unwrap_or_else(|_| self.failed(&incoming));
        let (body, _) = self.tell(&incoming, answer, asked);
        if matches!(turn, InTurn::Calm) {
            self.turns.note(&asked.source, incoming.namespace(), begun.elapsed());
        }
        Ok(body)
    }

    /// What waits, where the cluster must be asked.
    async fn answer_at_once<'s>(&'s self, incoming: &Review<'_>) -> Result<Answer, Waits<'s>> {
        let needs = incoming.needs(&self.settings);
        let mut facts = pin!(cluster::facts(&self.cluster, incoming.namespace(), &needs));
        poll_fn(|cx| {
            if let Poll::Ready(facts) = facts.as_mut().poll(cx) {
                return Poll::Ready(Ok(self.answer_with(incoming, &facts)));
            }
            let Some(waiting) =
                self.lookups.enter(incoming.namespace(), needs.classes.len().max(1))
            else {
                self.metrics.shed.inc();
                return Poll::Ready(Ok(incoming.overloaded()));
            };
            // It joins what is being looked up before the first one, which borrows from the review,
            // lets it go.
            let mut facts = owned_facts(&self.cluster, incoming.namespace(), &needs);
            Poll::Ready(match facts.as_mut().poll(cx) {
                Poll::Ready(facts) => Ok(self.answer_with(incoming, &facts)),
                Poll::Pending => Err(Waits { facts, waiting }),
            })
        })
        .await
    }

    fn answer_with(&self, incoming: &Review<'_>, facts: &Result<Facts, ClusterError>) -> Answer {
        match facts {
            Ok(facts) => incoming.answer(&self.settings, facts),
            Err(error) => incoming.unavailable(error.reason(), &error.to_string()),
        }
    }

    fn failed(&self, incoming: &Review<'_>) -> Answer {
        self.metrics.panics.inc();
        incoming.failed()
    }

    /// Too much is under way: denied in words that make clients come again. Nothing but the
    /// review's head is read.
    fn turn_away(&self, body: &[u8], asked: &Asked) -> Result<Vec<u8>, Refusal> {
        let incoming = admission::outline(body).map_err(|error| no_review(&error))?;
        self.metrics.shed.inc();
        let answer = incoming.overloaded();
        Ok(self.tell(&incoming, answer, asked).0)
    }

    /// Counts and logs the answer; its bytes, and how long it took.
    fn tell(&self, incoming: &Review<'_>, answer: Answer, asked: &Asked) -> (Vec<u8>, Duration) {
        let duration = asked.start.elapsed();
        self.metrics.review(&answer, duration);
        log(incoming, &answer, duration);
        if answer.outcome != Outcome::Denied {
            self.paths.allowed(&asked.path);
        }
        (answer.body, duration)
    }
}

/// Who asked for a decision, where, and since when.
struct Asked {
    source: Arc<Source>,
    path: Box<str>,
    start: Instant,
}

/// How a decision came to its time on the thread; the next one has its turn when this is dropped.
enum InTurn {
    /// Nobody takes much of it.
    Calm,
    #[expect(dead_code)] // dropped at the end of the decision
    Turn(Turn),
}

/// How far a decision came.
enum Pass<'s> {
    Answered(Vec<u8>),
    Waits(Waits<'s>),
}

/// A decision that waits for the cluster's answer.
struct Waits<'s> {
    facts: LookUp<'s>,
    waiting: Waiting<'s>,
}

type LookUp<'s> = Pin<Box<dyn Future<Output = Result<Facts, ClusterError>> + Send + 's>>;

/// Looks up what a review needs without borrowing from it.
fn owned_facts<'s, C: Cluster>(cluster: &'s C, namespace: &str, needs: &Needs<'_>) -> LookUp<'s> {
    let namespace = namespace.to_owned();
    let account = needs.service_account.map(str::to_owned);
    let classes: Vec<String> = needs.classes.iter().map(|name| (*name).to_owned()).collect();
    let csi_driver = needs.csi_driver;
    Box::pin(async move {
        let classes = classes.iter().map(String::as_str).collect();
        let needs = Needs { service_account: account.as_deref(), classes, csi_driver };
        cluster::facts(cluster, &namespace, &needs).await
    })
}

fn no_review(error: &ReviewError) -> Refusal {
    let message = format!("{error}; hint: {}", reason::KS701.fix);
    Refusal::new(StatusCode::BAD_REQUEST, Some(reason::KS701), message)
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

fn log(incoming: &admission::Incoming<'_>, answer: &Answer, duration: Duration) {
    let (pod, because) = (incoming.pod(), answer.because());
    let line = Decision {
        namespace: incoming.namespace(),
        pod: &pod.map(crate::pod::Pod::display_name).unwrap_or_default(),
        service_account: pod.map(crate::pod::Pod::service_account).unwrap_or_default(),
        outcome: answer.outcome.as_str(),
        reason: answer.reason.map(|reason| reason.code),
        message: answer.message.as_deref(),
        because: because.as_deref(),
        duration,
    };
    line.log();
}

fn check(head: &Parts) -> Result<(), Refusal> {
    if head.method != Method::POST {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, None, "reviews are sent by POST"));
    }
    let content_type =
        head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        let message =
            format!("Content-Type is {:?}, not application/json", shortened(content_type, 100));
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, None, message));
    }
    Ok(())
}
