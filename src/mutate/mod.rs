//! (pod, context) -> what changes. Pure: no I/O, no clock, no randomness.

mod annotations;
mod bounds;
mod brought_plan;
mod classes;
mod identity;
mod mesh;
mod operating_system;
mod position;
mod quality;
mod refusal;
mod resources;
mod secret_objects;
mod secrets;
mod sidecar;
mod token_mount;
mod user;

#[cfg(test)]
mod testing;

pub use crate::provider_class::MAX_WARNINGS;
pub use annotations::{Annotations, Gate, KNOWN as KNOWN_ANNOTATIONS, OnMissing};
pub use bounds::TooLarge;
pub use classes::ClassFact;
pub(crate) use identity::may_be_ours;
pub use identity::{
    CLIENT_ID_ANNOTATION, ServiceAccount, TENANT_ID_ANNOTATION, TOKEN_FILE, USE_LABEL,
};
pub use refusal::{Cause, Refusal};
pub use secrets::CSI_DRIVER;
pub(crate) use sidecar::add_volume;
pub use sidecar::{RUN_VOLUME, SIDECAR};

use crate::bounded::bounded;
use crate::patch::Patch;
use crate::pod::Pod;
use crate::settings::Settings;
use std::collections::BTreeMap;
use std::fmt::Display;

/// Of one warning.
const MAX_WARNING_BYTES: usize = 512;

/// What the cluster says about one pod.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The pod's ServiceAccount; `None` if it does not exist (or nobody asked).
    pub service_account: Option<ServiceAccount>,
    /// The classes its volumes name.
    pub classes: BTreeMap<String, ClassFact>,
    /// Whether the Secrets Store CSI driver is installed.
    pub csi_driver_installed: bool,
}

/// Everything a decision depends on beside the pod.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The operator's settings.
    pub settings: &'a Settings,
    /// Namespace of the request; the pod's own field may be absent.
    pub namespace: &'a str,
    /// What the cluster says.
    pub facts: &'a Facts,
}

/// What the cluster must be asked before [`mutate`] can decide.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs<'a> {
    /// The ServiceAccount, if any of it matters.
    pub service_account: Option<&'a str>,
    /// Classes by name.
    pub classes: Vec<&'a str>,
    /// Whether the CSI driver's presence matters.
    pub csi_driver: bool,
}

/// The result: what changes, what to warn about, and why.
#[derive(Debug, Default)]
pub struct Mutation {
    /// The operations; empty if nothing changes.
    pub patch: Patch,
    /// Admission warnings, each with its code.
    pub warnings: Vec<String>,
    /// Why the pod was selected, or not.
    pub notes: Vec<Note>,
}

impl Mutation {
    /// Adds a warning, which is formatted only where there is room, and only as far: a pod may have
    /// 20,000 reasons for one.
    fn warn(&mut self, text: impl Display) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(bounded(text, MAX_WARNING_BYTES));
        }
    }
}

/// Why a pod, or one of its volumes, is changed or let through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    /// Neither label nor volume.
    #[error("not selected: no label {USE_LABEL}: \"true\" and no volume of driver {CSI_DRIVER}")]
    NotSelected,
    /// By label.
    #[error("selected by its label {USE_LABEL}: \"true\": identity environment and token volume")]
    Label,
    /// By volume.
    #[error(
        "volume {volume}: SecretProviderClass {class} of provider azure: {files} file(s) from \
         {vaults}, served from a tmpfs{details}"
    )]
    Volume {
        /// The volume.
        volume: String,
        /// The class.
        class: String,
        /// How many files.
        files: usize,
        /// The vaults.
        vaults: String,
        /// What a number of files does not show: histories, selections.
        details: String,
    },
    /// The sidecar.
    #[error("sidecar: runs as uid {uid}{group}; {gate}")]
    Sidecar {
        /// Its uid, to which the files belong.
        uid: i64,
        /// Its gid, if one is known.
        group: String,
        /// How the application waits for it.
        gate: &'static str,
    },
    /// A static pod's image in the API.
    #[error("a mirror pod: the kubelet runs it from its own manifest")]
    Mirror,
    /// New ephemeral containers of a pod with a token.
    #[error("new ephemeral containers get the pod's identity")]
    Ephemeral,
    /// Ephemeral containers of a pod without one.
    #[error("ephemeral containers are left alone: the pod has no token volume")]
    NoToken,
    /// The CSI driver keeps it.
    #[error("volume {volume}: left to the Secrets Store CSI driver, {why}")]
    LeftToCsiDriver {
        /// The volume.
        volume: String,
        /// Who says so.
        why: &'static str,
    },
    /// Not ours.
    #[error("volume {volume}: provider {provider:?} is not azure: left alone")]
    OtherProvider {
        /// The volume.
        volume: String,
        /// Its provider.
        provider: String,
    },
}

