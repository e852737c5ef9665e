//! What the custom token endpoint means for one pod.

use crate::pod::{Pod, ProjectedSource};
use crate::settings::{CertificateSource, TokenEndpoint};
use serde_json::{Value, json};

impl TokenEndpoint {
    /// Whether the pod asks for it.
    pub(in crate::mutate) fn is_used_by(&self, pod: &Pod<'_>) -> bool {
        pod.metadata
            .annotations
            .find(&self.annotation)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

impl CertificateSource {
    /// Whether it becomes a file in the token volume.
    pub(super) fn is_file(&self) -> bool {
        !matches!(self, Self::Data(_))
    }

    /// The source of the projected volume.
    pub(in crate::mutate) fn projection(&self, path: &str) -> Option<Value> {
        match self {
            Self::Data(_) => None,
            Self::ConfigMap(name) => {
                Some(json!({"configMap": {"name": name, "items": [{"key": "ca.crt", "path": path}],
                    "optional": false}}))
            }
            Self::ClusterTrustBundle { signer_name, label_selector } => {
                let mut bundle =
                    json!({"signerName": signer_name, "path": path, "optional": false});
                if let Some(selector) = label_selector {
                    bundle["labelSelector"] = selector.clone();
                }
                Some(json!({"clusterTrustBundle": bundle}))
            }
        }
    }

    /// Whether a source of a volume that is there projects this authority.
    pub(super) fn is_projected_by(&self, source: &ProjectedSource<'_>) -> bool {
        match self {
            Self::Data(_) => false,
            Self::ConfigMap(name) => {
                source.config_map.as_ref().is_some_and(|map| *map.name == **name)
            }
            Self::ClusterTrustBundle { signer_name, .. } => source
                .cluster_trust_bundle
                .as_ref()
                .is_some_and(|bundle| *bundle.signer_name == **signer_name),
        }
    }
}
