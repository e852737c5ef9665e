//! What the sidecar does after files have changed, and what the pod must be like for that.

use super::annotations::{Annotations, Mode, ON_CHANGE_OF, ON_CHANGE_SPREAD};
use super::earlier_run::{is_sidecar, plan_of};
use super::entries::EnvEntry;
use super::mutation::{Mutation, Note, ReactionRight};
use super::on_change::OnChangeAction;
use super::reaction_cause::ReactionCause;
use super::reaction_right;
use super::refusal::{Refusal, cut};
use super::user::{self, User};
use crate::pod::{Container, Pod, Pointer};
use keysluice_plan::{CONTAINER_ENV, File, Layout, Reaction, ReactionAction, RelativePath, Volume};
use std::collections::BTreeSet;

/// A container, and where it is.
type Target<'p, 'a> = (Pointer, &'p Container<'a>);

/// Refuses what no pod can have.
pub(super) fn check(annotations: &Annotations) -> Result<(), Refusal> {
    let on_change = &annotations.on_change;
    match &on_change.action {
        Some(OnChangeAction::OfWholePod(word)) => Err(ReactionCause::OfWholePod { word }.into()),
        None if !on_change.of.is_empty() => {
            Err(ReactionCause::Alone { annotation: ON_CHANGE_OF }.into())
        }
        None if on_change.spread.is_some() => {
            Err(ReactionCause::Alone { annotation: ON_CHANGE_SPREAD }.into())
        }
        _ => Ok(()),
    }
}

/// Refuses a pod that wants a reaction and has no volume for the sidecar, except one whose sidecar
/// an earlier run added.
pub(super) fn check_without_volumes(
    pod: &Pod<'_>,
    annotations: &Annotations,
) -> Result<(), Refusal> {
    if annotations.on_change.action.is_none() {
        return Ok(());
    }
    let Some(sidecar) = pod.init_containers().iter().find(|container| is_sidecar(container)) else {
        let problem = "the sidecar serves no volume of the pod";
        return Err(ReactionCause::NotServed { problem }.into());
    };
    // Another version's Plan may say it in another way.
    if plan_of(sidecar).is_some_and(|plan| plan.reaction.is_none()) {
        let problem = "the annotation was added to a pod that has its sidecar already";
        return Err(ReactionCause::NotServed { problem }.into());
    }
    Ok(())
}

/// Whom the sidecar should run as, so that it can signal the containers.
pub(super) fn preferred_user(pod: &Pod<'_>, annotations: &Annotations) -> Option<User> {
    let action = annotations.on_change.action.as_ref().filter(|action| is_signal(action))?;
    let named = action.container();
    let mut containers = pod.containers().iter();
    let first = containers.find(|container| named.is_none_or(|name| name == &*container.name))?;
    user::of_container(pod, first).filter(|user| user.uid != 0)
}

/// Refuses a reaction where nothing is kept fresh.
pub(super) fn check_mode(annotations: &Annotations, mode: Mode) -> Result<(), Refusal> {
    if mode == Mode::Init && annotations.on_change.action.is_some() {
        let problem = "with the mode init the secrets are fetched once, and nothing changes later";
        return Err(ReactionCause::NotServed { problem }.into());
    }
    Ok(())
}

