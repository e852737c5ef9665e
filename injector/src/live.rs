//! The current Plan of a running pod: asked for at the webhook, beside the rounds of fetches.

mod kept;

pub(crate) use kept::{Kept, resume};

use crate::backoff::Jitter;
use crate::calls::Call;
use crate::clock::{Alarm, Time, since_boot};
use crate::fault::{Class, Fault};
use crate::fetch::seed;
use crate::file::read_regular;
use crate::http::{self, Http};
use crate::plan_source::below;
use crate::redact::short;
use keysluice_plan::reason::{KS661, KS662, KS663, KS664, KS665};
use keysluice_plan::{MAX_UPDATE_BYTES, Plan, PlanProblem, PlanRequest, PlanSchema, PlanUpdate};
use keysluice_plan::{Source, reason::Reason};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use secrecy::ExposeSecret;
use serde::Deserialize;
use std::borrow::Cow;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(10);
/// A pod with a shorter interval asks no more often.
const SHORTEST: Duration = Duration::from_secs(10);
/// What the webhook's refusal takes at most.
const MAX_TEXT_BYTES: usize = 16 << 10;
const MAX_TOKEN_BYTES: u64 = 16 << 10;

/// What the webhook answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `None` where nothing has changed.
    update: Option<PlanUpdate>,
    etag: Option<String>,
}

/// Asks for the current Plan, time and again.
#[derive(Debug)]
pub(crate) struct Follower {
    root: PathBuf,
    /// `None` where the Plan does not say whom to ask.
    source: Option<Source>,
    etag: Option<String>,
    interval: Duration,
    due_at: Time,
    jitter: Jitter,
    alarm: Alarm,
    asking: Option<JoinHandle<Result<Answer, Fault>>>,
}

impl Follower {
    /// Asks first when about half an interval is over: a new pod's Plan is new.
    pub(crate) fn new(plan: &Plan, etag: Option<String>, root: &Path, now: Time) -> Self {
        let mut jitter = Jitter::new(seed());
        let interval = interval(plan);
        let due_at = now + jitter.within(interval);
        Self {
            root: root.to_owned(),
            source: plan.source.clone(),
            etag,
            interval,
            due_at,
            jitter,
            alarm: Alarm::new(),
            asking: None,
        }
    }

    /// Whether there is somebody to ask.
    pub(crate) fn is_following(&self) -> bool {
        self.source.is_some()
    }

    /// The entity tag of the Plan in force.
    pub(crate) fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// Whether an answer is to come.
    pub(crate) fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    /// Asks at once; the answer comes by [`Follower::next`].
    pub(crate) fn ask(&mut self) {
        let Some(source) = &self.source else { return };
        self.due_at = since_boot() + self.jitter.spread(self.interval);
        if self.asking.is_none() {
            let (source, etag, root) = (source.clone(), self.etag.clone(), self.root.clone());
            self.asking = Some(tokio::spawn(async move {
                let asked = timeout(PATIENCE, ask(&source, etag.as_deref(), &root)).await;
                asked.unwrap_or_else(|_| {
                    let message = format_args!("{}: no answer within 10 s", source.url);
                    Err(Fault::new(KS661, Class::Transient, message))
                })
            }));
        }
    }

    /// Waits for the next answer; nothing is lost when the wait is dropped.
    pub(crate) async fn next(&mut self) -> Result<Answer, Fault> {
        if self.source.is_none() {
            return pending().await;
        }
        if self.asking.is_none() {
            self.alarm.at(self.due_at).await;
            self.ask();
        }
        let Some(asking) = &mut self.asking else { return pending().await };
        let answer = asking.await;
        self.asking = None;
        answer.unwrap_or_else(|error| Err(Fault::new(KS661, Class::Transient, error)))
    }

    /// The Plan after this answer, if it is another one.
    ///
    /// # Errors
    /// KS663 beside the Plan where the change of a class takes no effect, KS664 for an answer that
    /// cannot be followed.
    pub(crate) fn take(&mut self, answer: Answer, plan: &Plan) -> (Option<Plan>, Option<Fault>) {
        let Some(mut update) = answer.update else { return (None, None) };
        let problems = std::mem::take(&mut update.problems);
        let next = match plan.updated(update) {
            Ok(next) => next,
            Err(error) => return (None, Some(fault(KS664, error))),
        };
        // What has a problem is looked at again each time.
        let problem = told(&problems);
        if problem.is_none() {
            self.etag = answer.etag;
        }
        (Some(next).filter(|next| next != plan), problem)
    }

