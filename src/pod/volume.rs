//! Volumes: the sources that the webhook reads.

use super::reference::{ConfigMapSource, SecretName};
use crate::json::{StringMap, Text, view};

view! {
    /// One volume; the sources we care about.
    pub struct Volume<'a> {
        /// Name.
        "name" name: Text<'a>,
        /// An inline CSI volume.
        "csi" csi: Option<Csi<'a>>,
        /// A Secret.
        "secret" secret: SecretVolumeSource<'a>,
        /// A projected volume.
        "projected" projected: Option<Projected<'a>>,
        /// A share of Azure Files, with its credentials in a Secret.
        "azureFile" azure_file: SecretVolumeSource<'a>,
    }

    /// An inline CSI volume.
    pub struct Csi<'a> {
        /// `secrets-store.csi.k8s.io` for those that concern us.
        "driver" driver: Text<'a>,
        /// Must be true for the Secrets Store CSI driver.
        "readOnly" read_only: Option<bool>,
        /// `secretProviderClass` and overrides of its parameters.
        "volumeAttributes" volume_attributes: StringMap<'a>,
        /// A Secret with service-principal credentials.
        "nodePublishSecretRef" node_publish_secret_ref: Option<SecretName<'a>>,
    }

    /// A volume with a Secret's keys.
    pub struct SecretVolumeSource<'a> {
        /// Name of the Secret; empty where there is none.
        "secretName" secret_name: Text<'a>,
        /// Whether the pod also starts without it.
        "optional" optional: Option<bool>,
        /// Its keys; all where there is none.
        "items" items: Option<Vec<KeyToPath<'a>>>,
        /// Mode of the files.
        "defaultMode" default_mode: Option<i64>,
    }

    /// One key of a Secret as a file.
    pub struct KeyToPath<'a> {
        /// The key.
        "key" key: Text<'a>,
        /// The file below the volume.
        "path" path: Text<'a>,
        /// Its mode.
        "mode" mode: Option<i64>,
    }

    /// A projected volume.
    pub struct Projected<'a> {
        /// Mode of the files.
        "defaultMode" default_mode: Option<i64>,
        /// Its sources.
        "sources" sources: Option<Vec<ProjectedSource<'a>>>,
    }

    /// One source of a projected volume.
    pub struct ProjectedSource<'a> {
        /// A ServiceAccount token.
        "serviceAccountToken" service_account_token: Option<ServiceAccountToken<'a>>,
        /// A ConfigMap.
        "configMap" config_map: Option<ConfigMapSource<'a>>,
        /// Keys of a Secret.
        "secret" secret: ProjectedSecret<'a>,
        /// A ClusterTrustBundle.
        "clusterTrustBundle" cluster_trust_bundle: Option<ClusterTrustBundleSource<'a>>,
    }

    /// Keys of a Secret; the name is empty where there is none.
    pub struct ProjectedSecret<'a> {
        /// Its name.
        "name" name: Text<'a>,
        /// Its keys; all where there is none.
        "items" items: Option<Vec<KeyToPath<'a>>>,
        /// Whether the pod also starts without it.
        "optional" optional: Option<bool>,
    }

    /// A projected ClusterTrustBundle.
    pub struct ClusterTrustBundleSource<'a> {
        /// Its signer.
        "signerName" signer_name: Text<'a>,
    }

    /// A projected ServiceAccount token.
    pub struct ServiceAccountToken<'a> {
        /// Audience.
        "audience" audience: Option<Text<'a>>,
        /// Lifetime in seconds.
        "expirationSeconds" expiration_seconds: Option<i64>,
        /// File below the volume.
        "path" path: Text<'a>,
    }
}

impl Csi<'_> {
    /// The SecretProviderClass that it names.
    pub fn class_name(&self) -> Option<&str> {
        self.volume_attributes.find("secretProviderClass").filter(|name| !name.is_empty())
    }
}
