//! The sidecar that an earlier run added, and its Plan.

use super::names::{INTERCEPTOR, SIDECAR};
use crate::plan;
use crate::pod::Container;
use keysluice_plan::{PLAN_ENV, Plan};

/// Only a federated identity has it.
pub(super) const TOKEN_FILE_FIELD: &str = "\"tokenFile\"";

/// What follows for a token that the sidecar alone has.
const OWN_TOKENS: &str = ":\"/var/run/secrets/keysluice.dev";

/// Whether a container is our sidecar (from an earlier run), not just one of its name.
pub(super) fn is_sidecar(container: &Container<'_>) -> bool {
    &*container.name == SIDECAR && plan_entry(container).is_some()
}

/// Whether a container is one that an earlier run added: the sidecar, or the init container that
/// adds the address of IMDS, which is of that name in no other pod.
pub(super) fn is_own(container: &Container<'_>) -> bool {
    is_sidecar(container) || &*container.name == INTERCEPTOR
}

/// Whether it is a sidecar that listens on the address of IMDS.
pub(super) fn intercepts(container: &Container<'_>) -> bool {
    is_sidecar(container)
        && plan_entry(container).is_some_and(|(_, plan)| plan.contains("\"intercept\":true"))
}

/// Whether the sidecar signs in with the pod's token, not with one of its own.
pub(super) fn uses_token(container: &Container<'_>) -> bool {
    is_sidecar(container)
        && plan_entry(container).is_some_and(|(_, plan)| {
            let mut token_files = plan.split(TOKEN_FILE_FIELD).skip(1);
            token_files.any(|rest| !rest.starts_with(OWN_TOKENS))
        })
}

/// Position and text of the Plan.
pub(super) fn plan_entry<'a>(container: &'a Container<'_>) -> Option<(usize, &'a str)> {
    let env = container.env.as_deref().unwrap_or_default();
    let index = env.iter().position(|entry| &*entry.name == PLAN_ENV)?;
    Some((index, env[index].value.as_deref().unwrap_or_default()))
}

/// The Plan of a sidecar from an earlier run, if this version can read it.
pub(super) fn plan_of(container: &Container<'_>) -> Option<Plan> {
    plan_entry(container).and_then(|(_, text)| plan::from_variable(text))
}
