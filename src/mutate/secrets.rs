//! Secrets Store CSI volumes of provider `azure`: each becomes a tmpfs in place, filled by the
//! sidecar.

use super::annotations::Annotations;
use super::classes::{Resolver, class_cause, find_class};
use super::context::Context;
use super::entries::MemoryVolumeEntry;
use super::limits::MAX_PLAN_BYTES;
use super::mutation::{Mutation, Note};
use super::names::{CSI_DRIVER, TOKEN_VOLUME_PREFIX};
use super::operating_system;
use super::refusal::{Cause, Refusal};
use super::secret_volumes::Made;
use super::served::{SecretVolume, Served, versions};
use super::{secret_objects, secret_volumes, synced};
use crate::pod::{Csi, Pod, Volume};
use crate::provider_class::{ClassPlan, ProviderClass, check_provider};
use crate::quantity;
use crate::reason;
use crate::settings::CsiVolumes;
use crate::spelling;
use keysluice_plan::SyncedSecret;
use std::collections::BTreeSet;

/// Each may cost a class of 256 KiB to read; a Plan of more files than that is refused for its size
/// anyway.
const MAX_VOLUMES: usize = 64;
const MAX_FILES: usize = 1000;
/// With the versions of histories: each is a file in memory.
const MAX_VERSIONS: u16 = 5000;

fn csi_volumes<'a>(pod: &'a Pod<'_>) -> impl Iterator<Item = (usize, &'a Volume<'a>, &'a Csi<'a>)> {
    pod.volumes().iter().enumerate().filter_map(|(index, volume)| {
        let csi = volume.csi.as_ref().filter(|csi| &*csi.driver == CSI_DRIVER)?;
        Some((index, volume, csi))
    })
}

/// Whether any volume belongs to the driver; the webhook entry's match condition says the same in
/// CEL.
pub(super) fn has_csi_volume(pod: &Pod<'_>) -> bool {
    csi_volumes(pod).next().is_some()
}

/// Names of the classes the pod refers to, each once; too many are not looked up at all, since each
/// may be a request to the API server.
pub(super) fn class_names<'a>(pod: &'a Pod<'_>) -> Result<Vec<&'a str>, Cause> {
    let names: BTreeSet<_> = csi_volumes(pod).filter_map(|(_, _, csi)| csi.class_name()).collect();
    if names.len() > MAX_VOLUMES {
        return Err(Cause::TooMany {
            what: "SecretProviderClasses in its volumes",
            limit: MAX_VOLUMES,
        });
    }
    Ok(names.into_iter().collect())
}

/// Chooses the volumes to serve, resolves their classes, and collects the Secrets of these.
pub(super) fn select<'a>(
    pod: &'a Pod<'_>,
    annotations: &Annotations,
    context: Context<'a>,
    mutation: &mut Mutation,
) -> Result<Served<'a>, Refusal> {
    let mut selected = Vec::new();
    if !has_csi_volume(pod) {
        return Ok(Served::default());
    }
    let leave = match (annotations.csi_volumes, context.settings.csi_volumes) {
        (Some(CsiVolumes::Leave), _) => {
            Some("as the pod's annotation keysluice.dev/csi-volumes says")
        }
        (None, CsiVolumes::Leave) => Some("as the setting csi-volumes says"),
        (None, CsiVolumes::Auto) if context.facts.csi_driver_installed => {
            Some("which is installed; keysluice.dev/csi-volumes: replace on the pod says otherwise")
        }
        _ => None,
    };
    if leave.is_none() {
        class_names(pod)?;
    }
    let is_windows = operating_system::is_windows(pod);
    let mut resolver = Resolver::new(pod, context);
    let (mut total, mut foreign) = (Total::of_classes(), Vec::new());
    for (index, volume, csi) in csi_volumes(pod) {
        let name = &*volume.name;
        if let Some(why) = leave {
            mutation.notes.push(Note::LeftToCsiDriver { volume: name.to_owned(), why });
            continue;
        }
        let class = find_class(name, csi, context)?;
        if !class.is_azure() && !class.provider.is_empty() {
            warn_of_provider(name, &class, mutation);
            let (volume, provider) = (name.to_owned(), class.provider.clone());
            mutation.notes.push(Note::OtherProvider { volume, provider });
            foreign.push(class);
            continue;
        }
        if name.starts_with(TOKEN_VOLUME_PREFIX) {
            let field = format!("/spec/volumes/{index}/name");
            return Err(Cause::ReservedName { field, name: name.to_owned() }.into());
        }
        check_provider(&class).map_err(|source| class_cause(name, &class, source))?;
        if csi.read_only != Some(true) {
            return Err(Cause::NotReadOnly { volume: name.to_owned() }.into());
        }
        if is_windows {
            return Err(Cause::Windows { volume: name.to_owned() }.into());
        }
        if selected.len() == MAX_VOLUMES {
            return Err(
                Cause::TooMany { what: "Secrets Store CSI volumes", limit: MAX_VOLUMES }.into()
            );
        }
        let (plan, is_new) = resolver.plan(name, csi, &class)?;
        total.add(&plan)?;
        let of_files = plan.files.iter().map(|file| file.vault.as_str());
        let vaults: BTreeSet<_> = of_files
            .chain(plan.selections.iter().map(|selection| selection.vault.as_str()))
            .collect();
        mutation.notes.push(Note::Volume {
            volume: name.to_owned(),
            class: class.name.clone(),
            files: plan.files.len(),
            vaults: vaults.into_iter().collect::<Vec<_>>().join(", "),
            details: details(&plan),
        });
        if is_new {
            plan.warnings.iter().for_each(|warning| {
                mutation.warn(format_args!("{} {}", warning.reason, warning.text));
            });
        }
        let size_limit = annotations.size_limit;
        let (index, mounted_in) = (Some(index), Vec::new());
        selected.push(SecretVolume { index, name, plan, class, size_limit, mounted_in });
    }
    let secrets = match leave {
        None => synced::of(&selected, &foreign, annotations, mutation)?,
        Some(_) => Vec::new(),
    };
    serve_secret_volumes(pod, &mut selected, &secrets, annotations, &mut total, mutation)?;
    let filled: Vec<usize> = selected.iter().filter_map(|volume| volume.index).collect();
    secret_objects::check(pod, &secrets, &filled, context.namespace, mutation)?;
    Ok(Served { volumes: selected, secrets, ..Served::default() })
}

