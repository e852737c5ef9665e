//! The Azure side of workloads: identities, the federated credentials of their ServiceAccounts, and
//! the least role assignments for the vault objects that their pods read. Plans in, commands or
//! declarations out; nothing is executed. Pure.

mod az;
mod bicep;
mod error;
mod names;
mod terraform;
#[cfg(test)]
mod tests;

pub use error::AzureError;

use crate::provider_class::is_guid;
use crate::reason;
use crate::rights::Place;
use keysluice_plan::{Credential, ObjectType, Plan, VaultUrl};
use std::collections::{BTreeMap, BTreeSet};

/// What Entra takes for one identity or application.
const MAX_CREDENTIALS: usize = 20;

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A shell script of `az` commands.
    Az,
    /// One Bicep file.
    Bicep,
    /// One Terraform file.
    Terraform,
}

/// What the identities are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityKind {
    /// User-assigned managed identities.
    Managed,
    /// App registrations.
    Application,
}

/// What the operator says of the Azure side; what is absent becomes a variable.
#[derive(Debug, Clone)]
pub struct Target {
    /// What the identities are.
    pub kind: IdentityKind,
    /// The cluster's OIDC issuer.
    pub issuer: Option<String>,
    /// Resource group of the identities.
    pub resource_group: Option<String>,
    /// Audience of the tokens.
    pub audience: String,
}

/// A pod's ServiceAccount and what it does as whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// Namespace and name of the account.
    pub account: Place,
    /// The identities that its token is exchanged for.
    pub client_ids: BTreeSet<String>,
    /// What its sidecar reads.
    pub plan: Option<Plan>,
}

/// Client ids that stand in for identities to be created, and the accounts these are for.
pub type StandIns = BTreeMap<String, Place>;

/// A client id that no identity has, for the account of this number.
pub fn stand_in(number: usize) -> String {
    format!("00000000-0000-0000-0000-{number:012}")
}

/// What a role assignment is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// The whole vault.
    Vault,
    /// `secrets`, `keys` or `certificates`, and a name.
    Object(&'static str, String),
}

/// A role assignment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Grant {
    /// Name of the vault.
    vault: String,
    scope: Scope,
}

impl Grant {
    /// What follows the vault's resource id.
    fn suffix(&self) -> String {
        match &self.scope {
            Scope::Vault => String::new(),
            Scope::Object(collection, name) => format!("/{collection}/{name}"),
        }
    }

    fn role(&self) -> Role {
        match self.scope {
            Scope::Vault | Scope::Object("secrets", _) => SECRETS_USER,
            Scope::Object(..) => CERTIFICATE_USER,
        }
    }
}

/// A built-in role.
struct Role {
    name: &'static str,
    id: &'static str,
}

const SECRETS_USER: Role =
    Role { name: "Key Vault Secrets User", id: "4633458b-17de-408a-b874-0445c86b69e6" };
/// On a key or a certificate it allows to read that one alone, and nothing to be done with a key.
const CERTIFICATE_USER: Role =
    Role { name: "Key Vault Certificate User", id: "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba" };

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// One to be created for a ServiceAccount.
    New(Place),
    /// One that exists.
    Existing(String),
}

/// An identity, who uses it, and what it may read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Identity {
    /// Each gets a federated credential.
    accounts: BTreeSet<Place>,
    grants: BTreeSet<Grant>,
}

/// The Azure side of workloads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Side {
    identities: BTreeMap<Key, Identity>,
    /// What is doubtful, with code.
    pub warnings: Vec<String>,
    /// Why nothing may be printed.
    pub faults: Vec<AzureError>,
}

impl Side {
    /// What all usages together come to.
    pub fn of(usages: &[Usage], stand_ins: &StandIns) -> Self {
        let mut side = Self::default();
        for usage in usages {
            for client_id in &usage.client_ids {
                side.federate(usage, stand_ins, client_id);
            }
            if let Some(plan) = &usage.plan {
                side.add(usage, stand_ins, plan);
            }
        }
        side.identities.values_mut().for_each(Identity::merge);
        side.warn_of_limits();
        side
    }

    /// Whether there is nothing to print.
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// The commands or declarations.
    ///
    /// # Errors
    /// [`AzureError::Application`]: Bicep cannot create what the target asks for.
    pub fn print(&self, form: Form, target: &Target) -> Result<String, AzureError> {
        match (form, target.kind) {
            (Form::Az, _) => Ok(az::print(self, target)),
            (Form::Terraform, _) => Ok(terraform::print(self, target)),
            (Form::Bicep, IdentityKind::Managed) => Ok(bicep::print(self, target)),
            (Form::Bicep, IdentityKind::Application) => {
                let mut accounts = self.identities.values().flat_map(|one| &one.accounts);
                let account = accounts.next().map(written).unwrap_or_default();
                Err(AzureError::Application { account })
            }
        }
    }

