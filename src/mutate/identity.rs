//! The identity: environment, projected token volume and mount, as Azure Workload Identity v1.6 injects them.

use super::refusal::{Cause, Refusal};
use super::{Context, Mutation};
use crate::admission::patch::Patch;
use crate::admission::pod::{Container, Pod, Pointer, Volume, VolumeMount};
use crate::reason;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The label a pod opts in with.
pub const USE_LABEL: &str = "azure.workload.identity/use";
/// ServiceAccount annotation: client id.
pub const CLIENT_ID_ANNOTATION: &str = "azure.workload.identity/client-id";
/// ServiceAccount annotation: tenant id.
pub const TENANT_ID_ANNOTATION: &str = "azure.workload.identity/tenant-id";
/// Full path of the token where nothing else is said.
pub const TOKEN_FILE: &str = "/var/run/secrets/azure/wi/token/azure-identity-token";

const EXPIRATION_ANNOTATION: &str = "azure.workload.identity/service-account-token-expiration";
const SKIP_CONTAINERS_ANNOTATION: &str = "azure.workload.identity/skip-containers";
const PROXY_ANNOTATION: &str = "azure.workload.identity/inject-proxy-sidecar";
/// What the names of token volumes begin with.
pub(super) const VOLUME_PREFIX: &str = "azure-workload-identity-reserved-";
const MOUNT_PATH: &str = "/var/run/secrets/azure/wi";
const TOKEN_PATH: &str = "token/azure-identity-token";
const EXPIRATION_SECONDS: std::ops::RangeInclusive<i64> = 3600..=86400;

/// What of a ServiceAccount matters: its `azure.workload.identity/` annotations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceAccount {
    /// `client-id`; never empty.
    pub client_id: Option<String>,
    /// `tenant-id`; never empty: an empty annotation falls back to the cluster default.
    pub tenant_id: Option<String>,
    /// `service-account-token-expiration`; never empty, not yet parsed.
    pub token_expiration: Option<String>,
}

impl ServiceAccount {
    /// Picks what matters out of a ServiceAccount's annotations.
    pub fn from_annotations<'a>(annotations: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut read = Self::default();
        for (key, value) in annotations.into_iter().filter(|(_, value)| !value.is_empty()) {
            let field = match key {
                CLIENT_ID_ANNOTATION => &mut read.client_id,
                TENANT_ID_ANNOTATION => &mut read.tenant_id,
                EXPIRATION_ANNOTATION => &mut read.token_expiration,
                _ => continue,
            };
            *field = Some(value.to_owned());
        }
        read
    }
}

/// Whether the pod carries the opt-in label.
pub(super) fn is_opted_in(pod: &Pod<'_>) -> bool {
    pod.metadata.labels.find(USE_LABEL) == Some("true")
}

/// The projected volume with the pod's token: one that is there already, or one to add.
pub(super) struct TokenVolume {
    name: String,
    existing: Option<usize>,
    differs: bool,
    expiration: i64,
    audience: String,
    token_file: &'static str,
}

/// A mount as it is written into the patch.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mount<'a> {
    name: &'a str,
    mount_path: &'a str,
    read_only: bool,
}

impl TokenVolume {
    /// Finds the volume by its reserved prefix (so a pod that was renamed between two runs keeps its one volume) or names a new
    /// one as Azure Workload Identity does.
    pub(super) fn of(pod: &Pod<'_>, context: Context<'_>) -> Result<Self, Refusal> {
        let expiration = expiration_seconds(pod, context)?;
        let audience = &context.settings.audience;
        let existing = pod.volumes().iter().position(|volume| volume.name.starts_with(VOLUME_PREFIX));
        let name = match existing {
            Some(index) => pod.volumes()[index].name.to_string(),
            None => volume_name(&pod.display_name()),
        };
        let differs = existing.is_some_and(|index| !is_token_volume(&pod.volumes()[index], expiration, audience));
        Ok(Self { name, existing, differs, expiration, audience: audience.clone(), token_file: TOKEN_FILE })
    }

