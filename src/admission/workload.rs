//! A review of a workload + facts -> warnings about the pods it will make. Never a refusal.

use super::ReviewError;
use super::review::{self, GroupVersionKind, Verdict};
use crate::json::{self, JsonError, Problem, Text, view};
use crate::mutate::{self, Context, Facts, LabelPlaces, Needs, Refusal, USE_LABEL};
use crate::patch::Patch;
use crate::pod::{Pod, Workload};
use crate::reason;
use crate::settings::Settings;

/// The API server may cut a longer one.
const MAX_WARNING_CHARS: usize = 256;
/// Of the 4,096 that all webhooks and the API server itself share.
const MAX_ALL_CHARS: usize = 3072;
/// Of the hint, where the whole does not fit.
const MAX_HINT_CHARS: usize = 110;

view! {
    /// An incoming review.
    pub struct Review<'a> {
        /// `admission.k8s.io/v1` or `v1beta1`; echoed.
        "apiVersion" api_version: Text<'a>,
        /// The question.
        "request" request: Option<Request<'a>>,
    }

    /// The question. What the object was before is not looked at.
    pub struct Request<'a> {
        /// Echoed in the response.
        "uid" uid: Option<Text<'a>>,
        /// Kind of the object.
        "kind" kind: GroupVersionKind<'a>,
        /// Namespace.
        "namespace" namespace: Text<'a>,
        /// The object.
        "object" object: Option<Workload<'a>>,
    }
}

/// A review of a workload that was read, before anything was looked up.
#[derive(Debug)]
pub struct IncomingWorkload<'a> {
    api_version: Text<'a>,
    uid: Text<'a>,
    namespace: Text<'a>,
    workload: Workload<'a>,
    /// As its controller will create it; `None` for an object of another kind.
    pod: Option<Box<Pod<'a>>>,
}

/// Whose review it is: enough to let the workload pass without a word.
#[derive(Debug)]
pub struct WorkloadOutline<'a>(super::Incoming<'a>);

/// Reads a review of a Deployment, StatefulSet, DaemonSet, `ReplicaSet`, Job or `CronJob`.
///
/// # Errors
/// [`ReviewError`] where the bytes are no such review.
pub fn read(body: &[u8]) -> Result<IncomingWorkload<'_>, ReviewError> {
    let Review { api_version, request } = json::from_slice(body)?;
    let mut request = request.ok_or(ReviewError::NoRequest)?;
    let uid = request
        .uid
        .take()
        .ok_or_else(|| JsonError::new(Problem::Missing("uid"), body.len()).in_field("request"))?;
    let mut workload = request.object.unwrap_or_default();
    if matches!(&*request.kind.group, "apps" | "batch") {
        // A webhook that converts may leave it out.
        workload.kind = request.kind.kind;
    }
    let pod = workload.take_pod().map(Box::new);
    Ok(IncomingWorkload { api_version, uid, namespace: request.namespace, workload, pod })
}

