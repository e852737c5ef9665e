//! Mounts of the volumes that the sidecar fills, in the pod's other containers: read-only, as those
//! of the CSI driver are. Some do not show the files, which is a warning.
//!
//! The driver fills a volume before any container starts, the sidecar only once it runs. For a
//! subPath that is not there yet the kubelet makes a directory of that name.

use super::annotation_values::Gate;
use super::annotations::{Annotations, Mode};
use super::bounds;
use super::earlier_run::{is_own, is_sidecar, plan_of};
use super::mutation::Mutation;
use super::refusal::Refusal;
use super::served::SecretVolume;
use crate::pod::{Container, Pod, Pointer, VolumeMount};
use crate::provider_class::{ClassPlan, FilePlan};
use crate::reason;
use keysluice_plan::{CERT_AND_KEY, Plan, RelativePath};
use std::collections::{BTreeMap, BTreeSet};

/// Of the files of a volume in a warning.
const MAX_SHOWN_FILES: usize = 10;

/// Makes the mounts of these volumes read-only. The sidecar goes to `position` among the init
/// containers.
pub(super) fn adapt(
    pod: &Pod<'_>,
    annotations: &Annotations,
    volumes: &[SecretVolume<'_>],
    position: usize,
    mutation: &mut Mutation,
) {
    let opens_early = annotations.gate == Gate::None && annotations.mode(volumes) == Mode::Sidecar;
    let ours: BTreeMap<&str, _> = volumes.iter().map(|volume| (volume.name, volume)).collect();
    for (pointer, container) in pod.all_containers() {
        for (index, mount) in container.mounts().iter().enumerate() {
            let Some(volume) = ours.get(&*mount.name) else { continue };
            set_read_only(pointer, index, mount, mutation);
            if is_before(pointer, position) {
                warn_of_early(pod, position, container, mount, mutation);
            } else if let Some(sub_path) = sub_path(mount) {
                warn_of_sub_path(container, mount, sub_path, opens_early, &volume.plan, mutation);
            }
        }
    }
}

/// The same for containers that another webhook has added after the sidecar.
pub(super) fn adapt_later_run(pod: &Pod<'_>, mutation: &mut Mutation) {
    let Some((position, plan)) = earlier_plan(pod) else { return };
    let ours = names(&plan);
    for (pointer, container) in pod.all_containers().filter(|(_, container)| !is_own(container)) {
        for (index, mount) in container.mounts().iter().enumerate() {
            if !ours.contains(&*mount.name) {
                continue;
            }
            set_read_only(pointer, index, mount, mutation);
            if is_before(pointer, position) {
                warn_of_early(pod, position, container, mount, mutation);
            }
        }
    }
}

/// The same for ephemeral containers that `old` does not have: others may not be changed.
pub(super) fn adapt_ephemeral(pod: &Pod<'_>, old: &Pod<'_>, mutation: &mut Mutation) {
    let is_writable = |container: &Container<'_>| {
        container.mounts().iter().any(|mount| mount.read_only != Some(true))
    };
    let containers = pod.ephemeral_containers();
    if !containers.iter().any(is_writable)
        || bounds::check(pod).is_err()
        || mutation.patch.is_too_large()
    {
        return;
    }
    let Some((_, plan)) = earlier_plan(pod) else { return };
    let ours = names(&plan);
    let known: BTreeSet<&str> =
        old.ephemeral_containers().iter().map(|container| &*container.name).collect();
    let new = containers.iter().enumerate();
    for (index, container) in new.filter(|(_, container)| !known.contains(&*container.name)) {
        let pointer = Pointer { list: "ephemeralContainers", index };
        for (index, mount) in container.mounts().iter().enumerate() {
            if ours.contains(&*mount.name) {
                set_read_only(pointer, index, mount, mutation);
            }
        }
    }
    if let Err(too_large) = mutation.check_size() {
        mutation.warn(Refusal::from(too_large));
    }
}

/// Position and Plan of the sidecar that the pod has already.
fn earlier_plan(pod: &Pod<'_>) -> Option<(usize, Plan)> {
    let init = pod.init_containers();
    let position = init.iter().position(is_sidecar)?;
    Some((position, plan_of(&init[position])?))
}

fn names(plan: &Plan) -> BTreeSet<&str> {
    plan.volumes.iter().map(|volume| volume.name.as_str()).collect()
}

fn set_read_only(pointer: Pointer, index: usize, mount: &VolumeMount<'_>, mutation: &mut Mutation) {
    if mount.read_only != Some(true) {
        mutation.patch.add((pointer, "/volumeMounts/", index, "/readOnly"), true);
    }
}

fn is_before(pointer: Pointer, position: usize) -> bool {
    pointer.list == "initContainers" && pointer.index < position
}

/// What a mount shows of its volume, if not all.
fn sub_path<'m>(mount: &'m VolumeMount<'_>) -> Option<&'m str> {
    let mut given = [&mount.sub_path, &mount.sub_path_expr].into_iter().flatten();
    given.find(|path| !path.is_empty()).map(|path| &**path)
}

