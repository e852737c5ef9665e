//! References of a pod to Secrets that its own sidecar makes, and that the kubelet reads before it
//! starts the sidecar: for pulling images, for other volumes.
//!
//! A pod that needs one would wait for ever, so it is refused; a reference that is optional gets a
//! warning. Variables may come from such a Secret: the sidecar has written it before a container
//! behind it starts.

use super::mutation::Mutation;
use super::names::CSI_DRIVER;
use super::refusal::{Refusal, cut};
use super::secret_cause::SecretCause;
use crate::pod::{Pod, SecretKeyRef, SecretName, Volume};
use crate::reason;
use keysluice_plan::SyncedSecret;
use std::collections::{BTreeMap, BTreeSet};

/// Refuses the pod for the first Secret that comes too late; warns of those that it can do without.
/// Volumes that the sidecar fills, by position, are not among them.
pub(super) fn check(
    pod: &Pod<'_>,
    secrets: &[SyncedSecret],
    served: &[usize],
    namespace: &str,
    mutation: &mut Mutation,
) -> Result<(), Refusal> {
    if secrets.is_empty() {
        return Ok(());
    }
    let mut readers = Readers { secrets, namespace, mutation };
    for secret in pod.spec.image_pull_secrets.iter().flatten() {
        readers.read("imagePullSecrets", &secret.name, None)?;
    }
    for (index, volume) in pod.volumes().iter().enumerate() {
        if !served.contains(&index) {
            readers.read_volume(volume)?;
        }
    }
    warn_of_keys(pod, secrets, mutation);
    Ok(())
}

/// Warns of variables that wait for ever: their keys are not among those that the sidecar writes.
fn warn_of_keys(pod: &Pod<'_>, secrets: &[SyncedSecret], mutation: &mut Mutation) {
    if secrets.is_empty() {
        return;
    }
    let by_name: BTreeMap<_, _> = secrets
        .iter()
        .map(|secret| {
            let keys: BTreeSet<_> = secret.data.iter().map(|data| &*data.key).collect();
            (&*secret.name, (secret, keys))
        })
        .collect();
    for (_, container) in pod.all_containers() {
        for entry in container.env.iter().flatten() {
            let SecretKeyRef { name, key, optional } = &entry.value_from.secret_key_ref;
            let found = by_name.get(&**name).filter(|_| *optional != Some(true));
            let Some((secret, keys)) = found else { continue };
            if !keys.contains(&**key) {
                mutation.warn(format_args!(
                    "{} container {}: variable {} takes key {key} of Secret {name}, which \
                     SecretProviderClass {} makes without that key; hint: {}",
                    reason::KS290,
                    container.name,
                    entry.name,
                    secret.class,
                    reason::KS290.fix
                ));
            }
        }
    }
}

/// The same for variables of init containers, by number, that start before the sidecar.
pub(super) fn check_before_sidecar(
    pod: &Pod<'_>,
    count: usize,
    secrets: &[SyncedSecret],
    namespace: &str,
    mutation: &mut Mutation,
) -> Result<(), Refusal> {
    let mut readers = Readers { secrets, namespace, mutation };
    for container in pod.init_containers().iter().take(count).filter(|_| !secrets.is_empty()) {
        let user = format!("init container {:?}, which starts before the sidecar,", container.name);
        for entry in container.env.iter().flatten() {
            let SecretKeyRef { name, optional, .. } = &entry.value_from.secret_key_ref;
            readers.read(&user, name, *optional)?;
        }
        for source in container.env_from.iter().flatten() {
            readers.read(&user, &source.secret_ref.name, source.secret_ref.optional)?;
        }
    }
    Ok(())
}

/// What the kubelet reads before the sidecar starts.
struct Readers<'s, 'm> {
    secrets: &'s [SyncedSecret],
    namespace: &'s str,
    mutation: &'m mut Mutation,
}

impl Readers<'_, '_> {
    fn read_volume(&mut self, volume: &Volume<'_>) -> Result<(), Refusal> {
        let user = format!("volume {:?}", volume.name);
        for source in [&volume.secret, &volume.azure_file] {
            self.read(&user, &source.secret_name, source.optional)?;
        }
        let sources = volume.projected.iter().filter_map(|projected| projected.sources.as_ref());
        for source in sources.flatten() {
            self.read(&user, &source.secret.name, source.secret.optional)?;
        }
        // The Secrets Store CSI driver's own credentials are judged with the class.
        if let Some(csi) = volume.csi.as_ref().filter(|csi| &*csi.driver != CSI_DRIVER) {
            if let Some(SecretName { name, .. }) = &csi.node_publish_secret_ref {
                self.read(&user, name, None)?;
            }
            if let Some(name) = csi.volume_attributes.find("secretName") {
                self.read(&user, name, None)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, user: &str, name: &str, optional: Option<bool>) -> Result<(), Refusal> {
        let Some(secret) = self.secrets.iter().find(|secret| secret.name == name) else {
            return Ok(());
        };
        let class = format!("{}/{}", self.namespace, secret.class);
        if optional != Some(true) {
            let (user, secret) = (cut(user), cut(name));
            return Err(SecretCause::TooLate { user, secret, class }.into());
        }
        self.mutation.warn(format_args!(
            "{} {user} may start without Secret {name}, which is optional: the pod's own sidecar \
             makes it from SecretProviderClass {class}",
            reason::KS258
        ));
        Ok(())
    }
}

#[cfg(test)]
#[path = "secret_objects_tests.rs"]
mod tests;
