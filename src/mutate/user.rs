//! Whom the sidecar runs as, so that the application can read its files without root or CAP_CHOWN.

use super::access::{Groups, Restricted, accesses, restricted};
pub(super) use super::access::{RUNTIME_GID, User};
use super::mutation::Mutation;
use super::refusal::{Cause, Refusal};
use super::served::SecretVolume;
use crate::json::Text;
use crate::pod::{Capabilities, Container, Pod};
use crate::reason;
use std::collections::{BTreeSet, HashMap};

/// Numeric user of the sidecar's image.
const DEFAULT_ID: i64 = 65532;
/// Far more than a pod has. Each may be the one that can read every file, so each is tried.
const MOST_USERS: usize = 64;

/// A user of the containers that mount the volumes who makes every file readable for whoever mounts
/// it, else 65532.
///
/// Files belong to the sidecar's user, and to `fileGroup`, else the pod's `fsGroup`, else the
/// sidecar's group. `fileOwner` must be that user; where no container names one, it decides. A mode
/// that shuts out a container is refused. A container without `runAsUser` runs as its image says,
/// which is unknown at admission: it gets a warning where that may matter. Of several possible
/// users it is the preferred one.
pub(super) fn of_sidecar(
    pod: &Pod<'_>,
    volumes: &[SecretVolume<'_>],
    preferred: Option<User>,
    mutation: &mut Mutation,
) -> Result<User, Refusal> {
    let groups = Groups::of(pod);
    let mounting = mounting(pod, volumes);
    let mut readers: Vec<Readers<'_>> = Vec::new();
    for (volume, containers) in volumes.iter().zip(&mounting) {
        let users = users_of(pod, volume, containers, &groups, mutation);
        readers.push(Readers { volume: volume.name, users, files: restricted(volume, &groups) });
    }
    let everyone: BTreeSet<User> = readers.iter().flat_map(|one| &one.users).copied().collect();
    if everyone.len() > MOST_USERS {
        let what = "different users in the containers that mount its Secrets Store CSI volumes";
        return Err(Cause::TooMany { what, limit: MOST_USERS }.into());
    }
    let default = User { uid: DEFAULT_ID, gid: Some(DEFAULT_ID) };
    let mut users: Vec<User> = everyone.iter().copied().collect();
    users.dedup_by_key(|user| user.uid);
    // One user: the files are its own, unless their mode shuts out the owner, who was root there.
    // Several: nobody's in particular, unless a mode wants one of them.
    let mut candidates =
        if let [only] = users[..] { vec![only, default] } else { [vec![default], users].concat() };
    if everyone.is_empty() {
        candidates.extend(owner_of(volumes, pod));
    }
    if let Some(user) = preferred {
        candidates.retain(|candidate| candidate.uid != user.uid);
        candidates.insert(0, user);
    }
    let candidates = of_owners(volumes, candidates)?;
    let first = candidates[0];
    let chosen = candidates.iter().find(|candidate| shut_out(&readers, candidate).is_none());
    let user = match (chosen, shut_out(&readers, &first)) {
        (Some(user), _) => *user,
        (None, None) => first,
        (None, Some((readers, file))) => {
            return Err(Cause::UnreadableMode {
                uids: readers.users.iter().map(|user| user.uid).collect(),
                volume: readers.volume.to_owned(),
                path: file.access.path.to_string(),
                mode: file.access.mode.to_string(),
            }
            .into());
        }
    };
    check_groups(volumes, user, &groups)?;
    Ok(user)
}

/// Who reads a volume, and its files that not everybody can read.
struct Readers<'v> {
    volume: &'v str,
    users: BTreeSet<User>,
    files: Vec<Restricted<'v>>,
}

/// The first file that one of its readers cannot read with such a sidecar.
fn shut_out<'r, 'v>(
    readers: &'r [Readers<'v>],
    sidecar: &User,
) -> Option<(&'r Readers<'v>, &'r Restricted<'v>)> {
    readers.iter().find_map(|one| {
        let mut files = one.files.iter();
        let file = files.find(|file| !one.users.iter().all(|user| file.is_readable(user, sidecar)));
        Some((one, file?))
    })
}

/// The user of a container, if the pod says it.
pub(super) fn of_container(pod: &Pod<'_>, container: &Container<'_>) -> Option<User> {
    let (own, of_pod) = (&container.security_context, &pod.spec.security_context);
    let uid = own.run_as_user.or(of_pod.run_as_user)?;
    Some(User { uid, gid: own.run_as_group.or(of_pod.run_as_group) })
}

