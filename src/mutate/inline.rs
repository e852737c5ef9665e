//! Files and variables that a pod asks for by annotations: the volumes that the sidecar fills for
//! them. What containers get of these is in `inline_given`.

use super::annotation_values::Gate;
use super::annotations::Annotations;
use super::classes::{class_cause, find_named, surroundings};
use super::context::{ClassFact, Context};
use super::earlier_run::{is_sidecar, plan_of};
use super::inline_annotations::{ENV_FROM, ENV_PREFIX, FILE_PREFIX, TEMPLATE_PREFIX, is_reference};
use super::inline_cause::PodInlineCause;
use super::mutation::{Mutation, Note};
use super::names::{ENV_FROM_VOLUME, ENV_VOLUME, INLINE_VOLUME};
use super::refusal::{Cause, Refusal, cut};
use super::secrets::Total;
use super::served::{SecretVolume, Served};
use super::{identity, inline_targets, operating_system};
use crate::inline::{self, Entry, InlineError};
use crate::pod::{Pod, Pointer};
use crate::provider_class::{ClassPlan, ProviderClass, check_provider};
use crate::settings::EnvMode;
use keysluice_plan::{Plan, Volume, is_object_name};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the containers of a pod get.
#[derive(Debug, Default)]
pub(super) struct Inline {
    /// The containers.
    pub(super) targets: Vec<Pointer>,
    /// Where the files go, if there are any.
    pub(super) mount_path: Option<String>,
    /// The variables.
    pub(super) variables: Vec<Variable>,
    /// How the variables get into the processes.
    pub(super) env_mode: EnvMode,
    /// Whether the pod has its sidecar already.
    pub(super) is_later_run: bool,
}

/// One variable.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) is_optional: bool,
    /// The volume with its file.
    pub(super) volume: &'static str,
}

/// The first annotation of a pod that asks for a file or variables.
pub(super) fn wanted<'a>(pod: &'a Pod<'_>) -> Option<&'a str> {
    let mut keys = pod.metadata.annotations.below("keysluice.dev/").map(|(key, _)| key);
    keys.find(|key| *key == ENV_FROM || is_reference(key))
}

/// Name of the class that a pod takes variables from.
pub(super) fn class_name<'a>(pod: &'a Pod<'_>) -> Option<&'a str> {
    pod.metadata.annotations.find(ENV_FROM).filter(|name| is_object_name(name))
}

/// Refuses a pod that asks for files or variables and did not opt in.
pub(super) fn check_label(pod: &Pod<'_>) -> Result<(), Refusal> {
    match wanted(pod) {
        Some(annotation) if !identity::is_opted_in(pod) => {
            Err(PodInlineCause::Label { annotation: cut(annotation) }.into())
        }
        _ => Ok(()),
    }
}

/// Adds the volumes for files and variables to those that the sidecar fills.
pub(super) fn select<'a>(
    pod: &'a Pod<'_>,
    annotations: &Annotations,
    context: Context<'a>,
    served: &mut Served<'a>,
    mutation: &mut Mutation,
) -> Result<Inline, Refusal> {
    let wanted = &annotations.inline;
    if let Some(annotation) = wanted.alone() {
        return Err(PodInlineCause::Alone { annotation }.into());
    }
    if !wanted.is_wanted() {
        return Ok(Inline::default());
    }
    check_label(pod)?;
    if operating_system::is_windows(pod) {
        return Err(Cause::Windows { volume: INLINE_VOLUME.to_owned() }.into());
    }
    let targets = inline_targets::of(pod, annotations)?;
    let mount_path = (!wanted.files.is_empty()).then(|| wanted.mount_path().to_owned());
    if let Some(sidecar) = pod.init_containers().iter().find(|container| is_sidecar(container)) {
        // Another version's Plan may say it in another way.
        let Some(plan) = plan_of(sidecar) else { return Ok(Inline::default()) };
        return of_earlier_run(&plan, annotations, targets, mount_path);
    }
    let env_mode = wanted.env_mode.unwrap_or(context.settings.env_mode);
    let is_exec = wanted.has_variables() && env_mode == EnvMode::Exec;
    if is_exec && annotations.gate == Gate::None {
        return Err(PodInlineCause::NoGate.into());
    }
    let mut plans = Vec::new();
    let (vault, around) = (wanted.vault.as_deref(), surroundings(pod, context, None));
    if !wanted.files.is_empty() {
        let templates = entries(&wanted.templates, TEMPLATE_PREFIX);
        let entries = entries(&wanted.files, FILE_PREFIX);
        plans.push((INLINE_VOLUME, inline::files(&entries, &templates, vault, &around)?));
    }
    if !wanted.variables.is_empty() {
        let entries = entries(&wanted.variables, ENV_PREFIX);
        plans.push((ENV_VOLUME, inline::variables(&entries, vault, !is_exec, &around)?));
    }
    if let Some(name) = &wanted.env_from {
        let plan = of_class(pod, name, annotations, context, !is_exec, mutation)?;
        plans.push((ENV_FROM_VOLUME, plan));
    }
    let (mut variables, mut total) = (Vec::new(), Total::of_annotations());
    for (name, plan) in plans {
        total.add(&plan)?;
        let is_files = name == INLINE_VOLUME;
        if !is_files {
            variables.extend(plan.files.iter().map(|file| Variable {
                name: file.path.to_string(),
                is_optional: file.optional,
                volume: name,
            }));
        }
        mutation.notes.push(note(&plan, mount_path.as_deref().filter(|_| is_files), env_mode));
        served.volumes.push(SecretVolume {
            index: None,
            name,
            plan: Arc::new(plan),
            class: Arc::new(ProviderClass::default()),
            size_limit: annotations.size_limit,
            mounted_in: if is_files || is_exec { targets.clone() } else { Vec::new() },
        });
    }
    served.has_program = is_exec;
    Ok(Inline { targets, mount_path, variables, env_mode, is_later_run: false })
}

