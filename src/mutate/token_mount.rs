//! The token of a sidecar that an earlier run added, after another webhook changed the pod.

use super::identity::TokenVolume;
use super::sidecar::{encode, is_sidecar};
use crate::patch::Patch;
use crate::pod::{Container, Pointer};
use keysluice_plan::{Credential, PLAN_ENV, Plan};

/// Only a federated identity has it.
const TOKEN_FILE_FIELD: &str = "\"tokenFile\"";

/// Whether the sidecar signs in with the pod's token.
pub(super) fn uses_token(container: &Container<'_>) -> bool {
    is_sidecar(container)
        && plan_entry(container).is_some_and(|(_, plan)| plan.contains(TOKEN_FILE_FIELD))
}

/// Position and text of the Plan.
fn plan_entry<'a>(container: &'a Container<'_>) -> Option<(usize, &'a str)> {
    let env = container.env.as_deref().unwrap_or_default();
    let index = env.iter().position(|entry| &*entry.name == PLAN_ENV)?;
    Some((index, env[index].value.as_deref().unwrap_or_default()))
}

/// The Plan of a sidecar from an earlier run, if this version can read it.
pub(super) fn plan_of(container: &Container<'_>) -> Option<Plan> {
    let (_, text) = plan_entry(container)?;
    serde_json::from_str(&text.replace("$$", "$")).ok()
}

/// Lets the Plan look where the sidecar's token mount is, should another webhook have moved it.
///
/// Azure Workload Identity moves every mount of the volume whenever it is called: to move one back
/// calls it once more, and it has the last word.
pub(super) fn follow_token_mount(
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
    for identity in &mut plan.identities {
        if let Credential::Federated { token_file, .. } = &mut identity.credential
            && *token_file != file
        {
            token_file.clone_from(&file);
            is_changed = true;
        }
    }
    if is_changed {
        patch.replace(format_args!("{pointer}/env/{index}/value"), encode(&plan));
    }
}
