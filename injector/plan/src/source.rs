//! Where the current Plan of a running pod comes from, and what changes of it.
//!
//! The webhook puts a [`Source`] into the Plan. The sidecar asks there with a [`PlanRequest`] and
//! gets a [`PlanUpdate`], which [`Plan::updated`] lays over the Plan that it carries out.

use crate::{Credential, Identity, Plan, PlanError, PlanSchema, SyncedSecret, Volume};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Largest [`PlanRequest`] and [`PlanUpdate`] in bytes: a Plan fits into a variable, and so does
/// what it was made of.
pub const MAX_UPDATE_BYTES: usize = 256 << 10;

/// Where a running pod asks for its current Plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// `https://keysluice.keysluice-system.svc:9444/v1/plan`
    pub url: String,
    /// Absolute path of the token for the webhook in the sidecar.
    pub token_file: String,
    /// PEM of the webhook's certificate authorities.
    pub authorities: String,
    /// The classes that the Plan was made of, and a fingerprint of each.
    pub classes: BTreeMap<String, String>,
    /// What else the Plan was made of; the webhook alone reads it.
    pub basis: Value,
}

/// What a sidecar sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanRequest<'a> {
    /// Always 1 in this version.
    pub schema: PlanSchema,
    /// [`Source::classes`]
    pub classes: Cow<'a, BTreeMap<String, String>>,
    /// [`Source::basis`]
    pub basis: Cow<'a, Value>,
}

/// What the webhook answers where something has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanUpdate {
    /// Always 1 in this version.
    pub schema: PlanSchema,
    /// PEM of the webhook's certificate authorities now.
    pub authorities: String,
    /// The classes whose change takes effect, each with its new fingerprint.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<String, String>,
    /// PEM of certificate authorities that the new vaults need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_ca: Option<String>,
    /// The identities of `volumes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<Identity>,
    /// The volumes of those classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// The Secrets of those classes, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SyncedSecret>,
    /// The classes whose change takes no effect, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<PlanProblem>,
}

/// Why the change of a class takes no effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanProblem {
    /// The class.
    pub class: String,
    /// Code, what is wrong, and the fix.
    pub message: String,
}

impl Plan {
    /// The same Plan with what an update changes. Only what is fetched into volumes that are there
    /// changes: their directories stay, so do all volumes and the names of all Secrets.
    ///
    /// # Errors
    /// [`PlanError::Update`] for what the pod does not have, and whatever [`Plan::check`] refuses.
    pub fn updated(&self, update: PlanUpdate) -> Result<Self, PlanError> {
        let mut plan = self.clone();
        let Some(source) = &mut plan.source else {
            return Err(PlanError::Update { problem: "the plan has no source".to_owned() });
        };
        source.authorities = update.authorities;
        for (class, fingerprint) in &update.classes {
            let Some(known) = source.classes.get_mut(class) else {
                let problem = format!("the pod does not use class {class:?}");
                return Err(PlanError::Update { problem });
            };
            known.clone_from(fingerprint);
        }
        if let Some(ca) = update.trusted_ca {
            let trusted = plan.trusted_ca.get_or_insert_default();
            if !trusted.contains(&ca) {
                trusted.push_str(&ca);
            }
        }
        let names = plan.add_identities(&update.identities)?;
        for new in update.volumes {
            let Some(known) = plan.volumes.iter_mut().find(|volume| volume.name == new.name) else {
                let problem = format!("the pod has no volume {:?}", new.name);
                return Err(PlanError::Update { problem });
            };
            let Volume { refresh_interval_seconds, files, selections, templates, .. } = new;
            known.refresh_interval_seconds = refresh_interval_seconds;
            (known.files, known.selections, known.templates) = (files, selections, templates);
            let of_files = known.files.iter_mut().map(|file| &mut file.identity);
            let of_all = known.selections.iter_mut().map(|selection| &mut selection.identity);
            for identity in of_files.chain(of_all) {
                if let Some(name) = names.get(identity) {
                    identity.clone_from(name);
                }
            }
        }
        plan.drop_unused_identities();
        plan.secrets.retain(|secret| !update.classes.contains_key(&secret.class));
        for new in update.secrets {
            let Some(known) = self.secrets.iter().find(|known| known.name == new.name) else {
                let problem = format!("the pod does not write Secret {:?}", new.name);
                return Err(PlanError::Update { problem });
            };
            plan.secrets.push(SyncedSecret { adopt: known.adopt, keep: known.keep, ..new });
        }
        plan.check()?;
        Ok(plan)
    }

    /// Adds the identities of an update; answers with what each is called here.
    fn add_identities(
        &mut self,
        identities: &[Identity],
    ) -> Result<BTreeMap<String, String>, PlanError> {
        let mut names = BTreeMap::new();
        for new in identities {
            if let Credential::Federated { token_file, .. } = &new.credential
                && !token_file.starts_with('/')
            {
                let problem = format!("identity {:?} has no token file", new.name);
                return Err(PlanError::Update { problem });
            }
            let same = self
                .identities
                .iter()
                .find(|known| known.credential == new.credential && known.scope == new.scope);
            let name = if let Some(same) = same {
                same.name.clone()
            } else {
                let mut name = new.name.clone();
                let mut count = 1;
                while self.identities.iter().any(|known| known.name == name) {
                    count += 1;
                    name = format!("{}-{count}", new.name);
                }
                self.identities.push(Identity { name: name.clone(), ..new.clone() });
                name
            };
            names.insert(new.name.clone(), name);
        }
        Ok(names)
    }

    fn drop_unused_identities(&mut self) {
        let files = self.volumes.iter().flat_map(|volume| &volume.files).map(|file| &file.identity);
        let selections = self.volumes.iter().flat_map(|volume| &volume.selections);
        let used: BTreeSet<String> =
            files.chain(selections.map(|selection| &selection.identity)).cloned().collect();
        self.identities.retain(|identity| used.contains(&identity.name));
    }

    /// Where the Plan says that its own changes come from must be a place that can be asked.
    pub(crate) fn check_source(&self) -> Result<(), PlanError> {
        let Some(source) = &self.source else { return Ok(()) };
        if !source.url.starts_with("https://") {
            let problem = format!("the url {:?} does not begin with https://", source.url);
            return Err(PlanError::Update { problem });
        }
        if !source.token_file.starts_with('/') {
            let problem = format!("the tokenFile {:?} is not an absolute path", source.token_file);
            return Err(PlanError::Update { problem });
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
