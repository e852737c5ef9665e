//! Review bytes + facts -> response bytes. The one code path of the webhook and of `explain`.

pub mod patch;
pub mod pod;
pub mod review;

use crate::mutate::{self, Context, Facts, Mutation, Needs, Note, Refusal};
use crate::reason;
use crate::settings::Settings;
use keysluice_plan::reason::Reason;
use patch::Patch;
use pod::Pod;
use review::{Request, Review, Verdict};

/// A review that was read, before anything was looked up.
#[derive(Debug)]
pub struct Incoming<'a> {
    api_version: pod::Text<'a>,
    request: Request<'a>,
    subject: Subject<'a>,
}

#[derive(Debug)]
enum Subject<'a> {
    Pod(Box<Pod<'a>>),
    /// New ephemeral containers; the pod as it shall be, and as it is.
    Ephemeral(Box<(Pod<'a>, Pod<'a>)>),
    /// Not the creation of a pod: none of our business.
    Other,
    /// A pod that cannot be read.
    Unreadable(String),
}

/// What was decided, and the bytes that say so.
#[derive(Debug)]
pub struct Answer {
    /// The response.
    pub body: Vec<u8>,
    /// Allowed with or without a patch, or denied.
    pub outcome: Outcome,
    /// The code, where the pod was denied.
    pub reason: Option<Reason>,
    /// The message of a denial.
    pub message: Option<String>,
    /// Admission warnings.
    pub warnings: Vec<String>,
    /// Why.
    pub notes: Vec<Note>,
    /// What changes.
    pub patch: Patch,
}

/// How a review ended; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Let through with a patch.
    Mutated,
    /// Let through as it is.
    Unchanged,
    /// Refused.
    Denied,
}

impl Outcome {
    /// The label's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mutated => "mutated",
            Self::Unchanged => "unchanged",
            Self::Denied => "denied",
        }
    }
}

/// Why the bytes are no review; answered without a uid, since none is known.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// Nothing was sent.
    #[error("the request has no body")]
    Empty,
    /// Not JSON, or not the fields of a review.
    #[error("the body is no AdmissionReview: {0}")]
    Json(#[source] serde_json::Error),
    /// Another kind or version.
    #[error("the body is {kind:?} of {api_version:?}, not an AdmissionReview of admission.k8s.io/v1 or v1beta1")]
    Kind {
        /// `kind`.
        kind: String,
        /// `apiVersion`.
        api_version: String,
    },
    /// A review without the question.
    #[error("the AdmissionReview has no request")]
    NoRequest,
}

/// The API server passes on 4096 bytes of warnings in all.
const MAX_WARNINGS: usize = 16;
const MAX_WARNING_BYTES: usize = 512;
const MAX_MESSAGE_BYTES: usize = 2048;

/// Cuts a text that holds names of any length (they are validated only after the webhooks).
fn shorten(text: &mut String, limit: usize) {
    if text.len() > limit {
        let boundary = (0..=limit).rev().find(|index| text.is_char_boundary(*index));
        text.truncate(boundary.unwrap_or_default());
        text.push('…');
    }
}

/// Reads a review.
pub fn read(body: &[u8]) -> Result<Incoming<'_>, ReviewError> {
    if body.is_empty() {
        return Err(ReviewError::Empty);
    }
    let review: Review<'_> = serde_json::from_slice(body).map_err(ReviewError::Json)?;
    let known = matches!(&*review.api_version, "admission.k8s.io/v1" | "admission.k8s.io/v1beta1");
    if &*review.kind != "AdmissionReview" || !known {
        let (kind, api_version) = (review.kind.to_string(), review.api_version.to_string());
        return Err(ReviewError::Kind { kind, api_version });
    }
    let request = review.request.ok_or(ReviewError::NoRequest)?;
    let subject = subject(&request);
    Ok(Incoming { api_version: review.api_version, request, subject })
}

fn subject<'a>(request: &Request<'a>) -> Subject<'a> {
    let kind = &request.kind;
    let is_pod = kind.kind.is_empty() || (kind.group.is_empty() && &*kind.kind == "Pod");
    let is_ephemeral = match (&*request.operation, request.sub_resource.as_deref().unwrap_or_default()) {
        ("" | "CREATE", "") => false,
        ("UPDATE", "ephemeralcontainers") => true,
        _ => return Subject::Other,
    };
    if !is_pod {
        return Subject::Other;
    }
    match (pod("request.object", request.object), is_ephemeral) {
        (Ok(Some(new)), false) => Subject::Pod(Box::new(new)),
        (Ok(Some(new)), true) => match pod("request.oldObject", request.old_object) {
            Ok(Some(old)) => Subject::Ephemeral(Box::new((new, old))),
            Ok(None) => Subject::Other,
            Err(error) => Subject::Unreadable(error),
        },
        (Ok(None), _) => Subject::Other,
        (Err(error), _) => Subject::Unreadable(error),
    }
}

