//! The projected volume with the pod's token: one that is there already, or one to add.

use super::account::EXPIRATION_ANNOTATION;
use super::{EXPIRATION_SECONDS, VOLUME_PREFIX};
use crate::admission::patch::Patch;
use crate::admission::pod::{Container, Pod, Pointer, ProjectedSource, Text, Volume, VolumeMount};
use crate::mutate::Context;
use crate::mutate::refusal::{Cause, Refusal};
use crate::settings::{CertificateSource, TokenLayout};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

const MOUNT_PATH: &str = "/var/run/secrets/azure/wi";
const TOKEN_PATH: &str = "token/azure-identity-token";
/// Path of the authority's certificate in the volume (custom token endpoint).
const CA_PATH: &str = "ca-cert/ca.crt";
/// Azure Workload Identity up to v1.5.
const V1_5_NAME: &str = "azure-identity-token";
const V1_5_MOUNT_PATH: &str = "/var/run/secrets/azure/tokens";
const V1_5_TOKEN_PATH: &str = "azure-identity-token";

/// The token volume of one pod.
#[derive(Debug)]
pub(in crate::mutate) struct TokenVolume {
    name: String,
    mount_path: String,
    token_path: &'static str,
    existing: Existing,
    expiration: i64,
    audience: String,
    /// Projects the authority's certificate beside the token.
    ca: Option<Value>,
}

/// A mount as it is written into the patch.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::mutate) struct MountEntry<'a> {
    name: &'a str,
    mount_path: &'a str,
    read_only: bool,
}

/// The volume as it is written into the patch.
#[derive(Serialize)]
struct Definition<'a> {
    name: &'a str,
    projected: Sources<'a>,
}