    /// The identity with this client id; `None` and a fault where that cannot be one.
    fn key(&mut self, usage: &Usage, stand_ins: &StandIns, client_id: &str) -> Option<Key> {
        if let Some(account) = stand_ins.get(client_id) {
            return Some(Key::New(account.clone()));
        }
        let client_id = client_id.trim().to_ascii_lowercase();
        if is_guid(&client_id) {
            return Some(Key::Existing(client_id));
        }
        let owner = format!("ServiceAccount {}", written(&usage.account));
        let fault = AzureError::ClientId { owner, client_id };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
        None
    }

    fn federate(&mut self, usage: &Usage, stand_ins: &StandIns, client_id: &str) {
        if let Some(key) = self.key(usage, stand_ins, client_id) {
            let identity = self.identities.entry(key).or_default();
            identity.accounts.insert(usage.account.clone());
        }
    }

    /// Warns of an identity whose client id no manifest has.
    fn without_id(&mut self, usage: &Usage, vault: &VaultUrl, identity: &str) {
        self.warn(format!(
            "{} ServiceAccount {}: its pods read vault {} with {identity}; hint: {}",
            reason::KS759,
            written(&usage.account),
            vault_name(vault),
            reason::KS759.fix
        ));
    }

    fn add(&mut self, usage: &Usage, stand_ins: &StandIns, plan: &Plan) {
        let files = plan.volumes.iter().flat_map(|volume| &volume.files);
        let of_files = files.map(|file| {
            let name = file.name.as_str().to_owned();
            let scope = Scope::Object(collection(file.object_type), name);
            (&file.identity, &file.vault, scope)
        });
        let selections = plan.volumes.iter().flat_map(|volume| &volume.selections);
        let of_selections = selections.map(|set| (&set.identity, &set.vault, Scope::Vault));
        for (identity, vault, scope) in of_files.chain(of_selections) {
            let known = plan.identities.iter().find(|known| known.name == *identity);
            let client_id = match known.map(|known| &known.credential) {
                Some(Credential::Federated { client_id, token_proxy, .. }) => {
                    // AKS makes the one credential of an identity binding itself.
                    if token_proxy.is_none() {
                        self.federate(usage, stand_ins, client_id);
                    }
                    client_id
                }
                Some(Credential::ManagedIdentity { client_id: Some(client_id), .. }) => client_id,
                Some(Credential::ManagedIdentity { client_id: None, .. }) => {
                    self.without_id(usage, vault, "the system-assigned identity of their node");
                    continue;
                }
                Some(Credential::ServicePrincipal { .. }) => {
                    self.without_id(usage, vault, "the service principal of a Secret");
                    continue;
                }
                None => continue,
            };
            let Some(key) = self.key(usage, stand_ins, client_id) else { continue };
            let identity = self.identities.entry(key).or_default();
            identity.grants.insert(Grant { vault: vault_name(vault), scope });
        }
    }

    fn warn_of_limits(&mut self) {
        let mut warnings = Vec::new();
        for (key, identity) in &self.identities {
            let count = identity.accounts.len();
            if count >= MAX_CREDENTIALS {
                let excess = if count > MAX_CREDENTIALS { "more than" } else { "all of" };
                warnings.push(format!(
                    "{} {}: {count} federated credentials, {excess} the {MAX_CREDENTIALS} that one \
                     identity can have; hint: {}",
                    reason::KS758,
                    names::described(key),
                    reason::KS758.fix
                ));
            }
            for grant in identity.grants.iter().filter(|grant| grant.scope == Scope::Vault) {
                warnings.push(format!(
                    "{} {}: a class selects secrets of vault {} by prefix or tag, which takes a \
                     role on the whole vault; hint: {}",
                    reason::KS757,
                    names::described(key),
                    grant.vault,
                    reason::KS757.fix
                ));
            }
        }
        for warning in warnings {
            self.warn(warning);
        }
    }

    fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// The names of all vaults.
    fn vaults(&self) -> BTreeSet<&str> {
        let grants = self.identities.values().flat_map(|identity| &identity.grants);
        grants.map(|grant| grant.vault.as_str()).collect()
    }
}

impl Identity {
    /// Leaves out what another grant includes; names of objects have no case.
    fn merge(&mut self) {
        let whole: BTreeSet<String> = self
            .grants
            .iter()
            .filter(|grant| grant.scope == Scope::Vault)
            .map(|grant| grant.vault.clone())
            .collect();
        let mut seen = BTreeSet::new();
        self.grants.retain(|grant| match &grant.scope {
            Scope::Vault => true,
            Scope::Object(collection, name) => {
                let is_new =
                    seen.insert((grant.vault.clone(), *collection, name.to_ascii_lowercase()));
                is_new && !(*collection == "secrets" && whole.contains(&grant.vault))
            }
        });
    }
}

/// The path of its kind in a resource id.
fn collection(object_type: ObjectType) -> &'static str {
    match object_type {
        ObjectType::Secret => "secrets",
        ObjectType::Key => "keys",
        ObjectType::Cert => "certificates",
    }
}

/// The first label of the vault's host.
fn vault_name(vault: &VaultUrl) -> String {
    let host = vault.as_str().trim_start_matches("https://");
    host.split(['.', ':', '/']).next().unwrap_or_default().to_ascii_lowercase()
}

fn written((namespace, name): &Place) -> String {
    format!("{namespace}/{name}")
}
