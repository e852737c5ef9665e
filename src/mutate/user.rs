//! Whom the sidecar runs as, so that the application can read its files without root or CAP_CHOWN.

use super::Mutation;
use super::refusal::{Cause, Refusal};
use super::secrets::SecretVolume;
use crate::admission::pod::Pod;
use crate::provider_class::FilePlan;
use crate::reason;
use std::collections::BTreeSet;

/// Numeric user of the sidecar's image.
const DEFAULT_ID: i64 = 65532;
const GROUP_READ: u32 = 0o040;
const WORLD_READ: u32 = 0o004;

/// uid, and gid where one is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct User {
    pub(super) uid: i64,
    pub(super) gid: Option<i64>,
}

/// A user of the containers that mount the volumes who makes every file readable for whoever mounts it, else 65532.
///
/// Files belong to the sidecar's user, and with `fsGroup` to that group. A mode that shuts out a container is refused. A container without
/// `runAsUser` runs as its image says, which nobody knows at admission: it gets a warning where that may matter.
pub(super) fn of_sidecar(
    pod: &Pod<'_>,
    volumes: &[SecretVolume<'_>],
    mutation: &mut Mutation,
) -> Result<User, Refusal> {
    let readers: Vec<(&SecretVolume<'_>, BTreeSet<User>)> =
        volumes.iter().map(|volume| (volume, readers(pod, volume, mutation))).collect();
    let has_fs_group = pod.spec.security_context.fs_group.is_some();
    let everyone: BTreeSet<User> = readers.iter().flat_map(|(_, users)| users).copied().collect();
    let default = User { uid: DEFAULT_ID, gid: Some(DEFAULT_ID) };
    let mut uids: Vec<User> = everyone.iter().copied().collect();
    uids.dedup_by_key(|user| user.uid);
    // One user: the files are its own. Several: nobody's in particular, unless a mode wants one of them.
    let candidates = if let [only] = uids[..] { vec![only] } else { [vec![default], uids].concat() };
    let shut_out = |candidate: &User| {
        readers.iter().find_map(|(volume, users)| {
            let file =
                volume.plan.files.iter().find(|file| {
                    users.iter().any(|user| user.uid != candidate.uid && !is_shared(file, has_fs_group))
                })?;
            Some((*volume, users, file))
        })
    };
    if let Some(candidate) = candidates.iter().find(|candidate| shut_out(candidate).is_none()) {
        return Ok(*candidate);
    }
    match shut_out(&default) {
        None => Ok(default),
        Some((volume, users, file)) => Err(Cause::UnreadableMode {
            uids: users.iter().map(|user| user.uid).collect(),
            volume: volume.name.to_owned(),
            path: file.path.to_string(),
            mode: file.mode.to_string(),
        }
        .into()),
    }
}

/// Whether others than the owner can read it.
fn is_shared(file: &FilePlan, has_fs_group: bool) -> bool {
    let readable = if has_fs_group { GROUP_READ | WORLD_READ } else { WORLD_READ };
    file.mode.bits() & readable != 0
}

/// The known non-root users that mount a volume; a warning for an unknown one that may not be able to read it.
fn readers(pod: &Pod<'_>, volume: &SecretVolume<'_>, mutation: &mut Mutation) -> BTreeSet<User> {
    let of_pod = pod.spec.security_context;
    let mut users = BTreeSet::new();
    for (_, container) in pod.all_containers() {
        if !container.mounts().iter().any(|mount| volume.name == &*mount.name) {
            continue;
        }
        let own = container.security_context;
        match own.run_as_user.or(of_pod.run_as_user) {
            Some(0) => {} // root reads everything
            Some(uid) => {
                users.insert(User { uid, gid: own.run_as_group.or(of_pod.run_as_group) });
            }
            None => {
                if let Some(file) = volume.plan.files.iter().find(|file| file.mode.bits() & WORLD_READ == 0) {
                    mutation.warnings.push(format!(
                        "{} container {} has no runAsUser: if its image does not run as the sidecar's user, it cannot read {} (mode {})",
                        reason::KS251,
                        container.name,
                        file.path,
                        file.mode
                    ));
                }
            }
        }
    }
    users
}
