//! What has changed for a running pod since its Plan was made.
//!
//! A Plan changes only because a class has changed. The new one is made by the code that makes it
//! at admission, from the parts of the pod that stand in the basis.

use super::annotations::Annotations;
use super::basis::Basis;
use super::context::{ClassFact, Context};
use super::mutation::Mutation;
use super::refusal::cut;
use super::served::{SecretVolume, Served};
use super::user::{self, User};
use super::{secrets, sidecar};
use crate::coded::coded;
use crate::pod::Pod;
use crate::provider_class::{ProviderClass, hex};
use crate::reason;
use crate::settings::{CsiVolumes, Settings};
use keysluice_plan::{PlanProblem, PlanSchema, PlanUpdate};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::{self, Display};

/// The basis stands in a Plan of 96 KiB, where each value takes several bytes; in memory each may
/// take 300.
const MAX_BASIS_VALUES: usize = 16_384;
/// As many as a pod has volumes.
const MAX_CLASSES: usize = 64;

coded! {
    /// Why a request for a Plan is refused.
    #[derive(Debug, thiserror::Error)]
    pub enum RequestError {
        /// Not JSON, or of another version.
        #[error("the body is not a request for a Plan: {0}")]
        [KS513] Malformed(#[from] serde_json::Error),
        /// More than a pod has.
        #[error("the request names more than {MAX_CLASSES} classes")]
        [KS513] TooMany,
        /// More than a Plan can have been made of.
        #[error("the basis in the request has more than {MAX_BASIS_VALUES} values")]
        [KS513] Basis,
        /// The pod in it cannot be read.
        #[error("the pod in the request cannot be read: {0}")]
        [KS513] Pod(String),
    }
}

/// Reads a request.
///
/// # Errors
/// [`RequestError`] for what no sidecar of this version sends.
pub fn read(body: &[u8]) -> Result<Asked<'_>, RequestError> {
    let request: Asked<'_> = serde_json::from_slice(body)?;
    if request.classes.0.len() > MAX_CLASSES {
        return Err(RequestError::TooMany);
    }
    Ok(request)
}

/// A [`PlanRequest`](keysluice_plan::PlanRequest) whose basis is still text: as values it takes a
/// hundred times as much, and the request may wait for the cluster.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Asked<'a> {
    #[serde(rename = "schema")]
    _schema: PlanSchema,
    classes: Classes,
    #[serde(borrow)]
    basis: &'a RawValue,
}

impl Asked<'_> {
    /// The classes, each with the fingerprint that the Plan was made of.
    pub fn classes(&self) -> &BTreeMap<String, String> {
        &self.classes.0
    }

    fn basis(&self) -> Result<Basis, RequestError> {
        let text = self.basis.get();
        let values = text.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
        if values > MAX_BASIS_VALUES {
            return Err(RequestError::Basis);
        }
        Ok(serde_json::from_str(text)?)
    }
}

/// No more than one beyond the limit are kept.
#[derive(Debug)]
struct Classes(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Classes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;

        impl<'de> Visitor<'de> for Bounded {
            type Value = Classes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("classes with their fingerprints")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Classes, A::Error> {
                let mut classes = BTreeMap::new();
                while let Some((name, known)) = map.next_entry::<String, String>()? {
                    if classes.len() <= MAX_CLASSES {
                        classes.insert(name, known);
                    }
                }
                Ok(Classes(classes))
            }
        }

        deserializer.deserialize_map(Bounded)
    }
}

/// What tells one answer from another: the content of the classes, and the webhook's authorities.
pub fn etag<'f>(
    classes: impl IntoIterator<Item = (&'f String, &'f ClassFact)>,
    authorities: &str,
) -> String {
    let mut hash = Sha256::new();
    hash.update((authorities.len() as u64).to_be_bytes());
    hash.update(authorities);
    for (name, fact) in classes {
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name);
        match fact {
            ClassFact::Found(class) => hash.update(class.fingerprint()),
            ClassFact::Missing => hash.update("missing"),
            ClassFact::Invalid(error) => hash.update(error.to_string()),
        }
        hash.update([0]);
    }
    let digest = hash.finalize();
    format!("\"{}\"", hex(&digest[..12]))
}

