//! Ephemeral containers (`kubectl debug`): they arrive as an UPDATE of `pods/ephemeralcontainers`, of a pod that runs already.

use super::{inject_one, is_opted_in, is_skipped, token_volume, variables};
use crate::admission::pod::{Pod, Pointer};
use crate::mutate::annotations::Annotations;
use crate::mutate::refusal::Refusal;
use crate::mutate::{Context, Mutation, Note};

/// Environment and mount for those that the old pod does not have: existing ones may not be changed, nor volumes.
pub(in crate::mutate) fn inject(pod: &Pod<'_>, old: &Pod<'_>, context: Context<'_>) -> Result<Mutation, Refusal> {
    let mut mutation = Mutation::default();
    let annotations = Annotations::read(pod)?;
    let token = token_volume(pod, &annotations, context)?;
    if !is_opted_in(pod) || !token.exists() {
        mutation.notes.push(Note::NoToken);
        return Ok(mutation);
    }
    mutation.notes.push(Note::Ephemeral);
    let variables = variables(pod, &annotations, &token, context, &mut mutation)?;
    for (index, container) in pod.ephemeral_containers().iter().enumerate() {
        let is_old = old.ephemeral_containers().iter().any(|known| known.name == container.name);
        if !is_old && !is_skipped(pod, &container.name) {
            let pointer = Pointer { list: "ephemeralContainers", index };
            inject_one(pointer, container, &variables, &token, &annotations, &mut mutation)?;
        }
    }
    Ok(mutation)
}