/// What the containers of a pod get whose sidecar fills the volumes already: another webhook may
/// have added containers.
fn of_earlier_run(
    plan: &Plan,
    annotations: &Annotations,
    targets: Vec<Pointer>,
    mount_path: Option<String>,
) -> Result<Inline, Refusal> {
    let wanted = &annotations.inline;
    let late = [
        ("files", !wanted.files.is_empty(), INLINE_VOLUME),
        ("variables", !wanted.variables.is_empty(), ENV_VOLUME),
        ("variables of a class", wanted.env_from.is_some(), ENV_FROM_VOLUME),
    ];
    if let Some((what, ..)) =
        late.iter().find(|(_, is, name)| *is && volume_of(plan, name).is_none())
    {
        return Err(PodInlineCause::Late { what }.into());
    }
    let mut variables = Vec::new();
    for name in [ENV_VOLUME, ENV_FROM_VOLUME] {
        let files = volume_of(plan, name).into_iter().flat_map(|volume| &volume.files);
        variables.extend(files.map(|file| Variable {
            name: file.path.to_string(),
            is_optional: file.optional,
            volume: name,
        }));
    }
    let is_exec = plan.program_directory.is_some();
    let env_mode = if is_exec { EnvMode::Exec } else { EnvMode::File };
    Ok(Inline { targets, mount_path, variables, env_mode, is_later_run: true })
}

fn volume_of<'p>(plan: &'p Plan, name: &str) -> Option<&'p Volume> {
    plan.volumes.iter().find(|volume| volume.name == name)
}

fn entries<'a>(annotations: &'a BTreeMap<String, String>, prefix: &str) -> Vec<Entry<'a>> {
    let entries = annotations.iter().map(|(key, reference)| Entry {
        key,
        name: key.strip_prefix(prefix).unwrap_or(key),
        reference,
    });
    entries.collect()
}

/// The variables of a class.
fn of_class(
    pod: &Pod<'_>,
    name: &str,
    annotations: &Annotations,
    context: Context<'_>,
    for_kubelet: bool,
    mutation: &mut Mutation,
) -> Result<ClassPlan, Refusal> {
    if !context.facts.classes.get(name).is_some_and(ClassFact::is_there) {
        let (class, namespace) = (cut(name), cut(context.namespace));
        return Err(PodInlineCause::ClassMissing { class, namespace }.into());
    }
    let class = find_named(ENV_FROM_VOLUME, name, context)?;
    let plan = check_provider(&class)
        .and_then(|()| class.resolved(&[], &surroundings(pod, context, None)))
        .map_err(|source| class_cause(ENV_FROM_VOLUME, &class, source))?;
    for warning in &plan.warnings {
        mutation.warn(format_args!("{} {}", warning.reason, warning.text));
    }
    let own = annotations.inline.variables.keys();
    let taken = own.map(|key| (key.strip_prefix(ENV_PREFIX).unwrap_or(key), key.as_str()));
    Ok(inline::of_class(ENV_FROM, name, &plan, &taken.collect(), for_kubelet)?)
}

fn note(plan: &ClassPlan, mount_path: Option<&str>, env_mode: EnvMode) -> Note {
    let count = plan.files.len() + plan.templates.len();
    if let Some(path) = mount_path {
        return Note::InlineFiles { count, path: cut(path) };
    }
    let names: Vec<_> = plan.files.iter().map(|file| file.path.as_str()).collect();
    Note::Variables { names: cut(&names.join(", ")), how: env_mode.described() }
}

impl From<InlineError> for Refusal {
    fn from(source: InlineError) -> Self {
        PodInlineCause::Annotation { source }.into()
    }
}

#[cfg(test)]
#[path = "inline_tests.rs"]
mod tests;