/// Reads a pod; `None` if it is something else.
fn pod<'a>(field: &str, object: Option<&'a serde_json::value::RawValue>) -> Result<Option<Pod<'a>>, String> {
    let object = object.map(serde_json::value::RawValue::get).filter(|object| *object != "null");
    let object = object.ok_or_else(|| format!("there is no content to decode: {field} is absent"))?;
    let pod: Pod<'a> = serde_json::from_str(object).map_err(|error| format!("{field}: {error}"))?;
    match pod.kind.as_deref() {
        Some("Pod") => Ok(Some(pod)),
        Some(_) => Ok(None),
        None => Err(format!("couldn't get version/kind: {field} has no kind")),
    }
}

impl<'a> Incoming<'a> {
    /// Namespace of the request.
    pub fn namespace(&self) -> &str {
        self.request.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or("default")
    }

    /// The pod, if the review is about one.
    pub fn pod(&self) -> Option<&Pod<'a>> {
        match &self.subject {
            Subject::Pod(pod) => Some(pod),
            Subject::Ephemeral(pods) => Some(&pods.0),
            Subject::Other | Subject::Unreadable(_) => None,
        }
    }

    /// What must be looked up before [`Incoming::answer`].
    pub fn needs(&self, settings: &Settings) -> Needs<'_> {
        match &self.subject {
            Subject::Pod(pod) => mutate::needs(pod, settings),
            Subject::Ephemeral(pods) => mutate::ephemeral_needs(&pods.0),
            Subject::Other | Subject::Unreadable(_) => Needs::default(),
        }
    }

    /// Decides.
    pub fn answer(&self, settings: &Settings, facts: &Facts) -> Answer {
        match &self.subject {
            Subject::Other => self.allow(Mutation::default()),
            Subject::Unreadable(error) => {
                self.deny(400, reason::KS201, &format!("{error}; hint: {}", reason::KS201.fix))
            }
            Subject::Pod(pod) => self.settle(mutate::mutate(pod, self.context(settings, facts))),
            Subject::Ephemeral(pods) => {
                self.settle(mutate::mutate_ephemeral(&pods.0, &pods.1, self.context(settings, facts)))
            }
        }
    }

    fn context<'c>(&'c self, settings: &'c Settings, facts: &'c Facts) -> Context<'c> {
        Context { settings, namespace: self.namespace(), facts }
    }

    fn settle(&self, result: Result<Mutation, Refusal>) -> Answer {
        match result {
            Ok(mutation) => self.allow(mutation),
            Err(refusal) => self.refuse(&refusal),
        }
    }

    /// Answers when the cluster could not be asked.
    pub fn unavailable(&self, error: &str) -> Answer {
        self.deny(500, reason::KS703, error)
    }

    fn allow(&self, mutation: Mutation) -> Answer {
        let Mutation { patch, mut warnings, notes } = mutation;
        warnings.truncate(MAX_WARNINGS);
        for warning in &mut warnings {
            shorten(warning, MAX_WARNING_BYTES);
        }
        let outcome = if patch.is_empty() { Outcome::Unchanged } else { Outcome::Mutated };
        let verdict = Verdict::Allowed(patch);
        let body = review::respond(&self.api_version, &self.request.uid, &verdict, &warnings);
        let Verdict::Allowed(patch) = verdict else { unreachable!("made three lines above") };
        Answer { body, outcome, reason: None, message: None, warnings, notes, patch }
    }

    fn refuse(&self, refusal: &Refusal) -> Answer {
        let message = refusal.to_string();
        let reason = refusal.reason();
        self.denied(400, reason, message)
    }

    fn deny(&self, code: u16, reason: Reason, message: &str) -> Answer {
        self.denied(code, reason, format!("{reason} {message}"))
    }

    fn denied(&self, code: u16, reason: Reason, mut message: String) -> Answer {
        shorten(&mut message, MAX_MESSAGE_BYTES);
        let verdict = Verdict::Denied { code, message: message.clone() };
        let body = review::respond(&self.api_version, &self.request.uid, &verdict, &[]);
        Answer {
            body,
            outcome: Outcome::Denied,
            reason: Some(reason),
            message: Some(message),
            warnings: Vec::new(),
            notes: Vec::new(),
            patch: Patch::default(),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