/// Warns of a provider that is misspelt: its volume is left alone.
fn warn_of_provider(volume: &str, class: &ProviderClass, mutation: &mut Mutation) {
    if spelling::nearest(class.provider.trim(), &["azure"], 1).is_some() {
        mutation.warn(format_args!(
            "{} volume {volume}: provider is {:?}; did you mean azure?",
            reason::KS289,
            class.provider
        ));
    }
}

/// Adds the volumes with Secrets that the sidecar makes.
fn serve_secret_volumes<'a>(
    pod: &'a Pod<'_>,
    selected: &mut Vec<SecretVolume<'a>>,
    secrets: &[SyncedSecret],
    annotations: &Annotations,
    total: &mut Total,
    mutation: &mut Mutation,
) -> Result<(), Refusal> {
    if secrets.is_empty() {
        return Ok(());
    }
    let of_classes = selected.len();
    for (index, volume) in pod.volumes().iter().enumerate() {
        let made = Made { secrets, volumes: &selected[..of_classes] };
        let Some(served) = secret_volumes::of(pod, index, made, annotations)? else { continue };
        if volume.name.starts_with(TOKEN_VOLUME_PREFIX) {
            let field = format!("/spec/volumes/{index}/name");
            return Err(Cause::ReservedName { field, name: volume.name.to_string() }.into());
        }
        if selected.len() == MAX_VOLUMES {
            let what = "volumes that the sidecar fills";
            return Err(Cause::TooMany { what, limit: MAX_VOLUMES }.into());
        }
        total.add(&served.plan)?;
        let (volume, files) = (volume.name.to_string(), served.plan.files.len());
        mutation.notes.push(Note::SecretVolume { volume, files });
        selected.push(served);
    }
    Ok(())
}

/// What the volumes of a pod come to; too much is refused before more is made of it.
pub(super) struct Total {
    what: [&'static str; 2],
    files: usize,
    versions: u64,
    bytes: usize,
}

impl Total {
    /// Of the volumes with classes.
    fn of_classes() -> Self {
        Self::of([
            "files in its Secrets Store CSI volumes",
            "files in its Secrets Store CSI volumes, all versions counted",
        ])
    }

    /// Of inline annotations.
    pub(super) fn of_annotations() -> Self {
        Self::of([
            "files and variables in its annotations",
            "files in its annotations, all versions counted",
        ])
    }

    fn of(what: [&'static str; 2]) -> Self {
        Self { what, files: 0, versions: 0, bytes: 0 }
    }

    pub(super) fn add(&mut self, plan: &ClassPlan) -> Result<(), Refusal> {
        self.files += plan.files.len() + plan.selections.len() + plan.templates.len();
        self.bytes += plan_bytes(plan);
        if self.bytes > MAX_PLAN_BYTES {
            let (bytes, limit) = (self.bytes, MAX_PLAN_BYTES);
            return Err(Cause::PlanSize { bytes, limit }.into());
        }
        if self.files > MAX_FILES {
            return Err(Cause::TooMany { what: self.what[0], limit: MAX_FILES }.into());
        }
        self.versions += plan.files.iter().map(versions).sum::<u64>();
        if self.versions > u64::from(MAX_VERSIONS) {
            return Err(Cause::TooMany { what: self.what[1], limit: MAX_VERSIONS.into() }.into());
        }
        Ok(())
    }
}

/// Least that a class takes in the Plan of a volume, known before the Plan is made: a class may be
/// served in many volumes.
fn plan_bytes(plan: &ClassPlan) -> usize {
    let files = plan.files.iter().map(|file| file.path.as_str().len() + file.name.as_str().len());
    let selections = plan.selections.iter().map(|selection| {
        let tags: usize = selection.tags.iter().map(|(name, value)| name.len() + value.len()).sum();
        selection.name_prefix.as_deref().unwrap_or_default().len()
            + selection.directory.as_ref().map_or(0, |directory| directory.as_str().len())
            + tags
    });
    let templates =
        plan.templates.iter().map(|made| made.path.as_str().len() + made.template.as_str().len());
    files.chain(selections).chain(templates).sum()
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
        let tags: Vec<_> =
            selection.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let tags =
            if tags.is_empty() { String::new() } else { format!(" with tags {}", tags.join(", ")) };
        let directory =
            selection.directory.as_ref().map(|path| format!("{path}/")).unwrap_or_default();
        details += &format!("; {directory}{prefix}*: every enabled secret of that name{tags}");
    }
    for made in &plan.templates {
        details += &format!("; {} from a template", made.path);
    }
    details
}

/// Turns each volume into a tmpfs in place.
pub(super) fn replace(volumes: &[SecretVolume<'_>], mutation: &mut Mutation) {
    for volume in volumes {
        let Some(index) = volume.index else { continue };
        let size_limit = quantity::of_bytes(volume.size_limit_bytes());
        let definition = MemoryVolumeEntry::new(volume.name, size_limit);
        mutation.patch.replace(("/spec/volumes/", index), definition);
    }
}
