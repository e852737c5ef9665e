//! What makes a Plan good beyond the types of its fields.

use crate::{
    Collision, Credential, EntryPaths, LONGEST_WAIT_SECONDS, Layout, MOST_TEMPLATES, MOST_VERSIONS,
    PathError, Plan, RelativePath, SecretKey, SyncedSecret, check_selection_directory,
    is_object_name, is_secret_key,
};
use std::collections::BTreeSet;

impl Plan {
    /// Parses and checks a Plan.
    ///
    /// # Errors
    /// [`PlanError::Json`] for anything serde refuses (the message names field, line and column);
    /// the others for references and paths that cannot work together.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_str(text).map_err(PlanError::Json)?;
        plan.check()?;
        Ok(plan)
    }

    /// Checks what types alone cannot: references resolve, names are unique, directories are
    /// absolute, no two files collide.
    pub fn check(&self) -> Result<(), PlanError> {
        let mut identities = BTreeSet::new();
        for identity in &self.identities {
            if !identities.insert(identity.name.as_str()) {
                return Err(PlanError::DuplicateIdentity { name: identity.name.clone() });
            }
            check_credential(&identity.credential)?;
        }
        if self.start_timeout_seconds.is_some_and(|seconds| seconds > LONGEST_WAIT_SECONDS) {
            return Err(PlanError::StartTimeout);
        }
        check_directory(&self.run_directory)?;
        self.program_directory.as_deref().map_or(Ok(()), check_directory)?;
        let mut directories = BTreeSet::new();
        for volume in &self.volumes {
            check_directory(&volume.directory)?;
            if !directories.insert(volume.directory.trim_end_matches('/')) {
                return Err(PlanError::DuplicateDirectory { directory: volume.directory.clone() });
            }
            if volume.refresh_interval_seconds == 0 {
                return Err(PlanError::RefreshInterval { volume: volume.name.clone() });
            }
            for selection in &volume.selections {
                if !identities.contains(selection.identity.as_str()) {
                    return Err(PlanError::UnknownSelectionIdentity {
                        volume: volume.name.clone(),
                        identity: selection.identity.clone(),
                    });
                }
                let directory = selection.directory.as_ref();
                directory
                    .map_or(Ok(()), check_selection_directory)
                    .map_err(|source| PlanError::Made { volume: volume.name.clone(), source })?;
            }
            for file in &volume.files {
                if !identities.contains(file.identity.as_str()) {
                    return Err(PlanError::UnknownIdentity {
                        path: file.path.clone(),
                        identity: file.identity.clone(),
                    });
                }
                if file.history.is_some_and(|versions| !(2..=MOST_VERSIONS).contains(&versions)) {
                    return Err(PlanError::History { path: file.path.clone() });
                }
                if file.variable.is_some() && (file.split || file.history.is_some()) {
                    return Err(PlanError::Variable { path: file.path.clone() });
                }
                EntryPaths::from(file)
                    .check()
                    .map_err(|source| PlanError::Made { volume: volume.name.clone(), source })?;
            }
            if volume.templates.len() > MOST_TEMPLATES {
                return Err(PlanError::Templates { volume: volume.name.clone() });
            }
            Layout::of(volume).path_set().map_err(|Collision { path, other, .. }| {
                let paths = volume.files.iter().map(|file| &file.path);
                let templates = volume.templates.iter().map(|file| &file.path);
                let other = paths.chain(templates).nth(other).unwrap_or(&path).clone();
                PlanError::PathCollision { path, other }
            })?;
        }
        self.check_secrets()?;
        self.check_source()?;
        self.check_managed_identity()?;
        self.check_metrics_port()?;
        self.check_reaction()
    }

    /// Every Secret once, every key once in it and from a file that its volume has.
    fn check_secrets(&self) -> Result<(), PlanError> {
        if let Some(kubernetes) = &self.kubernetes {
            check_directory(&kubernetes.directory)?;
        }
        let mut names = BTreeSet::new();
        for secret in &self.secrets {
            let is_new = names.insert(&secret.name);
            self.check_secret(secret, is_new)
                .map_err(|problem| PlanError::Secret { name: secret.name.clone(), problem })?;
        }
        Ok(())
    }

    fn check_secret(&self, secret: &SyncedSecret, is_new: bool) -> Result<(), String> {
        if self.kubernetes.is_none() {
            return Err("the plan has no field kubernetes".to_owned());
        }
        if !is_object_name(&secret.name) || !is_new {
            return Err("it is not a name of a Secret, or is used twice".to_owned());
        }
        let mut keys = BTreeSet::new();
        for SecretKey { key, volume: name, path } in &secret.data {
            if !is_secret_key(key) || !keys.insert(key) {
                return Err(format!("key {key:?} is not valid, or is used twice"));
            }
            let Some(volume) = self.volumes.iter().find(|volume| volume.name == *name) else {
                return Err(format!("volume {name:?} is not in the plan"));
            };
            if !Layout::of(volume).index().contains(path.as_str()) {
                return Err(format!("volume {name:?} has no file {path}"));
            }
        }
        Ok(())
    }
}

