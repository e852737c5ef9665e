//! The Kubernetes Secrets that the sidecar keeps equal to files (`secretObjects` of the classes),
//! and what it needs for that at the API server.

use super::annotations::{ADOPT_SECRETS, Annotations, KEEP_SECRETS};
use super::bounds::TooLarge;
use super::classes::class_cause;
use super::context::Context;
use super::earlier_run::{is_sidecar, plan_entry};
use super::entries::MountEntry;
use super::limits::MAX_SUBDOMAIN_BYTES;
use super::mutation::{Mutation, Note};
use super::names::{API_DIRECTORY, API_VOLUME, SYNCED_ANNOTATION};
use super::refusal::{Cause, Refusal, cut};
use super::secret_cause::SecretCause;
use super::served::SecretVolume;
use crate::pod::{OwnerReference, Pod};
use crate::provider_class::{
    ClassError, FilePlan, ProviderClass, SecretObject, check_secret_objects,
};
use crate::reason;
use keysluice_plan::{Kubernetes, Owner, SecretKey, SyncedSecret};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The guard checks the right to write each with an expression of its own.
pub(super) const MAX_SECRETS: usize = 13;
/// A pod has one owner, or none.
const MAX_OWNERS: usize = 16;

/// The Secrets of all classes that the sidecar serves, by name.
pub(super) fn of(
    volumes: &[SecretVolume<'_>],
    foreign: &[Arc<ProviderClass>],
    annotations: &Annotations,
    mutation: &mut Mutation,
) -> Result<Vec<SyncedSecret>, Refusal> {
    if volumes.is_empty() {
        // `annotate` warns: what annotations name may be of an earlier run.
        return Ok(Vec::new());
    }
    // The driver makes those of another provider's class.
    let of_driver: BTreeMap<&str, &str> = foreign
        .iter()
        .flat_map(|class| class.secret_objects.iter().map(move |object| (class, object)))
        .map(|(class, object)| (object.secret_name.as_str(), class.name.as_str()))
        .collect();
    let mut secrets: BTreeMap<&str, (SyncedSecret, &ProviderClass)> = BTreeMap::new();
    let mut classes = BTreeSet::new();
    for volume in volumes {
        let class = &*volume.class;
        if class.secret_objects.is_empty() || !classes.insert(&class.name) {
            continue;
        }
        let volume = source_of(volumes, volume)?;
        warn_of_other_volumes(volumes, volume, mutation);
        for object in &class.secret_objects {
            let name = object.secret_name.as_str();
            let of_other = secrets.get(name).map(|(_, other)| other.name.as_str());
            if let Some(other) = of_other.or_else(|| of_driver.get(name).copied()) {
                let (class, other) = (class.name.clone(), other.to_owned());
                return Err(SecretCause::OfTwoClasses { secret: cut(name), class, other }.into());
            }
            if secrets.len() == MAX_SECRETS {
                return Err(SecretCause::TooMany { limit: MAX_SECRETS }.into());
            }
            let (secret, class_name) = (name.to_owned(), class.name.clone());
            mutation.notes.push(Note::Secret { secret, class: class_name });
            secrets.insert(name, (synced(object, volume, annotations), class));
        }
    }
    for (annotation, names) in
        [(ADOPT_SECRETS, &annotations.adopt_secrets), (KEEP_SECRETS, &annotations.keep_secrets)]
    {
        if let Some(name) = names.iter().find(|name| !secrets.contains_key(name.as_str())) {
            let known: Vec<_> = secrets.keys().copied().collect();
            let known = if known.is_empty() { "none".to_owned() } else { cut(&known.join(", ")) };
            let name = cut(name);
            return Err(SecretCause::Unknown { annotation, name, known }.into());
        }
    }
    Ok(secrets.into_values().map(|(secret, _)| secret).collect())
}

/// The volume of a class whose files the Secrets come from: volumes may lay other attributes over
/// the class, and the first that has all files counts.
fn source_of<'v, 'a>(
    volumes: &'v [SecretVolume<'a>],
    first: &'v SecretVolume<'a>,
) -> Result<&'v SecretVolume<'a>, Refusal> {
    let Err(error) = check(first) else { return Ok(first) };
    let mut others = volumes.iter().filter(|volume| volume.class.name == first.class.name);
    let other = others.find(|volume| check(volume).is_ok());
    other.ok_or_else(|| class_cause(first.name, &first.class, error))
}

