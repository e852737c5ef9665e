//! The token of a sidecar that an earlier run added, after another webhook changed the pod.

use super::token_volume::TokenVolume;
use crate::mutate::basis::TOKEN_FILE as BASIS_TOKEN_FILE;
use crate::mutate::earlier_run::{TOKEN_FILE_FIELD, plan_entry, plan_of};
use crate::patch::Patch;
use crate::plan;
use crate::pod::{Container, Pointer};
use keysluice_plan::Credential;

/// Lets the Plan look where the sidecar's token mount is, should another webhook have moved it.
///
/// Azure Workload Identity moves every mount of the volume whenever it is called: to move one back
/// calls it once more, and it has the last word.
pub(super) fn follow(
    patch: &mut Patch,
    pointer: Pointer,
    container: &Container<'_>,
    token: &TokenVolume,
) {
    let Some((index, text)) = plan_entry(container) else { return };
    let Some(mount) = container.mounts().iter().find(|mount| token.is(&mount.name)) else { return };
    let file = token.file_below(&mount.mount_path);
    if !text.contains(TOKEN_FILE_FIELD) || text.contains(&format!("{TOKEN_FILE_FIELD}:\"{file}\""))
    {
        return;
    }
    // Read, not checked: the container may be a stranger's, and to compare all paths of a Plan
    // takes long.
    let Some(mut plan) = plan_of(container) else { return };
    let mut is_changed = false;
    let of_endpoint = plan.managed_identity.iter_mut().flat_map(|one| &mut one.identities);
    let of_endpoint = of_endpoint.map(|identity| &mut identity.credential);
    let of_volumes = plan.identities.iter_mut().map(|identity| &mut identity.credential);
    for credential in of_volumes.chain(of_endpoint) {
        if let Credential::Federated { token_file, token_proxy: None, .. } = credential
            && *token_file != file
        {
            token_file.clone_from(&file);
            is_changed = true;
        }
    }
    // What the webhook makes the Plan of again when a class is edited.
    if let Some(source) = &mut plan.source
        && let Some(known) = source.basis.get_mut(BASIS_TOKEN_FILE)
        && *known != *file
    {
        *known = file.into();
        is_changed = true;
    }
    if is_changed {
        patch.replace((pointer, "/env/", index, "/value"), plan::to_variable(&plan));
    }
}
