//! (pod, context) -> what changes. Pure: no I/O, no clock, no randomness.

mod access;
mod annotation_table;
mod annotation_values;
mod annotations;
mod basis;
mod bounds;
mod brought_plan;
mod classes;
mod context;
mod earlier_run;
mod entries;
mod expansion;
mod identity;
mod init_mode;
mod inline;
mod inline_annotations;
mod inline_cause;
mod inline_given;
mod inline_targets;
mod intercept;
mod limits;
pub mod live;
mod managed_identity;
mod managed_identity_cause;
mod managed_identity_given;
mod managed_identity_values;
mod mesh;
mod metrics_port;
mod metrics_port_cause;
mod mutation;
mod names;
mod on_change;
mod operating_system;
mod position;
mod principal;
mod proxy;
mod quality;
mod reaction;
mod reaction_cause;
mod reaction_right;
mod refusal;
mod resources;
mod secret_cause;
mod secret_mounts;
mod secret_objects;
mod secret_volumes;
mod secrets;
mod served;
mod service_account;
mod sidecar;
mod synced;
mod token_proxy;
mod told;
mod user;
mod workload;

#[cfg(test)]
mod testing;

pub use annotation_values::{Gate, OnMissing};
pub use annotations::{Annotation, Annotations, KNOWN as KNOWN_ANNOTATIONS};
pub use basis::PLAN_PATH;
pub use bounds::TooLarge;
pub use context::{ClassFact, Context, Facts, Needs, WithoutDriver};
pub use inline_annotations::InlineAnnotations;
pub use inline_cause::PodInlineCause;
pub use managed_identity_cause::ManagedIdentityCause;
pub use managed_identity_values::{EndpointChoice, MappedIdentity};
pub use metrics_port_cause::MetricsPortCause;
pub use mutation::{Mutation, Note, ReactionRight};
pub use names::{
    API_VOLUME, CLIENT_ID_ANNOTATION, CSI_DRIVER, PLAN_VOLUME, REACTION_RIGHT_ANNOTATION,
    RUN_VOLUME, SIDECAR, SYNCED_ANNOTATION, TENANT_ID_ANNOTATION, TOKEN_FILE, USE_LABEL,
};
pub use on_change::{OnChange, OnChangeAction};
pub use reaction_cause::ReactionCause;
pub use refusal::{Cause, Refusal};
pub use resources::{LEAST_SIDECAR_MEMORY_BYTES, SIDECAR_MEMORY_REQUEST};
pub use secret_cause::SecretCause;
pub use service_account::ServiceAccount;
pub(crate) use service_account::may_be_ours;
pub use workload::{LabelPlaces, misplaced_annotation};

use crate::pod::Pod;
use crate::settings::{CsiVolumes, Settings};
use annotations::CSI_VOLUMES as CSI_VOLUMES_ANNOTATION;

/// Marks the API's image of a static pod.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// What must be looked up for this pod.
pub fn needs<'a>(pod: &'a Pod<'_>, settings: &Settings) -> Needs<'a> {
    if bounds::check(pod).is_err() {
        // Refused whatever the cluster says.
        return Needs::default();
    }
    let of_volumes = secrets::class_names(pod);
    // With too many, what is left to know is whether they are the CSI driver's.
    let has_classes = of_volumes.as_ref().map_or(true, |classes| !classes.is_empty());
    let mut of_volumes = of_volumes.unwrap_or_default();
    let who = csi_volumes(pod, settings);
    if who == CsiVolumes::Leave {
        of_volumes.clear();
    }
    let is_opted_in = identity::is_opted_in(pod);
    let own = inline::class_name(pod).filter(|_| is_opted_in);
    of_volumes.retain(|name| Some(*name) != own);
    let mut needs = Needs {
        service_account: is_opted_in.then(|| pod.service_account()),
        // Under replace, the driver may still write the Secrets of the same classes.
        csi_driver: has_classes && who != CsiVolumes::Leave,
        classes: own.into_iter().collect(),
        without_driver: WithoutDriver {
            service_account: (!of_volumes.is_empty()).then(|| pod.service_account()),
            classes: of_volumes,
        },
    };
    if who == CsiVolumes::Replace {
        needs = needs.with_driver(false);
    }
    needs
}