/// The reaction for the Plan, which has these volumes; the containers get the variable that the
/// sidecar finds them by.
pub(super) fn of(
    pod: &Pod<'_>,
    annotations: &Annotations,
    volumes: &[Volume],
    user: User,
    mutation: &mut Mutation,
) -> Result<Option<Reaction>, Refusal> {
    let on_change = &annotations.on_change;
    let Some(wanted) = &on_change.action else { return Ok(None) };
    check_files(&on_change.of, volumes)?;
    let (mut targets, mut names) = (Vec::new(), Vec::new());
    if is_signal(wanted) {
        targets = targets_of(pod, wanted, user)?;
        names = targets.iter().map(|(_, container)| container.name.to_string()).collect();
    }
    let right = reaction_right::of(pod, Some(wanted))?;
    let whom = match &right {
        Some(ReactionRight::Rollout(workload)) => format!(" of {workload}"),
        _ if names.is_empty() => String::new(),
        _ => format!(" to {}", cut(&names.join(", "))),
    };
    let action = match (wanted, right) {
        (_, Some(right)) => of_right(right, mutation),
        (wanted, None) => of_process(pod, wanted, names, &targets)?,
    };
    for (pointer, container) in targets {
        add_variable(pointer, container, mutation)?;
    }
    let intervals = volumes.iter().map(|volume| volume.refresh_interval_seconds);
    let spread = on_change.spread.map(|spread| spread.as_secs());
    let spread_seconds = spread.or_else(|| intervals.min()).unwrap_or_default();
    let action_text = cut(&wanted.to_string());
    mutation.notes.push(Note::Reaction { action: action_text, whom, spread_seconds });
    Ok(Some(Reaction { action, of: on_change.of.clone(), spread_seconds }))
}

/// A reaction at the API server.
fn of_right(right: ReactionRight, mutation: &mut Mutation) -> ReactionAction {
    mutation.notes.push(Note::ReactionRight { right: right.clone() });
    match right {
        ReactionRight::Evict => ReactionAction::Evict {},
        ReactionRight::Rollout(workload) => ReactionAction::Rollout { workload },
    }
}

/// A reaction in the pod.
fn of_process(
    pod: &Pod<'_>,
    wanted: &OnChangeAction,
    names: Vec<String>,
    targets: &[Target<'_, '_>],
) -> Result<ReactionAction, Refusal> {
    Ok(match wanted {
        OnChangeAction::Signal { signal, .. } => {
            ReactionAction::Signal { signal: *signal, containers: names }
        }
        OnChangeAction::Restart { .. } => {
            check_restart_policy(pod, targets)?;
            ReactionAction::Restart { containers: names }
        }
        OnChangeAction::Http { url } if pod.spec.host_network == Some(true) => {
            return Err(ReactionCause::HostNetwork { url: cut(url) }.into());
        }
        OnChangeAction::Http { url } => ReactionAction::Http { url: url.clone() },
        OnChangeAction::Evict | OnChangeAction::Rollout | OnChangeAction::OfWholePod(_) => {
            let word = if *wanted == OnChangeAction::Rollout { "rollout" } else { "evict" };
            return Err(ReactionCause::OfWholePod { word }.into());
        }
    })
}

fn is_signal(action: &OnChangeAction) -> bool {
    matches!(action, OnChangeAction::Signal { .. } | OnChangeAction::Restart { .. })
}

/// Each must be a file that a volume has, or a selection may find.
fn check_files(wanted: &[RelativePath], volumes: &[Volume]) -> Result<(), Refusal> {
    if wanted.is_empty() {
        return Ok(());
    }
    let files = volumes.iter().flat_map(|volume| &volume.files).flat_map(paths_of);
    let templates = volumes.iter().flat_map(|volume| &volume.templates);
    let known: BTreeSet<String> =
        files.chain(templates.map(|made| made.path.to_string())).collect();
    let layouts: Vec<_> =
        volumes.iter().map(|volume| (Layout::of(volume), volume.selections.len())).collect();
    for path in wanted.iter().filter(|path| !known.contains(path.as_str())) {
        let mut layouts = layouts.iter();
        if !layouts.any(|(layout, count)| (0..*count).any(|at| layout.may_be_selected(at, path))) {
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            let (path, known) = (cut(path.as_str()), cut(&known));
            return Err(ReactionCause::UnknownFile { path, known }.into());
        }
    }
    Ok(())
}

