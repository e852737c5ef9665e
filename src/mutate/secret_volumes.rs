//! Volumes with a Secret that the pod's own sidecar makes.
//!
//! The kubelet mounts volumes before it starts a container, so it would wait for such a Secret for
//! ever. The sidecar fills these volumes itself, from the objects that the Secret comes from.

use super::annotations::Annotations;
use super::refusal::{Refusal, cut};
use super::secret_cause::SecretCause;
use super::served::SecretVolume;
use crate::pod::{KeyToPath, Pod, Volume};
use crate::provider_class::{ClassPlan, FilePlan};
use keysluice_plan::{
    EntryPaths, FileMode, Layout, ObjectEncoding, ObjectFormat, ObjectType, Part, RelativePath,
    SecretKey, SyncedSecret,
};
use std::collections::BTreeMap;
use std::sync::Arc;

const TLS: &str = "kubernetes.io/tls";
/// What the kubelet adds to a mode where the pod has an fsGroup.
const GROUP_READ: i64 = 0o440;
const DEFAULT_MODE: i64 = 0o644;

/// The Secrets that the sidecar makes, and the volumes of their files.
#[derive(Clone, Copy)]
pub(super) struct Made<'s, 'a> {
    pub(super) secrets: &'s [SyncedSecret],
    pub(super) volumes: &'s [SecretVolume<'a>],
}

impl<'s> Made<'s, '_> {
    fn secret(&self, name: &str) -> Option<&'s SyncedSecret> {
        self.secrets.iter().find(|secret| secret.name == name)
    }
}

/// A Secret that a volume wants.
struct Source<'p> {
    secret: &'p str,
    items: Option<&'p [KeyToPath<'p>]>,
    is_optional: bool,
}

/// The volume that the sidecar fills instead of the kubelet, if its Secrets are all ours.
pub(super) fn of<'a>(
    pod: &'a Pod<'_>,
    index: usize,
    made: Made<'_, '_>,
    annotations: &Annotations,
) -> Result<Option<SecretVolume<'a>>, Refusal> {
    let volume = &pod.volumes()[index];
    let Some((sources, default_mode)) = sources(volume, made)? else { return Ok(None) };
    let has_group = pod.spec.security_context.fs_group.is_some();
    let default_mode = default_mode.unwrap_or(DEFAULT_MODE);
    let mut files = Vec::new();
    let mut first: Option<&SecretVolume<'_>> = None;
    for source in &sources {
        let Some(secret) = made.secret(source.secret) else { continue };
        let from = secret.data.first().map(|datum| &*datum.volume).unwrap_or_default();
        let Some(of_class) = made.volumes.iter().find(|volume| volume.name == from) else {
            continue;
        };
        let first = *first.get_or_insert(of_class);
        if first.plan.identity != of_class.plan.identity || first.plan.cloud != of_class.plan.cloud
        {
            let problem = "its class has another identity than those of the volume's other Secrets";
            return Err(refusal(volume, secret, "", problem));
        }
        for (key, path, own) in wanted(volume, secret, source)? {
            let path: Result<RelativePath, _> = path.parse();
            let path =
                path.map_err(|error| refusal(volume, secret, &key.key, &format!("path: {error}")))?;
            let bits = own.unwrap_or(default_mode) | if has_group { GROUP_READ } else { 0 };
            let bits = format!("{bits:o}").parse::<FileMode>().map_err(|_| {
                refusal(volume, secret, &key.key, "its mode is not between 0 and 0777")
            })?;
            let file = file(secret, key, &of_class.plan)
                .map_err(|problem| refusal(volume, secret, &key.key, problem))?;
            files.push(FilePlan { path, mode: bits, ..file });
        }
    }
    let Some(first) = first else { return Ok(None) };
    let paths =
        files.iter().map(|file| EntryPaths { path: &file.path, history: None, split: false });
    if let Err(collision) = Layout::new(paths, []).path_set() {
        let problem = format!("two keys have the path {}", cut(collision.path.as_str()));
        let secret = made.secret(sources[0].secret).unwrap_or(&made.secrets[0]);
        return Err(refusal(volume, secret, "", &problem));
    }
    let plan = ClassPlan {
        identity: first.plan.identity.clone(),
        cloud: first.plan.cloud.clone(),
        files,
        selections: Vec::new(),
        templates: Vec::new(),
        refresh_interval: first.plan.refresh_interval,
        mode: first.plan.mode,
        warnings: Vec::new(),
    };
    Ok(Some(SecretVolume {
        index: Some(index),
        name: &volume.name,
        plan: Arc::new(plan),
        class: Arc::clone(&first.class),
        size_limit: annotations.size_limit,
        mounted_in: Vec::new(),
    }))
}

