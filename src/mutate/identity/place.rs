//! Name of the token volume, and its paths: those of three releases of Azure Workload Identity.

use super::VOLUME_PREFIX;
use crate::admission::pod::{Pod, ProjectedSource, Volume};
use crate::settings::TokenLayout;
use sha2::{Digest, Sha256};

pub(super) const MOUNT_PATH: &str = "/var/run/secrets/azure/wi";
pub(super) const TOKEN_PATH: &str = "token/azure-identity-token";
/// Hexadecimal digits of SHA-256 over the pod's name; with the prefix a volume's name has 63 characters.
pub(super) const HASH_LENGTH: usize = 30;
/// Azure Workload Identity up to v1.5.
pub(super) const V1_5_NAME: &str = "azure-identity-token";
const V1_5_MOUNT_PATH: &str = "/var/run/secrets/azure/tokens";
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
    pub(super) fn found(pod: &Pod<'_>) -> Option<(usize, Self)> {
        let volumes = pod.volumes();
        let mount_paths = |name: &str| {
            let name = name.to_owned();
            let mounts = pod.all_containers().flat_map(|(_, container)| container.mounts());
            mounts.filter(move |mount| *mount.name == *name).map(|mount| &*mount.mount_path)
        };
        if let Some(index) = volumes.iter().position(|volume| volume.name.starts_with(VOLUME_PREFIX)) {
            let name = volumes[index].name.to_string();
            let is_hashed = |path: &&str| {
                path.strip_prefix(MOUNT_PATH).is_some_and(|rest| rest.starts_with('/') && rest.len() == HASH_LENGTH + 1)
            };
            let (mount_path, layout) = match mount_paths(&name).find(is_hashed) {
                Some(hashed) => (hashed, TokenLayout::V1_6_1),
                None => (MOUNT_PATH, TokenLayout::V1_6_0),
            };
            let mount_path = mount_path.to_owned();
            return Some((index, Self { name, mount_path, layout }));
        }
        let of_1_5 = |volume: &Volume<'_>| {
            &*volume.name == V1_5_NAME && sources(volume).iter().any(|source| is_token_at(source, V1_5_TOKEN_PATH))
        };
        let index = volumes.iter().position(of_1_5)?;
        // Of this name but mounted elsewhere it is the user's own; mounted nowhere it is that of a pod whose containers are all skipped.
        let mut paths = mount_paths(V1_5_NAME).peekable();
        let is_injected = paths.peek().is_none() || paths.any(|path| path == V1_5_MOUNT_PATH);
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
        let name = format!("{VOLUME_PREFIX}{hash}");
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

/// Sources of a projected volume.
pub(super) fn sources<'v, 'a>(volume: &'v Volume<'a>) -> &'v [ProjectedSource<'a>] {
    volume.projected.as_ref().and_then(|projected| projected.sources.as_deref()).unwrap_or_default()
}

/// Whether a source projects a token to this path.
pub(super) fn is_token_at(source: &ProjectedSource<'_>, path: &str) -> bool {
    source.service_account_token.as_ref().is_some_and(|token| &*token.path == path)
}
