//! What a Plan was made of beside its classes: the parts of the pod that the decision depends on.
//! The sidecar asks for its current Plan with them.

use super::context::Context;
use super::entries::MountEntry;
use super::names::{PLAN_DIRECTORY, PLAN_VOLUME, SIDECAR};
use super::served::{SecretVolume, Served};
use super::user::User;
use crate::pod::{Container, KeyToPath, Pod, SecurityContext, Volume};
use crate::settings::{PLAN_AUDIENCE, Settings};
use keysluice_plan::Source;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Where sidecars ask.
pub const PLAN_PATH: &str = "/v1/plan";
/// The kubelet renews the token when 80 % of this have passed.
const TOKEN_SECONDS: u32 = 3600;
/// Annotations of the pod that what is fetched depends on.
const ANNOTATIONS: [&str; 2] = ["keysluice.dev/refresh-interval", "keysluice.dev/size-limit"];

/// What the webhook keeps with the sidecar. A later version must read what an earlier one wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Basis {
    /// Annotations, volumes, users and mounts of the pod, as a pod.
    pub(super) pod: Value,
    /// The sidecar's user.
    pub(super) uid: i64,
    /// Its group, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gid: Option<i64>,
    /// The federated token in the sidecar; empty where it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) token_file: String,
    /// Whether the sidecar has a token for the token proxy.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) token_proxy: bool,
    /// The Secrets of service principals that the sidecar has.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) principals: BTreeSet<String>,
    /// Bytes that each volume holds.
    pub(super) sizes: BTreeMap<String, u64>,
    /// The Secrets that the pod writes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) secrets: BTreeSet<String>,
}

/// The field [`Basis::token_file`].
pub(super) const TOKEN_FILE: &str = "tokenFile";

/// What the sidecar of a pod was made with.
pub(super) struct Made<'m, 'a> {
    pub(super) served: &'m Served<'a>,
    pub(super) user: User,
    pub(super) token_file: &'m str,
}

/// The volume with the token for the webhook.
pub(super) fn volume() -> Value {
    json!({"name": PLAN_VOLUME, "projected": {"sources": [{"serviceAccountToken": {
        "path": "token", "expirationSeconds": TOKEN_SECONDS, "audience": PLAN_AUDIENCE}}]}})
}

/// Its mount in the sidecar.
pub(super) fn mount() -> MountEntry<'static> {
    MountEntry { name: PLAN_VOLUME, mount_path: PLAN_DIRECTORY, read_only: true }
}

/// Where the sidecar asks for its current Plan; `None` where the operator does not want that, or
/// the webhook's authority is not known.
pub(super) fn source(pod: &Pod<'_>, made: &Made<'_, '_>, context: Context<'_>) -> Option<Source> {
    let live = context.settings.live_plans.as_ref()?;
    let authorities = live.authorities.pem();
    // Classes alone change: a pod without one has nothing to ask for. Inline annotations stay as
    // they were.
    let of_pod = made.served.volumes.iter().filter_map(|volume| Some((volume, volume.index?)));
    let volumes: Vec<(&SecretVolume<'_>, usize)> = of_pod.collect();
    if authorities.is_empty() || volumes.is_empty() {
        return None;
    }
    let classes = volumes
        .iter()
        .map(|(volume, _)| (volume.class.name.clone(), volume.class.fingerprint().to_owned()));
    let basis = Basis {
        pod: reduced(pod, &volumes, context.settings),
        uid: made.user.uid,
        gid: made.user.gid,
        token_file: made.token_file.to_owned(),
        token_proxy: made.served.asks_token_proxy(),
        principals: made
            .served
            .volumes
            .iter()
            .filter_map(|volume| volume.principal().map(str::to_owned))
            .collect(),
        sizes: volumes
            .iter()
            .map(|(volume, _)| (volume.name.to_owned(), volume.size_limit_bytes()))
            .collect(),
        secrets: made.served.secrets.iter().map(|secret| secret.name.clone()).collect(),
    };
    Some(Source {
        url: format!("{}{PLAN_PATH}", live.url.trim_end_matches('/')),
        token_file: format!("{PLAN_DIRECTORY}/token"),
        authorities: authorities.to_string(),
        classes: classes.collect(),
        basis: serde_json::to_value(basis).ok()?,
    })
}

/// The pod without anything that the Plan does not depend on.
fn reduced(pod: &Pod<'_>, volumes: &[(&SecretVolume<'_>, usize)], settings: &Settings) -> Value {
    let of_endpoint = settings.token_endpoint.as_ref().map(|endpoint| &*endpoint.annotation);
    let annotations: Map<String, Value> = ANNOTATIONS
        .into_iter()
        .chain(of_endpoint)
        .filter_map(|key| Some((key.to_owned(), pod.metadata.annotations.find(key)?.into())))
        .collect();
    let names: BTreeSet<&str> = volumes.iter().map(|(volume, _)| volume.name).collect();
    let containers: Vec<Value> = pod
        .all_containers()
        .filter(|(_, container)| &*container.name != SIDECAR)
        .filter_map(|(_, container)| self::container(container, &names))
        .collect();
    let all = pod.volumes();
    let volumes: Vec<Value> = volumes.iter().map(|(_, index)| definition(&all[*index])).collect();
    let spec = json!({"volumes": volumes, "containers": containers,
        "securityContext": security(&pod.spec.security_context)});
    json!({"metadata": {"annotations": annotations}, "spec": without_nulls(spec)})
}

