//! Requests and limits of the sidecar.

use super::annotations::Annotations;
use super::context::Context;
use super::limits::RUN_VOLUME_BYTES;
use super::mutation::Mutation;
use super::quality;
use super::secrets::SecretVolume;
use crate::pod::Pod;
use crate::quantity;
use crate::reason;
use serde_json::{Map, Value, json};

const MEMORY_BYTES: u64 = 16 << 20;

/// What the sidecar requests and may use, for each resource apart.
///
/// Where the pod has a request or limit of its own for a resource, what its containers request must
/// fit into that, and without requests of containers it is the pod's: the sidecar then asks for
/// none of it, so that a Guaranteed pod stays one.
pub(super) fn of_sidecar(
    pod: &Pod<'_>,
    annotations: &Annotations,
    volumes: &[SecretVolume<'_>],
    context: Context<'_>,
    mutation: &mut Mutation,
) -> Value {
    let of_pod = &pod.spec.resources;
    let is_guaranteed = !of_pod.has_cpu() && !of_pod.has_memory() && quality::is_guaranteed(pod);
    let (mut requests, mut limits) = (Map::new(), Map::new());
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
        let cpu = annotations.cpu_limit.as_deref().unwrap_or("100m");
        requests.insert("cpu".to_owned(), json!(cpu));
        limits.insert("cpu".to_owned(), json!(cpu));
    } else {
        let cpu =
            annotations.cpu_request.as_ref().unwrap_or(&context.settings.injector_cpu_request);
        requests.insert("cpu".to_owned(), json!(cpu));
        if let Some(cpu) =
            annotations.cpu_limit.as_ref().or(context.settings.injector_cpu_limit.as_ref())
        {
            limits.insert("cpu".to_owned(), json!(cpu));
        }
    }
    if !of_pod.has_memory() {
        // Pages of a tmpfs are charged to the writer.
        let tmpfs: u64 = volumes.iter().map(SecretVolume::size_limit_bytes).sum();
        let memory = quantity::of_bytes(MEMORY_BYTES + RUN_VOLUME_BYTES + tmpfs);
        let request = if is_guaranteed { memory.clone() } else { "8Mi".to_owned() };
        requests.insert("memory".to_owned(), json!(request));
        limits.insert("memory".to_owned(), json!(memory));
    }
    let mut resources = Map::new();
    for (field, amounts) in [("requests", requests), ("limits", limits)] {
        if !amounts.is_empty() {
            resources.insert(field.to_owned(), Value::Object(amounts));
        }
    }
    Value::Object(resources)
}
