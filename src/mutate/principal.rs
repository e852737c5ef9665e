//! The Secrets of service principals: the kubelet mounts each into the sidecar alone, so it takes
//! no right at the API server.

use super::entries::MountEntry;
use super::names::PRINCIPAL_VOLUME_PREFIX;
use super::refusal::{Refusal, cut};
use super::secret_cause::SecretCause;
use super::served::{SecretVolume, Served};
use crate::plan::PRINCIPALS_DIRECTORY;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Read-only for all: the files belong to root, and the sidecar runs as the application's user.
const MODE: u32 = 0o444;

/// One Secret, its volume and where the sidecar has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Principal<'s> {
    secret: &'s str,
    volume: String,
    path: String,
}

/// The Secrets that these volumes need, each once.
pub(super) fn all<'s>(volumes: &'s [SecretVolume<'_>]) -> Vec<Principal<'s>> {
    let secrets: BTreeSet<&str> = volumes.iter().filter_map(SecretVolume::principal).collect();
    let numbered = secrets.into_iter().enumerate();
    numbered
        .map(|(index, secret)| Principal {
            secret,
            volume: format!("{PRINCIPAL_VOLUME_PREFIX}{index}"),
            path: format!("{PRINCIPALS_DIRECTORY}/{secret}"),
        })
        .collect()
}

impl Principal<'_> {
    pub(super) fn volume(&self) -> Value {
        json!({"name": self.volume,
            "secret": {"secretName": self.secret, "defaultMode": MODE}})
    }

    pub(super) fn mount(&self) -> MountEntry<'_> {
        MountEntry { name: &self.volume, mount_path: &self.path, read_only: true }
    }
}

/// Refuses a Secret that the sidecar itself makes: it would need its content to make it.
pub(super) fn check(served: &Served<'_>, namespace: &str) -> Result<(), Refusal> {
    for secret in &served.secrets {
        let mut volumes = served.volumes.iter();
        if let Some(volume) = volumes.find(|volume| volume.principal() == Some(&*secret.name)) {
            return Err(SecretCause::TooLate {
                user: format!("nodePublishSecretRef of volume {:?}", volume.name),
                secret: cut(&secret.name),
                class: format!("{namespace}/{}", secret.class),
            }
            .into());
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "principal_tests.rs"]
mod tests;
