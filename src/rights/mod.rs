//! The rights with which pods write their own Secrets: facts about workloads and classes in, Roles
//! out. Pure.
//!
//! A right on Secrets is always given by name. `patch` on a Secret is `get`, and no admission
//! policy can stop that reading, so a right without names would be the right to read every Secret
//! of the namespace (docs/secrets-sync.md).

mod error;
mod names;
mod objects;
mod policy;
mod refused;
mod removal;
#[cfg(test)]
mod tests;
mod workload;

pub use error::RightsError;
pub(crate) use names::shortened;
pub use objects::Form;
pub(crate) use objects::{PATCH_EXISTING, account_role, document};
pub use policy::{EVICTIONS, POLICIES, ROLLOUTS, SECRET_TYPES, check_policy};
pub use refused::refused;
pub use workload::Workload;

use crate::mutate::ReactionRight;
use crate::provider_class::{ProviderClass, SecretObject, is_never_made};
use crate::reason;
use keysluice_plan::{DRIVER_LABEL, MANAGED_LABEL, is_label, is_object_name};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Labels of Secrets that may be taken over: our own and the CSI driver's.
const MARKS: [&str; 2] = [MANAGED_LABEL, DRIVER_LABEL];

/// Namespace and name.
pub type Place = (String, String);
/// The classes that are known, or why one cannot be read.
pub type Classes = BTreeMap<Place, Result<Arc<ProviderClass>, String>>;

/// What one ServiceAccount gets.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Grant {
    secrets: BTreeSet<String>,
    reactions: BTreeSet<ReactionRight>,
    workloads: BTreeSet<String>,
}

/// What a Secret is made as.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Shape {
    secret_type: String,
    keys: BTreeSet<String>,
    /// The first class that has it.
    class: String,
}

/// The rights of all ServiceAccounts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Grants {
    /// By namespace and ServiceAccount.
    accounts: BTreeMap<Place, Grant>,
    /// By namespace and Secret.
    secrets: BTreeMap<Place, Shape>,
}

/// What workloads come to.
#[derive(Debug, Default)]
pub struct Found {
    /// The rights that they need.
    pub grants: Grants,
    /// Why no rights may be given.
    pub faults: Vec<RightsError>,
    /// What is left out.
    pub warnings: Vec<String>,
}

