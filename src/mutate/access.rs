//! Who can read which files of a volume.

use super::served::SecretVolume;
use crate::pod::Pod;
use keysluice_plan::FileMode;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// What a container's process gets that has a uid and no gid, and no entry in the image's
/// `/etc/passwd`.
pub(super) const RUNTIME_GID: i64 = 0;
const OWNER_READ: u32 = 0o400;
const GROUP_READ: u32 = 0o040;
const WORLD_READ: u32 = 0o004;

/// uid, and gid where one is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct User {
    pub(super) uid: i64,
    pub(super) gid: Option<i64>,
}

/// What decides who can read a file, or the files of a selection.
pub(super) struct Access<'v> {
    pub(super) path: Cow<'v, str>,
    pub(super) mode: FileMode,
    pub(super) owner: Option<u32>,
    pub(super) group: Option<u32>,
}

/// A file that not everybody can read. Each candidate is tried with each reader, so what depends on
/// neither is known before.
pub(super) struct Restricted<'v> {
    pub(super) access: Access<'v>,
    /// Its own group or the pod's `fsGroup`, and whether every container is in it.
    group: Option<(i64, bool)>,
    /// Groups of every container, for a file that gets the sidecar's own group.
    supplemental: &'v BTreeSet<i64>,
}

/// One file of each kind: mode, group.
pub(super) fn restricted<'v>(
    volume: &'v SecretVolume<'_>,
    groups: &'v Groups,
) -> Vec<Restricted<'v>> {
    const EVERYBODY: u32 = OWNER_READ | GROUP_READ | WORLD_READ;
    let mut kinds = BTreeSet::new();
    let files = accesses(volume).filter(|file| file.mode.bits() & EVERYBODY != EVERYBODY);
    let first_of_kind =
        files.filter(|file| kinds.insert((file.mode.bits() & EVERYBODY, file.group)));
    let restricted = first_of_kind.map(|access| {
        let group = access.group.map(i64::from).or(groups.fs_group);
        let group = group.map(|group| (group, groups.have(group)));
        Restricted { access, group, supplemental: &groups.supplemental }
    });
    restricted.collect()
}

impl Restricted<'_> {
    /// As the kernel decides: the owner's bits, else the group's for whoever is in it, else the
    /// world's.
    pub(super) fn is_readable(&self, user: &User, sidecar: &User) -> bool {
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
    pub(super) fn is_readable_by_anybody(&self, groups: &Groups) -> bool {
        let group = self.group.map(i64::from).or(groups.fs_group);
        let needed =
            if group.is_some_and(|group| groups.have(group)) { GROUP_READ } else { WORLD_READ };
        self.mode.bits() & needed != 0
    }
}

pub(super) fn accesses<'v>(volume: &'v SecretVolume<'_>) -> impl Iterator<Item = Access<'v>> + 'v {
    let files = volume.plan.files.iter().map(|file| Access {
        path: file.path.as_str().into(),
        mode: file.mode,
        owner: file.owner,
        group: file.group,
    });
    let templates = volume.plan.templates.iter().map(|made| Access {
        path: made.path.as_str().into(),
        mode: made.mode,
        owner: made.owner,
        group: made.group,
    });
    let selections = volume.plan.selections.iter().map(|selection| {
        let directory = selection.directory.as_ref();
        let path = directory.map_or_else(|| "*".into(), |path| format!("{path}/*").into());
        let (mode, owner, group) = (selection.mode, selection.owner, selection.group);
        Access { path, mode, owner, group }
    });
    files.chain(templates).chain(selections)
}

/// Groups that every container of the pod is in.
pub(super) struct Groups {
    pub(super) fs_group: Option<i64>,
    pub(super) supplemental: BTreeSet<i64>,
}

impl Groups {
    pub(super) fn of(pod: &Pod<'_>) -> Self {
        let context = &pod.spec.security_context;
        let supplemental = context.supplemental_groups.iter().flatten().copied().collect();
        Self { fs_group: context.fs_group, supplemental }
    }

    pub(super) fn have(&self, group: i64) -> bool {
        self.fs_group == Some(group) || self.supplemental.contains(&group)
    }
}