impl IncomingWorkload<'_> {
    /// Namespace of the workload and its pods.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// `Deployment web`, for the log.
    pub fn name(&self) -> String {
        format!("{} {}", &*self.workload.kind, self.workload.name())
    }

    /// What must be looked up before [`IncomingWorkload::warnings`].
    pub fn needs<'n>(&'n self, settings: &Settings) -> Needs<'n> {
        self.pod.as_ref().map(|pod| mutate::needs(pod, settings)).unwrap_or_default()
    }

    /// What its pods will be refused or warned for, by the code that decides about pods. At most
    /// 256 characters each, and 3,072 together.
    pub fn warnings(&self, settings: &Settings, facts: &Facts) -> Vec<String> {
        let Some(pod) = &self.pod else { return Vec::new() };
        let context = Context { settings, namespace: self.namespace(), uid: &self.uid, facts };
        let mut warnings = Vec::new();
        let is_selected = mutate::is_selected(pod);
        match mutate::mutate(pod, context) {
            Ok(mutation) => {
                warnings.extend(mutation.warnings.iter().map(|one| fitted(one, "")));
            }
            Err(refusal) => warnings.push(self.refusal(&refusal, is_selected)),
        }
        warnings.extend(self.misplaced(pod, is_selected).iter().map(|one| fitted(one, "")));
        within_all(warnings)
    }

    fn refusal(&self, refusal: &Refusal, is_selected: bool) -> String {
        let kind = &*self.workload.kind;
        if let Some(missing) = refusal.missing() {
            let (code, fix) = (refusal.reason(), refusal.reason().fix);
            let text = format!(
                "{code} {missing} is not yet there: until it is, pods of this {kind} are refused; \
                 hint: {fix}"
            );
            return fitted(&text, "");
        }
        let what = if is_selected { "are refused" } else { "do not reach the webhook" };
        fitted(&refusal.to_string(), &format!("pods of this {kind} {what}: "))
    }

    /// What is on the workload and belongs on its template.
    fn misplaced(&self, pod: &Pod<'_>, is_selected: bool) -> Vec<String> {
        let (of_owner, of_pod) = (&self.workload.metadata, &pod.metadata);
        let keys = of_owner.annotations.iter().map(|(key, _)| key);
        let kind = &*self.workload.kind;
        let annotation =
            mutate::misplaced_annotation(kind, keys, |key| of_pod.annotations.find(key).is_some());
        // Who writes "false" or nothing means it.
        let value = of_pod.labels.find(USE_LABEL);
        let is_meant = value.is_some_and(|value| matches!(value, "" | "false"));
        let places = LabelPlaces {
            value: value.map(|value| format!("{value:?}")),
            is_pod_annotation: of_pod.annotations.find(USE_LABEL).is_some(),
            // A misspelt one alone does not select the workload.
            misspelt: None,
            is_workload_label: of_owner.labels.find(USE_LABEL).is_some(),
            is_workload_annotation: of_owner.annotations.find(USE_LABEL).is_some(),
        };
        let label = if is_selected || is_meant { None } else { places.text(Some(kind)) };
        let label = label.map(|text| format!("{} {text}", reason::KS814));
        label.into_iter().chain(annotation).collect()
    }

    /// The response: allowed, with these warnings.
    pub fn respond(&self, warnings: &[String]) -> Vec<u8> {
        respond(&self.api_version, &self.uid, warnings)
    }
}

/// Reads whose review it is, in a fraction of the time.
///
/// # Errors
/// As [`read`].
pub fn outline(body: &[u8]) -> Result<WorkloadOutline<'_>, ReviewError> {
    super::outline(body).map(WorkloadOutline)
}

impl WorkloadOutline<'_> {
    /// The response: allowed, without a word.
    pub fn respond(&self) -> Vec<u8> {
        respond(&self.0.api_version, &self.0.uid, &[])
    }
}

fn respond(api_version: &str, uid: &str, warnings: &[String]) -> Vec<u8> {
    review::respond(api_version, uid, Verdict::Allowed(&Patch::default()), warnings)
}

/// `CODE cause; hint: fix` with a lead before the cause, within what is shown whole: what is too
/// long of the hint goes first, then what is too long of the cause.
fn fitted(message: &str, lead: &str) -> String {
    const HINT: &str = "; hint: ";
    let (code, rest) = message.split_once(' ').unwrap_or(("", message));
    let (cause, hint) = match rest.rfind(HINT) {
        Some(at) => (&rest[..at], &rest[at + HINT.len()..]),
        None => (rest, ""),
    };
    let separator = if hint.is_empty() { "" } else { HINT };
    let fixed = [code, " ", lead, separator].iter().map(|part| part.chars().count()).sum();
    let room = MAX_WARNING_CHARS.saturating_sub(fixed);
    let of_cause = cause.chars().count();
    let hint = cut(hint, room.saturating_sub(of_cause).max(MAX_HINT_CHARS.min(room)));
    let cause = cut(cause, room.saturating_sub(hint.chars().count()));
    format!("{code} {lead}{cause}{separator}{hint}")
}

/// The text, or its beginning up to the end of a word.
fn cut(text: &str, limit_chars: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(limit_chars) else { return text.to_owned() };
    let mut begin = &text[..end];
    // Room for the ellipsis.
    begin = begin.char_indices().next_back().map_or("", |(last, _)| &begin[..last]);
    let words =
        begin.rfind(' ').filter(|at| *at * 2 > begin.len()).map_or(begin, |at| &begin[..at]);
    format!("{}…", words.trim_end_matches([' ', ',', ';', ':']))
}

/// As many as fit together; the last says how many do not.
fn within_all(warnings: Vec<String>) -> Vec<String> {
    let (mut chars, count) = (0, warnings.len());
    let mut kept = Vec::with_capacity(count);
    for warning in warnings {
        chars += warning.chars().count();
        if chars > MAX_ALL_CHARS - MAX_WARNING_CHARS {
            let (code, left) = (reason::KS296, count - kept.len());
            kept.push(format!("{code} {left} more warnings are not shown; hint: {}", code.fix));
            break;
        }
        kept.push(warning);
    }
    kept
}

#[cfg(test)]
#[path = "workload_tests.rs"]
mod tests;
