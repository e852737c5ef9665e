//! Wire types of `admission.k8s.io` v1 and v1beta1: what we read of a review, and the response.

use crate::json::{Cursor, JsonError, Read, Text, view, write};
use crate::patch::Patch;
use crate::pod::Pod;
use serde::Serialize;

view! {
    /// An incoming review.
    pub struct Review<'a> {
        /// `admission.k8s.io/v1` or `v1beta1`; echoed.
        "apiVersion" api_version: Text<'a>,
        /// `AdmissionReview`.
        "kind" kind: Text<'a>,
        /// The question.
        "request" request: Option<Request<'a>>,
    }

    /// The question.
    pub struct Request<'a> {
        /// Echoed in the response.
        "uid" uid: Option<Text<'a>>,
        /// Kind of the object.
        "kind" kind: GroupVersionKind<'a>,
        /// `ephemeralcontainers` and the like.
        "subResource" sub_resource: Text<'a>,
        /// Namespace; the object's own may be absent.
        "namespace" namespace: Text<'a>,
        /// `CREATE`, `UPDATE`, …
        "operation" operation: Text<'a>,
        /// The object.
        "object" object: Object<'a>,
        /// What it was before an UPDATE.
        "oldObject" old_object: Object<'a>,
    }

    /// Whose review it is.
    pub struct Outline<'a> {
        /// As in [`Review`].
        "apiVersion" api_version: Text<'a>,
        /// The question.
        "request" request: Option<RequestOutline<'a>>,
    }

    /// The question, without what it is about.
    pub struct RequestOutline<'a> {
        /// As in [`Request`].
        "uid" uid: Option<Text<'a>>,
        /// As in [`Request`].
        "namespace" namespace: Text<'a>,
    }

    /// Group, version and kind.
    pub struct GroupVersionKind<'a> {
        /// Empty for core.
        "group" group: Text<'a>,
        /// `v1`.
        "version" version: Text<'a>,
        /// `Pod`.
        "kind" kind: Text<'a>,
    }
}

/// The object of a review, read as a pod on the way past.
#[derive(Debug, Default)]
pub enum Object<'a> {
    /// Not there, or null.
    #[default]
    Absent,
    /// With the fields of a pod, whatever its kind.
    Pod(Box<Pod<'a>>),
    /// JSON, but not with the fields of a pod.
    Unreadable(JsonError),
}

impl<'a> Read<'a> for Object<'a> {
    /// A pod of the wrong shape is no reason to fail before the uid is known; what is no JSON is.
    fn read_into(&mut self, cursor: &mut Cursor<'a>) -> Result<(), JsonError> {
        let start = cursor.clone();
        let mut pod = Box::<Pod<'a>>::default();
        *self = match pod.read_into(cursor) {
            Ok(()) => Self::Pod(pod),
            Err(error) => {
                *cursor = start;
                cursor.skip()?;
                Self::Unreadable(error)
            }
        };
        Ok(())
    }
}

/// The answer.
#[derive(Debug, Clone, Copy)]
pub enum Verdict<'a> {
    /// Let through, with what changes.
    Allowed(&'a Patch),
    /// Refused.
    Denied(&'a Status<'a>),
}

/// Why a pod is refused: what the API server answers with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status<'a> {
    /// HTTP status.
    pub code: u16,
    /// Machine-readable: `BadRequest`, `TooManyRequests`, …
    pub reason: &'static str,
    /// What the user reads.
    pub message: &'a str,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
}

/// When to try again; clients of Kubernetes do so by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Seconds.
    pub retry_after_seconds: u32,
}

impl<'a> Status<'a> {
    /// The status with the reason that belongs to its code.
    pub fn new(code: u16, message: &'a str) -> Self {
        let reason = match code {
            429 => "TooManyRequests",
            500.. => "InternalError",
            _ => "BadRequest",
        };
        let details = (code == 429).then_some(Details { retry_after_seconds: 1 });
        Self { code, reason, message, details }
    }
}

/// Writes the response: `patch` and `patchType` both or neither (the API server refuses one alone).
pub fn respond(api_version: &str, uid: &str, verdict: Verdict<'_>, warnings: &[String]) -> Vec<u8> {
    let patch_bytes = if let Verdict::Allowed(patch) = verdict { patch.to_json().len() } else { 0 };
    let mut body = Vec::with_capacity(256 + patch_bytes / 3 * 4);
    body.extend_from_slice(br#"{"apiVersion":"#);
    write::append_string(&mut body, api_version);
    body.extend_from_slice(br#","kind":"AdmissionReview","response":{"uid":"#);
    write::append_string(&mut body, uid);
    match verdict {
        Verdict::Allowed(patch) => {
            body.extend_from_slice(br#","allowed":true"#);
            if !patch.is_empty() {
                body.extend_from_slice(br#","patchType":"JSONPatch","patch":""#);
                write_base64(&mut body, patch.to_json());
                body.push(b'"');
            }
        }
        Verdict::Denied(status) => {
            body.extend_from_slice(br#","allowed":false,"status":"#);
            write_json(&mut body, status);
        }
    }
    if !warnings.is_empty() {
        body.extend_from_slice(br#","warnings":"#);
        write_json(&mut body, warnings);
    }
    body.extend_from_slice(b"}}");
    body
}

fn write_json<T: Serialize + ?Sized>(body: &mut Vec<u8>, value: &T) {
    write::append(body, value).expect("strings, numbers, lists and objects are written");
}

/// Straight into the response, without a buffer between.
fn write_base64(body: &mut Vec<u8>, bytes: &[u8]) {
    base64_simd::STANDARD.encode_append(bytes, body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde_json::{Value, json};

    #[test]
    fn patch_and_patch_type_come_together_or_not_at_all() {
        let empty: Value = serde_json::from_slice(&respond(
            "admission.k8s.io/v1",
            "u",
            Verdict::Allowed(&Patch::default()),
            &[],
        ))
        .unwrap();
        assert_eq!(
            empty,
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                "response": {"uid": "u", "allowed": true}})
        );
        let mut patch = Patch::default();
        patch.add("/x", json!(1));
        let full: Value = serde_json::from_slice(&respond(
            "admission.k8s.io/v1beta1",
            "u",
            Verdict::Allowed(&patch),
            &["w".to_owned()],
        ))
        .unwrap();
        assert_eq!(full["apiVersion"], "admission.k8s.io/v1beta1");
        assert_eq!(full["response"]["patchType"], "JSONPatch");
        assert_eq!(
            full["response"]["patch"],
            BASE64_STANDARD.encode(r#"[{"op":"add","path":"/x","value":1}]"#)
        );
        assert_eq!(full["response"]["warnings"], json!(["w"]));
    }

    #[test]
    fn a_denial_carries_code_and_message() {
        let status = Status::new(400, "KS1 no");
        let body: Value = serde_json::from_slice(&respond(
            "admission.k8s.io/v1",
            "u",
            Verdict::Denied(&status),
            &[],
        ))
        .unwrap();
        assert_eq!(
            body["response"],
            json!({"uid": "u", "allowed": false,
                "status": {"code": 400, "reason": "BadRequest", "message": "KS1 no"}})
        );
        let status = serde_json::to_value(Status::new(429, "later")).unwrap();
        let details = json!({"retryAfterSeconds": 1});
        assert_eq!(
            status,
            json!({"code": 429, "reason": "TooManyRequests", "message": "later",
                "details": details})
        );
    }
}