/// Warns of volumes of the class that have a file of a Secret from another object than the volume
/// that the Secret comes from; of each the first.
fn warn_of_other_volumes(
    volumes: &[SecretVolume<'_>],
    source: &SecretVolume<'_>,
    mutation: &mut Mutation,
) {
    let others = volumes.iter().filter(|other| {
        other.class.name == source.class.name && !Arc::ptr_eq(&other.plan, &source.plan)
    });
    let mut others = others.peekable();
    if others.peek().is_none() {
        return;
    }
    let objects = &source.class.secret_objects;
    let all =
        objects.iter().flat_map(|object| object.data.iter().map(move |datum| (object, datum)));
    let files = by_path(source);
    let of_source: Vec<_> = all
        .filter_map(|(object, datum)| Some((object, datum, entry(&files, &datum.object_name)?)))
        .collect();
    for other in others {
        let files = by_path(other);
        let differs = of_source.iter().find(|(_, datum, file)| {
            entry(&files, &datum.object_name).is_some_and(|other| !is_same_value(file, other))
        });
        let Some((object, datum, _)) = differs else { continue };
        mutation.warn(format_args!(
            "{} Secret {}: volumes {} and {} of SecretProviderClass {} have another object as {}; \
             the Secret has that of volume {}; hint: {}",
            reason::KS226,
            object.secret_name,
            source.name,
            other.name,
            source.class.name,
            datum.object_name,
            source.name,
            reason::KS226.fix
        ));
    }
}

fn by_path<'v>(volume: &'v SecretVolume<'_>) -> BTreeMap<&'v str, &'v FilePlan> {
    volume.plan.files.iter().map(|file| (file.path.as_str(), file)).collect()
}

/// The entry that writes a file: a history has its versions below its path, a split certificate
/// `.crt` and `.key` beside it.
fn entry<'v>(files: &BTreeMap<&str, &'v FilePlan>, path: &str) -> Option<&'v FilePlan> {
    let stem = path.strip_suffix(".crt").or_else(|| path.strip_suffix(".key"));
    let directory = path.rsplit_once('/').map(|(directory, _)| directory);
    let split = stem.and_then(|stem| files.get(stem)).filter(|file| file.split);
    let history = directory.and_then(|path| files.get(path)).filter(|file| file.history.is_some());
    files.get(path).or(split).or(history).copied()
}

/// Whether two files hold the same: mode and owner aside.
fn is_same_value(one: &FilePlan, other: &FilePlan) -> bool {
    (&one.vault, one.object_type, &one.name, &one.version)
        == (&other.vault, other.object_type, &other.name, &other.version)
        && (one.format, one.encoding, one.part, &one.json_key)
            == (other.format, other.encoding, other.part, &other.json_key)
}

fn check(volume: &SecretVolume<'_>) -> Result<(), ClassError> {
    check_secret_objects(&volume.class.secret_objects, &volume.plan)
}

fn synced(
    object: &SecretObject,
    volume: &SecretVolume<'_>,
    annotations: &Annotations,
) -> SyncedSecret {
    let data = object.data.iter().map(|datum| SecretKey {
        key: datum.key.clone(),
        volume: volume.name.to_owned(),
        path: datum.object_name.parse().expect("it is the path of a file, which is checked"),
    });
    SyncedSecret {
        name: object.secret_name.clone(),
        secret_type: object.secret_type.clone(),
        class: volume.class.name.clone(),
        labels: object.labels.clone(),
        annotations: object.annotations.clone(),
        data: data.collect(),
        adopt: annotations.adopt_secrets.contains(&object.secret_name),
        keep: annotations.keep_secrets.contains(&object.secret_name),
    }
}