    /// Asks for the changes of this Plan from now on.
    pub(crate) fn follow(&mut self, plan: &Plan) {
        self.interval = interval(plan);
        self.source.clone_from(&plan.source);
    }

    /// The Plan was not to be had as it was answered.
    pub(crate) fn forget(&mut self) {
        self.etag = None;
    }
}

/// The shortest interval of the volumes: as often as the vaults.
fn interval(plan: &Plan) -> Duration {
    let seconds = plan.volumes.iter().map(|volume| volume.refresh_interval_seconds).min();
    Duration::from_secs(seconds.unwrap_or(120)).max(SHORTEST)
}

fn told(problems: &[PlanProblem]) -> Option<Fault> {
    let texts: Vec<_> = problems
        .iter()
        .map(|problem| format!("class {:?}: {}", problem.class, short(&problem.message)))
        .collect();
    (!texts.is_empty()).then(|| fault(KS663, texts.join("; ")))
}

fn fault(reason: Reason, message: impl std::fmt::Display) -> Fault {
    Fault::new(reason, Class::Slow, message)
}

/// One request; the connection is closed after it.
async fn ask(source: &Source, etag: Option<&str>, root: &Path) -> Result<Answer, Fault> {
    let client = Http::for_cluster(source.authorities.as_bytes())
        .and_then(|http| http.client())
        .map_err(|error| fault(KS665, format_args!("source.authorities: {error}")))?;
    let request = PlanRequest {
        schema: PlanSchema,
        classes: Cow::Borrowed(&source.classes),
        basis: Cow::Borrowed(&source.basis),
    };
    let body = serde_json::to_vec(&request).map_err(|error| fault(KS664, error))?;
    let mut request = client
        .post(&source.url)
        .header(AUTHORIZATION, bearer(&below(root, &source.token_file))?)
        .header(CONTENT_TYPE, "application/json")
        .body(body);
    if let Some(etag) = etag {
        request = request.header(IF_NONE_MATCH, etag);
    }
    let response = http::send(Call::Webhook, request)
        .await
        .map_err(|failure| not_answered(&source.url, &failure))?;
    let status = response.status().as_u16();
    let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
    let limit = if status == 200 { MAX_UPDATE_BYTES } else { MAX_TEXT_BYTES };
    let body =
        http::body(response, limit).await.map_err(|failure| not_answered(&source.url, &failure))?;
    let body = body.expose_secret();
    read(&source.url, status, etag, body)
}

fn not_answered(url: &str, failure: &http::Failure) -> Fault {
    Fault::new(KS661, Class::Transient, format_args!("{url}: {failure}"))
}

/// What an answer of this status says.
fn read(url: &str, status: u16, etag: Option<String>, body: &[u8]) -> Result<Answer, Fault> {
    match status {
        304 => Ok(Answer { update: None, etag }),
        200 => match serde_json::from_slice(body) {
            Ok(update) => Ok(Answer { update: Some(update), etag }),
            Err(error) => Err(fault(KS664, format_args!("{url}: {error}"))),
        },
        _ => {
            #[derive(Deserialize)]
            struct Refusal {
                message: String,
            }
            let said = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.message);
            let said = said.unwrap_or_else(|_| "no reason given".to_owned());
            let message = format_args!("{url}: {status} {}", short(&said));
            Err(Fault::new(KS662, Class::Transient, message))
        }
    }
}

/// The token, read anew: the kubelet replaces it.
fn bearer(path: &Path) -> Result<HeaderValue, Fault> {
    let token = read_regular(path, MAX_TOKEN_BYTES).map_err(|error| no_token(path, error))?;
    let token = std::str::from_utf8(&token).map_err(|error| no_token(path, error))?.trim();
    if token.is_empty() {
        return Err(no_token(path, "it does not hold a token"));
    }
    crate::redact::hold(token);
    let value = Zeroizing::new(format!("Bearer {token}"));
    let mut value = HeaderValue::from_str(&value).map_err(|error| no_token(path, error))?;
    value.set_sensitive(true);
    Ok(value)
}

fn no_token(path: &Path, problem: impl std::fmt::Display) -> Fault {
    fault(KS665, format_args!("{}: {problem}", path.display()))
}

#[cfg(test)]
mod tests;