/// The paths that a file entry writes.
fn paths_of(file: &File) -> Vec<String> {
    let suffixes = if file.split { &["", ".crt", ".key"][..] } else { &[""] };
    let mut stems = vec![file.path.to_string()];
    if let Some(versions) = file.history {
        stems = (0..versions).map(|version| format!("{}/{version}", file.path)).collect();
    }
    let paths =
        stems.iter().flat_map(|stem| suffixes.iter().map(move |suffix| format!("{stem}{suffix}")));
    paths.collect()
}

/// The containers that get a signal, if the sidecar can send them one.
fn targets_of<'p, 'a>(
    pod: &'p Pod<'a>,
    wanted: &OnChangeAction,
    sidecar: User,
) -> Result<Vec<Target<'p, 'a>>, Refusal> {
    let named = wanted.container();
    let all = pod.containers().iter().enumerate();
    let targets: Vec<_> = all
        .filter(|(_, container)| named.is_none_or(|name| name == &*container.name))
        .map(|(index, container)| (Pointer { list: "containers", index }, container))
        .collect();
    if let (Some(name), true) = (named, targets.is_empty()) {
        let known: Vec<_> = pod.containers().iter().map(|container| &*container.name).collect();
        let (name, known) = (cut(name), cut(&known.join(", ")));
        return Err(ReactionCause::UnknownContainer { name, known }.into());
    }
    let action = wanted.to_string();
    if pod.spec.share_process_namespace != Some(true) {
        return Err(ReactionCause::SeparateProcesses { action }.into());
    }
    let (uid, gid) = (sidecar.uid, sidecar.gid.unwrap_or(user::RUNTIME_GID));
    for (_, container) in &targets {
        let user = match user::of_container(pod, container) {
            // Linux lets a process read the environment of another only where both are equal.
            Some(user) if user.uid == uid && user.gid == Some(gid) => continue,
            Some(User { uid, gid: Some(gid) }) => format!("runs as uid {uid} and gid {gid}"),
            Some(_) => "has no runAsGroup, so that its image decides its gid".to_owned(),
            None => "has no runAsUser, so that its image decides its uid".to_owned(),
        };
        let container = container.name.to_string();
        return Err(ReactionCause::OtherUser { container, user, uid, gid, action }.into());
    }
    Ok(targets)
}

fn check_restart_policy(pod: &Pod<'_>, targets: &[Target<'_, '_>]) -> Result<(), Refusal> {
    for (pointer, container) in targets {
        let of_pod = (&pod.spec.restart_policy, "spec.restartPolicy".to_owned());
        let own = (&container.restart_policy, format!("{pointer}/restartPolicy"));
        let (policy, field) = if own.0.is_some() { own } else { of_pod };
        let policy = policy.as_deref().unwrap_or_default();
        if !["", "Always"].contains(&policy) {
            let (policy, container) = (cut(policy), container.name.to_string());
            return Err(ReactionCause::RestartPolicy { field, policy, container }.into());
        }
    }
    Ok(())
}

/// Adds [`CONTAINER_ENV`], unless it is there.
fn add_variable(
    pointer: Pointer,
    container: &Container<'_>,
    mutation: &mut Mutation,
) -> Result<(), Refusal> {
    let name = &*container.name;
    let mut is_there = false;
    for (index, entry) in container.env.iter().flatten().enumerate() {
        if &*entry.name != CONTAINER_ENV {
            continue;
        }
        if entry.value.as_deref() != Some(name) {
            let (field, container) = (format!("{pointer}/env/{index}"), name.to_owned());
            return Err(ReactionCause::Variable { field, container }.into());
        }
        is_there = true;
    }
    if !is_there {
        let entry = EnvEntry { name: CONTAINER_ENV, value: name };
        let has_list = container.env.is_some() || mutation.has_new_env(pointer);
        // At the end, whatever the identity has inserted.
        mutation.patch.insert((pointer, "/env"), has_list.then_some(0), 0, entry);
    }
    Ok(())
}

#[cfg(test)]
#[path = "reaction_tests.rs"]
mod tests;
