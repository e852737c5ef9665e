//! What is said of a refusal: in an event, and at `kubectl apply` of a workload.

use super::inline_cause::PodInlineCause;
use super::refusal::{Cause, Refusal};
use crate::reason;

impl Refusal {
    /// As the user of a pod reads it: a summary comes first where names or words are long, see
    /// [`reason::told`].
    pub fn told(&self) -> String {
        let (reason, text) = (self.reason(), self.to_string());
        let rest = text.strip_prefix(reason.code).and_then(|rest| rest.strip_prefix(' '));
        reason::told(reason, rest.unwrap_or(&text))
    }

    /// What is missing in the cluster, where that is the cause, as a later object of the same
    /// `kubectl apply` may bring it: `ServiceAccount shop/web`.
    pub fn missing(&self) -> Option<String> {
        match self.cause() {
            Cause::ServiceAccountMissing { name, namespace } => {
                Some(format!("ServiceAccount {namespace}/{name}"))
            }
            Cause::ClassMissing { namespace, class, .. }
            | Cause::Inline(PodInlineCause::ClassMissing { class, namespace }) => {
                Some(format!("SecretProviderClass {namespace}/{class}"))
            }
            _ => None,
        }
    }
}