/// The user of a container that mounts one of the volumes.
fn container(container: &Container<'_>, names: &BTreeSet<&str>) -> Option<Value> {
    let mounts: BTreeSet<&str> = container
        .mounts()
        .iter()
        .map(|mount| &*mount.name)
        .filter(|name| names.contains(name))
        .collect();
    if mounts.is_empty() {
        return None;
    }
    let mounts: Vec<Value> =
        mounts.into_iter().map(|name| json!({"name": name, "mountPath": "/"})).collect();
    Some(json!({"name": &*container.name, "volumeMounts": mounts,
        "securityContext": security(&container.security_context)}))
}

fn security(context: &SecurityContext<'_>) -> Value {
    json!({"runAsUser": context.run_as_user, "runAsGroup": context.run_as_group,
        "fsGroup": context.fs_group, "supplementalGroups": context.supplemental_groups})
}

fn definition(volume: &Volume<'_>) -> Value {
    let mut definition = json!({"name": &*volume.name});
    if let Some(csi) = &volume.csi {
        let attributes: BTreeMap<&str, &str> = csi.volume_attributes.iter().collect();
        let credentials =
            csi.node_publish_secret_ref.as_ref().map(|name| json!({"name": &*name.name}));
        definition["csi"] = json!({"driver": &*csi.driver, "readOnly": csi.read_only,
            "volumeAttributes": attributes, "nodePublishSecretRef": credentials});
    }
    if !volume.secret.secret_name.is_empty() {
        let secret = &volume.secret;
        definition["secret"] = json!({"secretName": &*secret.secret_name,
            "optional": secret.optional, "items": items(secret.items.as_deref()),
            "defaultMode": secret.default_mode});
    }
    if let Some(projected) = &volume.projected {
        let sources = projected.sources.iter().flatten();
        let secrets = sources.filter(|source| !source.secret.name.is_empty()).map(|source| {
            json!({"secret": {"name": &*source.secret.name, "optional": source.secret.optional,
                "items": items(source.secret.items.as_deref())}})
        });
        definition["projected"] = json!({"defaultMode": projected.default_mode,
            "sources": secrets.collect::<Vec<_>>()});
    }
    definition
}

/// The keys of a Secret that a volume names; null where it takes all.
fn items(items: Option<&[KeyToPath<'_>]>) -> Value {
    items.map_or(Value::Null, |items| items.iter().map(item).collect())
}

fn item(item: &KeyToPath<'_>) -> Value {
    json!({"key": &*item.key, "path": &*item.path, "mode": item.mode})
}

/// A field that is null says what no field says, in more bytes.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| (key, without_nulls(value)));
            Value::Object(fields.filter(|(_, value)| !value.is_null()).collect())
        }
        Value::Array(values) => values.into_iter().map(without_nulls).collect(),
        value => value,
    }
}
