//! The sidecar: a native sidecar container, PSA `restricted` clean, with its Plan in one
//! environment variable.

use super::annotation_values::Gate;
use super::annotations::{Annotations, Mode};
use super::context::Context;
use super::earlier_run::is_sidecar;
use super::entries::{
    Command, EnvEntry, Exec, FieldEntry, Lifecycle, MemoryVolumeEntry, MountEntry, SecurityEntry,
    SidecarEntry, SidecarVariable, StartupProbe,
};
use super::identity::TokenVolume;
use super::limits::{MAX_PLAN_BYTES, PROGRAM_VOLUME_BYTES, RUN_VOLUME_BYTES};
use super::managed_identity_cause::ManagedIdentityCause;
use super::mutation::{Mutation, Note};
use super::names::{
    BINARY, OWN_VOLUMES, PRINCIPAL_VOLUME_PREFIX, PROGRAM_VOLUME, RUN_VOLUME, SIDECAR,
};
use super::refusal::{Cause, Refusal};
use super::served::{SecretVolume, Served};
use super::{
    basis, init_mode, intercept, metrics_port, position, principal, proxy, reaction,
    reaction_right, resources, secret_objects, synced, token_proxy, user,
};
use crate::plan::{self, RUN_DIRECTORY, START_TIMEOUT_SECONDS};
use crate::pod::Pod;
use crate::quantity;
use crate::settings::{Settings, TokenEndpoint};
use keysluice_plan::{PLAN_ENV, POD_UID_ENV, Plan, Volume};
use serde::Serialize;

const VOLUMES_DIRECTORY: &str = "/mnt/keysluice";
/// How often a probe that waits is repeated: an hour of 27 s and a pause each, about.
const WAIT_ATTEMPTS: u32 = 120;

