//! Name of the token volume, and its paths: those of three releases of Azure Workload Identity.

use super::skip::Skipped;
use super::wanted::Wanted;
use crate::mutate::earlier_run::is_sidecar;
use crate::mutate::names::TOKEN_VOLUME_PREFIX;
use crate::pod::{Pod, ProjectedSource, Volume};
use crate::settings::TokenLayout;
use keysluice_plan::is_label;
use sha2::{Digest, Sha256};

pub(super) const MOUNT_PATH: &str = "/var/run/secrets/azure/wi";
pub(super) const TOKEN_PATH: &str = "token/azure-identity-token";
/// Hexadecimal digits of SHA-256 over the pod's name; with the prefix a volume's name has 63
/// characters.
pub(super) const HASH_LENGTH: usize = 30;
/// Azure Workload Identity up to v1.5.
pub(super) const V1_5_NAME: &str = "azure-identity-token";
pub(super) const V1_5_MOUNT_PATH: &str = "/var/run/secrets/azure/tokens";
const V1_5_TOKEN_PATH: &str = "azure-identity-token";

/// Name of the volume, and where it is mounted.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) mount_path: String,
    pub(super) layout: TokenLayout,
}

impl Place {
    /// That of an earlier run or of Azure Workload Identity, and the volume's position.
    ///
    /// Where it is mounted is read from the containers that get the identity: a skipped one may
    /// mount the volume anywhere, or one of its name that is only now added.
    pub(super) fn found(pod: &Pod<'_>, wanted: Wanted<'_>) -> Option<(usize, Self)> {
        let volumes = pod.volumes();
        if let Some(index) = volumes.iter().position(|volume| is_reserved(&volume.name)) {
            let name = volumes[index].name.to_string();
            let mut paths = Mounted::of(pod, &name).by_injected.into_iter();
            let (mount_path, layout) = match paths.find(|path| is_hashed(path)) {
                Some(hashed) => (hashed, TokenLayout::V1_6_1),
                None => (MOUNT_PATH, TokenLayout::V1_6_0),
            };
            let mount_path = mount_path.to_owned();
            return Some((index, Self { name, mount_path, layout }));
        }
        let index = volumes.iter().position(|volume| {
            &*volume.name == V1_5_NAME
                && sources(volume).iter().any(|source| is_token_at(source, V1_5_TOKEN_PATH))
        })?;
        // Mounted elsewhere it is the user's own. Mounted nowhere it is that of a pod whose
        // containers are all skipped; so it is where only skipped ones mount it, if it is what an
        // earlier run adds.
        let mounted = Mounted::of(pod, V1_5_NAME);
        let is_injected = match &mounted.by_injected[..] {
            [] => {
                !mounted.by_skipped
                    || mounted.at_path_by_skipped
                    || (wanted.layout == TokenLayout::V1_5
                        && is_own_v1_5(&volumes[index], wanted.audience))
            }
            paths => mounted.at_path_by_skipped || paths.contains(&V1_5_MOUNT_PATH),
        };
        is_injected.then(|| {
            let (name, mount_path) = (V1_5_NAME.to_owned(), V1_5_MOUNT_PATH.to_owned());
            (index, Self { name, mount_path, layout: TokenLayout::V1_5 })
        })
    }

    /// That of a new volume.
    pub(super) fn new(pod: &Pod<'_>, layout: TokenLayout) -> Self {
        let mut hash = String::with_capacity(HASH_LENGTH);
        for byte in &Sha256::digest(pod.display_name().as_bytes())[..HASH_LENGTH / 2] {
            for digit in [byte >> 4, byte & 15] {
                hash.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        let name = format!("{TOKEN_VOLUME_PREFIX}{hash}");
        let (name, mount_path) = match layout {
            TokenLayout::V1_6_0 => (name, MOUNT_PATH.to_owned()),
            TokenLayout::V1_6_1 => (name, format!("{MOUNT_PATH}/{hash}")),
            TokenLayout::V1_5 => (V1_5_NAME.to_owned(), V1_5_MOUNT_PATH.to_owned()),
        };
        Self { name, mount_path, layout }
    }

    /// Path of the token in the volume.
    pub(super) fn token_path(&self) -> &'static str {
        if self.layout == TokenLayout::V1_5 { V1_5_TOKEN_PATH } else { TOKEN_PATH }
    }
}

/// Whether a volume of this name is one of Azure Workload Identity's from v1.6 on: what Kubernetes
/// would not take is nobody's.
fn is_reserved(name: &str) -> bool {
    name.starts_with(TOKEN_VOLUME_PREFIX) && is_label(name)
}

/// Whether a path ends with the hash of a pod's name.
fn is_hashed(path: &str) -> bool {
    path.strip_prefix(MOUNT_PATH)
        .is_some_and(|rest| rest.starts_with('/') && rest.len() == HASH_LENGTH + 1)
}

/// Whether a volume has the token that an earlier run adds in the layout of v1.5.
fn is_own_v1_5(volume: &Volume<'_>, audience: &str) -> bool {
    let mut tokens =
        sources(volume).iter().filter_map(|source| source.service_account_token.as_ref());
    tokens
        .any(|token| &*token.path == V1_5_TOKEN_PATH && token.audience.as_deref() == Some(audience))
}

/// Where a volume is mounted.
#[derive(Default)]
struct Mounted<'p> {
    /// Paths in the containers that get the identity, the sidecar among them.
    by_injected: Vec<&'p str>,
    by_skipped: bool,
    /// Where v1.5 mounts it, which a container had before somebody put it on the list.
    at_path_by_skipped: bool,
}

impl<'p> Mounted<'p> {
    fn of(pod: &'p Pod<'_>, name: &str) -> Self {
        // A list that is too long is refused elsewhere.
        let skipped = Skipped::of(pod).unwrap_or_default();
        let mut mounted = Self::default();
        for (_, container) in pod.all_containers() {
            let is_injected = is_sidecar(container) || !skipped.contains(&container.name);
            for mount in container.mounts().iter().filter(|mount| &*mount.name == name) {
                if is_injected {
                    mounted.by_injected.push(&mount.mount_path);
                } else {
                    mounted.by_skipped = true;
                    mounted.at_path_by_skipped |= &*mount.mount_path == V1_5_MOUNT_PATH;
                }
            }
        }
        mounted
    }
}

/// Sources of a projected volume.
pub(super) fn sources<'v, 'a>(volume: &'v Volume<'a>) -> &'v [ProjectedSource<'a>] {
    volume.projected.as_ref().and_then(|projected| projected.sources.as_deref()).unwrap_or_default()
}

/// Whether a source projects a token to this path.
pub(super) fn is_token_at(source: &ProjectedSource<'_>, path: &str) -> bool {
    source.service_account_token.as_ref().is_some_and(|token| &*token.path == path)
}
