//! Where the sidecar goes among the init containers.

use super::annotation_values::Gate;
use super::annotations::Annotations;
use super::earlier_run::{is_sidecar, plan_of};
use super::mesh::{self, Destination};
use super::refusal::{Cause, Refusal};
use crate::pod::Pod;
use keysluice_plan::Plan;

/// Index among the init containers: first, so that the others have the secrets too, but behind a
/// mesh's native sidecar.
pub(super) fn of_sidecar(
    pod: &Pod<'_>,
    annotations: &Annotations,
    plan: &Plan,
    uid: i64,
) -> Result<usize, Refusal> {
    let position = index(pod, annotations)?;
    check(pod, annotations, position, &Destination::of_plan(plan), uid)?;
    Ok(position)
}

/// The same, whatever it waits for there.
pub(super) fn index(pod: &Pod<'_>, annotations: &Annotations) -> Result<usize, Refusal> {
    let init = pod.init_containers();
    let Some(name) = &annotations.after else {
        return Ok(mesh::position_behind_native_proxy(init));
    };
    let found = init
        .iter()
        .position(|container| *container.name == **name && container.is_native_sidecar());
    Ok(found.map(|index| index + 1).ok_or_else(|| Cause::AfterMissing { name: name.clone() })?)
}

/// Refuses a pod whose sidecar, from an earlier run, would wait for a mesh: one that runs after us
/// may put its redirect in front.
pub(super) fn check_earlier_run(pod: &Pod<'_>, annotations: &Annotations) -> Result<(), Refusal> {
    let init = pod.init_containers();
    let Some(position) = init.iter().position(is_sidecar) else { return Ok(()) };
    let sidecar = &init[position];
    let Some(plan) = plan_of(sidecar) else { return Ok(()) };
    let uid = sidecar.security_context.run_as_user.unwrap_or_default();
    check(pod, annotations, position, &Destination::of_plan(&plan), uid)
}

/// A sidecar that holds the application back until it has reached the vault must not start between
/// a redirect and the proxy it leads to.
fn check(
    pod: &Pod<'_>,
    annotations: &Annotations,
    position: usize,
    destinations: &[Destination],
    uid: i64,
) -> Result<(), Refusal> {
    if annotations.gate == Gate::None {
        return Ok(());
    }
    match mesh::proxy_to_wait_for(pod, position, destinations, uid) {
        Some(proxy) => Err(Cause::MeshDeadlock { proxy: proxy.to_owned() }.into()),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "position_tests.rs"]
mod tests;