#[derive(Serialize)]
struct Sources<'a> {
    sources: Vec<Source<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Source<'a> {
    #[serde(rename_all = "camelCase")]
    Token {
        service_account_token: Token<'a>,
    },
    Certificate(&'a Value),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Token<'a> {
    path: &'a str,
    expiration_seconds: i64,
    audience: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    None,
    AsItShouldBe,
    /// Ours by name, but not what it should be.
    Differs(usize),
}

impl TokenVolume {
    /// Finds a volume that an earlier run or Azure Workload Identity left, by its reserved name (so a pod that was renamed between
    /// two runs keeps its one volume), or names a new one in the layout that is asked for.
    pub(in crate::mutate) fn of(
        pod: &Pod<'_>,
        layout: TokenLayout,
        audience: &str,
        ca: Option<&CertificateSource>,
        context: Context<'_>,
    ) -> Result<Self, Refusal> {
        let expiration = expiration_seconds(pod, context)?;
        let found = find(pod);
        let is_found = found.is_some();
        let (name, mount_path, token_path) = match found {
            Some((volume, Some(mount_path))) => (volume.to_owned(), mount_path, TOKEN_PATH),
            Some((_, None)) => (V1_5_NAME.to_owned(), V1_5_MOUNT_PATH.to_owned(), V1_5_TOKEN_PATH),
            None => new_place(pod, layout),
        };
        let has_ca_file = ca.is_some_and(CertificateSource::is_file) && name != V1_5_NAME;
        let existing = match pod.volumes().iter().position(|volume| *volume.name == *name) {
            None => Existing::None,
            // What Azure Workload Identity v1.5 injected is left as it is: pods that carry it expect it so.
            Some(_) if is_found && name == V1_5_NAME => Existing::AsItShouldBe,
            Some(index)
                if is_right(&pod.volumes()[index], token_path, expiration, audience, ca.filter(|_| has_ca_file)) =>
            {
                Existing::AsItShouldBe
            }
            Some(index) => Existing::Differs(index),
        };
        let ca = ca.filter(|_| has_ca_file).and_then(|ca| ca.projection(CA_PATH));
        let audience = audience.to_owned();
        Ok(Self { name, mount_path, token_path, existing, expiration, audience, ca })
    }

    /// Whether the pod has it already: ephemeral containers can only use one that is there.
    pub(in crate::mutate) fn exists(&self) -> bool {
        self.existing != Existing::None
    }

    /// The mount every container gets.
    pub(in crate::mutate) fn mount(&self) -> MountEntry<'_> {
        self.mount_at(&self.mount_path)
    }

    /// The same at another path.
    pub(in crate::mutate) fn mount_at<'a>(&'a self, path: &'a str) -> MountEntry<'a> {
        MountEntry { name: &self.name, mount_path: path, read_only: true }
    }

    fn definition(&self) -> Definition<'_> {
        let (path, expiration_seconds, audience) = (self.token_path, self.expiration, &*self.audience);
        let token = Source::Token { service_account_token: Token { path, expiration_seconds, audience } };
        let sources = std::iter::once(token).chain(self.ca.as_ref().map(Source::Certificate)).collect();
        Definition { name: &self.name, projected: Sources { sources } }
    }

    /// Whether a volume of this name is this one.
    pub(in crate::mutate) fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// Path of the token in the volume.
    pub(in crate::mutate) fn token_path(&self) -> &str {
        self.token_path
    }

    /// Full path of the token.
    pub(in crate::mutate) fn token_file(&self) -> String {
        format!("{}/{}", self.mount_path, self.token_path)
    }

    /// Full path of the authority's certificate, if one is projected.
    pub(super) fn ca_file(&self) -> Option<String> {
        self.ca.is_some().then(|| format!("{}/{CA_PATH}", self.mount_path))
    }

    /// Adds the volume, or corrects one of the reserved name that is not what it should be.
    pub(in crate::mutate) fn add(&self, patch: &mut Patch, volume_count: &mut Option<usize>) {
        match self.existing {
            Existing::Differs(index) => patch.replace(format_args!("/spec/volumes/{index}"), self.definition()),
            Existing::AsItShouldBe => {}
            Existing::None => {
                let end = volume_count.unwrap_or_default();
                patch.insert("/spec/volumes", *volume_count, end, self.definition());
                *volume_count = Some(end + 1);
            }
        }
    }

    /// Adds the mount to a container, or corrects one of the reserved volume that is not where it should be.
    pub(in crate::mutate) fn mount_into(
        &self,
        patch: &mut Patch,
        pointer: Pointer,
        container: &Container<'_>,
    ) -> Result<(), Refusal> {
        let mounts = container.mounts();
        let at_path = |mount: &VolumeMount<'_>| mount.mount_path.trim_end_matches('/') == self.mount_path;
        if let Some(other) = mounts.iter().find(|mount| at_path(mount) && *mount.name != *self.name) {
            let (container, volume) = (container.name.to_string(), other.name.to_string());
            return Err(Cause::TokenPathTaken { container, volume, path: self.mount_path.clone() }.into());
        }
        let of_token = |mount: &VolumeMount<'_>| *mount.name == *self.name;
        let in_place = mounts.iter().position(|mount| of_token(mount) && *mount.mount_path == *self.mount_path);
        match in_place.or_else(|| mounts.iter().position(of_token)) {
            None => {
                let count = container.volume_mounts.as_ref().map(Vec::len);
                patch.insert(format_args!("{pointer}/volumeMounts"), count, mounts.len(), self.mount());
            }
            Some(index) if !is_plain(&mounts[index], &self.mount_path) => {
                patch.replace(format_args!("{pointer}/volumeMounts/{index}"), self.mount());
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Whether a token path was injected by some version (the user's own paths are none of ours) and nothing serves it now.
    pub(super) fn is_astray(&self, path: &str, container: &Container<'_>) -> bool {
        let of_1_6 = path.strip_prefix(MOUNT_PATH).is_some_and(|rest| rest.ends_with(&format!("/{TOKEN_PATH}")));
        let of_1_5 = path == format!("{V1_5_MOUNT_PATH}/{V1_5_TOKEN_PATH}");
        let serves = |mount: &VolumeMount<'_>| {
            path.strip_prefix(mount.mount_path.trim_end_matches('/')).is_some_and(|rest| {
                rest.starts_with('/') && (*mount.name != *self.name || rest[1..] == *self.token_path)
            })
        };
        (of_1_6 || of_1_5) && !container.mounts().iter().any(serves)
    }
}

/// The volume of an earlier run: its name, and where it is mounted; no path for the layout of v1.5.
fn find<'a>(pod: &'a Pod<'_>) -> Option<(&'a str, Option<String>)> {
    let reserved = |volume: &&Volume<'_>| volume.name.starts_with(VOLUME_PREFIX);
    if let Some(volume) = pod.volumes().iter().find(reserved) {
        let mounts = || pod.all_containers().flat_map(|(_, container)| container.mounts());
        let hashed = mounts()
            .filter(|mount| *mount.name == *volume.name)
            .map(|mount| &*mount.mount_path)
            .find(|path| path.strip_prefix(MOUNT_PATH).is_some_and(|rest| rest.starts_with('/') && rest.len() == 31));
        return Some((&volume.name, Some(hashed.unwrap_or(MOUNT_PATH).to_owned())));
    }
    let of_1_5 = |volume: &&Volume<'_>| {
        &*volume.name == V1_5_NAME && token_of(volume).is_some_and(|path| path == V1_5_TOKEN_PATH)
    };
    let volume = pod.volumes().iter().find(of_1_5)?;
    let mounted = pod.all_containers().any(|(_, container)| {
        container.mounts().iter().any(|mount| &*mount.name == V1_5_NAME && &*mount.mount_path == V1_5_MOUNT_PATH)
    });
    // Of this name but mounted elsewhere it is the user's own.
    mounted.then_some((&volume.name, None))
}