/// The first `fileOwner`, as a user.
fn owner_of(volumes: &[SecretVolume<'_>], pod: &Pod<'_>) -> Option<User> {
    let owner = volumes.iter().flat_map(accesses).find_map(|file| file.owner)?;
    let uid = i64::from(owner);
    (uid != 0)
        .then_some(User { uid, gid: Some(pod.spec.security_context.run_as_group.unwrap_or(uid)) })
}

/// The candidates that every `fileOwner` names; at least one.
fn of_owners(
    volumes: &[SecretVolume<'_>],
    mut candidates: Vec<User>,
) -> Result<Vec<User>, Refusal> {
    for volume in volumes {
        for file in accesses(volume) {
            let Some(owner) = file.owner else { continue };
            let matching: Vec<User> = candidates
                .iter()
                .copied()
                .filter(|candidate| candidate.uid == i64::from(owner))
                .collect();
            if matching.is_empty() {
                let uids: Vec<_> =
                    candidates.iter().map(|candidate| candidate.uid.to_string()).collect();
                let (volume, path, possible) =
                    (volume.name.to_owned(), file.path.into_owned(), uids.join(" or "));
                return Err(Cause::FileOwner { volume, path, owner, possible }.into());
            }
            candidates = matching;
        }
    }
    Ok(candidates)
}

/// Without CAP_CHOWN a process can give a file only to a group it is in.
fn check_groups(volumes: &[SecretVolume<'_>], user: User, groups: &Groups) -> Result<(), Refusal> {
    let own = user.gid.unwrap_or(RUNTIME_GID);
    for volume in volumes {
        for file in accesses(volume) {
            let Some(group) = file
                .group
                .filter(|group| i64::from(*group) != own && !groups.have(i64::from(*group)))
            else {
                continue;
            };
            let all: BTreeSet<i64> = [own]
                .into_iter()
                .chain(groups.fs_group)
                .chain(groups.supplemental.iter().copied())
                .collect();
            let (volume, groups) = (volume.name.to_owned(), all.into_iter().collect());
            return Err(
                Cause::FileGroup { volume, path: file.path.into_owned(), group, groups }.into()
            );
        }
    }
    Ok(())
}

/// The containers that mount each volume, each once.
fn mounting<'p, 'a>(pod: &'p Pod<'a>, volumes: &[SecretVolume<'_>]) -> Vec<Vec<&'p Container<'a>>> {
    let positions: HashMap<&str, usize> =
        volumes.iter().enumerate().map(|(position, volume)| (volume.name, position)).collect();
    let mut mounting: Vec<Vec<&Container<'a>>> = vec![Vec::new(); volumes.len()];
    for (pointer, container) in pod.all_containers() {
        let own = container.mounts().iter().filter_map(|mount| positions.get(&*mount.name));
        let given = volumes.iter().enumerate();
        let given = given.filter(|(_, volume)| volume.mounted_in.contains(&pointer));
        for position in own.copied().chain(given.map(|(position, _)| position)) {
            let containers = &mut mounting[position];
            if !containers.last().is_some_and(|last| std::ptr::eq(*last, container)) {
                containers.push(container);
            }
        }
    }
    mounting
}

/// The known non-root users that mount a volume; a warning for an unknown one that may not be able
/// to read it.
fn users_of(
    pod: &Pod<'_>,
    volume: &SecretVolume<'_>,
    containers: &[&Container<'_>],
    groups: &Groups,
    mutation: &mut Mutation,
) -> BTreeSet<User> {
    let mut users = BTreeSet::new();
    let unreadable = accesses(volume).find(|file| !file.is_readable_by_anybody(groups));
    for container in containers {
        let own = &container.security_context;
        match of_container(pod, container) {
            Some(User { uid: 0, .. }) => {
                if let Some(file) =
                    unreadable.as_ref().filter(|_| !overrides_modes(&own.capabilities))
                {
                    mutation.warn(format_args!(
                        "{} container {} is root without CAP_DAC_OVERRIDE: it cannot read {} \
                             (mode {}), which belongs to the sidecar's user",
                        reason::KS251,
                        container.name,
                        file.path,
                        file.mode
                    ));
                }
            }
            Some(user) => {
                users.insert(user);
            }
            None => {
                let Some(file) = &unreadable else { continue };
                let (name, path, mode) = (&container.name, &file.path, file.mode);
                if let Some(owner) = file.owner {
                    mutation.warn(format_args!(
                        "{} container {name} has no runAsUser: the sidecar runs as fileOwner \
                         {owner}, and {path} (mode {mode}) can be read if the image does too",
                        reason::KS259
                    ));
                } else {
                    mutation.warn(format_args!(
                        "{} container {name} has no runAsUser: if its image does not run as the \
                         sidecar's user, it cannot read {path} (mode {mode})",
                        reason::KS251
                    ));
                }
            }
        }
    }
    users
}

/// Whether root reads whatever the mode says, as it does with the capabilities that container
/// runtimes give.
fn overrides_modes(capabilities: &Capabilities<'_>) -> bool {
    let (added, dropped) = (capabilities.add.as_deref(), capabilities.drop.as_deref());
    has_one_of(added, &["ALL", "DAC_OVERRIDE", "DAC_READ_SEARCH"])
        || !has_one_of(dropped, &["ALL", "DAC_OVERRIDE"])
}

fn has_one_of(list: Option<&[Text<'_>]>, wanted: &[&str]) -> bool {
    let mut names = list.iter().copied().flatten();
    names.any(|name| wanted.contains(&name.strip_prefix("CAP_").unwrap_or(name)))
}

#[cfg(test)]
#[path = "user_tests.rs"]
mod tests;
