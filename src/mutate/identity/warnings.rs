//! Warnings about the ServiceAccount and about annotations that name containers.

use super::environment::is_left_to_env_from;
use super::skip::Skipped;
use crate::mutate::annotations::Annotations;
use crate::mutate::earlier_run::is_own;
use crate::mutate::mutation::Mutation;
use crate::mutate::names::CLIENT_ID_VARIABLE;
use crate::mutate::service_account::ServiceAccount;
use crate::pod::{Container, Pod};
use crate::provider_class::{is_guid, is_tenant};
use crate::reason;
use std::collections::BTreeSet;

/// What is wrong with the ServiceAccount; that it has no client id only where a container is left
/// without one.
pub(super) fn warn_of_account(
    pod: &Pod<'_>,
    account: &ServiceAccount,
    annotations: &Annotations,
    skipped: &Skipped<'_>,
    mutation: &mut Mutation,
) {
    let needs_client_id = account.client_id.is_none()
        && pod.all_containers().any(|(_, container)| {
            !skipped.contains(&container.name)
                && !is_own(container)
                && !has_client_id(container, annotations)
        });
    for warning in account.warnings(pod.service_account(), needs_client_id) {
        mutation.warn(warning);
    }
}

/// Whether a container has a client id without the ServiceAccount's, or the pod says so.
fn has_client_id(container: &Container<'_>, annotations: &Annotations) -> bool {
    let mut env = container.env.iter().flatten();
    annotations.of_container(&container.name, CLIENT_ID_VARIABLE).is_some()
        || env.any(|entry| &*entry.name == CLIENT_ID_VARIABLE)
        || is_left_to_env_from(container, CLIENT_ID_VARIABLE, annotations)
}

/// Names of containers in annotations that no container has.
pub(super) fn warn_of_identities(
    pod: &Pod<'_>,
    annotations: &Annotations,
    mutation: &mut Mutation,
) {
    if annotations.client_ids.is_empty() && annotations.tenant_ids.is_empty() {
        return;
    }
    let clients = annotations.client_ids.iter().filter(|(_, id)| !is_guid(id));
    let tenants = annotations.tenant_ids.iter().filter(|(_, id)| !is_tenant(id));
    for ((container, id), wanted) in clients
        .map(|named| (named, "a GUID"))
        .chain(tenants.map(|named| (named, "a GUID or a domain")))
    {
        mutation.warn(format_args!(
            "{} container {container}: the id {id:?} of an annotation is not {wanted}",
            reason::KS255
        ));
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