/// Adds container and private volumes.
#[allow(clippy::too_many_lines, reason = "one step for each part of the sidecar, in order")]
pub(super) fn add(
    pod: &Pod<'_>,
    annotations: &Annotations,
    served: &Served<'_>,
    token: Option<&TokenVolume>,
    context: Context<'_>,
    mutation: &mut Mutation,
    volume_count: &mut Option<usize>,
) -> Result<(), Refusal> {
    let volumes = &served.volumes;
    refuse_reserved_names(pod, volumes)?;
    let token_file = token.map(TokenVolume::token_file).unwrap_or_default();
    let mut plan = plan_of(annotations, volumes, &token_file, context.settings);
    let right = reaction_right::of(pod, annotations.on_change.action.as_ref())?;
    if !served.secrets.is_empty() || right.is_some() {
        plan.kubernetes = Some(synced::kubernetes(pod, context)?);
        plan.secrets.clone_from(&served.secrets);
    }
    let text = right.map(|right| right.to_string());
    reaction_right::annotate(pod, text.as_deref(), mutation);
    plan.program_directory = served.has_program.then(|| directory(PROGRAM_VOLUME));
    reaction::check_mode(annotations, annotations.mode(volumes))?;
    let preferred = reaction::preferred_user(pod, annotations);
    principal::check(served, context.namespace)?;
    let principals = principal::all(volumes);
    let user = user::of_sidecar(pod, volumes, preferred, mutation)?;
    plan.reaction = reaction::of(pod, annotations, &plan.volumes, user, mutation)?;
    let ends = annotations.mode(volumes) == Mode::Init;
    if let Some(endpoint) = &served.endpoint {
        if ends {
            return Err(ManagedIdentityCause::Init.into());
        }
        let cloud = context.settings.clouds.default_cloud();
        plan::trust(&mut plan, cloud.trusted_ca.as_deref());
        plan.managed_identity = Some(endpoint.clone());
        intercept::check_identities(endpoint, volumes)?;
    }
    plan.metrics_port = metrics_port::of(pod, annotations, plan.managed_identity.as_ref(), ends)?;
    plan.log_format = context.settings.log_format;
    if ends {
        init_mode::warn(pod, mutation);
    }
    if !ends {
        let made = basis::Made { served, user, token_file: &token_file };
        plan.source = basis::source(pod, &made, context);
    }
    let mut environment = plan::to_variable(&plan);
    if environment.len() > MAX_PLAN_BYTES && plan.source.take().is_some() {
        // A Plan that fits without it is not refused for it.
        environment = plan::to_variable(&plan);
    }
    if environment.len() > MAX_PLAN_BYTES {
        return Err(Cause::PlanSize { bytes: environment.len(), limit: MAX_PLAN_BYTES }.into());
    }
    let position = position::of_sidecar(pod, annotations, &plan, user.uid)?;
    let secrets = &served.secrets;
    secret_objects::check_before_sidecar(pod, position, secrets, context.namespace, mutation)?;
    mutation.notes.push(note(annotations, volumes, user));

    let mut volume_mounts =
        vec![MountEntry { name: RUN_VOLUME, mount_path: RUN_DIRECTORY, read_only: false }];
    volume_mounts.extend(plan.volumes.iter().map(|Volume { name, directory, .. }| MountEntry {
        name,
        mount_path: directory,
        read_only: false,
    }));
    volume_mounts.extend(plan.program_directory.as_ref().map(|mount_path| MountEntry {
        name: PROGRAM_VOLUME,
        mount_path,
        read_only: false,
    }));
    volume_mounts.extend(token.map(TokenVolume::mount));
    volume_mounts.extend(plan.kubernetes.as_ref().map(|_| synced::api_mount()));
    volume_mounts.extend(plan.source.as_ref().map(|_| basis::mount()));
    let token_proxy =
        context.settings.token_endpoint.as_ref().filter(|_| served.asks_token_proxy());
    volume_mounts.extend(token_proxy.map(|_| token_proxy::mount()));
    volume_mounts.extend(principals.iter().map(principal::Principal::mount));
    let proxy = proxy::variables(annotations, context.settings);
    let env = variables(&environment, !volumes.is_empty(), &proxy);
    // What comes after an init container that ends waits for it anyway.
    let (lifecycle, startup_probe) = if ends { (None, None) } else { gate(annotations) };
    let resources = resources::of_sidecar(pod, annotations, served, context, mutation);
    let container = SidecarEntry {
        name: SIDECAR,
        image: &context.settings.injector_image,
        command: [BINARY, if ends { "once" } else { "run" }],
        restart_policy: (!ends).then_some("Always"),
        env,
        resources: resources.clone(),
        security_context: SecurityEntry::restricted(user.uid, user.gid),
        volume_mounts,
        lifecycle,
        startup_probe,
    };
    let init_count = pod.spec.init_containers.as_ref().map(Vec::len);
    mutation.patch.insert("/spec/initContainers", init_count, position, container);
    intercept::add(pod, served, position, resources, context, mutation);
    append_volumes(served, &plan, token_proxy, &principals, volume_count, mutation);
    Ok(())
}

/// The sidecar's variables. One that asks vaults tells them the uid of its pod.
fn variables<'a>(
    plan: &'a str,
    asks_vaults: bool,
    proxy: &'a [(&'static str, String)],
) -> Vec<SidecarVariable<'a>> {
    let plan = SidecarVariable::Value(EnvEntry { name: PLAN_ENV, value: plan });
    let uid = asks_vaults.then(|| FieldEntry::new(POD_UID_ENV, "metadata.uid"));
    let proxy = proxy.iter().map(|(name, value)| EnvEntry { name, value });
    let all = std::iter::once(plan).chain(uid.map(SidecarVariable::Field));
    all.chain(proxy.map(SidecarVariable::Value)).collect()
}

