//! Wire types of `admission.k8s.io` v1 and v1beta1: what we read of a review, and the response.

use super::patch::Patch;
use super::pod::Text;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An incoming review.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review<'a> {
    /// `admission.k8s.io/v1` or `v1beta1`; echoed.
    #[serde(borrow)]
    pub api_version: Text<'a>,
    /// `AdmissionReview`.
    #[serde(borrow)]
    pub kind: Text<'a>,
    /// The question.
    #[serde(borrow)]
    pub request: Option<Request<'a>>,
}

/// The question.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Echoed in the response.
    #[serde(borrow)]
    pub uid: Text<'a>,
    /// Kind of the object.
    #[serde(borrow, default)]
    pub kind: GroupVersionKind<'a>,
    /// `ephemeralcontainers` and the like.
    #[serde(borrow, default)]
    pub sub_resource: Option<Text<'a>>,
    /// Namespace; the object's own may be absent.
    #[serde(borrow, default)]
    pub namespace: Option<Text<'a>>,
    /// `CREATE`, `UPDATE`, …
    #[serde(borrow, default)]
    pub operation: Text<'a>,
    /// The object, unread.
    #[serde(borrow, default)]
    pub object: Option<&'a RawValue>,
    /// What it was before an UPDATE, unread.
    #[serde(borrow, default)]
    pub old_object: Option<&'a RawValue>,
}

/// Group, version and kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct GroupVersionKind<'a> {
    /// Empty for core.
    #[serde(borrow)]
    pub group: Text<'a>,
    /// `v1`.
    #[serde(borrow)]
    pub version: Text<'a>,
    /// `Pod`.
    #[serde(borrow)]
    pub kind: Text<'a>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Let through, with what changes.
    Allowed(Patch),
    /// Refused.
    Denied {
        /// HTTP status the API server shall answer with.
        code: u16,
        /// What the user reads.
        message: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReviewResponse<'a> {
    api_version: &'a str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    reason: &'static str,
    message: &'a str,
}

/// Writes the response: `patch` and `patchType` both or neither (the API server refuses one alone).
pub fn respond(api_version: &str, uid: &str, verdict: &Verdict, warnings: &[String]) -> Vec<u8> {
    let (allowed, status, patch) = match verdict {
        Verdict::Allowed(patch) if patch.is_empty() => (true, None, None),
        Verdict::Allowed(patch) => (true, None, Some(BASE64_STANDARD.encode(patch.to_json()))),
        Verdict::Denied { code, message } => {
            let reason = if *code >= 500 { "InternalError" } else { "BadRequest" };
            (false, Some(Status { code: *code, reason, message }), None)
        }
    };
    let patch_type = patch.is_some().then_some("JSONPatch");
    let response = Response { uid, allowed, status, patch_type, patch, warnings };
    let review = ReviewResponse { api_version, kind: "AdmissionReview", response };
    serde_json::to_vec(&review).expect("strings always serialise")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn patch_and_patch_type_come_together_or_not_at_all() {
        let empty: Value =
            serde_json::from_slice(&respond("admission.k8s.io/v1", "u", &Verdict::Allowed(Patch::default()), &[]))
                .unwrap();
        assert_eq!(
            empty,
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": "u", "allowed": true}})
        );
        let mut patch = Patch::default();
        patch.add("/x".to_owned(), json!(1));
        let full: Value = serde_json::from_slice(&respond(
            "admission.k8s.io/v1beta1",
            "u",
            &Verdict::Allowed(patch),
            &["w".to_owned()],
        ))
        .unwrap();
        assert_eq!(full["apiVersion"], "admission.k8s.io/v1beta1");
        assert_eq!(full["response"]["patchType"], "JSONPatch");
        assert_eq!(full["response"]["patch"], BASE64_STANDARD.encode(r#"[{"op":"add","path":"/x","value":1}]"#));
        assert_eq!(full["response"]["warnings"], json!(["w"]));
    }

    #[test]
    fn a_denial_carries_code_and_message() {
        let verdict = Verdict::Denied { code: 400, message: "KS1 no".to_owned() };
        let body: Value = serde_json::from_slice(&respond("admission.k8s.io/v1", "u", &verdict, &[])).unwrap();
        assert_eq!(
            body["response"],
            json!({"uid": "u", "allowed": false, "status": {"code": 400, "reason": "BadRequest", "message": "KS1 no"}})
        );
    }
}
