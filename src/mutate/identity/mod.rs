//! The identity: environment, projected token volume and mount, as Azure Workload Identity v1.6 injects them.

mod account;
mod endpoint;
mod environment;
mod ephemeral;
mod token_volume;

pub use account::{CLIENT_ID_ANNOTATION, ServiceAccount, TENANT_ID_ANNOTATION};
pub(super) use environment::NAMES as VARIABLES;
pub(super) use ephemeral::inject as inject_ephemeral;
pub(super) use token_volume::TokenVolume;

use super::annotations::Annotations;
use super::refusal::{Cause, Refusal};
use super::{Context, Mutation};
use crate::admission::pod::{Container, Pod, Pointer};
use crate::reason;
use crate::settings::TokenEndpoint;
use environment::Variables;

/// The label a pod opts in with.
pub const USE_LABEL: &str = "azure.workload.identity/use";
/// Full path of the token where nothing else is said.
pub const TOKEN_FILE: &str = "/var/run/secrets/azure/wi/token/azure-identity-token";

/// What the names of token volumes begin with.
pub(super) const VOLUME_PREFIX: &str = "azure-workload-identity-reserved-";
const SKIP_CONTAINERS_ANNOTATION: &str = "azure.workload.identity/skip-containers";
const PROXY_ANNOTATION: &str = "azure.workload.identity/inject-proxy-sidecar";
const EXPIRATION_SECONDS: std::ops::RangeInclusive<i64> = 3600..=86400;

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
    let endpoint = endpoint_of(pod, context);
    let audience = endpoint.map_or(&*context.settings.audience, |endpoint| &*endpoint.audience);
    let ca = endpoint.and_then(|endpoint| endpoint.ca.as_ref());
    let layout = annotations.token_layout.unwrap_or(context.settings.token_layout);
    TokenVolume::of(pod, layout, audience, ca, context)
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
    if let Some(value) = pod.metadata.annotations.find(PROXY_ANNOTATION)
        && !["false", "0", "f", ""].contains(&value.to_ascii_lowercase().as_str())
    {
        return Err(Cause::ProxySidecar { value: value.to_owned() }.into());
    }
    let variables = variables(pod, annotations, token, context, mutation)?;
    for (pointer, container) in pod.all_containers() {
        if super::sidecar::is_sidecar(container) {
            super::sidecar::keep_token_mount(&mut mutation.patch, pointer, container, token);
        } else if !is_skipped(pod, &container.name) {
            inject_one(pointer, container, &variables, token, annotations, mutation)?;
        }
    }
    Ok(())
}

fn inject_one(
    pointer: Pointer,
    container: &Container<'_>,
    variables: &Variables,
    token: &TokenVolume,
    annotations: &Annotations,
    mutation: &mut Mutation,
) -> Result<(), Refusal> {
    warn_of_env_from(container, annotations, mutation);
    variables.add(&mut mutation.patch, pointer, container, token, annotations);
    token.mount_into(&mut mutation.patch, pointer, container)
}

/// What the containers get, from ServiceAccount, settings and token volume; warnings about the ServiceAccount.
fn variables(
    pod: &Pod<'_>,
    annotations: &Annotations,
    token: &TokenVolume,
    context: Context<'_>,
    mutation: &mut Mutation,
) -> Result<Variables, Refusal> {
    let name = pod.service_account();
    let Some(account) = &context.facts.service_account else {
        return Err(
            Cause::ServiceAccountMissing { name: name.to_owned(), namespace: context.namespace.to_owned() }.into()
        );
    };
    mutation.warnings.extend(account.warnings(name));
    for container in annotations.client_ids.keys().chain(annotations.tenant_ids.keys()) {
        if !pod.all_containers().any(|(_, known)| *known.name == **container) {
            mutation.warnings.push(format!(
                "{} the pod has no container {container}, which an annotation gives an identity",
                reason::KS257
            ));
        }
    }
    let tenant = account.tenant_id.as_ref().or(context.settings.tenant_id.as_ref());
    Ok(Variables::new(
        account.client_id.as_deref().unwrap_or_default(),
        tenant.map(String::as_str).unwrap_or_default(),
        token,
        &context.settings.clouds.default_cloud().authority,
        endpoint_of(pod, context),
    ))
}

fn is_skipped(pod: &Pod<'_>, container: &str) -> bool {
    let list = pod.metadata.annotations.find(SKIP_CONTAINERS_ANNOTATION).unwrap_or_default();
    list.split(';').any(|name| name.trim() == container)
}

/// What `envFrom` supplies cannot be seen at admission, and an injected variable wins over it.
fn warn_of_env_from(container: &Container<'_>, annotations: &Annotations, mutation: &mut Mutation) {
    if container.has_env_from() && annotations.env_from_wins.is_empty() {
        mutation.warnings.push(format!(
            "{} container {}: an AZURE_ variable that envFrom supplies is overridden by the injected one",
            reason::KS254,
            container.name
        ));
    }
}

#[cfg(test)]
mod tests;
