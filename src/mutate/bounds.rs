//! Sizes that no pod can have in a cluster, refused before anything is made of them.
//!
//! Kubernetes validates after the webhooks, so names of any length and containers of any number
//! arrive here, and each container gets a copy of what the pod and its ServiceAccount say.

use super::limits::{MAX_LABEL_BYTES, MAX_SUBDOMAIN_BYTES};
use crate::coded::coded;
use crate::pod::{Csi, Pod};

/// Containers of all kinds; a node runs a few hundred.
pub(super) const MAX_CONTAINERS: usize = 1000;

coded! {
    /// What is larger than any cluster stores or runs.
    #[derive(Debug, thiserror::Error)]
    pub enum TooLarge {
        /// The patch.
        #[error("what the pod's containers get exceeds {limit} bytes, more than a cluster stores")]
        [KS220] Patch {
            /// What is possible.
            limit: usize,
        },
        /// Too many containers.
        #[error("the pod has {count} containers, a node runs fewer than {limit}")]
        [KS221] Containers {
            /// Of all kinds.
            count: usize,
            /// What is possible.
            limit: usize,
        },
        /// A name.
        #[error("{field} has {bytes} bytes, Kubernetes allows {limit}")]
        [KS222] Name {
            /// Where it stands.
            field: String,
            /// Its length.
            bytes: usize,
            /// What is possible.
            limit: usize,
        },
        /// A client or tenant id.
        #[error(
            "{annotation} of ServiceAccount {account} has more than {limit} bytes, as no id has"
        )]
        [KS223] Id {
            /// Which annotation.
            annotation: &'static str,
            /// Of which ServiceAccount.
            account: String,
            /// What is possible.
            limit: usize,
        },
    }
}

impl TooLarge {
    /// A name that is longer than Kubernetes allows.
    pub fn name(field: String, bytes: usize, limit: usize) -> Self {
        Self::Name { field, bytes, limit }
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
        if bytes > MAX_SUBDOMAIN_BYTES {
            return Err(TooLarge::name(format!("/metadata/{field}"), bytes, MAX_SUBDOMAIN_BYTES));
        }
    }
    let bytes = pod.service_account().len();
    if bytes > MAX_SUBDOMAIN_BYTES {
        return Err(TooLarge::name(
            "/spec/serviceAccountName".to_owned(),
            bytes,
            MAX_SUBDOMAIN_BYTES,
        ));
    }
    for (pointer, container) in pod.all_containers() {
        let bytes = container.name.len();
        if bytes > MAX_LABEL_BYTES {
            return Err(TooLarge::name(format!("{pointer}/name"), bytes, MAX_LABEL_BYTES));
        }
    }
    for (index, volume) in pod.volumes().iter().enumerate() {
        let bytes = volume.name.len();
        if bytes > MAX_LABEL_BYTES {
            return Err(TooLarge::name(
                format!("/spec/volumes/{index}/name"),
                bytes,
                MAX_LABEL_BYTES,
            ));
        }
        let class = volume.csi.as_ref().and_then(Csi::class_name).unwrap_or_default();
        if class.len() > MAX_SUBDOMAIN_BYTES {
            let field = format!("/spec/volumes/{index}/csi/volumeAttributes/secretProviderClass");
            return Err(TooLarge::name(field, class.len(), MAX_SUBDOMAIN_BYTES));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod tests;