/// How the sidecar reaches the API server.
pub(super) fn kubernetes(pod: &Pod<'_>, context: Context<'_>) -> Result<Kubernetes, Refusal> {
    let references = pod.metadata.owner_references.as_deref().unwrap_or_default();
    if references.len() > MAX_OWNERS {
        return Err(Cause::TooMany { what: "ownerReferences", limit: MAX_OWNERS }.into());
    }
    for (index, reference) in references.iter().enumerate() {
        let texts = [&reference.api_version, &reference.kind, &reference.name, &reference.uid];
        let bytes = texts.iter().map(|text| text.len()).max().unwrap_or_default();
        if bytes > MAX_SUBDOMAIN_BYTES {
            let field = format!("/metadata/ownerReferences/{index}");
            let limit = MAX_SUBDOMAIN_BYTES;
            return Err(TooLarge::name(field, bytes, limit).into());
        }
    }
    Ok(Kubernetes {
        directory: API_DIRECTORY.to_owned(),
        owners: references.iter().map(owner).collect(),
        has_driver: context.facts.csi_driver_installed,
    })
}

fn owner(reference: &OwnerReference<'_>) -> Owner {
    Owner {
        api_version: reference.api_version.to_string(),
        kind: reference.kind.to_string(),
        name: reference.name.to_string(),
        uid: reference.uid.to_string(),
    }
}

/// Token, authority and the pod's own name, for the sidecar alone: it works where the pod mounts no
/// token.
pub(super) fn api_volume() -> Value {
    json!({"name": API_VOLUME, "projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": {"name": "kube-root-ca.crt",
            "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [field("namespace"), field("name"), field("uid")]}}]}})
}

fn field(path: &str) -> Value {
    json!({"path": path,
        "fieldRef": {"apiVersion": "v1", "fieldPath": format!("metadata.{path}")}})
}

/// Its mount in the sidecar.
pub(super) fn api_mount() -> MountEntry<'static> {
    MountEntry { name: API_VOLUME, mount_path: API_DIRECTORY, read_only: true }
}

/// Writes the names that the guard reads; any other value is replaced.
pub(super) fn annotate<'n>(
    pod: &Pod<'_>,
    names: impl IntoIterator<Item = &'n str>,
    mutation: &mut Mutation,
) {
    let names: BTreeSet<&str> = names.into_iter().collect();
    warn_without_effect(pod, &names, mutation);
    let names = names.into_iter().collect::<Vec<_>>().join(",");
    let annotations = &pod.metadata.annotations;
    if annotations.find(SYNCED_ANNOTATION).unwrap_or_default() == names {
        return;
    }
    if annotations.is_empty() {
        let all = BTreeMap::from([(SYNCED_ANNOTATION, names)]);
        mutation.patch.add("/metadata/annotations", all);
    } else {
        mutation.patch.add("/metadata/annotations/keysluice.dev~1synced-secrets", names);
    }
}

/// Warns of Secrets that annotations name and the sidecar does not make: it fills no volume of a
/// class, or the annotation came after it.
fn warn_without_effect(pod: &Pod<'_>, names: &BTreeSet<&str>, mutation: &mut Mutation) {
    for annotation in [ADOPT_SECRETS, KEEP_SECRETS] {
        let value = pod.metadata.annotations.find(annotation).unwrap_or_default();
        let mut unknown = value.split(',').map(str::trim).filter(|name| !names.contains(name));
        if let Some(name) = unknown.find(|name| !name.is_empty()) {
            mutation.warn(format_args!(
                "{} annotation {annotation} has no effect: the pod's sidecar does not make Secret \
                 {name}; hint: {}",
                reason::KS228,
                reason::KS228.fix
            ));
        }
    }
}

/// The same for a pod whose sidecar an earlier run added: its Plan, of this version or another,
/// says which Secrets it writes.
pub(super) fn annotate_earlier_run(pod: &Pod<'_>, mutation: &mut Mutation) {
    let sidecar = pod.init_containers().iter().find(|container| is_sidecar(container));
    let text = sidecar.and_then(plan_entry).map(|(_, text)| text).unwrap_or_default();
    let plan: Value = if text.contains("\"secrets\"") {
        serde_json::from_str(&text.replace("$$", "$")).unwrap_or_default()
    } else {
        Value::Null
    };
    let secrets = plan["secrets"].as_array().map(Vec::as_slice).unwrap_or_default();
    annotate(pod, secrets.iter().filter_map(|secret| secret["name"].as_str()), mutation);
}

#[cfg(test)]
#[path = "synced_tests.rs"]
mod tests;
