//! Variables that `envFrom` may supply, and that the injected ones would override.

use super::environment::{Variables, is_left_to_env_from};
use super::skip::Skipped;
use crate::mutate::annotations::Annotations;
use crate::mutate::earlier_run::is_own;
use crate::mutate::mutation::Mutation;
use crate::mutate::names::VARIABLE_PREFIX;
use crate::pod::{Container, EnvFrom, Pod};
use crate::reason;

/// Words in the names of `ConfigMaps` and Secrets that hold an identity.
const WORDS: [&str; 6] = ["azure", "entra", "identity", "client-id", "tenant", "credential"];

/// Warns once of a source whose name suggests that it holds the identity. What a ConfigMap or
/// Secret holds cannot be seen at admission, and hardly any of them holds an `AZURE_` variable.
pub(super) fn warn_of_env_from(
    pod: &Pod<'_>,
    variables: &Variables,
    annotations: &Annotations,
    skipped: &Skipped<'_>,
    mutation: &mut Mutation,
) {
    // Who uses the annotation knows of it.
    if !annotations.env_from_wins.is_empty() {
        return;
    }
    let injected = pod.all_containers().map(|(_, container)| container);
    let injected = injected.filter(|container| container.has_env_from() && !is_own(container));
    for container in injected.filter(|container| !skipped.contains(&container.name)) {
        let Some(source) =
            container.env_from.iter().flatten().find(|source| suggests_identity(source))
        else {
            continue;
        };
        let Some(name) = variables.names().find(|name| is_overridden(container, name, annotations))
        else {
            continue;
        };
        mutation.warn(format_args!(
            "{} container {}: what envFrom takes from {} is overridden by the injected variables \
             if it has one of their names, such as {name}",
            reason::KS254,
            container.name,
            source.name()
        ));
        return;
    }
}

/// Whether the container gets this variable.
fn is_overridden(container: &Container<'_>, name: &str, annotations: &Annotations) -> bool {
    let is_there = container.env.iter().flatten().any(|entry| &*entry.name == name);
    !is_there && !is_left_to_env_from(container, name, annotations)
}

fn suggests_identity(source: &EnvFrom<'_>) -> bool {
    // A name longer than any that Kubernetes takes suggests nothing.
    let name = source.name();
    let prefix = source.prefix.as_deref().unwrap_or_default();
    if !prefix.is_empty() {
        return VARIABLE_PREFIX.starts_with(prefix) || prefix.starts_with(VARIABLE_PREFIX);
    }
    name.len() <= 253 && WORDS.iter().any(|word| name.to_ascii_lowercase().contains(word))
}