/// Paths and the token proxy of a credential.
pub(crate) fn check_credential(credential: &Credential) -> Result<(), PlanError> {
    match credential {
        Credential::ServicePrincipal { directory, .. } => check_directory(directory),
        Credential::Federated { token_proxy: Some(proxy), .. } => {
            if let Some(problem) = proxy.problem() {
                return Err(PlanError::TokenProxy { url: proxy.shown().to_owned(), problem });
            }
            proxy.ca_file.as_deref().map_or(Ok(()), check_directory)
        }
        Credential::Federated { .. } | Credential::ManagedIdentity { .. } => Ok(()),
    }
}

fn check_directory(directory: &str) -> Result<(), PlanError> {
    let relative =
        directory.strip_prefix('/').map(|rest| rest.trim_end_matches('/').parse::<RelativePath>());
    match relative {
        Some(Ok(_)) => Ok(()),
        _ => Err(PlanError::Directory { directory: directory.to_owned() }),
    }
}

/// Why a Plan was refused.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not JSON, an unknown or missing field, or a value of the wrong form.
    #[error("the plan is not valid: {0}")]
    Json(#[source] serde_json::Error),
    /// Two identities share a name.
    #[error("identities: {name:?} is defined twice")]
    DuplicateIdentity {
        /// The name.
        name: String,
    },
    /// A file names an identity that is not defined.
    #[error("file {path}: identity {identity:?} is not defined in identities")]
    UnknownIdentity {
        /// The file.
        path: RelativePath,
        /// The name it uses.
        identity: String,
    },
    /// A selection names an identity that is not defined.
    #[error("volume {volume:?}: a selection's identity {identity:?} is not defined in identities")]
    UnknownSelectionIdentity {
        /// The volume.
        volume: String,
        /// The name it uses.
        identity: String,
    },
    /// A number of versions that makes no history, or is above the limit.
    #[error("file {path}: history must be 2 to {MOST_VERSIONS} versions")]
    History {
        /// The file.
        path: RelativePath,
    },
    /// A directory is relative or not in its plain form.
    #[error(
        "directory {directory:?} must be an absolute path without \"..\", \".\" or empty components"
    )]
    Directory {
        /// The path.
        directory: String,
    },
    /// A token proxy that cannot be asked.
    #[error("tokenProxy: {url:?} {problem}")]
    TokenProxy {
        /// Its URL.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two volumes share a directory.
    #[error("directory {directory:?} is used by two volumes")]
    DuplicateDirectory {
        /// The path.
        directory: String,
    },
    /// A start that waits for longer than a day.
    #[error("startTimeoutSeconds must be at most {LONGEST_WAIT_SECONDS}")]
    StartTimeout,
    /// A refresh interval of zero.
    #[error("volume {volume:?}: refreshIntervalSeconds must be at least 1")]
    RefreshInterval {
        /// The volume.
        volume: String,
    },
    /// A version, half of a certificate or a selected secret would have no path.
    #[error("volume {volume:?}: {source}")]
    Made {
        /// The volume.
        volume: String,
        /// Its path.
        source: PathError,
    },
    /// More templates than one refresh fills.
    #[error("volume {volume:?} has more than {MOST_TEMPLATES} templates")]
    Templates {
        /// The volume.
        volume: String,
    },
    /// A variable has one value.
    #[error("file {path}: a variable cannot have a history or be split")]
    Variable {
        /// The file.
        path: RelativePath,
    },
    /// A reaction that cannot be carried out.
    #[error("reaction: {problem}")]
    Reaction {
        /// What is wrong with it.
        problem: String,
    },
    /// A Secret that cannot be made.
    #[error("secret {name:?}: {problem}")]
    Secret {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An endpoint that cannot be served.
    #[error("managedIdentity: {problem}")]
    ManagedIdentity {
        /// What is wrong with it.
        problem: String,
    },
    /// A port for metrics that cannot be bound.
    #[error("metricsPort: {problem}")]
    MetricsPort {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A source that cannot be asked, or an update that the pod cannot follow.
    #[error("source: {problem}")]
    Update {
        /// What is wrong with it.
        problem: String,
    },
    /// Two files on one path, or a file where another needs a directory.
    #[error("file {path} collides with file {other} in the same volume")]
    PathCollision {
        /// The later file.
        path: RelativePath,
        /// The earlier file.
        other: RelativePath,
    },
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
