//! What the sidecar does for a pod: the volumes that it fills, the Secrets that it makes.

use super::limits::PROGRAM_VOLUME_BYTES;
use crate::pod::Pointer;
use crate::provider_class::{ClassPlan, FilePlan, IdentityChoice, ProviderClass};
use keysluice_plan::{
    Credential, MAX_OUTPUT_BYTES, ManagedIdentityEndpoint, SyncedSecret, Template,
};
use std::sync::Arc;

/// A Key Vault secret has at most 25 KiB; pages, directories and the key that stands beside it.
const FILE_BYTES: u64 = 32 << 10;
/// The number of secrets that a selection finds is unknown: 128 of the largest, a thousand small
/// ones.
const SELECTION_BYTES: u64 = 128 * FILE_BYTES;
const SMALLEST_BYTES: u64 = 1 << 20;
/// What the sidecar makes at most of the templates of a volume.
const MOST_TEMPLATE_BYTES: u64 = 4 << 20;

/// What the sidecar does for a pod.
#[derive(Debug, Default)]
pub(super) struct Served<'a> {
    /// The volumes that it fills.
    pub(super) volumes: Vec<SecretVolume<'a>>,
    /// The Secrets that it makes from their files.
    pub(super) secrets: Vec<SyncedSecret>,
    /// Whether containers start with the sidecar's program.
    pub(super) has_program: bool,
    /// The managed-identity endpoint that it serves.
    pub(super) endpoint: Option<ManagedIdentityEndpoint>,
}

impl Served<'_> {
    /// Whether the sidecar gets tokens from the token proxy.
    pub(super) fn asks_token_proxy(&self) -> bool {
        let of_endpoint = self.endpoint.iter().flat_map(|endpoint| &endpoint.identities);
        self.volumes.iter().any(SecretVolume::uses_token_proxy)
            || of_endpoint.map(|identity| &identity.credential).any(|credential| {
                matches!(credential, Credential::Federated { token_proxy: Some(_), .. })
            })
    }

    /// Bytes of all that the sidecar writes for other containers.
    pub(super) fn volume_bytes(&self) -> u64 {
        let volumes: u64 = self.volumes.iter().map(SecretVolume::size_limit_bytes).sum();
        volumes + if self.has_program { PROGRAM_VOLUME_BYTES } else { 0 }
    }
}

/// A volume that the sidecar fills.
#[derive(Debug)]
pub(super) struct SecretVolume<'a> {
    /// Position in the pod's volumes; `None` where the webhook adds it.
    pub(super) index: Option<usize>,
    /// Name in the pod.
    pub(super) name: &'a str,
    /// What goes into it.
    pub(super) plan: Arc<ClassPlan>,
    /// The class of it, which may make Secrets.
    pub(super) class: Arc<ProviderClass>,
    /// The pod's own size for it.
    pub(super) size_limit: Option<u64>,
    /// Containers into which the webhook mounts it.
    pub(super) mounted_in: Vec<Pointer>,
}

impl SecretVolume<'_> {
    /// Whether the pod's own token is needed for it.
    pub(super) fn is_federated(&self) -> bool {
        matches!(self.plan.identity, IdentityChoice::Federated { .. })
    }

    /// Whether a token for the token proxy is needed for it.
    pub(super) fn uses_token_proxy(&self) -> bool {
        matches!(self.plan.identity, IdentityChoice::TokenProxy { .. })
    }

    /// The Secret with the credentials for it.
    pub(super) fn principal(&self) -> Option<&str> {
        match &self.plan.identity {
            IdentityChoice::ServicePrincipal { secret, .. } => Some(secret),
            _ => None,
        }
    }

    /// Bytes of the tmpfs: two generations of all files, at least 1 MiB, unless the pod says
    /// otherwise.
    pub(super) fn size_limit_bytes(&self) -> u64 {
        self.size_limit.unwrap_or_else(|| {
            let files: u64 = self.plan.files.iter().map(file_bytes).sum();
            let selections = SELECTION_BYTES * self.plan.selections.len() as u64;
            let fetched = files + selections;
            let made = self.plan.templates.iter();
            let made = made.map(|made| template_bytes(&made.template, fetched));
            let templates = made.sum::<u64>().min(MOST_TEMPLATE_BYTES);
            (2 * (fetched + templates)).max(SMALLEST_BYTES)
        })
    }
}

/// Bytes of the file that a template makes: of its own text, and of all that it reads.
fn template_bytes(template: &Template, all: u64) -> u64 {
    let named = FILE_BYTES * template.files().count() as u64;
    let read = named + if template.has_loop() { all } else { 0 };
    (FILE_BYTES + read).min(MAX_OUTPUT_BYTES as u64)
}

/// Bytes of all files that one entry of the Plan makes: each version is one, and split certificates
/// stand there twice.
fn file_bytes(file: &FilePlan) -> u64 {
    let copies = if file.split { 2 } else { 1 };
    FILE_BYTES * copies * versions(file)
}

pub(super) fn versions(file: &FilePlan) -> u64 {
    file.history.unwrap_or(1).into()
}

#[cfg(test)]
mod tests {
    use crate::mutate::testing::{facts, labelled, run_with, settings};
    use serde_json::json;

    /// The tmpfs of so many inline files, and of this template.
    fn size(files: usize, template: &str) -> String {
        let mut annotations = serde_json::Map::new();
        for index in 0..files {
            let key = format!("keysluice.dev/file.f{index}");
            annotations.insert(key, json!("kv://vault-1/secrets/a"));
        }
        if !template.is_empty() {
            annotations.insert("keysluice.dev/template.t".to_owned(), json!(template));
        }
        let mut pod = labelled("pod", json!({"containers": [{"name": "app"}]}));
        pod["metadata"]["annotations"] = annotations.into();
        let (pod, _) = run_with(&pod, &settings(), &facts()).unwrap();
        let volumes = pod["spec"]["volumes"].as_array().unwrap();
        let volume = volumes.iter().find(|volume| volume["name"] == "keysluice-inline").unwrap();
        volume["emptyDir"]["sizeLimit"].as_str().unwrap().to_owned()
    }

    #[test]
    fn the_tmpfs_has_room_for_what_templates_make_of_the_files() {
        let each = "{% for path, value in files.items() %}{{ value }}{% endfor %}";
        for (files, template, expected) in [
            (4, "", "1Mi"),
            (31, "", "1984Ki"),
            (31, "text", "2Mi"),
            (31, "{{ files.f0 }}{{ files.f1 }}", "2176Ki"),
            (31, each, "4032Ki"),
            // A template makes at most 1 MiB.
            (64, each, "6Mi"),
        ] {
            assert_eq!(size(files, template), expected, "{files} {template}");
        }
    }
}
