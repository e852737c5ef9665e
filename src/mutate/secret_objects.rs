//! Secrets that a class would make, which this version does not: says so, and where the pod waits for one.

use super::Mutation;
use crate::admission::pod::Pod;
use crate::provider_class::{ClassPlan, ProviderClass, check_secret_objects};
use crate::reason;
use std::collections::HashSet;

/// Warns of the Secrets of a class.
pub(super) fn warn(pod: &Pod<'_>, class: &ProviderClass, plan: &ClassPlan, mutation: &mut Mutation) {
    if class.secret_objects.is_empty() {
        return;
    }
    mutation.warn(|| {
        format!(
            "{} SecretProviderClass {}: secretObjects are not synced to Kubernetes Secrets by this version; the files are",
            reason::KS253,
            class.name
        )
    });
    if let Err(error) = check_secret_objects(&class.secret_objects, plan) {
        mutation.warn(|| error.to_string());
    }
    // A set: pod and class are a stranger's, and of any length.
    let names: HashSet<&str> = class.secret_objects.iter().map(|secret| secret.secret_name.as_str()).collect();
    let creates = |name: &str| !name.is_empty() && names.contains(name);
    for (_, container) in pod.all_containers() {
        let of_env = container.env.iter().flatten().map(|entry| &*entry.value_from.secret_key_ref.name);
        let of_env_from = container.env_from.iter().flatten().map(|source| &*source.secret_ref.name);
        if let Some(secret) = of_env.chain(of_env_from).find(|name| creates(name)) {
            mutation.warn(|| format!("{} container {} needs Secret {secret}", reason::KS258, container.name));
        }
    }
    for volume in pod.volumes().iter().filter(|volume| creates(&volume.secret.secret_name)) {
        let secret = &volume.secret.secret_name;
        mutation.warn(|| format!("{} volume {} needs Secret {secret}", reason::KS258, volume.name));
    }
}
