//! From a `SecretProviderClass` to what to fetch: as whom, from which vault, into which files.
//! Pure.
//!
//! [`resolve`] reads a class as the Azure provider of the Secrets Store CSI driver does, to the
//! letter: trimming, case, quoting, the order of its checks and their words. It differs where the
//! provider is silently wrong: a `filePermission` that is no mode and two objects on one path are
//! refused, no objects are an empty volume, and a client or tenant id that is missing (or empty)
//! comes from the `ServiceAccount`.

mod additions;
mod class_plan;
mod document;
mod documents;
mod doubts;
mod error;
mod fingerprint;
mod hint;
mod identity;
mod labels;
mod manifest;
mod object;
mod object_error;
mod objects;
mod parameters;
mod place;
pub mod reference;
mod refresh_interval;
mod resolved;
mod scalar;
mod secret_objects;
mod select;
mod select_error;
mod size;
mod template_error;
mod templates;
#[cfg(test)]
mod tests;
mod unfilled;
mod vault;

pub use class_plan::{
    ClassPlan, FilePlan, IdentityChoice, Mode, SelectionPlan, TemplatePlan, Warning,
};
pub use document::YamlError;
pub use doubts::MAX_WARNINGS;
pub use error::{
    ClassCause, ClassError, ObjectCause, SecretObjectCause, SelectCause, TemplateCause,
};
pub(crate) use fingerprint::hex;
pub(crate) use object::{encoding, format};
pub(crate) use parameters::parse_bool;
pub use refresh_interval::{RefreshInterval, RefreshIntervalError};
pub(crate) use resolved::Plans;
pub(crate) use secret_objects::is_never_made;
pub use secret_objects::{SecretObject, SecretObjectData, check_secret_objects};
pub(crate) use templates::check_template;
pub(crate) use unfilled::{is_guid, is_placeholder, is_tenant};
pub(crate) use vault::vault_of;

use crate::cloud::{Cloud, Clouds};
use crate::heap;
use crate::reason;
use doubts::Doubts;
use keysluice_plan::{EntryPaths, Layout};
use parameters::{IdentityMode, Parameters};
use std::collections::BTreeMap;

/// A SecretProviderClass as the API server has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderClass {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `spec.provider`, `azure` if it is ours; empty if it is not set.
    pub provider: String,
    /// `spec.parameters`, as they are written.
    pub parameters: BTreeMap<String, String>,
    /// `spec.secretObjects`.
    pub secret_objects: Vec<SecretObject>,
    /// What it came to lately.
    memory: resolved::Memory,
}

/// What each entry of a class costs beside its text.
const ENTRY_BYTES: usize = 16;

impl ProviderClass {
    /// Whether the class is the Azure provider's.
    pub fn is_azure(&self) -> bool {
        self.provider == "azure"
    }

    /// How much there is to read.
    pub(crate) fn size_bytes(&self) -> usize {
        size::of_texts(&self.parameters)
            + self.secret_objects.iter().map(size::of_secret).sum::<usize>()
    }

    /// What it takes in memory, without what it came to.
    pub(crate) fn memory_bytes(&self) -> usize {
        let names =
            [&self.namespace, &self.name, &self.provider].map(|text| heap::block(text.capacity()));
        heap::block(size_of::<Self>() + 2 * size_of::<usize>())
            + names.into_iter().sum::<usize>()
            + size::memory_of_texts(&self.parameters)
            + heap::block(self.secret_objects.capacity() * size_of::<SecretObject>())
            + self.secret_objects.iter().map(size::memory_of_secret).sum::<usize>()
    }
}

/// What surrounds a class.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The clouds it can choose among.
    pub clouds: &'a Clouds,
    /// Client id for a class without one: the ServiceAccount's annotation, else the cluster's
    /// default.
    pub client_id: Option<&'a str>,
    /// Tenant id for a class without one: the ServiceAccount's annotation, else the cluster's
    /// default.
    pub tenant_id: Option<&'a str>,
    /// What the operator allows.
    pub limits: &'a Allowlist,
    /// The Secret of a service principal (the volume's `nodePublishSecretRef`), which the provider
    /// uses for a class without a client id.
    pub service_principal: Option<&'a str>,
    /// Whether certificate-backed secrets also make `.crt` and `.key` files, where the class does
    /// not say.
    pub split_certificates: bool,
    /// Whether tokens come from the token proxy of AKS identity bindings.
    pub token_proxy: TokenProxyUse,
}

/// Whose tokens come from the token proxy of AKS identity bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TokenProxyUse {
    /// None: the operator has not set it up.
    #[default]
    Unavailable,
    /// Those of classes with `useAzureTokenProxy`.
    OnRequest,
    /// All of workload identity: the pod asks for it.
    Always,
}

/// The vaults and tenants that classes may use; an empty list allows every one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Allowlist {
    /// Names of vaults, in any case; `team-a-*` allows all names that start so.
    pub vaults: Vec<String>,
    /// Tenant ids or domains, in any case.
    pub tenants: Vec<String>,
}

impl Allowlist {
    /// Whether the operator allows this vault.
    pub fn allows_vault(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.vaults.is_empty()
            || self.vaults.iter().any(|pattern| {
                match pattern.to_ascii_lowercase().strip_suffix('*') {
                    Some(prefix) => name.starts_with(prefix),
                    None => name.eq_ignore_ascii_case(pattern),
                }
            })
    }

