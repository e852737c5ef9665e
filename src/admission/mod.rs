//! Review bytes + facts -> response bytes. The one code path of the webhook and of `explain`.

pub mod review;
pub mod workload;

use crate::bounded::bounded;
use crate::json::{self, JsonError, Problem, Text};
use crate::mutate::{self, Context, Facts, Mutation, Needs, Note, Refusal, TooLarge};
use crate::patch::Patch;
use crate::pod::Pod;
use crate::reason;
use crate::settings::Settings;
use keysluice_plan::reason::Reason;
use review::{Object, Outline, Request, Review, Status, Verdict};

/// A review that was read, before anything was looked up.
#[derive(Debug)]
pub struct Incoming<'a> {
    api_version: Text<'a>,
    uid: Text<'a>,
    namespace: Text<'a>,
    subject: Subject<'a>,
}

#[derive(Debug)]
enum Subject<'a> {
    Pod(Box<Pod<'a>>),
    /// New ephemeral containers; the pod as it shall be, and as it is.
    Ephemeral(Box<Pod<'a>>, Box<Pod<'a>>),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    #[error("the body is not an AdmissionReview: {0}")]
    Json(#[from] JsonError),
    /// Another kind or version.
    #[error(
        "the body is {kind:?} of {api_version:?}, not an AdmissionReview of admission.k8s.io/v1 \
         or v1beta1"
    )]
    Kind {
        /// `kind`.
        kind: String,
        /// `apiVersion`.
        api_version: String,
    },
    /// A uid that no API server makes; it would be echoed.
    #[error("request.uid has {bytes} bytes, an API server's has 36")]
    Uid {
        /// Its length.
        bytes: usize,
    },
    /// A review without the question.
    #[error("the AdmissionReview has no request")]
    NoRequest,
}

/// Names are validated only after the webhooks: those in a message may have any length.
const MAX_MESSAGE_BYTES: usize = 2048;
const MAX_BECAUSE_BYTES: usize = 512;
const MAX_UID_BYTES: usize = 256;
/// Of a namespace.
const MAX_NAMESPACE_BYTES: usize = 63;

/// Reads a review.
pub fn read(body: &[u8]) -> Result<Incoming<'_>, ReviewError> {
    if body.is_empty() {
        return Err(ReviewError::Empty);
    }
    let review: Review<'_> = json::from_slice(body)?;
    let known = matches!(&*review.api_version, "admission.k8s.io/v1" | "admission.k8s.io/v1beta1");
    if &*review.kind != "AdmissionReview" || !known {
        let (kind, api_version) = (bounded(&review.kind, 100), bounded(&review.api_version, 100));
        return Err(ReviewError::Kind { kind, api_version });
    }
    let mut request = review.request.ok_or(ReviewError::NoRequest)?;
    let uid = required_uid(request.uid.take(), body)?;
    if uid.len() > MAX_UID_BYTES {
        return Err(ReviewError::Uid { bytes: uid.len() });
    }
    let namespace = std::mem::take(&mut request.namespace);
    Ok(Incoming { api_version: review.api_version, uid, namespace, subject: subject(request) })
}

/// Reads whose review it is, and not what it is about: enough to refuse it, in a fraction of the
/// time.
pub fn outline(body: &[u8]) -> Result<Incoming<'_>, ReviewError> {
    let Outline { api_version, request } = json::from_slice(body)?;
    let mut request = request.ok_or(ReviewError::NoRequest)?;
    let uid = required_uid(request.uid.take(), body)?;
    Ok(Incoming { api_version, uid, namespace: request.namespace, subject: Subject::Other })
}

fn required_uid<'a>(uid: Option<Text<'a>>, body: &[u8]) -> Result<Text<'a>, JsonError> {
    uid.ok_or_else(|| JsonError::new(Problem::Missing("uid"), body.len()).in_field("request"))
}

