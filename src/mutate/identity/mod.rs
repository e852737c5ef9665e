//! The identity: environment, projected token volume and mount, as Azure Workload Identity v1.6
//! injects them.

mod account;
mod endpoint;
mod env_from;
mod environment;
mod ephemeral;
mod expiration;
mod place;
mod skip;
mod token_volume;

pub(crate) use account::may_be_ours;
pub use account::{CLIENT_ID_ANNOTATION, ServiceAccount, TENANT_ID_ANNOTATION};
pub(super) use environment::NAMES as VARIABLES;
pub(super) use ephemeral::inject as inject_ephemeral;
pub(super) use token_volume::TokenVolume;

use super::annotations::Annotations;
use super::bounds::{ID_BYTES, TooLarge};
use super::refusal::{Cause, Refusal, cut};
use super::sidecar::is_sidecar;
use super::token_mount::{follow_token_mount, uses_token};
use super::{Context, Mutation};
use crate::pod::{Container, Pod, Pointer};
use crate::reason;
use crate::settings::TokenEndpoint;
use env_from::warn_of_env_from;
use environment::{CLIENT_ID_VARIABLE, Variables, is_left_to_env_from};
use skip::Skipped;
use std::collections::BTreeSet;
use token_volume::Wanted;

/// The label a pod opts in with.
pub const USE_LABEL: &str = "azure.workload.identity/use";
/// Full path of the token where nothing else is said.
pub const TOKEN_FILE: &str = "/var/run/secrets/azure/wi/token/azure-identity-token";

/// What the names of token volumes begin with.
pub(super) const VOLUME_PREFIX: &str = "azure-workload-identity-reserved-";
const PROXY_ANNOTATION: &str = "azure.workload.identity/inject-proxy-sidecar";
/// What Azure Workload Identity makes of that annotation.
const PROXY_CONTAINERS: [&str; 2] = ["azwi-proxy", "azwi-proxy-init"];
/// Annotations that ask for a custom token endpoint; `use-identity-binding` on AKS.
const ENDPOINT_PREFIX: &str = "azure.workload.identity/use-";

/// Whether the pod carries the opt-in label.
pub(super) fn is_opted_in(pod: &Pod<'_>) -> bool {
    pod.metadata.labels.find(USE_LABEL) == Some("true")
}

/// The token volume that this pod has or gets.
pub(super) fn token_volume(
    pod: &Pod<'_>,
    annotations: &Annotations,
    context: Context<'_>,
) -> Result<TokenVolume, Refusal> {
    TokenVolume::of(pod, wanted(pod, annotations, context), context)
}

fn wanted<'a>(pod: &Pod<'_>, annotations: &Annotations, context: Context<'a>) -> Wanted<'a> {
    let endpoint = endpoint_of(pod, context);
    let audience = endpoint.map_or(&*context.settings.audience, |endpoint| &*endpoint.audience);
    Wanted {
        layout: annotations.token_layout.unwrap_or(context.settings.token_layout),
        audience,
        endpoint,
    }
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
    let of_another = || {
        let mut asked = pod.metadata.annotations.below(ENDPOINT_PREFIX);
        asked.find(|(_, value)| value.eq_ignore_ascii_case("true")).map(|(key, _)| key)
    };
    let annotation = own.or_else(|| token.is_of_another().then(of_another).flatten());
    match annotation {
        Some(annotation) if is_federated || pod.init_containers().iter().any(uses_token) => {
            Err(Cause::TokenOfEndpoint { annotation: cut(annotation) }.into())
        }
        _ => Ok(()),
    }
}

fn endpoint_of<'a>(pod: &Pod<'_>, context: Context<'a>) -> Option<&'a TokenEndpoint> {
    context.settings.token_endpoint.as_ref().filter(|endpoint| endpoint.is_used_by(pod))
}

/// Environment and mount for every container that is not skipped.
pub(super) fn inject(
    pod: &Pod<'_>,
    annotations: &Annotations,
    token: &TokenVolume,
    context: Context<'_>,
    mutation: &mut Mutation,
) -> Result<(), Refusal> {
    check_proxy(pod, mutation)?;
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
            follow_token_mount(&mut mutation.patch, pointer, container, token);
        } else if !skipped.contains(&container.name) {
            token.check_mounts(container)?;
            inject_one(pointer, container, &variables, token, annotations, mutation);
        }
    }
    Ok(())
}

