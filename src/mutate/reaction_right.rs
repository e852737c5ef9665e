//! The right at the API server that a reaction needs, and for which pods there is such a reaction.

use super::earlier_run::{is_sidecar, plan_entry};
use super::mutation::{Mutation, ReactionRight};
use super::names::REACTION_RIGHT_ANNOTATION;
use super::on_change::OnChangeAction;
use super::reaction_cause::ReactionCause;
use super::refusal::cut;
use crate::pod::{HASH_LABEL, OwnerReference, Pod};
use keysluice_plan::{ReactionAction, WorkloadReference, WorkloadResource, is_object_name};
use serde_json::Value;

/// The right that the reaction of a pod needs; `None` if it needs none.
///
/// # Errors
/// KS241 to KS244 for a pod whose controller does not fit.
pub(crate) fn of(
    pod: &Pod<'_>,
    action: Option<&OnChangeAction>,
) -> Result<Option<ReactionRight>, ReactionCause> {
    match action {
        Some(OnChangeAction::Evict) => check_recreated(pod).map(|()| Some(ReactionRight::Evict)),
        Some(OnChangeAction::Rollout) => Ok(Some(ReactionRight::Rollout(workload_of(pod)?))),
        _ => Ok(None),
    }
}

fn controller<'p, 'a>(pod: &'p Pod<'a>) -> Option<&'p OwnerReference<'a>> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true))
}

/// An evicted pod must come back as if nothing had failed.
fn check_recreated(pod: &Pod<'_>) -> Result<(), ReactionCause> {
    match controller(pod) {
        None => Err(ReactionCause::NoController { action: "evict" }),
        // The kubelet runs it from a file.
        Some(owner) if &*owner.kind == "Node" => {
            Err(ReactionCause::NoController { action: "evict" })
        }
        Some(owner) if &*owner.kind == "Job" && is_of(owner, "batch") => {
            Err(ReactionCause::OfJob { name: cut(&owner.name) })
        }
        Some(_) => Ok(()),
    }
}

/// What a rollout replaces the pod by. The Deployment is known without a read: the name of its
/// ReplicaSet is its own, with the hash of the template behind it.
fn workload_of(pod: &Pod<'_>) -> Result<WorkloadReference, ReactionCause> {
    let owner = controller(pod).ok_or(ReactionCause::NoController { action: "rollout" })?;
    let (kind, name) = (&*owner.kind, &*owner.name);
    if !is_of(owner, "apps") {
        return Err(other_owner(owner));
    }
    let (resource, name) = match kind {
        "ReplicaSet" => {
            let hash = pod.metadata.labels.find(HASH_LABEL).filter(|hash| !hash.is_empty());
            let stem = hash.and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'));
            let stem = stem.ok_or_else(|| ReactionCause::NoDeployment { name: cut(name) })?;
            (WorkloadResource::Deployments, stem)
        }
        "StatefulSet" => (WorkloadResource::StatefulSets, name),
        "DaemonSet" => (WorkloadResource::DaemonSets, name),
        _ => return Err(other_owner(owner)),
    };
    if !is_object_name(name) {
        return Err(other_owner(owner));
    }
    Ok(WorkloadReference { resource, name: name.to_owned() })
}

fn other_owner(owner: &OwnerReference<'_>) -> ReactionCause {
    let (kind, name) = (cut(&owner.kind), cut(&owner.name));
    ReactionCause::OtherOwner { api_version: cut(&owner.api_version), kind, name }
}

fn is_of(owner: &OwnerReference<'_>, group: &str) -> bool {
    owner.api_version.split_once('/').is_some_and(|(of, _)| of == group)
}

/// Writes the right that the guard reads; any other value is replaced.
pub(super) fn annotate(pod: &Pod<'_>, right: Option<&str>, mutation: &mut Mutation) {
    let right = right.unwrap_or_default();
    let annotations = &pod.metadata.annotations;
    // A pod with a reaction has annotations.
    if annotations.find(REACTION_RIGHT_ANNOTATION).unwrap_or_default() != right {
        let path = "/metadata/annotations/keysluice.dev~1reaction-right";
        mutation.patch.add(path, right.to_owned());
    }
}

/// The same for a pod whose sidecar an earlier run added, of this version or another.
pub(super) fn annotate_earlier_run(pod: &Pod<'_>, mutation: &mut Mutation) {
    if pod.metadata.annotations.is_empty() {
        return;
    }
    let sidecar = pod.init_containers().iter().find(|container| is_sidecar(container));
    let text = sidecar.and_then(plan_entry).map(|(_, text)| text).unwrap_or_default();
    let right = if text.contains("\"reaction\"") {
        let plan: Value = serde_json::from_str(&text.replace("$$", "$")).unwrap_or_default();
        let action = serde_json::from_value(plan["reaction"]["action"].clone()).ok();
        action.as_ref().and_then(of_action)
    } else {
        None
    };
    annotate(pod, right.map(|right| right.to_string()).as_deref(), mutation);
}

/// What an action of a Plan needs.
fn of_action(action: &ReactionAction) -> Option<ReactionRight> {
    match action {
        ReactionAction::Evict {} => Some(ReactionRight::Evict),
        ReactionAction::Rollout { workload } => Some(ReactionRight::Rollout(workload.clone())),
        _ => None,
    }
}

#[cfg(test)]
#[path = "reaction_right_tests.rs"]
mod tests;
