//! Whom the sidecar runs as, so that the application can read its files without root or CAP_CHOWN.

use super::Mutation;
use super::refusal::{Cause, Refusal};
use super::secrets::SecretVolume;
use crate::admission::pod::Pod;
use crate::reason;
use std::collections::BTreeSet;

/// Numeric user of the sidecar's image.
const DEFAULT_ID: i64 = 65532;
const GROUP_READ: u32 = 0o040;
const WORLD_READ: u32 = 0o004;

/// uid, and gid where one is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: i64,
    pub(super) gid: Option<i64>,
}

/// The one non-root user of the containers that mount the volumes, else 65532.
///
/// Several users can share the files only through group or world permissions; a mode that leaves one out is refused. A container
/// without `runAsUser` runs as its image says, which nobody knows at admission: it gets a warning where that may matter.
pub(super) fn of_sidecar(
    pod: &Pod<'_>,
    volumes: &[SecretVolume<'_>],
    mutation: &mut Mutation,
) -> Result<User, Refusal> {
    let of_pod = pod.spec.security_context;
    let mut users = BTreeSet::new();
    let mut unknown = None;
    for (_, container) in pod.all_containers() {
        if !container.mounts().iter().any(|mount| volumes.iter().any(|volume| volume.name == &*mount.name)) {
            continue;
        }
        let own = container.security_context;
        match own.run_as_user.or(of_pod.run_as_user) {
            Some(0) => {} // root reads everything
            Some(uid) => {
                users.insert((uid, own.run_as_group.or(of_pod.run_as_group)));
            }
            None => unknown = Some(&*container.name),
        }
    }
    let uids: BTreeSet<i64> = users.iter().map(|(uid, _)| *uid).collect();
    let files = || volumes.iter().flat_map(|volume| volume.plan.files.iter().map(move |file| (volume, file)));
    if uids.len() > 1 {
        let readable = if of_pod.fs_group.is_some() { GROUP_READ | WORLD_READ } else { WORLD_READ };
        if let Some((volume, file)) = files().find(|(_, file)| file.mode.bits() & readable == 0) {
            return Err(Cause::UnreadableMode {
                uids: uids.into_iter().collect(),
                volume: volume.name.to_owned(),
                path: file.path.to_string(),
                mode: file.mode.to_string(),
            }
            .into());
        }
    }
    if let (Some(container), Some((_, file))) = (unknown, files().find(|(_, file)| file.mode.bits() & WORLD_READ == 0))
    {
        mutation.warnings.push(format!(
            "{} container {container} has no runAsUser: if its image does not run as the sidecar's user, it cannot read {} (mode {})",
            reason::KS251,
            file.path,
            file.mode
        ));
    }
    Ok(match users.first() {
        Some((uid, gid)) if uids.len() == 1 => User { uid: *uid, gid: *gid },
        _ => User { uid: DEFAULT_ID, gid: Some(DEFAULT_ID) },
    })
}
