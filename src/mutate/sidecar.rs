//! The sidecar: a native sidecar container, PSA `restricted` clean, with its Plan in one
//! environment variable.

use super::annotations::{Annotations, Gate};
use super::context::Context;
use super::earlier_run::is_sidecar;
use super::identity::TokenVolume;
use super::limits::{MAX_PLAN_BYTES, RUN_VOLUME_BYTES};
use super::mutation::{Mutation, Note};
use super::names::{RUN_VOLUME, SIDECAR};
use super::refusal::{Cause, Refusal};
use super::secrets::SecretVolume;
use super::{position, resources, user};
use crate::plan::{self, RUN_DIRECTORY, START_TIMEOUT_SECONDS};
use crate::pod::Pod;
use crate::quantity;
use keysluice_plan::{PLAN_ENV, Plan};
use serde_json::{Value, json};
use std::time::Duration;

const BINARY: &str = "/keysluice-injector";
const VOLUMES_DIRECTORY: &str = "/mnt/keysluice";
/// How often a probe that waits is repeated: an hour of 27 s and a pause each, about.
const WAIT_ATTEMPTS: u32 = 120;

/// Adds container and private volume.
pub(super) fn add(
    pod: &Pod<'_>,
    annotations: &Annotations,
    volumes: &[SecretVolume<'_>],
    token: Option<&TokenVolume>,
    context: Context<'_>,
    mutation: &mut Mutation,
    volume_count: &mut Option<usize>,
) -> Result<(), Refusal> {
    refuse_reserved_names(pod, volumes)?;
    let plan = plan_of(annotations, volumes, token, context.settings.refresh_interval);
    let environment = plan::to_variable(&plan);
    if environment.len() > MAX_PLAN_BYTES {
        return Err(Cause::PlanSize { bytes: environment.len(), limit: MAX_PLAN_BYTES }.into());
    }
    let user = user::of_sidecar(pod, volumes, mutation)?;
    let position = position::of_sidecar(pod, annotations, &plan, user.uid)?;
    mutation.notes.push(note(annotations, user));

    let mut mounts = vec![json!({"name": RUN_VOLUME, "mountPath": RUN_DIRECTORY})];
    mounts.extend(
        volumes
            .iter()
            .map(|volume| json!({"name": volume.name, "mountPath": directory(volume.name)})),
    );
    mounts.extend(token.map(|token| json!(token.mount())));
    let mut security = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "runAsUser": user.uid,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    if let Some(gid) = user.gid {
        security["runAsGroup"] = json!(gid);
    }
    let mut container = json!({
        "name": SIDECAR,
        "image": context.settings.injector_image,
        "command": [BINARY, "run"],
        "restartPolicy": "Always",
        "env": [{"name": PLAN_ENV, "value": environment}],
        "resources": resources::of_sidecar(pod, annotations, volumes, context, mutation),
        "securityContext": security,
        "volumeMounts": mounts,
    });
    if let Some((field, gate)) = gate(annotations) {
        container[field] = gate;
    }
    let init_count = pod.spec.init_containers.as_ref().map(Vec::len);
    mutation.patch.insert("/spec/initContainers", init_count, position, container);
    let run_volume = json!({"name": RUN_VOLUME,
        "emptyDir": {"medium": "Memory", "sizeLimit": quantity::of_bytes(RUN_VOLUME_BYTES)}});
    let end = volume_count.unwrap_or_default();
    mutation.patch.insert("/spec/volumes", *volume_count, end, run_volume);
    *volume_count = Some(end + 1);
    Ok(())
}

fn note(annotations: &Annotations, user: user::User) -> Note {
    let gate = match (annotations.gate, annotations.is_bounded()) {
        (Gate::Hook, _) => {
            "the application waits for its secrets behind a postStart hook, at most 30 s"
        }
        (Gate::Probe, true) => {
            "the application waits for its secrets behind a startup probe, at most 30 s"
        }
        (Gate::Probe, false) => {
            "the application waits for its secrets behind a startup probe, for as long as it takes"
        }
        (Gate::None, _) => "the application does not wait for its secrets",
    };
    let group = user.gid.map(|gid| format!(" and gid {gid}")).unwrap_or_default();
    Note::Sidecar { uid: user.uid, group, gate }
}

/// A pod that declares our container or volume itself could slip something under our name.
fn refuse_reserved_names(pod: &Pod<'_>, volumes: &[SecretVolume<'_>]) -> Result<(), Refusal> {
    if let (Some(volume), true) = (volumes.first(), pod.init_containers().iter().any(is_sidecar)) {
        return Err(Cause::LateVolume { volume: volume.name.to_owned() }.into());
    }
    let container = pod.all_containers().find(|(_, container)| &*container.name == SIDECAR);
    let volume = pod.volumes().iter().position(|volume| &*volume.name == RUN_VOLUME);
    let (field, name) = match (container, volume) {
        (Some((field, _)), _) => (format!("{field}/name"), SIDECAR),
        (None, Some(index)) => (format!("/spec/volumes/{index}/name"), RUN_VOLUME),
        (None, None) => return Ok(()),
    };
    Err(Cause::ReservedName { field, name: name.to_owned() }.into())
}

/// The directory of a volume in the sidecar.
fn directory(volume: &str) -> String {
    format!("{VOLUMES_DIRECTORY}/{volume}")
}

fn plan_of(
    annotations: &Annotations,
    volumes: &[SecretVolume<'_>],
    token: Option<&TokenVolume>,
    default_interval: Duration,
) -> Plan {
    let mut plan = plan::empty(annotations.is_bounded());
    let token_file = token.map(TokenVolume::token_file).unwrap_or_default();
    for volume in volumes {
        let interval = annotations.refresh_interval.or(volume.plan.refresh_interval);
        let target = plan::Target {
            name: volume.name,
            directory: directory(volume.name),
            token_file: &token_file,
            refresh_interval: interval.unwrap_or(default_interval),
        };
        plan::add_volume(&mut plan, &volume.plan, target);
    }
    plan
}

fn gate(annotations: &Annotations) -> Option<(&'static str, Value)> {
    match annotations.gate {
        Gate::None => None,
        Gate::Hook => {
            let timeout = START_TIMEOUT_SECONDS.to_string();
            Some((
                "lifecycle",
                json!({"postStart": {"exec": {"command": [BINARY, "ready", "--timeout",
                    timeout]}}}),
            ))
        }
        Gate::Probe => {
            // A probe that hits timeoutSeconds shows only "command timed out", and one that
            // outlives the sidecar only its end. The first begins up to two seconds after the
            // sidecar: it gives up before both, with the reason.
            let attempts = if annotations.waits() { WAIT_ATTEMPTS } else { 2 };
            let timeout = (START_TIMEOUT_SECONDS - 3).to_string();
            Some((
                "startupProbe",
                json!({"exec": {"command": [BINARY, "ready", "--timeout", timeout]},
                    "periodSeconds": 1,
                    "timeoutSeconds": START_TIMEOUT_SECONDS, "failureThreshold": attempts}),
            ))
        }
    }
}

#[cfg(test)]
#[path = "sidecar_container_tests.rs"]
mod container_tests;
#[cfg(test)]
#[path = "plan_tests.rs"]
mod plan_tests;
#[cfg(test)]
#[path = "sidecar_tests.rs"]
mod tests;
