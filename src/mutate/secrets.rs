//! Secrets Store CSI volumes of provider `azure`: each becomes a tmpfs in place, filled by the sidecar.

use super::annotations::Annotations;
use super::refusal::{Cause, Refusal};
use super::{Context, Mutation, Note};
use crate::admission::pod::{Csi, Pod, Volume};
use crate::provider_class::{
    self, ClassError, ClassPlan, FilePlan, IdentityChoice, ProviderClass, check_provider, check_secret_objects,
};
use crate::reason;
use crate::settings::CsiVolumes;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Driver of the volumes that concern us.
pub const CSI_DRIVER: &str = "secrets-store.csi.k8s.io";
/// Each may cost a class of 256 KiB to read; a Plan of more files than that is refused for its size anyway.
const MAX_VOLUMES: usize = 64;
const MAX_FILES: usize = 1000;
/// With the versions of histories: each is a file in memory.
const MAX_VERSIONS: u16 = 5000;
/// A Key Vault secret has at most 25 KiB; pages, directories and the key that stands beside it.
const FILE_BYTES: u64 = 32 << 10;
/// Nobody knows how many secrets a selection finds: 128 of the largest, a thousand small ones.
const SELECTION_BYTES: u64 = 128 * FILE_BYTES;
const SMALLEST_BYTES: u64 = 1 << 20;
const CLASS_ATTRIBUTE: &str = "secretProviderClass";

/// What the cluster says about a class.
#[derive(Debug, Clone)]
pub enum ClassFact {
    /// There is none of this name in the pod's namespace.
    Missing,
    /// It is there and well-formed.
    Found(Arc<ProviderClass>),
    /// It is there, and not a class.
    Invalid(Arc<ClassError>),
}

/// A volume that the sidecar fills.
#[derive(Debug)]
pub(super) struct SecretVolume<'a> {
    /// Position in the pod's volumes.
    pub(super) index: usize,
    /// Name in the pod.
    pub(super) name: &'a str,
    /// What goes into it.
    pub(super) plan: Arc<ClassPlan>,
    /// The pod's own size for it.
    size_limit: Option<u64>,
}

impl SecretVolume<'_> {
    /// Whether the pod's own token is needed for it.
    pub(super) fn is_federated(&self) -> bool {
        matches!(self.plan.identity, IdentityChoice::Federated { .. })
    }

    /// Bytes of the tmpfs: two generations of all files, at least 1 MiB, unless the pod says otherwise.
    pub(super) fn size_limit_bytes(&self) -> u64 {
        self.size_limit.unwrap_or_else(|| {
            let files: u64 = self.plan.files.iter().map(file_bytes).sum();
            let selections = SELECTION_BYTES * self.plan.selections.len() as u64;
            (2 * (files + selections)).max(SMALLEST_BYTES)
        })
    }
}

/// Bytes of all files that one entry of the Plan makes: each version is one, and split certificates stand there twice.
fn file_bytes(file: &FilePlan) -> u64 {
    let copies = if file.split { 2 } else { 1 };
    FILE_BYTES * copies * versions(file)
}

fn versions(file: &FilePlan) -> u64 {
    file.history.unwrap_or(1).into()
}

fn csi_volumes<'a>(pod: &'a Pod<'_>) -> impl Iterator<Item = (usize, &'a Volume<'a>, &'a Csi<'a>)> {
    let of_driver = |(index, volume): (usize, &'a Volume<'a>)| {
        volume.csi.as_ref().filter(|csi| &*csi.driver == CSI_DRIVER).map(|csi| (index, volume, csi))
    };
    pod.volumes().iter().enumerate().filter_map(of_driver)
}

/// Whether any volume belongs to the driver; the webhook entry's match condition says the same in CEL.
pub(super) fn has_csi_volume(pod: &Pod<'_>) -> bool {
    csi_volumes(pod).next().is_some()
}

/// Names of the classes the pod refers to, each once.
pub(super) fn class_names<'a>(pod: &'a Pod<'_>) -> Vec<&'a str> {
    let names: BTreeSet<_> = csi_volumes(pod).filter_map(|(_, _, csi)| class_name(csi)).collect();
    names.into_iter().collect()
}

fn class_name<'a>(csi: &'a Csi<'_>) -> Option<&'a str> {
    csi.volume_attributes.find(CLASS_ATTRIBUTE).filter(|name| !name.is_empty())
}

