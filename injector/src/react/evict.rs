//! The pod evicts itself: within its PodDisruptionBudget, and its controller creates another one.

use super::Refused;
use crate::fault::{Class, Fault, FaultKind};
use crate::kubernetes::{Api, PodReference};
use keysluice_plan::reason::{KS653, KS654};
use serde_json::json;

/// Asks for the eviction; answers with what was done.
///
/// # Errors
/// KS653 where the budget does not allow it now, KS654 and KS655 where it is refused, and those of
/// the connection.
pub(super) async fn evict(api: &Api) -> Result<String, Fault> {
    let session = api.session()?;
    let PodReference { namespace, name, uid } = &api.pod;
    // A pod of a StatefulSet has the name of the one before.
    let body = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": uid}}});
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
    let refusal = match session.create(&path, &body).await {
        Ok(()) => return Ok(format!("pod {name} is evicted")),
        Err(refusal) => refusal,
    };
    if refusal.status == 404 || refusal.is_about_uid() {
        return Ok(format!("pod {name} does not exist any more"));
    }
    let what = format!("eviction of pod {name:?}");
    if refusal.is_about_budget() {
        let fault = refusal.fault_with(&what, KS653, Class::Transient);
        return Err(fault.of_kind(FaultKind::Budget));
    }
    Err(Refused { refusal, what, otherwise: KS654 }.fault())
}