/// How many classes are resolved for this request.
pub fn edited(request: &Asked<'_>, facts: &BTreeMap<String, ClassFact>) -> u32 {
    let edited = request.classes().iter().filter(|(name, known)| {
        matches!(facts.get(*name), Some(ClassFact::Found(class)) if class.fingerprint() != **known)
    });
    u32::try_from(edited.count()).unwrap_or(u32::MAX)
}

/// What changes for the pod of this request. Only volumes whose class has another content than
/// their Plan was made of are looked at, whatever the settings are now.
///
/// # Errors
/// [`RequestError`] for a basis that this version did not write.
pub fn update(
    request: &Asked<'_>,
    context: Context<'_>,
    authorities: &str,
) -> Result<PlanUpdate, RequestError> {
    let basis = request.basis()?;
    // The pod's volumes are the sidecar's already.
    let settings = Settings { csi_volumes: CsiVolumes::Replace, ..context.settings.clone() };
    let context = Context { settings: &settings, ..context };
    let mut update = PlanUpdate { authorities: authorities.to_owned(), ..PlanUpdate::default() };
    for (name, known) in request.classes() {
        let class = match context.facts.classes.get(name) {
            Some(ClassFact::Found(class)) if class.fingerprint() == known => continue,
            Some(ClassFact::Found(class)) => class,
            Some(ClassFact::Invalid(error)) => {
                update.problem(name, error);
                continue;
            }
            Some(ClassFact::Missing) | None => {
                let place = format_args!("{}/{name}", context.namespace);
                let message = format!("SecretProviderClass {place} does not exist");
                update.problem(name, said(reason::KS515, &message));
                continue;
            }
        };
        let body = serde_json::to_vec(&of_class(&basis.pod, name))?;
        let pod = Pod::from_json(&body).map_err(|error| RequestError::Pod(error.to_string()))?;
        match change(&pod, &basis, class, context) {
            Ok(changed) => {
                update.classes.insert(name.clone(), class.fingerprint().to_owned());
                update.take(changed);
            }
            Err(message) => update.problem(name, message),
        }
    }
    Ok(update)
}

/// The pod with the volumes of one class; those with Secrets may be of any.
fn of_class(pod: &serde_json::Value, class: &str) -> serde_json::Value {
    let mut pod = pod.clone();
    if let Some(volumes) = pod["spec"]["volumes"].as_array_mut() {
        volumes.retain(|volume| {
            let named = &volume["csi"]["volumeAttributes"]["secretProviderClass"];
            volume["csi"].is_null() || named == class
        });
    }
    pod
}

/// The new volumes and Secrets of one class, or why the pod cannot get them.
fn change(
    pod: &Pod<'_>,
    basis: &Basis,
    class: &ProviderClass,
    context: Context<'_>,
) -> Result<PlanUpdate, String> {
    if !class.is_azure() && !class.provider.is_empty() {
        let provider = cut(&class.provider);
        return Err(said(reason::KS515, &format!("its provider is {provider:?} now")));
    }
    let mut mutation = Mutation::default();
    let annotations = Annotations::read(pod).map_err(|refusal| refusal.to_string())?;
    let served = secrets::select(pod, &annotations, context, &mut mutation)
        .map_err(|refusal| refusal.to_string())?;
    check_room(&served, basis)?;
    let own = User { uid: basis.uid, gid: basis.gid };
    let user = user::of_sidecar(pod, &served.volumes, Some(own), &mut mutation)
        .map_err(|refusal| refusal.to_string())?;
    if user.uid != basis.uid {
        let message =
            format!("its files belong to uid {}, and the sidecar runs as {}", user.uid, basis.uid);
        return Err(said(reason::KS514, &message));
    }
    let settings = context.settings;
    let plan = sidecar::plan_of(&annotations, &served.volumes, &basis.token_file, settings);
    Ok(PlanUpdate {
        trusted_ca: plan.trusted_ca,
        identities: plan.identities,
        volumes: plan.volumes,
        secrets: served.secrets,
        ..PlanUpdate::default()
    })
}