    /// The mount every container gets.
    pub(super) fn mount(&self) -> Mount<'_> {
        Mount { name: &self.name, mount_path: MOUNT_PATH, read_only: true }
    }

    fn definition(&self) -> impl Serialize {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        enum Source<'a> {
            #[serde(rename_all = "camelCase")]
            ServiceAccountToken { path: &'a str, expiration_seconds: i64, audience: &'a str },
        }
        #[derive(Serialize)]
        struct Projected<'a> {
            sources: [Source<'a>; 1],
        }
        #[derive(Serialize)]
        struct Definition<'a> {
            name: &'a str,
            projected: Projected<'a>,
        }
        let (expiration_seconds, audience) = (self.expiration, self.audience.as_str());
        let source = Source::ServiceAccountToken { path: TOKEN_PATH, expiration_seconds, audience };
        Definition { name: &self.name, projected: Projected { sources: [source] } }
    }

    /// Full path of the token.
    pub(super) fn token_file(&self) -> &str {
        self.token_file
    }

    /// Adds the volume, or corrects one of the reserved name that is not what it should be.
    pub(super) fn add(&self, patch: &mut Patch, volume_count: &mut Option<usize>) {
        match self.existing {
            Some(index) if self.differs => patch.replace(format_args!("/spec/volumes/{index}"), self.definition()),
            Some(_) => {}
            None => {
                let end = volume_count.unwrap_or_default();
                patch.insert("/spec/volumes", *volume_count, end, self.definition());
                *volume_count = Some(end + 1);
            }
        }
    }
}

