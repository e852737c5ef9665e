//! Ephemeral containers (`kubectl debug`): they arrive as an UPDATE of `pods/ephemeralcontainers`,
//! of a pod that runs already.
//!
//! Nothing is refused here: a person who debugs a pod needs the container, also where
//! ServiceAccount or annotations went bad since the pod was admitted.

use super::container::{inject_one, is_opted_in, missing_account, variables, wanted};
use super::skip::Skipped;
use super::token_volume::TokenVolume;
use super::warnings::{warn_of_account, warn_of_identities};
use crate::mutate::annotations::Annotations;
use crate::mutate::bounds;
use crate::mutate::context::Context;
use crate::mutate::managed_identity_given::EndpointVariables;
use crate::mutate::mutation::{Mutation, Note};
use crate::mutate::refusal::Refusal;
use crate::mutate::service_account::ServiceAccount;
use crate::pod::{Pod, Pointer};
use std::collections::BTreeSet;

/// Environment and mount for those that the old pod does not have: existing ones may not be
/// changed, nor volumes.
pub(in crate::mutate) fn inject(pod: &Pod<'_>, old: &Pod<'_>, context: Context<'_>) -> Mutation {
    let mut mutation = Mutation::default();
    if !is_opted_in(pod) {
        mutation.notes.push(Note::NoToken);
        return mutation;
    }
    if let Err(too_large) = bounds::check(pod) {
        mutation.warn(Refusal::from(too_large));
        return mutation;
    }
    let annotations = or_warn(Annotations::read(pod), &mut mutation);
    let Some(token) = TokenVolume::found(pod, wanted(pod, &annotations, context), None) else {
        mutation.notes.push(Note::NoToken);
        return mutation;
    };
    mutation.notes.push(Note::Ephemeral);
    let skipped = or_warn(Skipped::of(pod), &mut mutation);
    let none = ServiceAccount::default();
    let account = if let Some(account) = &context.facts.service_account {
        match account.check_ids(pod.service_account()) {
            Ok(()) => {
                warn_of_account(pod, account, &annotations, &skipped, &mut mutation);
                account
            }
            Err(too_large) => {
                mutation.warn(Refusal::from(too_large));
                &none
            }
        }
    } else {
        mutation.warn(Refusal::from(missing_account(pod, context)));
        &none
    };
    warn_of_identities(pod, &annotations, &mut mutation);
    let variables = variables(pod, account, &token, context);
    let endpoint = EndpointVariables::of_pod(pod);
    let known: BTreeSet<&str> =
        old.ephemeral_containers().iter().map(|container| &*container.name).collect();
    for (index, container) in pod.ephemeral_containers().iter().enumerate() {
        if known.contains(&*container.name) || skipped.contains(&container.name) {
            continue;
        }
        match token.check_mounts(container) {
            Ok(()) => {
                let pointer = Pointer { list: "ephemeralContainers", index };
                inject_one(pointer, container, &variables, &token, &annotations, &mut mutation);
                if let Some(endpoint) = &endpoint {
                    endpoint.add(pointer, container, &mut mutation);
                }
            }
            Err(refusal) => mutation.warn(refusal),
        }
    }
    if let Err(too_large) = mutation.check_size() {
        mutation.warn(Refusal::from(too_large));
    }
    mutation
}

/// The value, or its default with a warning.
fn or_warn<T: Default>(result: Result<T, Refusal>, mutation: &mut Mutation) -> T {
    result.unwrap_or_else(|refusal| {
        mutation.warn(refusal);
        T::default()
    })
}