/// The container's mounts must have been checked.
fn inject_one(
    pointer: Pointer,
    container: &Container<'_>,
    variables: &Variables,
    token: &TokenVolume,
    annotations: &Annotations,
    mutation: &mut Mutation,
) {
    variables.add(mutation, pointer, container, token, annotations);
    token.mount_into(&mut mutation.patch, pointer, container);
}

/// The proxy is refused where it is only asked for; a pod that Azure Workload Identity has given it
/// goes on as it was.
fn check_proxy(pod: &Pod<'_>, mutation: &mut Mutation) -> Result<(), Refusal> {
    let Some(value) = pod.metadata.annotations.find(PROXY_ANNOTATION) else { return Ok(()) };
    if ["false", "0", "f", ""].iter().any(|no| value.eq_ignore_ascii_case(no)) {
        return Ok(());
    }
    match pod.all_containers().find(|(_, container)| PROXY_CONTAINERS.contains(&&*container.name)) {
        None => Err(Cause::ProxySidecar { value: cut(value) }.into()),
        Some((_, container)) => {
            mutation.warn(format_args!(
                "{} container {} was injected by another webhook, which Keysluice does not do",
                reason::KS271,
                container.name
            ));
            Ok(())
        }
    }
}

fn missing_account(pod: &Pod<'_>, context: Context<'_>) -> Cause {
    let (name, namespace) = (cut(pod.service_account()), cut(context.namespace));
    Cause::ServiceAccountMissing { name, namespace }
}

/// What is wrong with the ServiceAccount; that it has no client id only where a container is left
/// without one.
fn warn_of_account(
    pod: &Pod<'_>,
    account: &ServiceAccount,
    annotations: &Annotations,
    skipped: &Skipped<'_>,
    mutation: &mut Mutation,
) {
    let has_client_id = |container: &Container<'_>| {
        let mut env = container.env.iter().flatten();
        annotations.of_container(&container.name, CLIENT_ID_VARIABLE).is_some()
            || env.any(|entry| &*entry.name == CLIENT_ID_VARIABLE)
            || is_left_to_env_from(container, CLIENT_ID_VARIABLE, annotations)
    };
    let needs_one = |container: &Container<'_>| {
        !skipped.contains(&container.name) && !is_sidecar(container) && !has_client_id(container)
    };
    let needs_client_id = account.client_id.is_none()
        && pod.all_containers().any(|(_, container)| needs_one(container));
    for warning in account.warnings(pod.service_account(), needs_client_id) {
        mutation.warn(warning);
    }
}

/// Names of containers in annotations that no container has.
fn warn_of_identities(pod: &Pod<'_>, annotations: &Annotations, mutation: &mut Mutation) {
    if annotations.client_ids.is_empty() && annotations.tenant_ids.is_empty() {
        return;
    }
    let ordinary = pod.all_containers().map(|(_, container)| container);
    let known: BTreeSet<&str> =
        ordinary.chain(pod.ephemeral_containers()).map(|container| &*container.name).collect();
    let named = annotations.client_ids.keys().chain(annotations.tenant_ids.keys());
    for container in named.filter(|name| !known.contains(name.as_str())) {
        mutation.warn(format_args!(
            "{} the pod has no container {container}, which an annotation gives an identity",
            reason::KS257
        ));
    }
}

impl ServiceAccount {
    /// Refuses ids that are longer than any: each container would get a copy.
    fn check_ids(&self, account: &str) -> Result<(), TooLarge> {
        let too_long = |annotation: &&'static str| TooLarge::Id {
            annotation,
            account: cut(account),
            limit: ID_BYTES,
        };
        self.too_long.first().map_or(Ok(()), |annotation| Err(too_long(annotation)))
    }
}

/// What the containers get, from ServiceAccount, settings and token volume.
fn variables(
    pod: &Pod<'_>,
    account: &ServiceAccount,
    token: &TokenVolume,
    context: Context<'_>,
) -> Variables {
    let tenant = account.tenant_id.as_ref().or(context.settings.tenant_id.as_ref());
    Variables::new(
        account.client_id.as_deref().unwrap_or_default(),
        tenant.map(String::as_str).unwrap_or_default(),
        token,
        &context.settings.clouds.default_cloud().authority,
        endpoint_of(pod, context),
    )
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod warning_tests;