/// Adds the volumes of the sidecar alone, and those that the pod's volumes lack.
fn append_volumes(
    served: &Served<'_>,
    plan: &Plan,
    token_proxy: Option<&TokenEndpoint>,
    principals: &[principal::Principal<'_>],
    volume_count: &mut Option<usize>,
    mutation: &mut Mutation,
) {
    let own = [(RUN_VOLUME, RUN_VOLUME_BYTES)].into_iter();
    let added = served.volumes.iter().filter(|volume| volume.index.is_none());
    let added = added.map(|volume| (volume.name, volume.size_limit_bytes()));
    let program = served.has_program.then_some((PROGRAM_VOLUME, PROGRAM_VOLUME_BYTES));
    for (name, bytes) in own.chain(added).chain(program) {
        let volume = MemoryVolumeEntry::new(name, quantity::of_bytes(bytes));
        append(mutation, volume_count, volume);
    }
    if plan.kubernetes.is_some() {
        append(mutation, volume_count, synced::api_volume());
    }
    if plan.source.is_some() {
        append(mutation, volume_count, basis::volume());
    }
    if let Some(endpoint) = token_proxy {
        append(mutation, volume_count, token_proxy::volume(endpoint));
    }
    for principal in principals {
        append(mutation, volume_count, principal.volume());
    }
}

/// Adds a volume at the end.
fn append(mutation: &mut Mutation, count: &mut Option<usize>, volume: impl Serialize) {
    let end = count.unwrap_or_default();
    mutation.patch.insert("/spec/volumes", *count, end, volume);
    *count = Some(end + 1);
}

fn note(annotations: &Annotations, volumes: &[SecretVolume<'_>], user: user::User) -> Note {
    let gate = match (annotations.gate, annotations.is_bounded()) {
        _ if annotations.mode(volumes) == Mode::Init => {
            "it fetches the secrets once and ends before the application starts"
        }
        (Gate::None, _) if !volumes.is_empty() => "the application does not wait for its secrets",
        (Gate::None, _) => "the application does not wait for the managed-identity endpoint",
        _ if volumes.is_empty() => "the application starts after the managed-identity endpoint",
        (Gate::Hook, _) => {
            "the application waits for its secrets behind a postStart hook, at most 30 s"
        }
        (Gate::Probe, true) => {
            "the application waits for its secrets behind a startup probe, at most 30 s"
        }
        (Gate::Probe, false) => {
            "the application waits for its secrets behind a startup probe, for as long as it takes"
        }
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
    let mut named = pod.volumes().iter().map(|volume| &*volume.name).enumerate();
    let volume = named
        .find(|(_, name)| OWN_VOLUMES.contains(name) || name.starts_with(PRINCIPAL_VOLUME_PREFIX));
    let (field, name) = match (container, volume) {
        (Some((field, _)), _) => (format!("{field}/name"), SIDECAR),
        (None, Some((index, name))) => (format!("/spec/volumes/{index}/name"), name),
        (None, None) => return Ok(()),
    };
    Err(Cause::ReservedName { field, name: name.to_owned() }.into())
}

/// The directory of a volume in the sidecar.
fn directory(volume: &str) -> String {
    format!("{VOLUMES_DIRECTORY}/{volume}")
}

/// The Plan of these volumes, with the pod's token at `token_file`.
pub(super) fn plan_of(
    annotations: &Annotations,
    volumes: &[SecretVolume<'_>],
    token_file: &str,
    settings: &Settings,
) -> Plan {
    let token_proxy = settings.token_proxy();
    let mut plan = plan::empty(annotations.is_bounded());
    for volume in volumes {
        let interval = annotations.refresh_interval.or(volume.plan.refresh_interval);
        let target = plan::Target {
            name: volume.name,
            directory: directory(volume.name),
            token_file,
            token_proxy: token_proxy.as_ref(),
            refresh_interval: interval.unwrap_or(settings.refresh_interval),
        };
        plan::add_volume(&mut plan, &volume.plan, target);
    }
    plan
}

/// What holds the application back: a hook, or a probe.
fn gate(annotations: &Annotations) -> (Option<Lifecycle>, Option<StartupProbe>) {
    match annotations.gate {
        Gate::None => (None, None),
        Gate::Hook => {
            (Some(Lifecycle { post_start: Exec { exec: ready(START_TIMEOUT_SECONDS) } }), None)
        }
        Gate::Probe => {
            // A probe that hits timeoutSeconds shows only "command timed out", and one that
            // outlives the sidecar only its end. The first begins up to two seconds after the
            // sidecar: it gives up before both, with the reason.
            let probe = StartupProbe {
                exec: ready(START_TIMEOUT_SECONDS - 3),
                period_seconds: 1,
                timeout_seconds: START_TIMEOUT_SECONDS,
                failure_threshold: if annotations.waits() { WAIT_ATTEMPTS } else { 2 },
            };
            (None, Some(probe))
        }
    }
}

fn ready(timeout_seconds: u64) -> Command {
    let timeout = timeout_seconds.to_string();
    Command { command: [BINARY.into(), "ready".into(), "--timeout".into(), timeout.into()] }
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