/// The Secrets of a volume and its mode, if they are all ours; what else the pod waits for is
/// refused elsewhere.
fn sources<'p>(
    volume: &'p Volume<'_>,
    made: Made<'_, '_>,
) -> Result<Option<(Vec<Source<'p>>, Option<i64>)>, Refusal> {
    let of_volume = &volume.secret;
    if made.secret(&of_volume.secret_name).is_some() {
        let source = Source {
            secret: &of_volume.secret_name,
            items: of_volume.items.as_deref(),
            is_optional: of_volume.optional == Some(true),
        };
        return Ok(Some((vec![source], of_volume.default_mode)));
    }
    let Some(projected) = &volume.projected else { return Ok(None) };
    let all = projected.sources.as_deref().unwrap_or_default();
    let secrets = all.iter().map(|source| &source.secret);
    let (ours, others): (Vec<_>, Vec<_>) =
        secrets.partition(|secret| made.secret(&secret.name).is_some());
    if ours.is_empty() {
        return Ok(None);
    }
    if let (false, Some(needed)) =
        (others.is_empty(), ours.iter().find(|secret| secret.optional != Some(true)))
    {
        let (volume, secret) = (volume.name.to_string(), cut(&needed.name));
        return Err(SecretCause::MixedProjection { volume, secret }.into());
    }
    if !others.is_empty() {
        return Ok(None);
    }
    let sources = ours.into_iter().map(|secret| Source {
        secret: &secret.name,
        items: secret.items.as_deref(),
        is_optional: secret.optional == Some(true),
    });
    Ok(Some((sources.collect(), projected.default_mode)))
}

/// Key, path and mode of each file that a volume wants of a Secret.
fn wanted<'w>(
    volume: &Volume<'_>,
    secret: &'w SyncedSecret,
    source: &'w Source<'_>,
) -> Result<Vec<(&'w SecretKey, &'w str, Option<i64>)>, Refusal> {
    let items = source.items.unwrap_or_default();
    if items.is_empty() {
        return Ok(secret.data.iter().map(|datum| (datum, datum.key.as_str(), None)).collect());
    }
    let mut wanted = Vec::new();
    let by_key: BTreeMap<_, _> = secret.data.iter().map(|datum| (&*datum.key, datum)).collect();
    for item in items {
        match by_key.get(&*item.key) {
            Some(&datum) => wanted.push((datum, &*item.path, item.mode)),
            None if source.is_optional => {}
            None => return Err(refusal(volume, secret, &item.key, "the Secret has no such key")),
        }
    }
    Ok(wanted)
}

/// The file with the content that the Secret has under a key.
fn file(
    secret: &SyncedSecret,
    key: &SecretKey,
    plan: &ClassPlan,
) -> Result<FilePlan, &'static str> {
    let exact = plan.files.iter().find(|file| file.path == key.path && file.history.is_none());
    let (file, part) = match (exact, half(plan, key.path.as_str())) {
        (Some(file), _) => (file, of_tls(secret, key, file)?),
        (None, Some((file, part))) => (file, Some(part)),
        (None, None) if plan.templates.iter().any(|made| made.path == key.path) => {
            return Err("it is made by a template; mount the class's own volume instead");
        }
        (None, None) => {
            return Err("it is one version of a history, or a secret that select finds");
        }
    };
    let mut file = file.clone();
    if part.is_some() {
        file.part = part;
        file.format = ObjectFormat::Pem;
        file.encoding = ObjectEncoding::Utf8;
    }
    (file.split, file.owner, file.group) = (false, None, None);
    Ok(file)
}

/// The split certificate whose chain or key has this path.
fn half<'p>(plan: &'p ClassPlan, path: &str) -> Option<(&'p FilePlan, Part)> {
    let (stem, part) = path
        .strip_suffix(".crt")
        .map(|stem| (stem, Part::Chain))
        .or_else(|| path.strip_suffix(".key").map(|stem| (stem, Part::Key)))?;
    let mut split = plan.files.iter().filter(|file| file.split && file.history.is_none());
    Some((split.find(|file| file.path.as_str() == stem)?, part))
}

/// The part of a certificate that a TLS Secret has under a key.
fn of_tls(
    secret: &SyncedSecret,
    key: &SecretKey,
    file: &FilePlan,
) -> Result<Option<Part>, &'static str> {
    let part = match key.key.as_str() {
        "tls.crt" => Part::Chain,
        "tls.key" => Part::Key,
        _ => return Ok(file.part),
    };
    let is_whole = file.part.is_none_or(|part| part == Part::Pfx);
    if secret.secret_type != TLS || file.object_type != ObjectType::Secret || !is_whole {
        return Ok(file.part);
    }
    let is_encoded = file.encoding != ObjectEncoding::Utf8 && file.format != ObjectFormat::Pfx;
    if is_encoded || file.json_key.is_some() {
        return Err("it is a part of a certificate in an encoded value or a JSON document");
    }
    Ok(Some(part))
}

fn refusal(volume: &Volume<'_>, secret: &SyncedSecret, key: &str, problem: &str) -> Refusal {
    let key = if key.is_empty() { String::new() } else { format!(", key {:?}", cut(key)) };
    SecretCause::Volume {
        volume: volume.name.to_string(),
        secret: cut(&secret.name),
        key,
        problem: problem.to_owned(),
    }
    .into()
}

#[cfg(test)]
#[path = "secret_volumes_tests.rs"]
mod tests;
