//! The identity: environment, projected token volume and mount, as Azure Workload Identity v1.6
//! injects them.

mod container;
mod endpoint;
mod env_from;
mod environment;
mod ephemeral;
mod expiration;
mod place;
mod skip;
mod token_mount;
mod token_volume;
mod wanted;
mod warnings;

pub(super) use container::is_opted_in;
pub(super) use ephemeral::inject as inject_ephemeral;
pub(super) use token_volume::TokenVolume;

use super::annotations::Annotations;
use super::context::Context;
use super::earlier_run::{is_own, is_sidecar, uses_token};
use super::managed_identity_given::EndpointVariables;
use super::mutation::Mutation;
use super::refusal::{Cause, Refusal, cut};
use crate::pod::Pod;
use crate::reason;
use container::{endpoint_of, inject_one, missing_account, variables, wanted};
use env_from::warn_of_env_from;
use skip::Skipped;
use warnings::{warn_of_account, warn_of_identities};

/// Annotations that ask for a custom token endpoint; `use-identity-binding` on AKS.
const ENDPOINT_PREFIX: &str = "azure.workload.identity/use-";

/// The token volume that this pod has or gets.
pub(super) fn token_volume(
    pod: &Pod<'_>,
    annotations: &Annotations,
    context: Context<'_>,
) -> Result<TokenVolume, Refusal> {
    TokenVolume::of(pod, wanted(pod, annotations, context), context)
}

/// Refuses a pod whose sidecar would present a token to Entra that is for the token endpoint: ours,
/// or another webhook's.
pub(super) fn check_for_sidecar(
    pod: &Pod<'_>,
    token: &TokenVolume,
    is_federated: bool,
    context: Context<'_>,
) -> Result<(), Refusal> {
    let own = endpoint_of(pod, context).map(|endpoint| &*endpoint.annotation);
    let annotation =
        own.or_else(|| token.is_of_another().then(|| endpoint_of_another(pod)).flatten());
    match annotation {
        Some(annotation) if is_federated || pod.init_containers().iter().any(uses_token) => {
            Err(Cause::TokenOfEndpoint { annotation: cut(annotation) }.into())
        }
        _ => Ok(()),
    }
}

/// The annotation that asks another webhook for a custom token endpoint.
fn endpoint_of_another<'p>(pod: &'p Pod<'_>) -> Option<&'p str> {
    let mut asked = pod.metadata.annotations.below(ENDPOINT_PREFIX);
    asked.find(|(_, value)| value.eq_ignore_ascii_case("true")).map(|(key, _)| key)
}

/// Environment and mount for every container that is not skipped.
pub(super) fn inject(
    pod: &Pod<'_>,
    annotations: &Annotations,
    token: &TokenVolume,
    endpoint: Option<&EndpointVariables>,
    context: Context<'_>,
    mutation: &mut Mutation,
) -> Result<(), Refusal> {
    let Some(account) = &context.facts.service_account else {
        return Err(missing_account(pod, context).into());
    };
    account.check_ids(pod.service_account())?;
    let skipped = Skipped::of(pod)?;
    warn_of_account(pod, account, annotations, &skipped, mutation);
    warn_of_identities(pod, annotations, mutation);
    if annotations.token_layout.is_some() && !token.is_in_layout(pod) {
        mutation.warn(format_args!(
            "{} keysluice.dev/token-layout: the pod has a token already, which stays at {}",
            reason::KS273,
            token.token_file()
        ));
    }
    let variables = variables(pod, account, token, context);
    warn_of_env_from(pod, &variables, annotations, &skipped, mutation);
    for (pointer, container) in pod.all_containers() {
        if is_sidecar(container) {
            token_mount::follow(&mut mutation.patch, pointer, container, token);
        } else if !is_own(container) && !skipped.contains(&container.name) {
            token.check_mounts(container)?;
            inject_one(pointer, container, &variables, token, annotations, mutation);
            if let Some(endpoint) = endpoint {
                endpoint.add(pointer, container, mutation);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod warning_tests;
