//! Sizes that no pod can have in a cluster, refused before anything is made of them.
//!
//! Kubernetes validates after the webhooks, so names of any length and containers of any number
//! arrive here, and each container gets a copy of what the pod and its ServiceAccount say.

use super::refusal::{Cause, Refusal};
use crate::pod::Pod;

/// Containers of all kinds; a node runs a few hundred.
const MAX_CONTAINERS: usize = 1000;
/// Of a DNS label: containers, volumes.
pub(super) const LABEL_BYTES: usize = 63;
/// Of a DNS subdomain: pods, ServiceAccounts, classes.
pub(super) const SUBDOMAIN_BYTES: usize = 253;
/// Longest client or tenant id: a GUID has 36 characters, a domain at most 253.
pub(crate) const ID_BYTES: usize = 256;

/// What is larger than any cluster stores or runs.
#[derive(Debug, thiserror::Error)]
pub enum TooLarge {
    /// The patch.
    #[error("what the pod's containers get exceeds {limit} bytes, more than a cluster stores")]
    Patch {
        /// What is possible.
        limit: usize,
    },
    /// Too many containers.
    #[error("the pod has {count} containers, a node runs fewer than {limit}")]
    Containers {
        /// Of all kinds.
        count: usize,
        /// What is possible.
        limit: usize,
    },
    /// A name.
    #[error("{field} has {bytes} bytes, Kubernetes allows {limit}")]
    Name {
        /// Where it stands.
        field: String,
        /// Its length.
        bytes: usize,
        /// What is possible.
        limit: usize,
    },
    /// A client or tenant id.
    #[error("{annotation} of ServiceAccount {account} has more than {limit} bytes, as no id has")]
    Id {
        /// Which annotation.
        annotation: &'static str,
        /// Of which ServiceAccount.
        account: String,
        /// What is possible.
        limit: usize,
    },
}

impl TooLarge {
    /// A name that is longer than Kubernetes allows.
    pub fn name(field: String, bytes: usize, limit: usize) -> Self {
        Self::Name { field, bytes, limit }
    }
}

impl From<TooLarge> for Refusal {
    fn from(too_large: TooLarge) -> Self {
        Cause::TooLarge(too_large).into()
    }
}

/// Refuses more containers than a node runs, and names that Kubernetes would refuse.
pub(super) fn check(pod: &Pod<'_>) -> Result<(), TooLarge> {
    let count =
        pod.init_containers().len() + pod.containers().len() + pod.ephemeral_containers().len();
    if count > MAX_CONTAINERS {
        return Err(TooLarge::Containers { count, limit: MAX_CONTAINERS });
    }
    let metadata = &pod.metadata;
    for (field, name) in [("name", &metadata.name), ("generateName", &metadata.generate_name)] {
        let bytes = name.as_deref().unwrap_or_default().len();
        if bytes > SUBDOMAIN_BYTES {
            return Err(TooLarge::name(format!("/metadata/{field}"), bytes, SUBDOMAIN_BYTES));
        }
    }
    let bytes = pod.service_account().len();
    if bytes > SUBDOMAIN_BYTES {
        return Err(TooLarge::name("/spec/serviceAccountName".to_owned(), bytes, SUBDOMAIN_BYTES));
    }
    for (pointer, container) in pod.all_containers() {
        let bytes = container.name.len();
        if bytes > LABEL_BYTES {
            return Err(TooLarge::name(format!("{pointer}/name"), bytes, LABEL_BYTES));
        }
    }
    for (index, volume) in pod.volumes().iter().enumerate() {
        let bytes = volume.name.len();
        if bytes > LABEL_BYTES {
            return Err(TooLarge::name(format!("/spec/volumes/{index}/name"), bytes, LABEL_BYTES));
        }
        let class = volume.csi.as_ref().and_then(super::classes::class_name).unwrap_or_default();
        if class.len() > SUBDOMAIN_BYTES {
            let field = format!("/spec/volumes/{index}/csi/volumeAttributes/secretProviderClass");
            return Err(TooLarge::name(field, class.len(), SUBDOMAIN_BYTES));
        }
    }
    Ok(())
}

/// Whether a name could be a volume's: a DNS label.
pub(super) fn is_label(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty()
        && name.len() <= LABEL_BYTES
        && name.bytes().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod tests;