/// `azure-workload-identity-reserved-` and the first 30 hexadecimal digits of SHA-256 over the pod's name: 63 characters.
fn volume_name(pod_name: &str) -> String {
    let mut name = String::with_capacity(63);
    name.push_str(VOLUME_PREFIX);
    for byte in &Sha256::digest(pod_name.as_bytes())[..15] {
        for digit in [byte >> 4, byte & 15] {
            name.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    name
}

fn is_token_volume(volume: &Volume<'_>, expiration: i64, audience: &str) -> bool {
    let sources = volume.projected.as_ref().and_then(|projected| projected.sources.as_deref());
    let Some([source]) = sources else { return false };
    source.service_account_token.as_ref().is_some_and(|token| {
        &*token.path == TOKEN_PATH
            && token.expiration_seconds == Some(expiration)
            && token.audience.as_deref() == Some(audience)
    })
}

/// Pod annotation over ServiceAccount annotation over 3600; whichever wins must be valid.
fn expiration_seconds(pod: &Pod<'_>, context: Context<'_>) -> Result<i64, Refusal> {
    let of_account = context.facts.service_account.as_ref().and_then(|account| account.token_expiration.as_deref());
    let of_pod = pod.metadata.annotations.find(EXPIRATION_ANNOTATION).filter(|value| !value.is_empty());
    let Some(text) = of_pod.or(of_account) else { return Ok(*EXPIRATION_SECONDS.start()) };
    let value = text
        .parse::<i64>()
        .map_err(|_| Cause::ExpirationSyntax { key: EXPIRATION_ANNOTATION, value: text.to_owned() })?;
    if EXPIRATION_SECONDS.contains(&value) { Ok(value) } else { Err(Cause::ExpirationRange { value }.into()) }
}

/// Environment and mount for every container that is not skipped.
pub(super) fn inject(
    pod: &Pod<'_>,
    token: &TokenVolume,
    context: Context<'_>,
    mutation: &mut Mutation,
) -> Result<(), Refusal> {
    let annotations = &pod.metadata.annotations;
    if let Some(value) = annotations.find(PROXY_ANNOTATION)
        && !["false", "0", "f", ""].contains(&value.to_ascii_lowercase().as_str())
    {
        return Err(Cause::ProxySidecar { value: value.to_owned() }.into());
    }
    let Some(account) = &context.facts.service_account else {
        let (name, namespace) = (pod.service_account().to_owned(), context.namespace.to_owned());
        return Err(Cause::ServiceAccountMissing { name, namespace }.into());
    };
    if account.client_id.is_none() {
        let name = pod.service_account();
        mutation.warnings.push(format!(
            "{} ServiceAccount {name} has no annotation {CLIENT_ID_ANNOTATION}: AZURE_CLIENT_ID is not set",
            reason::KS250
        ));
    }
    let tenant = account.tenant_id.as_ref().or(context.settings.tenant_id.as_ref());
    let token_file = token.token_file();
    let environment = [
        ("AZURE_CLIENT_ID", account.client_id.as_deref().unwrap_or_default()),
        ("AZURE_TENANT_ID", tenant.map(String::as_str).unwrap_or_default()),
        ("AZURE_FEDERATED_TOKEN_FILE", token_file),
        ("AZURE_AUTHORITY_HOST", context.settings.clouds.default_cloud().authority.as_str()),
    ];
    let skipped: Vec<&str> =
        annotations.find(SKIP_CONTAINERS_ANNOTATION).unwrap_or_default().split(';').map(str::trim).collect();
    for (pointer, container) in pod.all_containers() {
        if super::sidecar::is_sidecar(container) || skipped.contains(&&*container.name) {
            continue;
        }
        add_environment(&mut mutation.patch, pointer, container, &environment);
        add_mount(&mut mutation.patch, pointer, container, token)?;
    }
    Ok(())
}

/// Adds each variable that is not there yet: at the end, or before the first entry that refers to it by `$(NAME)`.
fn add_environment(patch: &mut Patch, pointer: Pointer, container: &Container<'_>, environment: &[(&str, &str)]) {
    #[derive(Serialize)]
    struct Variable<'a> {
        name: &'a str,
        value: &'a str,
    }
    let mut present: Option<Vec<&str>> =
        container.env.as_ref().map(|env| env.iter().map(|entry| entry.value.as_deref().unwrap_or_default()).collect());
    let names = container.env.as_deref().unwrap_or_default();
    for (name, value) in environment.iter().filter(|(_, value)| !value.is_empty()) {
        if names.iter().any(|entry| &*entry.name == *name) {
            continue;
        }
        let values = present.as_deref().unwrap_or_default();
        let index = values.iter().position(|value| refers_to(value, name)).unwrap_or(values.len());
        let variable = Variable { name, value };
        patch.insert(format_args!("{pointer}/env"), present.as_ref().map(Vec::len), index, variable);
        present.get_or_insert_default().insert(index, "");
    }
}

/// Whether a value expands `$(name)`; `$$(name)` is an escape and does not (Kubernetes `expansion.Expand`).
fn refers_to(value: &str, name: &str) -> bool {
    if !value.contains("$(") {
        return false;
    }
    let reference = format!("$({name})");
    value.match_indices(&reference).any(|(at, _)| {
        let dollars = value[..at].bytes().rev().take_while(|byte| *byte == b'$').count();
        dollars % 2 == 0
    })
}

fn add_mount(patch: &mut Patch, pointer: Pointer, container: &Container<'_>, token: &TokenVolume) -> Result<(), Refusal> {
    let mounts = container.mounts();
    if let Some(other) =
        mounts.iter().find(|m| m.mount_path.trim_end_matches('/') == MOUNT_PATH && *m.name != *token.name)
    {
        let (container, volume) = (container.name.to_string(), other.name.to_string());
        return Err(Cause::TokenPathTaken { container, volume, path: MOUNT_PATH.to_owned() }.into());
    }
    let of_token = |mount: &VolumeMount<'_>| *mount.name == *token.name;
    let in_place = mounts.iter().position(|mount| of_token(mount) && &*mount.mount_path == MOUNT_PATH);
    match in_place.or_else(|| mounts.iter().position(of_token)) {
        None => {
            let count = container.volume_mounts.as_ref().map(Vec::len);
            patch.insert(format_args!("{pointer}/volumeMounts"), count, mounts.len(), token.mount());
        }
        Some(index) => {
            let mount = &mounts[index];
            let right = &*mount.mount_path == MOUNT_PATH
                && mount.read_only == Some(true)
                && mount.sub_path.as_deref().unwrap_or_default().is_empty()
                && mount.sub_path_expr.as_deref().unwrap_or_default().is_empty();
            if !right {
                patch.replace(format_args!("{pointer}/volumeMounts/{index}"), token.mount());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
