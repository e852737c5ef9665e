//! The decision about one review: at once where everything is known, after a look-up otherwise, in
//! turns where decisions take long.

use super::budget::Reservation;
use super::handler::Handler;
use super::in_flight::Asked;
use super::refusal::Refusal;
use super::source::Source;
use super::turns::Turn;
use super::worked;
use crate::admission::{self, Answer, Incoming, Outcome, ReviewError};
use crate::cluster::{self, Cluster, ClusterError};
use crate::log::Decision;
use crate::metrics::Shed;
use crate::mutate::{Facts, Needs, WithoutDriver};
use crate::reason;
use futures_util::FutureExt as _;
use http::StatusCode;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// A larger review may take more than a millisecond: it takes its turn.
const ORDINARY_BYTES: usize = 64 << 10;

impl<C: Cluster> Handler<C> {
    pub(super) async fn decide(&self, body: &[u8], asked: &Asked) -> Result<Vec<u8>, Refusal> {
        let first = match self.in_turn(body, &asked.source).await? {
            Some(turn) => self.first_pass(body, asked, &turn).await?,
            None => return self.turn_away(body, asked, Shed::Turns),
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
            None => self.turn_away(body, asked, Shed::Turns),
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
        let is_calm = matches!(turn, InTurn::Calm);
        if is_calm {
            worked::begin(asked.start);
        }
        let incoming = admission::read(body).map_err(|error| no_review(&error))?;
        // As long as the uid is known, a bug is a denial in words.
        let answer = match AssertUnwindSafe(self.answer_at_once(&incoming)).catch_unwind().await {
            Ok(Ok(answer)) => answer,
            Ok(Err(waits)) => return Ok(Pass::Waits(waits)),
            Err(_) => self.failed(&incoming),
        };
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
        worked::begin(begun);
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
    async fn answer_at_once<'s>(&'s self, incoming: &Incoming<'_>) -> Result<Answer, Waits<'s>> {
        let needs = incoming.needs(&self.settings);
        let mut facts = pin!(cluster::facts(&self.cluster, incoming.namespace(), needs.clone()));
        poll_fn(|cx| {
            if let Poll::Ready(facts) = facts.as_mut().poll(cx) {
                return Poll::Ready(Ok(self.answer_with(incoming, &facts)));
            }
            let Some(waiting) =
                self.lookups.enter(incoming.namespace(), needs.class_count().max(1))
            else {
                self.metrics.shed(Shed::Lookups);
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

    fn answer_with(&self, incoming: &Incoming<'_>, facts: &Result<Facts, ClusterError>) -> Answer {
        match facts {
            Ok(facts) => incoming.answer(&self.settings, facts),
            Err(error) => incoming.unavailable(error.reason(), &error.to_string()),
        }
    }

    fn failed(&self, incoming: &Incoming<'_>) -> Answer {
        self.metrics.panics.inc();
        incoming.failed()
    }

    /// Too much is under way: denied in words that make clients come again. Nothing but the
    /// review's head is read.
    pub(super) fn turn_away(
        &self,
        body: &[u8],
        asked: &Asked,
        limit: Shed,
    ) -> Result<Vec<u8>, Refusal> {
        let incoming = admission::outline(body).map_err(|error| no_review(&error))?;
        self.metrics.shed(limit);
        let answer = incoming.overloaded();
        Ok(self.tell(&incoming, answer, asked).0)
    }

    /// Counts and logs the answer; its bytes, and how long it took.
    fn tell(&self, incoming: &Incoming<'_>, answer: Answer, asked: &Asked) -> (Vec<u8>, Duration) {
        let duration = asked.start.elapsed();
        self.metrics.review(&answer, duration);
        log(incoming, &answer, duration);
        if answer.outcome != Outcome::Denied {
            self.paths.allowed(&asked.path);
        }
        (answer.body, duration)
    }
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
    facts: FactsFuture<'s>,
    waiting: Reservation<'s>,
}

pub(super) type FactsFuture<'s> =
    Pin<Box<dyn Future<Output = Result<Facts, ClusterError>> + Send + 's>>;

/// Looks up what a review needs without borrowing from it.
pub(super) fn owned_facts<'s, C: Cluster>(
    cluster: &'s C,
    namespace: &str,
    needs: &Needs<'_>,
) -> FactsFuture<'s> {
    let namespace = namespace.to_owned();
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let rest = &needs.without_driver;
    let accounts = [needs.service_account, rest.service_account].map(|one| one.map(str::to_owned));
    let classes: [Vec<String>; 2] = [owned(&needs.classes), owned(&rest.classes)];
    let csi_driver = needs.csi_driver;
    Box::pin(async move {
        let [service_account, of_rest] = accounts.each_ref().map(Option::as_deref);
        let [classes, rest] =
            classes.each_ref().map(|names| names.iter().map(String::as_str).collect());
        let without_driver = WithoutDriver { service_account: of_rest, classes: rest };
        let needs = Needs { service_account, classes, csi_driver, without_driver };
        cluster::facts(cluster, &namespace, needs).await
    })
}

pub(super) fn no_review(error: &ReviewError) -> Refusal {
    let message = format!("{error}; hint: {}", reason::KS701.fix);
    Refusal::new(StatusCode::BAD_REQUEST, reason::KS701, message)
}

fn log(incoming: &Incoming<'_>, answer: &Answer, duration: Duration) {
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