/// Chooses the volumes to serve and resolves their classes.
pub(super) fn select<'a>(
    pod: &'a Pod<'_>,
    annotations: &Annotations,
    context: Context<'_>,
    mutation: &mut Mutation,
) -> Result<Vec<SecretVolume<'a>>, Refusal> {
    let mut selected = Vec::new();
    let leave = match annotations.csi_volumes.unwrap_or(context.settings.csi_volumes) {
        CsiVolumes::Leave => true,
        CsiVolumes::Replace => false,
        CsiVolumes::Auto => context.facts.csi_driver_installed,
    };
    let mut resolved = Resolved { context, plans: BTreeMap::new() };
    let (mut files, mut version_count) = (0, 0);
    for (index, volume, csi) in csi_volumes(pod) {
        let name = &*volume.name;
        if leave {
            mutation.notes.push(Note::LeftToCsiDriver { volume: name.to_owned() });
            continue;
        }
        let class = find_class(name, csi, context)?;
        if !class.is_azure() && !class.provider.is_empty() {
            let (volume, provider) = (name.to_owned(), class.provider.clone());
            mutation.notes.push(Note::OtherProvider { volume, provider });
            continue;
        }
        if name.starts_with(super::identity::VOLUME_PREFIX) {
            let field = format!("/spec/volumes/{index}/name");
            return Err(Cause::ReservedName { field, name: name.to_owned() }.into());
        }
        check_provider(&class).map_err(|source| class_cause(name, &class, source))?;
        if csi.read_only != Some(true) {
            return Err(Cause::NotReadOnly { volume: name.to_owned() }.into());
        }
        if pod.is_windows() {
            return Err(Cause::Windows { volume: name.to_owned() }.into());
        }
        if selected.len() == MAX_VOLUMES {
            return Err(Cause::TooMany { what: "Secrets Store CSI volumes", limit: MAX_VOLUMES }.into());
        }
        let plan = resolved.plan(name, csi, &class)?;
        files += plan.files.len();
        if files > MAX_FILES {
            return Err(Cause::TooMany { what: "files in its Secrets Store CSI volumes", limit: MAX_FILES }.into());
        }
        version_count += plan.files.iter().map(versions).sum::<u64>();
        if version_count > u64::from(MAX_VERSIONS) {
            let what = "files in its Secrets Store CSI volumes, all versions counted";
            return Err(Cause::TooMany { what, limit: MAX_VERSIONS.into() }.into());
        }
        let of_files = plan.files.iter().map(|file| file.vault.as_str());
        let vaults: BTreeSet<_> =
            of_files.chain(plan.selections.iter().map(|selection| selection.vault.as_str())).collect();
        mutation.notes.push(Note::Volume {
            volume: name.to_owned(),
            class: class.name.clone(),
            files: plan.files.len(),
            vaults: vaults.into_iter().collect::<Vec<_>>().join(", "),
            details: details(&plan),
        });
        mutation.warnings.extend(plan.warnings.iter().map(|warning| format!("{} {}", warning.reason, warning.text)));
        warn_of_secret_objects(pod, &class, &plan, mutation);
        selected.push(SecretVolume { index, name, plan, size_limit: annotations.size_limit });
    }
    Ok(selected)
}

/// What the number of files does not show.
fn details(plan: &ClassPlan) -> String {
    let mut details = String::new();
    for file in &plan.files {
        if let Some(history) = file.history {
            details += &format!("; {}/: {history} versions", file.path);
        }
        if file.optional {
            details += &format!("; {} only where there is such an object", file.path);
        }
    }
    for selection in &plan.selections {
        let prefix = selection.name_prefix.as_deref().unwrap_or_default();
        let tags: Vec<_> = selection.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let tags = if tags.is_empty() { String::new() } else { format!(" with tags {}", tags.join(", ")) };
        let directory = selection.directory.as_ref().map(|path| format!("{path}/")).unwrap_or_default();
        details += &format!("; {directory}{prefix}*: every enabled secret of that name{tags}");
    }
    details
}

fn class_cause(volume: &str, class: &ProviderClass, source: ClassError) -> Refusal {
    let (volume, class) = (volume.to_owned(), format!("{}/{}", class.namespace, class.name));
    Cause::Class { volume, class, source: Arc::new(source) }.into()
}

fn find_class(volume: &str, csi: &Csi<'_>, context: Context<'_>) -> Result<Arc<ProviderClass>, Refusal> {
    let name = class_name(csi).ok_or_else(|| Cause::ClassUnnamed { volume: volume.to_owned() })?;
    match context.facts.classes.get(name) {
        Some(ClassFact::Found(class)) => Ok(Arc::clone(class)),
        Some(ClassFact::Invalid(error)) => {
            let (volume, class) = (volume.to_owned(), format!("{}/{name}", context.namespace));
            Err(Cause::Class { volume, class, source: Arc::clone(error) }.into())
        }
        Some(ClassFact::Missing) | None => {
            let (volume, namespace) = (volume.to_owned(), context.namespace.to_owned());
            Err(Cause::ClassMissing { volume, namespace, class: name.to_owned() }.into())
        }
    }
}