/// Marks the API's image of a static pod.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// What must be looked up for this pod.
pub fn needs<'a>(pod: &'a Pod<'_>, settings: &Settings) -> Needs<'a> {
    if bounds::check(pod).is_err() {
        // Refused whatever the cluster says.
        return Needs::default();
    }
    let classes = secrets::class_names(pod);
    // With too many, what is left to know is whether they are the CSI driver's.
    let has_classes = classes.as_ref().map_or(true, |classes| !classes.is_empty());
    let classes = classes.unwrap_or_default();
    Needs {
        service_account: (identity::is_opted_in(pod) || !classes.is_empty())
            .then(|| pod.service_account()),
        csi_driver: has_classes && settings.csi_volumes == crate::settings::CsiVolumes::Auto,
        classes,
    }
}

/// What must be looked up for new ephemeral containers of this pod.
pub fn ephemeral_needs<'a>(pod: &'a Pod<'_>) -> Needs<'a> {
    let is_asked = identity::is_opted_in(pod) && bounds::check(pod).is_ok();
    Needs { service_account: is_asked.then(|| pod.service_account()), ..Needs::default() }
}

/// Decides what changes for ephemeral containers that `old` does not have; what is wrong with a pod
/// that runs is only a warning.
pub fn mutate_ephemeral(pod: &Pod<'_>, old: &Pod<'_>, context: Context<'_>) -> Mutation {
    identity::inject_ephemeral(pod, old, context)
}

/// Whether the pod concerns us at all: by its label, or by a volume.
pub fn is_selected(pod: &Pod<'_>) -> bool {
    identity::is_opted_in(pod) || secrets::has_csi_volume(pod)
}

/// What to say where the patch became too large; there is none then.
fn too_large(mutation: &Mutation) -> Option<Refusal> {
    let limit = crate::patch::STORED_LIMIT_BYTES;
    mutation.patch.is_too_large().then(|| TooLarge::Patch { limit }.into())
}

/// Decides what changes.
///
/// # Errors
/// [`Refusal`] with code, field and fix where the pod could never work.
pub fn mutate(pod: &Pod<'_>, context: Context<'_>) -> Result<Mutation, Refusal> {
    let mut mutation = Mutation::default();
    let opted_in = identity::is_opted_in(pod);
    if !is_selected(pod) {
        mutation.notes.push(Note::NotSelected);
        return Ok(mutation);
    }
    if pod.metadata.annotations.find(MIRROR_ANNOTATION).is_some() {
        // The API server's ServiceAccount admission forbids tokens in mirror pods.
        mutation.notes.push(Note::Mirror);
        return Ok(mutation);
    }
    bounds::check(pod)?;
    if opted_in && context.facts.service_account.is_none() {
        let (name, namespace) = (pod.service_account().to_owned(), context.namespace.to_owned());
        return Err(Cause::ServiceAccountMissing { name, namespace }.into());
    }
    let annotations = Annotations::read(pod)?;
    brought_plan::check(pod, context.settings)?;
    let volumes = secrets::select(pod, &annotations, context, &mut mutation)?;
    if !opted_in && volumes.is_empty() {
        return Ok(mutation);
    }
    if volumes.is_empty() {
        position::check_earlier_run(pod, &annotations)?;
    }
    let is_federated = volumes.iter().any(secrets::SecretVolume::is_federated);
    let needs_token = opted_in || is_federated;
    let token =
        needs_token.then(|| identity::token_volume(pod, &annotations, context)).transpose()?;
    let mut volume_count = pod.spec.volumes.as_ref().map(Vec::len);
    if let Some(token) = &token {
        identity::check_for_sidecar(pod, token, is_federated, context)?;
        if opted_in {
            mutation.notes.insert(0, Note::Label);
            identity::inject(pod, &annotations, token, context, &mut mutation)?;
        }
        token.add(&mut mutation, &mut volume_count);
    }
    if !volumes.is_empty() {
        secrets::replace(pod, &volumes, &mut mutation);
        sidecar::add(
            pod,
            &annotations,
            &volumes,
            token.as_ref(),
            context,
            &mut mutation,
            &mut volume_count,
        )?;
    }
    match too_large(&mutation) {
        Some(refusal) => Err(refusal),
        None => Ok(mutation),
    }
}
