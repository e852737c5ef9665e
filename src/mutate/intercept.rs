//! The address of IMDS in the pod's own network namespace, for applications that ask nothing else:
//! an init container adds it to the loopback interface, and the sidecar listens on its port 80.

use super::context::Context;
use super::earlier_run::intercepts;
use super::entries::{
    InterceptorEntry, PodSecurityEntry, ResourcesEntry, SecurityEntry, SysctlEntry,
};
use super::managed_identity_cause::ManagedIdentityCause;
use super::mesh;
use super::mutation::{Mutation, Note};
use super::names::{BINARY, INTERCEPTOR};
use super::refusal::{Cause, Refusal, cut};
use super::served::{SecretVolume, Served};
use crate::pod::{NodeRequirement, Pod};
use crate::provider_class::IdentityChoice;
use crate::reason;
use crate::settings::Settings;
use keysluice_plan::{IMDS_ADDRESS, IMDS_PORT, ManagedIdentityEndpoint};

/// Kubernetes counts it as safe. The container runtime may set it to 0 for every pod
/// (`enable_unprivileged_ports` of containerd), or leave it at 1024.
const PORT_START: &str = "net.ipv4.ip_unprivileged_port_start";
/// Labels by which AKS has its virtual nodes selected.
const VIRTUAL_NODE_LABELS: [(&str, &str); 2] =
    [("type", "virtual-kubelet"), ("virtualization", "virtualnode2")];
/// Keys of the taints of virtual nodes.
const VIRTUAL_NODE_TAINTS: [&str; 2] = ["virtual-kubelet.io/provider", "azure.com/aci"];

/// Refuses a pod in which it cannot work.
pub(super) fn check(pod: &Pod<'_>, settings: &Settings) -> Result<(), ManagedIdentityCause> {
    if !settings.allow_intercept {
        return Err(ManagedIdentityCause::InterceptNotAllowed);
    }
    match virtual_node(pod) {
        Some(sign) => Err(ManagedIdentityCause::VirtualNode { sign: cut(&sign) }),
        None => Ok(()),
    }
}

/// Refuses a sidecar that would ask itself for the node's managed identity.
pub(super) fn check_identities(
    endpoint: &ManagedIdentityEndpoint,
    volumes: &[SecretVolume<'_>],
) -> Result<(), ManagedIdentityCause> {
    let of_node = volumes
        .iter()
        .find(|volume| matches!(volume.plan.identity, IdentityChoice::ManagedIdentity { .. }));
    match of_node {
        Some(volume) if endpoint.intercept => {
            Err(ManagedIdentityCause::OwnManagedIdentity { volume: cut(volume.name) })
        }
        _ => Ok(()),
    }
}

/// Refuses a container of the init container's name without the sidecar that it is for.
pub(super) fn check_brought(pod: &Pod<'_>) -> Result<(), Refusal> {
    let mut named = pod.all_containers().filter(|(_, container)| &*container.name == INTERCEPTOR);
    let Some((pointer, _)) = named.next() else { return Ok(()) };
    let is_in_place = pointer.list == "initContainers"
        && pod.init_containers().iter().skip(pointer.index).any(intercepts);
    if is_in_place && named.next().is_none() {
        return Ok(());
    }
    Err(Cause::ReservedName { field: format!("{pointer}/name"), name: INTERCEPTOR.to_owned() }
        .into())
}

/// Lets the sidecar, which is not root, listen on port 80. What the pod sets itself stays, where
/// the sidecar may listen with it.
pub(super) fn set_port_start(
    pod: &Pod<'_>,
    mutation: &mut Mutation,
) -> Result<(), ManagedIdentityCause> {
    let context = &pod.spec.security_context;
    let mut own = context.sysctls.iter().flatten();
    // Kubernetes takes slashes as well as dots.
    if let Some(own) = own.find(|own| own.name.replace('/', ".") == PORT_START) {
        if own.value.trim().parse::<u16>().is_ok_and(|first| first <= IMDS_PORT) {
            return Ok(());
        }
        return Err(ManagedIdentityCause::PortStart { value: cut(&own.value) });
    }
    let entry = SysctlEntry { name: PORT_START, value: "80" };
    if context.is_given {
        let count = context.sysctls.as_ref().map(Vec::len);
        let list = "/spec/securityContext/sysctls";
        mutation.patch.insert(list, count, count.unwrap_or_default(), entry);
    } else {
        mutation.patch.add("/spec/securityContext", PodSecurityEntry { sysctls: [entry] });
    }
    Ok(())
}

/// Adds the init container right before the sidecar, which the patch has put at `position`, if the
/// sidecar listens on the address.
pub(super) fn add(
    pod: &Pod<'_>,
    served: &Served<'_>,
    position: usize,
    resources: ResourcesEntry<'_>,
    context: Context<'_>,
    mutation: &mut Mutation,
) {
    if !served.endpoint.as_ref().is_some_and(|endpoint| endpoint.intercept) {
        return;
    }
    let before = pod.init_containers().iter().take(position).map(|container| &*container.name);
    let early: Vec<&str> = before.filter(|name| !mesh::is_of_mesh(pod, name)).collect();
    if !early.is_empty() {
        mutation.warn(format_args!(
            "{} init containers {} start before {INTERCEPTOR}: until then {IMDS_ADDRESS} is the \
             node's",
            reason::KS285,
            early.join(", ")
        ));
    }
    // The limits of the sidecar: a Guaranteed pod stays one, and none requests more for it.
    let container = InterceptorEntry {
        name: INTERCEPTOR,
        image: &context.settings.injector_image,
        command: [BINARY, "intercept"],
        resources,
        security_context: SecurityEntry::network_admin(),
    };
    let count = pod.init_containers().len() + 1;
    mutation.patch.insert("/spec/initContainers", Some(count), position, container);
    mutation.notes.push(Note::Intercept);
}

/// How a pod says that it may run on a virtual node, which has no network namespace of the pod's
/// for a container to change.
fn virtual_node(pod: &Pod<'_>) -> Option<String> {
    of_selector(pod).or_else(|| of_affinity(pod)).or_else(|| of_tolerations(pod))
}

fn of_selector(pod: &Pod<'_>) -> Option<String> {
    let mut labels = pod.spec.node_selector.iter();
    let found = labels.find(|(key, value)| VIRTUAL_NODE_LABELS.contains(&(*key, *value)));
    found.map(|(key, value)| format!("spec.nodeSelector: {key}: {value}"))
}

fn of_affinity(pod: &Pod<'_>) -> Option<String> {
    let terms = pod.spec.affinity.node.required.terms.iter().flatten();
    let mut requirements = terms.flat_map(|term| term.expressions.iter().flatten());
    let found = requirements.find_map(of_requirement)?;
    Some(format!("spec.affinity.nodeAffinity: {found}"))
}

fn of_requirement(requirement: &NodeRequirement<'_>) -> Option<String> {
    let mut labels = VIRTUAL_NODE_LABELS.into_iter();
    let (label, value) = labels.find(|(label, _)| &*requirement.key == *label)?;
    let has_value = requirement.values.iter().flatten().any(|given| &**given == value);
    (has_value && &*requirement.operator == "In").then(|| format!("{label} In {value}"))
}

fn of_tolerations(pod: &Pod<'_>) -> Option<String> {
    let mut keys = pod.spec.tolerations.iter().flatten().map(|toleration| &*toleration.key);
    let found = keys.find(|key| VIRTUAL_NODE_TAINTS.contains(key))?;
    Some(format!("spec.tolerations: {found}"))
}

#[cfg(test)]
#[path = "intercept_tests.rs"]
mod tests;