/// Who serves the volumes of the pod; its annotation wins. What is no value of it is refused later.
fn csi_volumes(pod: &Pod<'_>, settings: &Settings) -> CsiVolumes {
    match pod.metadata.annotations.find(CSI_VOLUMES_ANNOTATION) {
        Some("replace") => CsiVolumes::Replace,
        Some("leave") => CsiVolumes::Leave,
        _ => settings.csi_volumes,
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
    let mut mutation = identity::inject_ephemeral(pod, old, context);
    secret_mounts::adapt_ephemeral(pod, old, &mut mutation);
    mutation
}

/// The right that the reaction of a pod needs, which its controller creates so.
///
/// # Errors
/// [`Refusal`] for annotations that are not valid, and a controller that does not fit.
pub fn reaction_right(pod: &Pod<'_>) -> Result<Option<ReactionRight>, Refusal> {
    let annotations = Annotations::read(pod)?;
    Ok(reaction_right::of(pod, annotations.on_change.action.as_ref())?)
}

/// Whether the pod gets files or variables by annotations.
pub fn has_inline(pod: &Pod<'_>) -> bool {
    identity::is_opted_in(pod) && inline::wanted(pod).is_some()
}

/// Whether the pod concerns us at all: by its label, or by a volume.
pub fn is_selected(pod: &Pod<'_>) -> bool {
    identity::is_opted_in(pod) || secrets::has_csi_volume(pod)
}

/// Decides what changes.
///
/// # Errors
/// [`Refusal`] with code, field and fix where the pod could never work.
pub fn mutate(pod: &Pod<'_>, context: Context<'_>) -> Result<Mutation, Refusal> {
    let mut mutation = Mutation::default();
    let opted_in = identity::is_opted_in(pod);
    if !is_selected(pod) {
        if pod.metadata.annotations.find(MIRROR_ANNOTATION).is_none() {
            inline::check_label(pod)?;
        }
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
    reaction::check(&annotations)?;
    brought_plan::check(pod, context.settings)?;
    intercept::check_brought(pod)?;
    let mut served = secrets::select(pod, &annotations, context, &mut mutation)?;
    let inline = inline::select(pod, &annotations, context, &mut served, &mut mutation)?;
    let endpoint = managed_identity::select(pod, &annotations, context, &mut mutation)?;
    let is_served = !served.volumes.is_empty();
    if !is_served {
        reaction::check_without_volumes(pod, &annotations)?;
        position::check_earlier_run(pod, &annotations)?;
        secret_mounts::adapt_later_run(pod, &mut mutation);
        synced::annotate_earlier_run(pod, &mut mutation);
        reaction_right::annotate_earlier_run(pod, &mut mutation);
    }
    if !opted_in && !is_served {
        return Ok(mutation);
    }
    let has_endpoint = endpoint.as_ref().is_some_and(managed_identity::Endpoint::is_new);
    let is_federated = endpoint.as_ref().is_some_and(managed_identity::Endpoint::is_federated)
        || served.volumes.iter().any(served::SecretVolume::is_federated);
    let needs_token = opted_in || is_federated;
    let token =
        needs_token.then(|| identity::token_volume(pod, &annotations, context)).transpose()?;
    let mut volume_count = pod.spec.volumes.as_ref().map(Vec::len);
    if let Some(token) = &token {
        identity::check_for_sidecar(pod, token, is_federated, context)?;
        if opted_in {
            mutation.notes.insert(0, Note::Label);
            let variables = endpoint.as_ref().map(|endpoint| &endpoint.variables);
            identity::inject(pod, &annotations, token, variables, context, &mut mutation)?;
        }
        served.endpoint = endpoint.and_then(|endpoint| endpoint.plan(&token.token_file()));
        token.add(&mut mutation, &mut volume_count);
    }
    inline_given::give(pod, &inline, &mut mutation)?;
    if is_served {
        let position = position::index(pod, &annotations)?;
        secrets::replace(&served.volumes, &mut mutation);
        secret_mounts::adapt(pod, &annotations, &served.volumes, position, &mut mutation);
        synced::annotate(pod, served.secrets.iter().map(|secret| &*secret.name), &mut mutation);
    }
    if is_served || has_endpoint {
        sidecar::add(
            pod,
            &annotations,
            &served,
            token.as_ref(),
            context,
            &mut mutation,
            &mut volume_count,
        )?;
    }
    mutation.check_size()?;
    Ok(mutation)
}
