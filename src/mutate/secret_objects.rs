//! Secrets that the CSI driver makes from a class (`secretObjects`) and this version does not.
//!
//! A pod that needs one of its own class's would wait for it for ever, so it is refused; a
//! reference that is optional gets a warning.

use super::mutation::Mutation;
use super::names::CSI_DRIVER;
use super::refusal::{Cause, Refusal, cut};
use crate::pod::{Container, Pod, SecretName, Volume};
use crate::provider_class::{ClassPlan, ProviderClass, check_secret_objects};
use crate::reason;
use std::collections::{BTreeMap, HashMap};

/// How many Secrets of a class a warning names.
const MAX_NAMED: usize = 3;

/// Warns of the Secrets of a class: others than this pod may need them.
pub(super) fn warn(class: &ProviderClass, plan: &ClassPlan, mutation: &mut Mutation) {
    if class.secret_objects.is_empty() {
        return;
    }
    let all = class.secret_objects.iter().map(|secret| secret.secret_name.as_str());
    let named: Vec<&str> = all.filter(|name| !name.is_empty()).take(MAX_NAMED).collect();
    let more = if class.secret_objects.len() > MAX_NAMED { ", …" } else { "" };
    mutation.warn(format_args!(
        "{} SecretProviderClass {}: its secretObjects ({}{more}) are not created by this version; \
         the files are there",
        reason::KS253,
        class.name,
        named.join(", ")
    ));
    if let Err(error) = check_secret_objects(&class.secret_objects, plan) {
        mutation.warn(error);
    }
}

/// Who needs a Secret.
#[derive(Debug, Clone, Copy)]
enum User<'p> {
    /// A variable of a container.
    Variable { container: &'p str, variable: &'p str },
    /// All variables of a container's source.
    EnvFrom { container: &'p str },
    /// A volume.
    Volume { volume: &'p str },
    /// The images.
    ImagePullSecrets,
}

impl std::fmt::Display for User<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Variable { container, variable } => {
                write!(f, "container {container:?} (variable {variable})")
            }
            Self::EnvFrom { container } => write!(f, "container {container:?} (envFrom)"),
            Self::Volume { volume } => write!(f, "volume {volume:?}"),
            Self::ImagePullSecrets => f.write_str("imagePullSecrets"),
        }
    }
}

/// The first that needs a Secret, and the first that would do without.
#[derive(Debug, Default, Clone, Copy)]
struct Users<'p> {
    needs: Option<User<'p>>,
    may_use: Option<User<'p>>,
}

/// The Secrets that a pod refers to, and the classes of its volumes that would create them.
pub(super) struct NeededSecrets<'p> {
    by_name: HashMap<&'p str, Users<'p>>,
    /// By name of the Secret: namespace and name of the class.
    ours: BTreeMap<&'p str, String>,
}

impl<'p> NeededSecrets<'p> {
    /// Reads all references once: pod and classes are a stranger's, and of any length.
    pub(super) fn of(pod: &'p Pod<'_>) -> Self {
        let mut needed = Self { by_name: HashMap::new(), ours: BTreeMap::new() };
        for (_, container) in pod.all_containers() {
            needed.read_container(container);
        }
        for volume in pod.volumes() {
            needed.read_volume(volume);
        }
        for secret in pod.spec.image_pull_secrets.iter().flatten() {
            needed.read(secret, User::ImagePullSecrets);
        }
        needed
    }

    fn read_container(&mut self, container: &'p Container<'_>) {
        let name = &*container.name;
        for entry in container.env.iter().flatten() {
            let user = User::Variable { container: name, variable: &entry.name };
            self.read(&entry.value_from.secret_key_ref, user);
        }
        for source in container.env_from.iter().flatten() {
            self.read(&source.secret_ref, User::EnvFrom { container: name });
        }
    }

    fn read_volume(&mut self, volume: &'p Volume<'_>) {
        let user = User::Volume { volume: &volume.name };
        for source in [&volume.secret, &volume.azure_file] {
            self.add(&source.secret_name, source.optional, user);
        }
        for source in
            volume.projected.iter().filter_map(|projected| projected.sources.as_ref()).flatten()
        {
            self.read(&source.secret, user);
        }
        // The Secrets Store CSI driver's own credentials are judged with the class.
        if let Some(csi) = volume.csi.as_ref().filter(|csi| &*csi.driver != CSI_DRIVER) {
            if let Some(secret) = &csi.node_publish_secret_ref {
                self.read(secret, user);
            }
            if let Some(name) = csi.volume_attributes.find("secretName") {
                self.add(name, None, user);
            }
        }
    }

    fn read(&mut self, secret: &'p SecretName<'_>, user: User<'p>) {
        self.add(&secret.name, secret.optional, user);
    }

    fn add(&mut self, name: &'p str, optional: Option<bool>, user: User<'p>) {
        if name.is_empty() {
            return;
        }
        let users = self.by_name.entry(name).or_default();
        let first = if optional == Some(true) { &mut users.may_use } else { &mut users.needs };
        first.get_or_insert(user);
    }

    /// The Secrets of a class that the pod's sidecar serves.
    pub(super) fn created_by(&mut self, class: &ProviderClass, namespace: &str) {
        for secret in &class.secret_objects {
            if let Some((name, _)) = self.by_name.get_key_value(secret.secret_name.as_str()) {
                self.ours.entry(name).or_insert_with(|| format!("{namespace}/{}", class.name));
            }
        }
    }

    /// The Secrets of another provider's class, which the driver goes on creating.
    pub(super) fn created_by_driver(&mut self, class: &ProviderClass) {
        for secret in &class.secret_objects {
            self.by_name.remove(secret.secret_name.as_str());
            self.ours.remove(secret.secret_name.as_str());
        }
    }

    /// Refuses the pod for the first Secret that it needs and that nothing creates; warns of those
    /// that it can do without.
    pub(super) fn check(&self, mutation: &mut Mutation) -> Result<(), Refusal> {
        for (name, class) in &self.ours {
            let Some(users) = self.by_name.get(name) else { continue };
            if let Some(user) = users.needs {
                let (user, secret) = (cut(&user.to_string()), cut(name));
                return Err(Cause::SecretNotCreated { user, secret, class: class.clone() }.into());
            }
            if let Some(user) = users.may_use {
                mutation.warn(format_args!(
                    "{} {user} starts without Secret {name}, which is optional: \
                     SecretProviderClass {class} creates it only where the Secrets Store CSI \
                     driver serves it",
                    reason::KS258
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "secret_objects_tests.rs"]
mod tests;
