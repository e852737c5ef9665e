//! Requests and limits of the sidecar.

use super::annotations::Annotations;
use super::context::Context;
use super::entries::ResourcesEntry;
use super::limits::RUN_VOLUME_BYTES;
use super::mutation::Mutation;
use super::quality;
use super::served::Served;
use crate::pod::Pod;
use crate::quantity;
use crate::reason;
use crate::settings::Settings;

const MEMORY_BYTES: u64 = 16 << 20;
/// Memory that the sidecar requests.
pub const SIDECAR_MEMORY_REQUEST: &str = "8Mi";
/// Memory that it may use, without what its volumes hold.
pub const LEAST_SIDECAR_MEMORY_BYTES: u64 = MEMORY_BYTES + RUN_VOLUME_BYTES;

/// What the sidecar requests and may use, for each resource apart.
///
/// Where the pod has a request or limit of its own for a resource, what its containers request must
/// fit into that, and without requests of containers it is the pod's: the sidecar then asks for
/// none of it, so that a Guaranteed pod stays one.
pub(super) fn of_sidecar<'a>(
    pod: &Pod<'_>,
    annotations: &'a Annotations,
    served: &Served<'_>,
    context: Context<'a>,
    mutation: &mut Mutation,
) -> ResourcesEntry<'a> {
    let of_pod = &pod.spec.resources;
    let is_guaranteed = !of_pod.has_cpu() && !of_pod.has_memory() && quality::is_guaranteed(pod);
    let mut resources = ResourcesEntry::default();
    let ResourcesEntry { requests, limits } = &mut resources;
    if of_pod.has_cpu() {
        let ignored = [("request", &annotations.cpu_request), ("limit", &annotations.cpu_limit)];
        for (what, _) in ignored.iter().filter(|(_, value)| value.is_some()) {
            mutation.warn(format_args!(
                "{} keysluice.dev/cpu-{what} has no effect: the pod's own resources for cpu hold \
                 for all its containers",
                reason::KS260
            ));
        }
    } else if is_guaranteed {
        let of_operator = context.settings.injector_cpu_limit.as_deref();
        let cpu = annotations.cpu_limit.as_deref().or(of_operator).unwrap_or("100m");
        (requests.cpu, limits.cpu) = (Some(cpu), Some(cpu));
        let wanted = annotations.cpu_request.as_deref();
        if wanted.is_some_and(|wanted| quantity::nanos(wanted) != quantity::nanos(cpu)) {
            mutation.warn(format_args!(
                "{} keysluice.dev/cpu-request has no effect: the pod is Guaranteed, and stays so \
                 because the sidecar requests its limit, {cpu}",
                reason::KS260
            ));
        }
    } else {
        (requests.cpu, limits.cpu) = cpu_of(annotations, context.settings);
    }
    if !of_pod.has_memory() {
        // Pages of a tmpfs are charged to the writer.
        let memory = quantity::of_bytes(LEAST_SIDECAR_MEMORY_BYTES + served.volume_bytes());
        let request =
            if is_guaranteed { memory.clone().into() } else { SIDECAR_MEMORY_REQUEST.into() };
        (requests.memory, limits.memory) = (Some(request), Some(memory.into()));
    }
    resources
}

/// Request and limit of CPU. The API server refuses a request above the limit: what the pod says
/// wins over the operator's amount, which is lowered or raised to it.
fn cpu_of<'a>(
    annotations: &'a Annotations,
    settings: &'a Settings,
) -> (Option<&'a str>, Option<&'a str>) {
    let request = annotations.cpu_request.as_deref().unwrap_or(&settings.injector_cpu_request);
    let limit = annotations.cpu_limit.as_deref().or(settings.injector_cpu_limit.as_deref());
    if limit.is_none_or(|limit| quantity::nanos(request) <= quantity::nanos(limit)) {
        return (Some(request), limit);
    }
    let amount = annotations.cpu_limit.as_deref().unwrap_or(request);
    (Some(amount), Some(amount))
}