fn token_of<'a>(volume: &'a Volume<'_>) -> Option<&'a str> {
    let sources = volume.projected.as_ref()?.sources.as_deref()?;
    sources.iter().find_map(|source| source.service_account_token.as_ref()).map(|token| &*token.path)
}

/// Name, mount path and token path of a new volume.
fn new_place(pod: &Pod<'_>, layout: TokenLayout) -> (String, String, &'static str) {
    // 30 hexadecimal digits of SHA-256 over the pod's name: with the prefix 63 characters.
    let mut hash = String::with_capacity(30);
    for byte in &Sha256::digest(pod.display_name().as_bytes())[..15] {
        for digit in [byte >> 4, byte & 15] {
            hash.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    let name = format!("{VOLUME_PREFIX}{hash}");
    match layout {
        TokenLayout::V1_6_0 => (name, MOUNT_PATH.to_owned(), TOKEN_PATH),
        TokenLayout::V1_6_1 => (name, format!("{MOUNT_PATH}/{hash}"), TOKEN_PATH),
        TokenLayout::V1_5 => (V1_5_NAME.to_owned(), V1_5_MOUNT_PATH.to_owned(), V1_5_TOKEN_PATH),
    }
}

fn is_right(volume: &Volume<'_>, path: &str, expiration: i64, audience: &str, ca: Option<&CertificateSource>) -> bool {
    let sources = volume.projected.as_ref().and_then(|projected| projected.sources.as_deref()).unwrap_or_default();
    let is_token = |source: &ProjectedSource<'_>| {
        source.service_account_token.as_ref().is_some_and(|token| {
            &*token.path == path
                && token.expiration_seconds == Some(expiration)
                && token.audience.as_deref() == Some(audience)
        })
    };
    match (sources, ca) {
        ([token], None) => is_token(token),
        ([token, source], Some(ca)) => is_token(token) && ca.is_projected_by(source),
        _ => false,
    }
}

fn is_plain(mount: &VolumeMount<'_>, path: &str) -> bool {
    let empty = |text: &Option<Text<'_>>| text.as_deref().unwrap_or_default().is_empty();
    &*mount.mount_path == path && mount.read_only == Some(true) && empty(&mount.sub_path) && empty(&mount.sub_path_expr)
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
