//! What the caller may do, as the API server says it.

use super::pre::{Fact, Unknown, unknown};
use crate::cluster::api::{Client, create};
use serde_json::json;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// Fails unless the caller may do all of these to pods of a namespace, or to a subresource of
/// them. Nothing is stored by asking.
pub(super) async fn require(
    client: &Client,
    namespace: &str,
    verbs: &[&str],
    subresource: &str,
) -> Fact<()> {
    for verb in verbs {
        let review = json!({"apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"namespace": namespace, "verb": verb,
                "resource": "pods", "subresource": subresource}}});
        let answer = create(client, REVIEWS, &review).await.map_err(|error| unknown(&error))?;
        if answer["status"]["allowed"] != true {
            let slash = if subresource.is_empty() { "" } else { "/" };
            let message = format!("needs {verb} pods{slash}{subresource} in namespace {namespace}");
            return Err(Unknown { forbidden: true, message });
        }
    }
    Ok(())
}