/// Refuses what a running pod cannot get: another volume, more room, a token, another Secret.
fn check_room(served: &Served<'_>, basis: &Basis) -> Result<(), String> {
    for volume in &served.volumes {
        let (name, size) = (volume.name, volume.size_limit_bytes());
        let room = basis.sizes.get(name).copied().unwrap_or_default();
        if size > room {
            let message = format!(
                "volume {name:?} of the pod holds {room} bytes, and its files now need {size}"
            );
            return Err(said(reason::KS514, &message));
        }
        if volume.is_federated() && basis.token_file.is_empty() {
            let message = format!("volume {name:?} needs a token of the pod, which has none");
            return Err(said(reason::KS514, &message));
        }
    }
    if served.volumes.iter().any(SecretVolume::uses_token_proxy) && !basis.token_proxy {
        let message = "it needs a token for the token proxy of AKS identity bindings, which the \
            pod's sidecar does not have";
        return Err(said(reason::KS514, message));
    }
    let mut principals = served.volumes.iter().filter_map(SecretVolume::principal);
    if let Some(secret) = principals.find(|secret| !basis.principals.contains(*secret)) {
        let message = format!(
            "its credentials are in Secret {:?}, which the pod's sidecar does not have",
            cut(secret)
        );
        return Err(said(reason::KS514, &message));
    }
    let unknown = served.secrets.iter().find(|secret| !basis.secrets.contains(&secret.name));
    unknown.map_or(Ok(()), |secret| {
        let message = format!("Secret {:?} is not one that the pod writes", secret.name);
        Err(said(reason::KS514, &message))
    })
}

fn said(reason: keysluice_plan::reason::Reason, message: &str) -> String {
    format!("{reason} {message}; hint: {}", reason.fix)
}

/// What an update is put together with.
trait Grow {
    fn problem(&mut self, class: &str, message: impl Display);
    fn take(&mut self, changed: PlanUpdate);
}

impl Grow for PlanUpdate {
    fn problem(&mut self, class: &str, message: impl Display) {
        self.problems.push(PlanProblem { class: class.to_owned(), message: message.to_string() });
    }

    /// Adds the volumes of another class; each brings identities of its own.
    fn take(&mut self, changed: PlanUpdate) {
        if let Some(ca) = changed.trusted_ca {
            let trusted = self.trusted_ca.get_or_insert_default();
            if !trusted.contains(&ca) {
                trusted.push_str(&ca);
            }
        }
        let mut names = BTreeMap::new();
        for mut identity in changed.identities {
            let same = self.identities.iter().find(|known| {
                known.credential == identity.credential && known.scope == identity.scope
            });
            if let Some(same) = same {
                names.insert(identity.name, same.name.clone());
                continue;
            }
            let own = identity.name.clone();
            let mut count = 1;
            while self.identities.iter().any(|known| known.name == identity.name) {
                count += 1;
                identity.name = format!("{own}-{count}");
            }
            names.insert(own, identity.name.clone());
            self.identities.push(identity);
        }
        for mut volume in changed.volumes {
            let files = volume.files.iter_mut().map(|file| &mut file.identity);
            let selections = volume.selections.iter_mut().map(|selection| &mut selection.identity);
            for identity in files.chain(selections) {
                if let Some(name) = names.get(identity) {
                    identity.clone_from(name);
                }
            }
            self.volumes.push(volume);
        }
        self.secrets.extend(changed.secrets);
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
