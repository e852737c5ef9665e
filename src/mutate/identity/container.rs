//! What one container gets, and from where: shared by new pods and ephemeral containers.

use super::environment::Variables;
use super::token_volume::TokenVolume;
use super::wanted::Wanted;
use crate::mutate::annotations::Annotations;
use crate::mutate::context::Context;
use crate::mutate::mutation::Mutation;
use crate::mutate::names::USE_LABEL;
use crate::mutate::refusal::{Cause, cut};
use crate::mutate::service_account::ServiceAccount;
use crate::pod::{Container, Pod, Pointer};
use crate::settings::TokenEndpoint;

/// Whether the pod carries the opt-in label.
pub(in crate::mutate) fn is_opted_in(pod: &Pod<'_>) -> bool {
    pod.metadata.labels.find(USE_LABEL) == Some("true")
}

/// The token volume that pod and operator ask for.
pub(super) fn wanted<'a>(
    pod: &Pod<'_>,
    annotations: &Annotations,
    context: Context<'a>,
) -> Wanted<'a> {
    let endpoint = endpoint_of(pod, context);
    let audience = endpoint.map_or(&*context.settings.audience, |endpoint| &*endpoint.audience);
    Wanted {
        layout: annotations.token_layout.unwrap_or(context.settings.token_layout),
        audience,
        endpoint,
    }
}

/// The token endpoint, where the pod asks for it.
pub(super) fn endpoint_of<'a>(pod: &Pod<'_>, context: Context<'a>) -> Option<&'a TokenEndpoint> {
    context.settings.token_endpoint.as_ref().filter(|endpoint| endpoint.is_used_by(pod))
}

/// The refusal of a pod whose ServiceAccount does not exist.
pub(super) fn missing_account(pod: &Pod<'_>, context: Context<'_>) -> Cause {
    let (name, namespace) = (cut(pod.service_account()), cut(context.namespace));
    Cause::ServiceAccountMissing { name, namespace }
}

/// What the containers get, from ServiceAccount, settings and token volume.
pub(super) fn variables(
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

/// Adds environment and mount. The container's mounts must have been checked.
pub(super) fn inject_one(
    pointer: Pointer,
    container: &Container<'_>,
    variables: &Variables,
    token: &TokenVolume,
    annotations: &Annotations,
    mutation: &mut Mutation,
) {
    variables.add(mutation, pointer, container, token, annotations);
    token.mount_into(mutation, pointer, container);
}
