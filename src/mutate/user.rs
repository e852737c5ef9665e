//! Whom the sidecar runs as, so that the application can read its files without root or CAP_CHOWN.

use super::mutation::Mutation;
use super::refusal::{Cause, Refusal};
use super::served::SecretVolume;
use crate::json::Text;
use crate::pod::{Capabilities, Container, Pod};
use crate::reason;
use keysluice_plan::FileMode;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

/// Numeric user of the sidecar's image.
const DEFAULT_ID: i64 = 65532;
/// What a container's process gets that has a uid and no gid, and no entry in the image's
/// `/etc/passwd`.
pub(super) const RUNTIME_GID: i64 = 0;
const OWNER_READ: u32 = 0o400;
const GROUP_READ: u32 = 0o040;
const WORLD_READ: u32 = 0o004;
/// Far more than a pod has. Each may be the one that can read every file, so each is tried.
const MOST_USERS: usize = 64;

/// uid, and gid where one is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct User {
    pub(super) uid: i64,
    pub(super) gid: Option<i64>,
}

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
    let mut readers: Vec<(&SecretVolume<'_>, BTreeSet<User>)> = Vec::new();
    for (volume, containers) in volumes.iter().zip(&mounting) {
        readers.push((volume, users_of(pod, volume, containers, &groups, mutation)));
    }
    let everyone: BTreeSet<User> = readers.iter().flat_map(|(_, users)| users).copied().collect();
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
    let restricted: Vec<_> =
        readers.iter().map(|(volume, _)| restricted(volume, &groups)).collect();
    let shut_out = |candidate: &User| {
        readers.iter().zip(&restricted).find_map(|((volume, users), files)| {
            let mut files = files.iter();
            let file =
                files.find(|file| users.iter().any(|user| !file.is_readable(user, candidate)))?;
            Some((*volume, users, file))
        })
    };
    let first = candidates[0];
    let chosen = candidates.iter().find(|candidate| shut_out(candidate).is_none());
    let user = match (chosen, shut_out(&first)) {
        (Some(user), _) => *user,
        (None, None) => first,
        (None, Some((volume, users, file))) => {
            return Err(Cause::UnreadableMode {
                uids: users.iter().map(|user| user.uid).collect(),
                volume: volume.name.to_owned(),
                path: file.access.path.to_string(),
                mode: file.access.mode.to_string(),
            }
            .into());
        }
    };
    check_groups(volumes, user, &groups)?;
    Ok(user)
}

/// The user of a container, if the pod says it.
pub(super) fn of_container(pod: &Pod<'_>, container: &Container<'_>) -> Option<User> {
    let (own, of_pod) = (&container.security_context, &pod.spec.security_context);
    let uid = own.run_as_user.or(of_pod.run_as_user)?;
    Some(User { uid, gid: own.run_as_group.or(of_pod.run_as_group) })
}

/// What decides who can read a file, or the files of a selection.
struct Access<'v> {
    path: Cow<'v, str>,
    mode: FileMode,
    owner: Option<u32>,
    group: Option<u32>,
}

/// A file that not everybody can read. Each candidate is tried with each reader, so what depends on
/// neither is known before.
struct Restricted<'v> {
    access: Access<'v>,
    /// Its own group or the pod's `fsGroup`, and whether every container is in it.
    group: Option<(i64, bool)>,
    /// Groups of every container, for a file that gets the sidecar's own group.
    supplemental: &'v BTreeSet<i64>,
}

/// One file of each kind: mode, group.
fn restricted<'v>(volume: &'v SecretVolume<'_>, groups: &'v Groups) -> Vec<Restricted<'v>> {
    const EVERYBODY: u32 = OWNER_READ | GROUP_READ | WORLD_READ;
    let mut kinds = BTreeSet::new();
    let files = accesses(volume).filter(|file| file.mode.bits() & EVERYBODY != EVERYBODY);
    let first_of_kind =
        files.filter(|file| kinds.insert((file.mode.bits() & EVERYBODY, file.group)));
    let known = |access: Access<'v>| {
        let group = access.group.map(i64::from).or(groups.fs_group);
        let group = group.map(|group| (group, groups.have(group)));
        Restricted { access, group, supplemental: &groups.supplemental }
    };
    first_of_kind.map(known).collect()
}

impl Restricted<'_> {
    /// As the kernel decides: the owner's bits, else the group's for whoever is in it, else the
    /// world's.
    fn is_readable(&self, user: &User, sidecar: &User) -> bool {
        let mode = self.access.mode.bits();
        if user.uid == sidecar.uid {
            return mode & OWNER_READ != 0;
        }
        let (group, is_everybodys) = self.group.unwrap_or_else(|| {
            let group = sidecar.gid.unwrap_or(RUNTIME_GID);
            (group, self.supplemental.contains(&group))
        });
        let needed = if user.gid == Some(group) || is_everybodys { GROUP_READ } else { WORLD_READ };
        mode & needed != 0
    }
}

impl Access<'_> {
    /// Whether somebody can read it of whom only the pod's groups are known.
    fn is_readable_by_anybody(&self, groups: &Groups) -> bool {
        let group = self.group.map(i64::from).or(groups.fs_group);
        let needed =
            if group.is_some_and(|group| groups.have(group)) { GROUP_READ } else { WORLD_READ };
        self.mode.bits() & needed != 0
    }
}

fn accesses<'v>(volume: &'v SecretVolume<'_>) -> impl Iterator<Item = Access<'v>> + 'v {
    let access = |path, (mode, owner, group)| Access { path, mode, owner, group };
    let files = volume.plan.files.iter();
    let files = files
        .map(move |file| access(file.path.as_str().into(), (file.mode, file.owner, file.group)));
    let templates = volume.plan.templates.iter();
    let templates = templates
        .map(move |made| access(made.path.as_str().into(), (made.mode, made.owner, made.group)));
    files.chain(templates).chain(volume.plan.selections.iter().map(move |selection| {
        let directory = selection.directory.as_ref();
        let path = directory.map_or_else(|| "*".into(), |path| format!("{path}/*").into());
        access(path, (selection.mode, selection.owner, selection.group))
    }))
}

/// Groups that every container of the pod is in.
struct Groups {
    fs_group: Option<i64>,
    supplemental: BTreeSet<i64>,
}

impl Groups {
    fn of(pod: &Pod<'_>) -> Self {
        let context = &pod.spec.security_context;
        let supplemental = context.supplemental_groups.iter().flatten().copied().collect();
        Self { fs_group: context.fs_group, supplemental }
    }

    fn have(&self, group: i64) -> bool {
        self.fs_group == Some(group) || self.supplemental.contains(&group)
    }
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
    let has = |list: &Option<Vec<Text<'_>>>, wanted: &[&str]| {
        let name = |text: &Text<'_>| wanted.contains(&text.strip_prefix("CAP_").unwrap_or(text));
        list.iter().flatten().any(name)
    };
    has(&capabilities.add, &["ALL", "DAC_OVERRIDE", "DAC_READ_SEARCH"])
        || !has(&capabilities.drop, &["ALL", "DAC_OVERRIDE"])
}

#[cfg(test)]
#[path = "user_tests.rs"]
mod tests;
