//! What makes a Plan good beyond the types of its fields.

mod error;
mod field;

pub use error::PlanError;

use crate::{
    Collision, Credential, EntryPaths, LONGEST_WAIT_SECONDS, Layout, MOST_TEMPLATES, MOST_VERSIONS,
    PathError, Plan, RelativePath, SecretKey, SyncedSecret, check_selection_directory,
    is_object_name, is_secret_key,
};
use std::collections::{BTreeMap, BTreeSet};

impl Plan {
    /// Parses and checks a Plan.
    ///
    /// # Errors
    /// [`PlanError::Json`] for anything serde refuses, with the field; the others for references
    /// and paths that cannot work together.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_str(text).map_err(|source| {
            let problem = field::problem(text, &source);
            PlanError::Json { problem, source }
        })?;
        plan.check()?;
        Ok(plan)
    }

    /// Checks what types alone cannot: references resolve, names are unique, directories are
    /// absolute, no two files collide.
    pub fn check(&self) -> Result<(), PlanError> {
        let mut identities = BTreeSet::new();
        for (index, identity) in self.identities.iter().enumerate() {
            if !identities.insert(identity.name.as_str()) {
                return Err(PlanError::DuplicateIdentity { name: identity.name.clone() });
            }
            check_credential(&identity.credential)
                .map_err(|error| error.below(&format!("identities[{index}].")))?;
        }
        if self.start_timeout_seconds.is_some_and(|seconds| seconds > LONGEST_WAIT_SECONDS) {
            return Err(PlanError::StartTimeout);
        }
        check_directory("runDirectory", &self.run_directory)?;
        if let Some(directory) = &self.program_directory {
            check_directory("programDirectory", directory)?;
        }
        let mut directories = BTreeMap::new();
        for (index, volume) in self.volumes.iter().enumerate() {
            check_directory(&format!("volumes[{index}].directory"), &volume.directory)?;
            let directory = volume.directory.trim_end_matches('/');
            if let Some(other) = directories.insert(directory, &volume.name) {
                return Err(PlanError::DuplicateDirectory {
                    directory: volume.directory.clone(),
                    volumes: [other.clone(), volume.name.clone()],
                });
            }
            let below = self.run_directory.strip_prefix(directory);
            if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                return Err(PlanError::RunDirectory {
                    directory: self.run_directory.clone(),
                    volume: volume.name.clone(),
                });
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
            check_directory("kubernetes.directory", &kubernetes.directory)?;
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

/// Ids, paths and the token proxy of a credential.
pub(crate) fn check_credential(credential: &Credential) -> Result<(), PlanError> {
    let refused = |field: &str, problem| {
        Err(PlanError::Credential { field: format!("credential.{field}"), problem })
    };
    let (client_id, tenant_id) = match credential {
        Credential::Federated { client_id, tenant_id, .. } => {
            (Some(client_id.as_str()), Some(tenant_id))
        }
        Credential::ServicePrincipal { tenant_id, .. } => (None, Some(tenant_id)),
        Credential::ManagedIdentity { client_id, .. } => (client_id.as_deref(), None),
    };
    if client_id.is_some_and(|id| id.trim().is_empty()) {
        return refused("clientId", "is empty");
    }
    if tenant_id.is_some_and(|id| !is_tenant(id)) {
        return refused("tenantId", "must be the id or a domain of a tenant");
    }
    match credential {
        Credential::ServicePrincipal { directory, .. } => {
            check_directory("credential.directory", directory)
        }
        Credential::Federated { token_proxy: Some(proxy), .. } => {
            if let Some(problem) = proxy.problem() {
                return Err(PlanError::TokenProxy { url: proxy.shown().to_owned(), problem });
            }
            let file = proxy.ca_file.as_deref();
            file.map_or(Ok(()), |file| check_directory("credential.tokenProxy.caFile", file))
        }
        Credential::Federated { .. } | Credential::ManagedIdentity { .. } => Ok(()),
    }
}

/// It is a component of the path of the token request.
fn is_tenant(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !id.is_empty() && id.bytes().all(is_plain) && !id.split('.').any(str::is_empty)
}

fn check_directory(field: &str, directory: &str) -> Result<(), PlanError> {
    let rest = directory.strip_prefix('/').map(|rest| rest.trim_end_matches('/'));
    let problem = match rest.map(str::parse::<RelativePath>) {
        Some(Ok(_)) => return Ok(()),
        Some(Err(PathError::Length(_))) => {
            "must have at most 255 bytes a component, 4096 bytes and 32 components in all"
        }
        _ => "must be an absolute path without \"..\", \".\" or empty components",
    };
    let (field, directory) = (field.to_owned(), directory.to_owned());
    Err(PlanError::Directory { field, directory, problem })
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