fn subject(request: Request<'_>) -> Subject<'_> {
    let kind = &request.kind;
    let is_pod = kind.kind.is_empty() || (kind.group.is_empty() && &*kind.kind == "Pod");
    let is_ephemeral = match (&*request.operation, &*request.sub_resource) {
        ("" | "CREATE", "") => false,
        ("UPDATE", "ephemeralcontainers") => true,
        _ => return Subject::Other,
    };
    if !is_pod {
        return Subject::Other;
    }
    match (pod("object", request.object), is_ephemeral) {
        (Ok(Some(new)), false) => Subject::Pod(new),
        (Ok(Some(new)), true) => match pod("oldObject", request.old_object) {
            Ok(Some(old)) => Subject::Ephemeral(new, old),
            Ok(None) => Subject::Other,
            Err(error) => Subject::Unreadable(error),
        },
        (Ok(None), _) => Subject::Other,
        (Err(error), _) => Subject::Unreadable(error),
    }
}

/// The pod; `None` if it is something else.
fn pod<'a>(field: &'static str, object: Object<'a>) -> Result<Option<Box<Pod<'a>>>, String> {
    match object {
        Object::Absent => Err(format!("there is no content to decode: request.{field} is absent")),
        Object::Unreadable(error) => Err(error.in_field(field).in_field("request").to_string()),
        Object::Pod(pod) => match pod.kind.as_deref() {
            Some("Pod") => Ok(Some(pod)),
            Some(_) => Ok(None),
            None => Err(format!("couldn't get version/kind: request.{field} has no kind")),
        },
    }
}

impl Answer {
    /// Why the pod, or a volume of it, was left alone, for the log.
    pub fn because(&self) -> Option<String> {
        let left = self.notes.iter().find(|note| {
            matches!(
                note,
                Note::LeftToCsiDriver { .. }
                    | Note::OtherProvider { .. }
                    | Note::Mirror
                    | Note::NoToken
            )
        });
        left.map(|note| bounded(note, MAX_BECAUSE_BYTES))
    }
}

impl<'a> Incoming<'a> {
    /// Namespace of the request.
    pub fn namespace(&self) -> &str {
        if self.namespace.is_empty() { "default" } else { &self.namespace }
    }

    /// The pod, if the review is about one.
    pub fn pod(&self) -> Option<&Pod<'a>> {
        match &self.subject {
            Subject::Pod(pod) | Subject::Ephemeral(pod, _) => Some(pod),
            Subject::Other | Subject::Unreadable(_) => None,
        }
    }

    /// What must be looked up before [`Incoming::answer`].
    pub fn needs(&self, settings: &Settings) -> Needs<'_> {
        match &self.subject {
            // What is refused whatever the cluster says is not worth a question.
            _ if self.namespace.len() > MAX_NAMESPACE_BYTES => Needs::default(),
            Subject::Pod(pod) => mutate::needs(pod, settings),
            Subject::Ephemeral(pod, _) => mutate::ephemeral_needs(pod),
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
            Subject::Pod(pod) => self.settle(self.decide(pod, self.context(settings, facts))),
            Subject::Ephemeral(new, old) => {
                self.allow(mutate::mutate_ephemeral(new, old, self.context(settings, facts)))
            }
        }
    }

    fn context<'c>(&'c self, settings: &'c Settings, facts: &'c Facts) -> Context<'c> {
        Context { settings, namespace: self.namespace(), uid: &self.uid, facts }
    }

    /// The decision about a new pod, unless its namespace cannot be one.
    fn decide(&self, pod: &Pod<'_>, context: Context<'_>) -> Result<Mutation, Refusal> {
        let bytes = self.namespace.len();
        if bytes > MAX_NAMESPACE_BYTES && mutate::is_selected(pod) {
            return Err(
                TooLarge::name("request.namespace".to_owned(), bytes, MAX_NAMESPACE_BYTES).into()
            );
        }
        mutate::mutate(pod, context)
    }

    fn settle(&self, result: Result<Mutation, Refusal>) -> Answer {
        match result {
            Ok(mutation) => self.allow(mutation),
            Err(refusal) => self.refuse(&refusal),
        }
    }

    /// Answers when too many others wait for the cluster: clients try again by themselves, and
    /// meanwhile get this reason.
    pub fn overloaded(&self) -> Answer {
        self.deny(
            429,
            reason::KS706,
            "too many pods wait for a decision; hint: create this one again after a second, as \
             controllers do by themselves",
        )
    }

    /// Answers when the cluster could not be asked: kubectl and controllers repeat what is denied
    /// so, and no other denial.
    pub fn unavailable(&self, reason: Reason, error: &str) -> Answer {
        if error.contains("; hint: ") {
            return self.deny(429, reason, error);
        }
        self.deny(429, reason, &format!("{error}; hint: {}", reason.fix))
    }

    /// Answers when the decision itself failed: the same again would fail again.
    pub fn failed(&self) -> Answer {
        let message = format!("the decision panicked; this is a bug; hint: {}", reason::KS709.fix);
        self.deny(500, reason::KS709, &message)
    }

    fn allow(&self, mutation: Mutation) -> Answer {
        let Mutation { patch, warnings, notes, .. } = mutation;
        let outcome = if patch.is_empty() { Outcome::Unchanged } else { Outcome::Mutated };
        let body =
            review::respond(&self.api_version, &self.uid, Verdict::Allowed(&patch), &warnings);
        Answer { body, outcome, reason: None, message: None, warnings, notes, patch }
    }

    fn refuse(&self, refusal: &Refusal) -> Answer {
        self.denied(400, refusal.reason(), bounded(refusal.told(), MAX_MESSAGE_BYTES))
    }

    fn deny(&self, code: u16, reason: Reason, message: &str) -> Answer {
        self.denied(code, reason, bounded(reason::told(reason, message), MAX_MESSAGE_BYTES))
    }

    fn denied(&self, code: u16, reason: Reason, message: String) -> Answer {
        let status = Status::new(code, &message);
        let body = review::respond(&self.api_version, &self.uid, Verdict::Denied(&status), &[]);
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
