//! What the operator decided once, for every pod.

use crate::cloud::{Cloud, Clouds};
use crate::provider_class::Allowlist;
use std::time::Duration;

/// Settings of the webhook; the command line fills them.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tenant for ServiceAccounts that name none.
    pub tenant_id: Option<String>,
    /// The operator's cloud and the well-known ones.
    pub clouds: Clouds,
    /// Audience of the projected token.
    pub audience: String,
    /// Image of the sidecar.
    pub injector_image: String,
    /// What happens to Secrets Store CSI volumes.
    pub csi_volumes: CsiVolumes,
    /// How often the sidecar asks the vault, where neither pod nor class says.
    pub refresh_interval: Duration,
    /// Vaults and tenants a class may name.
    pub limits: Allowlist,
}

impl Settings {
    /// Audience that Entra expects of a federated token.
    pub const DEFAULT_AUDIENCE: &'static str = "api://AzureADTokenExchange";

    /// The CSI driver's `rotationPollInterval`.
    pub const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(120);

    /// Settings for a cloud, everything else at its default.
    pub fn new(cloud: Cloud) -> Self {
        Self {
            tenant_id: None,
            clouds: Clouds::new(cloud),
            audience: Self::DEFAULT_AUDIENCE.to_owned(),
            injector_image: concat!("ghcr.io/keysluice/injector:", env!("CARGO_PKG_VERSION")).to_owned(),
            csi_volumes: CsiVolumes::Auto,
            refresh_interval: Self::DEFAULT_REFRESH_INTERVAL,
            limits: Allowlist::default(),
        }
    }
}

/// What happens to Secrets Store CSI volumes of provider `azure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CsiVolumes {
    /// Replaced, unless the cluster has the CSI driver.
    Auto,
    /// Replaced by a tmpfs that the sidecar fills.
    Replace,
    /// Left to the CSI driver.
    Leave,
}

/// The value that was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not auto, replace or leave")]
pub struct CsiVolumesError(String);

impl std::str::FromStr for CsiVolumes {
    type Err = CsiVolumesError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "replace" => Ok(Self::Replace),
            "leave" => Ok(Self::Leave),
            _ => Err(CsiVolumesError(text.to_owned())),
        }
    }
}
