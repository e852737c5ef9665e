//! Refusals for something that a later object of the same `kubectl apply` may bring.

use super::inline_cause::PodInlineCause;
use super::refusal::{Cause, Refusal};

impl Refusal {
    /// What is missing in the cluster, where that is the cause: `ServiceAccount shop/web`.
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