/// Warns of an init container that starts before the sidecar.
fn warn_of_early(
    pod: &Pod<'_>,
    position: usize,
    container: &Container<'_>,
    mount: &VolumeMount<'_>,
    mutation: &mut Mutation,
) {
    let mut before = pod.init_containers()[..position].iter();
    let behind = before.rfind(|container| container.is_native_sidecar() && !is_own(container));
    let behind = behind.map(|container| format!(", which is behind {},", container.name));
    let sub_path = sub_path(mount).map(|path| {
        format!(
            "; for subPath {path:.100} the kubelet makes an empty directory, which the sidecar \
             cannot replace"
        )
    });
    mutation.warn(format_args!(
        "{} init container {}: starts before the sidecar{} and finds volume {} empty{}{}; hint: {}",
        reason::KS294,
        container.name,
        behind.as_deref().unwrap_or_default(),
        mount.name,
        if container.is_native_sidecar() { " until the sidecar has filled it" } else { "" },
        sub_path.as_deref().unwrap_or_default(),
        reason::KS294.fix
    ));
}

/// Warns of a mount of one path of the volume.
fn warn_of_sub_path(
    container: &Container<'_>,
    mount: &VolumeMount<'_>,
    sub_path: &str,
    opens_early: bool,
    plan: &ClassPlan,
    mutation: &mut Mutation,
) {
    let (code, container, volume) = (reason::KS252, &container.name, &mount.name);
    match found(plan, sub_path) {
        Found::Certain if !opens_early => mutation.warn(format_args!(
            "{code} container {container}: mount of {volume} with subPath {sub_path} never shows a \
             rotated secret"
        )),
        Found::Certain | Found::Possible => mutation.warn(format_args!(
            "{code} container {container}: mount of {volume} with subPath {sub_path} never shows a \
             rotated secret; if it is not there when the container starts, the kubelet makes an \
             empty directory of that name, which the sidecar cannot replace"
        )),
        Found::Nothing => mutation.warn(format_args!(
            "{code} container {container}: mount of {volume} with subPath {sub_path}: the volume \
             has no such file, and the kubelet makes an empty directory of that name; its files: \
             {}",
            files(plan)
        )),
    }
}

/// Whether a volume that is filled has a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Nothing,
    /// An optional object, an older version, a certificate's part, a secret that `select` finds.
    Possible,
    Certain,
}

fn found(plan: &ClassPlan, sub_path: &str) -> Found {
    let parts = sub_path.split('/').filter(|part| !["", "."].contains(part));
    let path = parts.collect::<Vec<_>>().join("/").parse::<RelativePath>();
    // What `$(NAME)` stands for is unknown, and a path that is no file's is the volume itself or
    // refused by the API server.
    let Some(path) = path.ok().filter(|_| !sub_path.contains('$')) else { return Found::Certain };
    let path = path.as_str();
    let files = plan.files.iter().map(|file| found_of(file, path));
    let mut templates = plan.templates.iter().map(|made| made.path.as_str());
    if templates.any(|made| is_at_or_above(path, made)) {
        return Found::Certain;
    }
    let selections = plan.selections.iter().map(|selection| match &selection.directory {
        Some(directory)
            if is_at_or_above(path, directory.as_str())
                || is_at_or_above(directory.as_str(), path) =>
        {
            Found::Possible
        }
        None if !path.contains('/') => Found::Possible,
        _ => Found::Nothing,
    });
    files.chain(selections).max().unwrap_or(Found::Nothing)
}

fn found_of(file: &FilePlan, path: &str) -> Found {
    let whole = if file.optional { Found::Possible } else { Found::Certain };
    match path.strip_prefix(file.path.as_str()) {
        Some("") => whole,
        Some("/0") if file.history.is_some() => whole,
        Some(rest) if file.history.is_some() && rest.starts_with('/') => Found::Possible,
        Some(rest) if file.split && CERT_AND_KEY.contains(&rest) => Found::Possible,
        _ if is_at_or_above(path, file.path.as_str()) => whole,
        _ => Found::Nothing,
    }
}

/// Whether `path` is this path, or a directory above it.
fn is_at_or_above(path: &str, other: &str) -> bool {
    let rest = other.strip_prefix(path);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The first files of a volume, as a subPath names them.
fn files(plan: &ClassPlan) -> String {
    let of_objects = plan.files.iter().map(|file| match file.history {
        Some(_) => format!("{}/0", file.path),
        None => file.path.to_string(),
    });
    let made = plan.templates.iter().map(|made| made.path.to_string());
    let mut shown: Vec<_> = of_objects.chain(made).take(MAX_SHOWN_FILES).collect();
    if plan.files.len() + plan.templates.len() > shown.len() {
        shown.push("…".to_owned());
    }
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

#[cfg(test)]
#[path = "secret_mounts_tests.rs"]
mod tests;