impl Grants {
    /// The rights that these workloads need for the Secrets of their classes.
    pub fn of(workloads: &[Workload], classes: &Classes) -> Found {
        let mut found = Found::default();
        for workload in workloads {
            if let Err(problem) = &workload.reaction {
                found.warn(format!(
                    "{} {}: {problem}: its reaction gets no right",
                    reason::KS753,
                    workload.owner
                ));
            }
            if let (Ok(Some(reaction)), true) = (&workload.reaction, workload.has_inline) {
                found.account(workload).reactions.insert(reaction.clone());
            }
            for name in &workload.classes {
                let place = (workload.namespace.clone(), name.clone());
                match classes.get(&place) {
                    Some(Ok(class)) => found.add(workload, class),
                    Some(Err(problem)) => found.fault(RightsError::Class {
                        class: written(&place),
                        problem: problem.clone(),
                    }),
                    None => found.warn(format!(
                        "{} {}: SecretProviderClass {} is not there: its Secrets get no right; \
                         hint: {}",
                        reason::KS746,
                        workload.owner,
                        written(&place),
                        reason::KS746.fix
                    )),
                }
            }
        }
        found
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    fn reactions(&self) -> impl Iterator<Item = &ReactionRight> {
        self.accounts.values().flat_map(|grant| &grant.reactions)
    }

    /// Names of the policies that bound these rights.
    pub fn policies(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        if !self.secrets.is_empty() || self.reactions().next().is_none() {
            names.push(SECRET_TYPES);
        }
        if self.reactions().any(|right| *right == ReactionRight::Evict) {
            names.push(EVICTIONS);
        }
        if self.reactions().any(|right| *right != ReactionRight::Evict) {
            names.push(ROLLOUTS);
        }
        names
    }

    /// The files with them.
    pub fn policy_files(&self) -> String {
        let names = self.policies();
        let files =
            POLICIES.iter().filter(|(_, of_file)| of_file.iter().any(|name| names.contains(name)));
        files.map(|(text, _)| *text).collect::<Vec<_>>().join("---\n")
    }

    /// Namespaces and names of all Secrets.
    pub fn secrets(&self) -> impl Iterator<Item = &Place> {
        self.secrets.keys()
    }

    /// Whether namespace and name are valid, and so lead to no other path of the API.
    pub fn is_path_safe((namespace, name): &Place) -> bool {
        is_label(namespace) && is_object_name(name)
    }

    /// Looks at the metadata of a Secret that exists: a right on it is refused if it belongs to
    /// something else.
    pub fn check_owner(&self, place: &Place, metadata: &Value) -> Option<RightsError> {
        let shape = self.secrets.get(place)?;
        let is_marked = MARKS.iter().any(|mark| metadata["labels"][*mark] == "true");
        (!is_marked).then(|| RightsError::Foreign {
            secret: written(place),
            class: format!("{}/{}", place.0, shape.class),
        })
    }
}

impl Found {
    fn add(&mut self, workload: &Workload, class: &ProviderClass) {
        let reaction = workload.reaction.clone().ok().flatten();
        if !class.is_azure() || class.secret_objects.is_empty() && reaction.is_none() {
            return;
        }
        let namespace = &workload.namespace;
        let mut names = BTreeSet::new();
        for (index, secret) in class.secret_objects.iter().enumerate() {
            self.add_secret(class, index, secret, namespace);
            names.insert(secret.secret_name.clone());
        }
        let grant = self.account(workload);
        grant.secrets.append(&mut names);
        grant.reactions.extend(reaction);
    }

    /// What the ServiceAccount of a workload gets.
    fn account(&mut self, workload: &Workload) -> &mut Grant {
        let (namespace, account) = (&workload.namespace, &workload.service_account);
        if !is_label(namespace) {
            self.fault(name_error(&workload.owner, "namespace", namespace));
        }
        if !is_object_name(account) {
            self.fault(name_error(&workload.owner, "ServiceAccount", account));
        }
        let place = (namespace.clone(), account.clone());
        let grant = self.grants.accounts.entry(place).or_default();
        grant.workloads.insert(workload.owner.clone());
        grant
    }

    fn add_secret(
        &mut self,
        class: &ProviderClass,
        index: usize,
        secret: &SecretObject,
        namespace: &str,
    ) {
        let at = format!("SecretProviderClass {namespace}/{}: secretObjects[{index}]", class.name);
        let (name, secret_type) = (&secret.secret_name, &secret.secret_type);
        if !is_object_name(name) {
            self.fault(name_error(&at, "secretName", name));
        }
        if secret_type.is_empty() {
            self.fault(RightsError::NoType { place: at });
            return;
        }
        if is_never_made(secret_type) {
            self.fault(RightsError::Credential { place: at, secret_type: secret_type.clone() });
            return;
        }
        let shape = self.grants.secrets.entry((namespace.to_owned(), name.clone())).or_default();
        if shape.secret_type.is_empty() {
            shape.secret_type.clone_from(secret_type);
            shape.class.clone_from(&class.name);
        } else if shape.secret_type != *secret_type {
            let (first_class, first) = (shape.class.clone(), shape.secret_type.clone());
            let secret_type = secret_type.clone();
            self.fault(RightsError::TwoTypes { place: at, secret_type, first, first_class });
            return;
        }
        shape.keys.extend(secret.data.iter().map(|data| data.key.clone()));
    }

    /// Several pods may share what is wrong.
    fn fault(&mut self, fault: RightsError) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

fn name_error(place: &str, field: &'static str, name: &str) -> RightsError {
    RightsError::Name { place: place.to_owned(), field, name: name.to_owned() }
}

fn written((namespace, name): &Place) -> String {
    format!("{namespace}/{name}")
}