/// Plans of one pod: a class that many volumes name alike is resolved once.
struct Resolved<'a> {
    context: Context<'a>,
    plans: BTreeMap<BTreeMap<String, String>, Arc<ClassPlan>>,
}

impl Resolved<'_> {
    fn plan(&mut self, volume: &str, csi: &Csi<'_>, class: &ProviderClass) -> Result<Arc<ClassPlan>, Refusal> {
        // The class's name is one of the attributes.
        let attributes: BTreeMap<String, String> =
            csi.volume_attributes.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        if let Some(plan) = self.plans.get(&attributes) {
            return Ok(Arc::clone(plan));
        }
        let plan = resolve(volume, csi, class, &attributes, self.context).map(Arc::new)?;
        self.plans.insert(attributes, Arc::clone(&plan));
        Ok(plan)
    }
}

fn resolve(
    volume: &str,
    csi: &Csi<'_>,
    class: &ProviderClass,
    attributes: &BTreeMap<String, String>,
    context: Context<'_>,
) -> Result<ClassPlan, Refusal> {
    let account = context.facts.service_account.as_ref();
    let tenant = account.and_then(|account| account.tenant_id.as_deref());
    let defaults = provider_class::Context {
        clouds: &context.settings.clouds,
        client_id: account.and_then(|account| account.client_id.as_deref()),
        tenant_id: tenant.filter(|tenant| !tenant.trim().is_empty()).or(context.settings.tenant_id.as_deref()),
        limits: &context.settings.limits,
        service_principal: csi.node_publish_secret_ref.is_some(),
        split_certificates: context.settings.split_certificates,
    };
    provider_class::resolve(class, attributes, &defaults).map_err(|source| class_cause(volume, class, source))
}

/// This version syncs no Secrets: says so, and where the pod waits for one.
fn warn_of_secret_objects(pod: &Pod<'_>, class: &ProviderClass, plan: &ClassPlan, mutation: &mut Mutation) {
    if class.secret_objects.is_empty() {
        return;
    }
    mutation.warnings.push(format!(
        "{} SecretProviderClass {}: secretObjects are not synced to Kubernetes Secrets by this version; the files are",
        reason::KS253,
        class.name
    ));
    if let Err(error) = check_secret_objects(&class.secret_objects, plan) {
        mutation.warnings.push(error.to_string());
    }
    let creates = |name: &str| class.secret_objects.iter().any(|secret| secret.secret_name == name);
    for (_, container) in pod.all_containers() {
        let of_env = container.env.iter().flatten().map(|entry| &*entry.value_from.secret_key_ref.name);
        let of_env_from = container.env_from.iter().flatten().map(|source| &*source.secret_ref.name);
        if let Some(secret) = of_env.chain(of_env_from).find(|name| creates(name)) {
            mutation.warnings.push(format!("{} container {} needs Secret {secret}", reason::KS258, container.name));
        }
    }
    for volume in pod.volumes().iter().filter(|volume| creates(&volume.secret.secret_name)) {
        let secret = &volume.secret.secret_name;
        mutation.warnings.push(format!("{} volume {} needs Secret {secret}", reason::KS258, volume.name));
    }
}

/// Turns each volume into a tmpfs in place, and makes the application's mounts of it read-only, as the CSI driver's are.
pub(super) fn replace(pod: &Pod<'_>, volumes: &[SecretVolume<'_>], mutation: &mut Mutation) {
    for volume in volumes {
        let size_limit = super::sidecar::quantity(volume.size_limit_bytes());
        let definition = json!({"name": volume.name, "emptyDir": {"medium": "Memory", "sizeLimit": size_limit}});
        mutation.patch.replace(format!("/spec/volumes/{}", volume.index), definition);
    }
    for (pointer, container) in pod.all_containers() {
        let ours = |name: &str| volumes.iter().any(|volume| volume.name == name);
        for (index, mount) in container.mounts().iter().enumerate().filter(|(_, mount)| ours(&mount.name)) {
            if mount.read_only != Some(true) {
                mutation.patch.add(format!("{pointer}/volumeMounts/{index}/readOnly"), json!(true));
            }
            let sub_path = mount.sub_path.as_ref().or(mount.sub_path_expr.as_ref());
            if let Some(sub_path) = sub_path.filter(|path| !path.is_empty()) {
                mutation.warnings.push(format!(
                    "{} container {}: mount of {} with subPath {sub_path} never shows a rotated secret",
                    reason::KS252,
                    container.name,
                    mount.name
                ));
            }
        }
    }
}
