//! What the operator decided once, for every pod.

mod ca_bundle;
mod endpoint_key;
mod live_plans;
mod sidecar_proxy;
mod token_endpoint;

pub use ca_bundle::{CaBundleError, ca_bundle};
pub use endpoint_key::EndpointKey;
pub use live_plans::{Authorities, LivePlans, PLAN_AUDIENCE};
pub(crate) use sidecar_proxy::{NO_PROXY, exceptions, is_proxy, of_annotation, shown};
pub use token_endpoint::{CertificateSource, TokenEndpoint, TokenEndpointError, TokenEndpointText};

use crate::cloud::{Cloud, Clouds, DEFAULT_AUDIENCE};
use crate::provider_class::{Allowlist, TokenProxyUse};
use keysluice_plan::{LogFormat, TokenProxy};
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
    /// Where the token goes in the containers.
    pub token_layout: TokenLayout,
    /// The token proxy of AKS identity bindings.
    pub token_endpoint: Option<TokenEndpoint>,
    /// Image of the sidecar.
    pub injector_image: String,
    /// CPU that the sidecar requests.
    pub injector_cpu_request: String,
    /// Its CPU limit; none by default.
    pub injector_cpu_limit: Option<String>,
    /// How the sidecar writes its log.
    pub log_format: LogFormat,
    /// Proxy of the sidecar for Entra and the vaults; none by default.
    pub https_proxy: Option<String>,
    /// Hosts that the sidecar asks without the proxy.
    pub no_proxy: Option<String>,
    /// What happens to Secrets Store CSI volumes.
    pub csi_volumes: CsiVolumes,
    /// How variables get into the containers, where the pod does not say.
    pub env_mode: EnvMode,
    /// How often the sidecar asks the vault, where neither pod nor class says.
    pub refresh_interval: Duration,
    /// Whether certificate-backed secrets also make `.crt` and `.key` files, where the class does
    /// not say.
    pub split_certificates: bool,
    /// Vaults and tenants a class may name.
    pub limits: Allowlist,
    /// Where sidecars ask for their current Plan; `None` where they do not.
    pub live_plans: Option<LivePlans>,
    /// Whether a pod may have the address of IMDS served in its own network namespace.
    pub allow_intercept: bool,
    /// Makes the headers of managed-identity endpoints.
    pub endpoint_key: EndpointKey,
}

impl Settings {
    /// Audience of federated tokens.
    pub const DEFAULT_AUDIENCE: &'static str = DEFAULT_AUDIENCE;

    /// Image of the sidecar.
    pub const DEFAULT_INJECTOR_IMAGE: &'static str =
        concat!("ghcr.io/keysluice/injector:", env!("CARGO_PKG_VERSION"));
    /// The CSI driver's `rotationPollInterval`.
    pub const DEFAULT_REFRESH_INTERVAL: Duration = Duration::from_secs(120);

    /// Settings for a cloud, everything else at its default.
    pub fn new(cloud: Cloud) -> Self {
        Self {
            tenant_id: None,
            clouds: Clouds::new(cloud),
            audience: Self::DEFAULT_AUDIENCE.to_owned(),
            token_layout: TokenLayout::V1_6_0,
            token_endpoint: None,
            injector_image: Self::DEFAULT_INJECTOR_IMAGE.to_owned(),
            injector_cpu_request: "1m".to_owned(),
            injector_cpu_limit: None,
            log_format: LogFormat::default(),
            https_proxy: None,
            no_proxy: None,
            csi_volumes: CsiVolumes::Auto,
            env_mode: EnvMode::default(),
            refresh_interval: Self::DEFAULT_REFRESH_INTERVAL,
            split_certificates: false,
            limits: Allowlist::default(),
            live_plans: None,
            allow_intercept: false,
            endpoint_key: EndpointKey::default(),
        }
    }

    /// The token proxy, where the sidecar can ask one.
    pub(crate) fn token_proxy(&self) -> Option<TokenProxy> {
        self.token_endpoint.as_ref().and_then(TokenEndpoint::token_proxy)
    }

    /// Whether a class may ask for it.
    pub(crate) fn token_proxy_use(&self) -> TokenProxyUse {
        match self.token_proxy() {
            Some(_) => TokenProxyUse::OnRequest,
            None => TokenProxyUse::Unavailable,
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

/// How variables without a Secret get into the processes of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EnvMode {
    /// The kubelet reads them from a file (`fileKeyRef`, on since Kubernetes 1.35).
    #[default]
    File,
    /// The sidecar's program starts the container's command with them.
    Exec,
}

impl EnvMode {
    /// For `explain`.
    pub(crate) fn described(self) -> &'static str {
        match self {
            Self::File => "the kubelet reads them from a file (fileKeyRef)",
            Self::Exec => "the sidecar's program starts the containers' commands with them",
        }
    }
}

/// The value that was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not file or exec")]
pub struct EnvModeError(String);

impl std::str::FromStr for EnvMode {
    type Err = EnvModeError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "file" => Ok(Self::File),
            "exec" => Ok(Self::Exec),
            _ => Err(EnvModeError(text.to_owned())),
        }
    }
}

/// Where the token goes: releases of Azure Workload Identity moved it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenLayout {
    /// `/var/run/secrets/azure/tokens/azure-identity-token`, for programs that hard-coded it.
    V1_5,
    /// `/var/run/secrets/azure/wi/token/azure-identity-token`.
    V1_6_0,
    /// `/var/run/secrets/azure/wi/HASH/token/azure-identity-token`.
    V1_6_1,
}

/// The layout that was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not v1.5, v1.6.0 or v1.6.1")]
pub struct TokenLayoutError(String);

impl std::str::FromStr for TokenLayout {
    type Err = TokenLayoutError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "v1.5" => Ok(Self::V1_5),
            "v1.6.0" => Ok(Self::V1_6_0),
            "v1.6.1" => Ok(Self::V1_6_1),
            _ => Err(TokenLayoutError(text.to_owned())),
        }
    }
}