    /// Whether the operator allows this tenant.
    pub fn allows_tenant(&self, tenant: &str) -> bool {
        self.tenants.is_empty()
            || self.tenants.iter().any(|allowed| allowed.eq_ignore_ascii_case(tenant))
    }
}

/// Resolves a class for one volume. `attributes` are the volume's `volumeAttributes`; all of them
/// are laid over the parameters.
///
/// Checks in the provider's order, so the first error is the one the provider would give; what only
/// we read comes last.
pub fn resolve(
    class: &ProviderClass,
    attributes: &BTreeMap<String, String>,
    context: &Context<'_>,
) -> Result<ClassPlan, ClassError> {
    check_provider(class)?;
    let parameters = Parameters::merged(&class.parameters, attributes);
    let mut doubts = parameters.doubts();
    let mode = parameters.identity_mode()?;
    let vault = parameters.vault()?;
    // Only federation needs a tenant; the provider wants one always.
    let is_federated = Parameters::is_federated(mode, context, &mut doubts);
    let tenant_id = is_federated.then(|| parameters.tenant(context)).transpose()?;
    let cloud = parameters.cloud(context.clouds)?;
    let identity = parameters.identity(mode, tenant_id, context)?;
    parameters.doubt_ids(&identity, &mut doubts);
    let objects = objects::parse(parameters.value("objects"), &mut doubts)?;
    let vault = vault.resolve(&cloud, context.limits)?;
    let vault = vault.ok_or(ClassCause::VaultMissing { near: None })?;
    let split = parameters
        .optional_flag("writeCertAndKeyInSeparateFiles")?
        .unwrap_or(context.split_certificates);
    let files = objects::files(objects, &vault, &cloud, context.limits, split, &mut doubts)?;
    let selections =
        select::parse(parameters.value("select"), &vault, &cloud, context.limits, &mut doubts)?;
    let templates = templates::parse(parameters.text("templates"), &files, &selections)?;
    check_layout(&files, &selections, &templates, &mut doubts)?;
    let (refresh_interval, mode) = (parameters.refresh_interval()?, parameters.mode()?);
    if files.is_empty() && selections.is_empty() && templates.is_empty() {
        doubts.add(reason::KS140, || {
            "objects is not set or has no element: the volume will be empty".to_owned()
        });
    }
    let warnings = doubts.into_warnings();
    Ok(ClassPlan {
        identity,
        cloud,
        files,
        selections,
        templates,
        refresh_interval,
        mode,
        warnings,
    })
}

/// As whom, and in which cloud, a pod fetches what no class describes.
pub(crate) fn of_pod(context: &Context<'_>) -> Result<(IdentityChoice, Cloud), ClassError> {
    let nothing = BTreeMap::new();
    let parameters = Parameters::merged(&nothing, &nothing);
    let tenant_id = Some(parameters.tenant(context)?);
    let cloud = parameters.cloud(context.clouds)?;
    let identity = parameters.identity(IdentityMode::Federated, tenant_id, context)?;
    Ok((identity, cloud))
}

/// Which paths the files, templates and selections of a volume write.
fn layout<'a>(
    files: &'a [FilePlan],
    selections: &'a [SelectionPlan],
    templates: &'a [TemplatePlan],
) -> Layout<'a> {
    let directories = selections.iter().map(|selection| selection.directory.as_ref());
    let templates =
        templates.iter().map(|made| EntryPaths { path: &made.path, history: None, split: false });
    Layout::new(files.iter().map(FilePlan::paths).chain(templates), directories)
}

/// Refuses files and directories that cannot exist beside each other.
fn check_layout(
    files: &[FilePlan],
    selections: &[SelectionPlan],
    templates: &[TemplatePlan],
    doubts: &mut Doubts,
) -> Result<(), ClassError> {
    let layout = layout(files, selections, templates);
    let paths = objects::path_set(files, templates, &layout)?;
    for selection in selections {
        let directory = selection.directory.as_ref();
        if let Some((file, entry)) = directory.and_then(|directory| paths.file_above(directory)) {
            let of = place_of(entry, files);
            let source = SelectCause::Occupied { directory: file.to_owned(), of };
            return Err(ClassCause::Select { place: "select".to_owned(), source }.into());
        }
        let prefix = selection.name_prefix.as_deref().unwrap_or_default();
        if let Some((name, entry)) = layout.colliding_selection(directory, prefix) {
            doubts.add(reason::KS146, || {
                let of = place_of(entry, files);
                format!(
                    "select: a secret {name} would have no place: {name} is a directory of {of}"
                )
            });
        }
    }
    Ok(())
}

/// Where an entry of the layout was written: the layout has the files first, then the templates.
fn place_of(entry: usize, files: &[FilePlan]) -> String {
    match files.get(entry) {
        Some(file) => format!("objects[{}]", file.index),
        None => format!("templates[{}]", entry - files.len()),
    }
}

/// The driver's checks of a class: a provider, ours, and parameters.
pub fn check_provider(class: &ProviderClass) -> Result<(), ClassError> {
    let (namespace, name) = (class.namespace.clone(), class.name.clone());
    match class.provider.as_str() {
        "azure" if class.parameters.is_empty() => {
            Err(ClassCause::ParametersMissing { namespace, name }.into())
        }
        "azure" => Ok(()),
        "" => Err(ClassCause::ProviderMissing { namespace, name }.into()),
        provider => {
            Err(ClassCause::ProviderForeign { namespace, name, provider: provider.to_owned() }
                .into())
        }
    }
}
