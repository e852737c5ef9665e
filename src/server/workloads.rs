//! Reviews of workloads: warnings for `kubectl apply`, with what reviews of pods leave.
//!
//! Such a review takes a small share of memory, places and look-ups, and no time where decisions
//! take turns. Beyond that it is answered at once, without warnings: nothing depends on them.

use super::body::{self, BodyError};
use super::decision::{FactsFuture, no_review, owned_facts};
use super::handler::Handler;
use super::in_flight::InFlightGuard;
use super::refusal::Refusal;
use super::source::Source;
use super::worked;
use crate::admission::ReviewError;
use crate::admission::workload::{self, IncomingWorkload};
use crate::cluster::{self, Cluster};
use crate::metrics::{Shed, WorkloadAnswer};
use crate::mutate::Facts;
use crate::reason;
use futures_util::FutureExt as _;
use http::StatusCode;
use hyper::body::{Body as _, Incoming};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// A workload with what it was before and its `last-applied-configuration`: a larger one gets no
/// warnings.
const BODY_LIMIT_BYTES: usize = 1 << 20;
/// The API server waits for a second.
const BODY_TIME: Duration = Duration::from_secs(1);
/// How long look-ups may take.
const PATIENCE: Duration = Duration::from_millis(600);

/// How far a review came.
enum Pass<'s> {
    Read(Vec<String>),
    /// For the cluster to tell of so many objects.
    Waits(FactsFuture<'s>, usize),
    /// The cluster cannot be asked.
    Unread,
}

impl<C: Cluster> Handler<C> {
    /// The answer to a review of a workload.
    ///
    /// # Errors
    /// [`Refusal`] where there is no review, or no room for it. The API server takes each as an
    /// answer without warnings, and repeats none.
    pub(super) async fn review_workload(
        &self,
        body: &mut Incoming,
        guard: &mut InFlightGuard,
    ) -> Result<Vec<u8>, Refusal> {
        let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = announced.unwrap_or(BODY_LIMIT_BYTES).min(BODY_LIMIT_BYTES);
        let source = Arc::clone(&guard.activity.source);
        let is_pressed = source.reviews.taken() > source.reviews.limit_bytes / 2;
        let Some(_held) = self.workloads.hold(bytes).filter(|_| !is_pressed) else {
            return Err(self.no_room());
        };
        let body = match body::read(body, guard, BODY_TIME, BODY_LIMIT_BYTES).await {
            Ok(body) => body,
            Err(BodyError::NoRoom) => return Err(self.no_room()),
            Err(error) => return Err(refusal(&error)),
        };
        let has_place = guard.take_place(self.workloads.places);
        let read = if has_place { self.read_workload(&body, &source).await } else { Ok(None) };
        let read = read.map_err(|error| no_review(&error))?;
        let answer = if let Some(answer) = read {
            answer
        } else {
            self.metrics.shed(Shed::Workloads);
            self.metrics.workload(WorkloadAnswer::Unread);
            workload::outline(&body).map_err(|error| no_review(&error))?.respond()
        };
        guard.give_back();
        if guard.take(answer.capacity()) { Ok(answer) } else { Err(self.no_room()) }
    }

    /// Not 429, which the API server repeats until its time is over.
    fn no_room(&self) -> Refusal {
        self.metrics.shed(Shed::Workloads);
        self.metrics.workload(WorkloadAnswer::Unread);
        let message = "too many requests at once; the workload gets no warnings";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason::KS706, message)
    }

    /// The answer with what there is to warn about; `None` if there is no time to find out.
    async fn read_workload(
        &self,
        body: &[u8],
        source: &Arc<Source>,
    ) -> Result<Option<Vec<u8>>, ReviewError> {
        if self.turns.is_busy() {
            return Ok(None);
        }
        let begun = Instant::now();
        worked::begin(begun);
        let incoming = workload::read(body)?;
        let first = AssertUnwindSafe(self.warnings_at_once(&incoming)).catch_unwind().await;
        self.turns.note(source, incoming.namespace(), begun.elapsed());
        let (facts, count) = match first {
            Ok(Pass::Read(warnings)) => return Ok(Some(self.warn(&incoming, &warnings))),
            Ok(Pass::Waits(facts, count)) => (facts, count),
            Ok(Pass::Unread) => return Ok(None),
            Err(_) => return Ok(self.panicked()),
        };
        // What was read of the body is not kept meanwhile.
        let namespace = incoming.namespace().to_owned();
        drop(incoming);
        let Some(waiting) = self.workloads.lookups.enter(&namespace, count) else {
            return Ok(None);
        };
        let Ok(Ok(facts)) = tokio::time::timeout(PATIENCE, facts).await else { return Ok(None) };
        drop(waiting);
        if self.turns.is_busy() {
            return Ok(None);
        }
        let begun = Instant::now();
        worked::begin(begun);
        let incoming = workload::read(body)?;
        let warnings = catch_unwind(AssertUnwindSafe(|| incoming.warnings(&self.settings, &facts)));
        self.turns.note(source, &namespace, begun.elapsed());
        Ok(match warnings {
            Ok(warnings) => Some(self.warn(&incoming, &warnings)),
            Err(_) => self.panicked(),
        })
    }

    /// What is known at once, or what waits for the cluster.
    async fn warnings_at_once<'s>(&'s self, incoming: &IncomingWorkload<'_>) -> Pass<'s> {
        let needs = incoming.needs(&self.settings);
        let mut facts = pin!(cluster::facts(&self.cluster, incoming.namespace(), needs.clone()));
        poll_fn(|cx| {
            Poll::Ready(match facts.as_mut().poll(cx) {
                Poll::Ready(Ok(facts)) => self.pass(incoming, &facts),
                Poll::Ready(Err(_)) => Pass::Unread,
                Poll::Pending => {
                    // It joins what is being looked up before the first one lets it go.
                    let mut facts = owned_facts(&self.cluster, incoming.namespace(), &needs);
                    match facts.as_mut().poll(cx) {
                        Poll::Ready(Ok(facts)) => self.pass(incoming, &facts),
                        Poll::Ready(Err(_)) => Pass::Unread,
                        Poll::Pending => Pass::Waits(facts, needs.class_count().max(1)),
                    }
                }
            })
        })
        .await
    }

    fn pass<'s>(&self, incoming: &IncomingWorkload<'_>, facts: &Facts) -> Pass<'s> {
        Pass::Read(incoming.warnings(&self.settings, facts))
    }

    fn panicked(&self) -> Option<Vec<u8>> {
        self.metrics.panics.inc();
        None
    }

    /// Counts and logs the answer; its bytes.
    fn warn(&self, incoming: &IncomingWorkload<'_>, warnings: &[String]) -> Vec<u8> {
        if let Some(first) = warnings.first() {
            self.metrics.workload(WorkloadAnswer::Warned);
            let (namespace, workload) = (incoming.namespace(), incoming.name());
            let (code, count) = (first.split(' ').next().unwrap_or_default(), warnings.len());
            tracing::info!(namespace, workload, code, count, "workload warned");
        } else {
            self.metrics.workload(WorkloadAnswer::Unwarned);
        }
        incoming.respond(warnings)
    }
}

fn refusal(error: &BodyError) -> Refusal {
    let (status, reason) = match error {
        BodyError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, reason::KS702),
        BodyError::Late => (StatusCode::REQUEST_TIMEOUT, reason::KS701),
        BodyError::Broken(_) | BodyError::NoRoom => (StatusCode::BAD_REQUEST, reason::KS701),
    };
    Refusal::new(status, reason, error)
}
