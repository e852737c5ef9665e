//! Options of the installation that `doctor --pre` looks at as well.

use crate::settings::CsiVolumes;
use clap::Args;

/// Where Entra and the vaults are.
#[derive(Debug, Args)]
pub(super) struct CloudOption {
    /// Azure cloud by name, or a file with its definition (the JSON of Azure Stack) [also:
    /// AZURE_ENVIRONMENT].
    #[arg(long, env = "KEYSLUICE_CLOUD", value_name = "NAME|FILE")]
    pub(super) cloud: Option<String>,
}

/// The sidecar's container.
#[derive(Debug, Args)]
pub(super) struct SidecarOptions {
    /// Image of the sidecar.
    #[arg(
        id = "injector_image",
        long = "injector-image",
        env = "KEYSLUICE_INJECTOR_IMAGE",
        value_name = "REF"
    )]
    pub(super) image: Option<String>,
    /// CPU request of the sidecar (a LimitRange may require more).
    #[arg(id = "injector_cpu_request", long = "injector-cpu-request",
        env = "KEYSLUICE_INJECTOR_CPU_REQUEST", default_value = "1m",
        value_parser = quantity, value_name = "CPU")]
    pub(super) cpu_request: String,
    /// CPU limit of the sidecar (a ResourceQuota may require one); none by default.
    #[arg(id = "injector_cpu_limit", long = "injector-cpu-limit",
        env = "KEYSLUICE_INJECTOR_CPU_LIMIT", value_parser = quantity, value_name = "CPU")]
    pub(super) cpu_limit: Option<String>,
}

/// What happens to volumes of the CSI driver.
#[derive(Debug, Args)]
pub(super) struct CsiVolumesOption {
    /// Secrets Store CSI volumes: served by the sidecar (replace), left to the CSI driver (leave),
    /// or served if the cluster has no CSI driver (auto).
    #[arg(
        long,
        env = "KEYSLUICE_CSI_VOLUMES",
        default_value = "auto",
        value_name = "auto|replace|leave"
    )]
    pub(super) csi_volumes: CsiVolumes,
}

fn quantity(text: &str) -> Result<String, String> {
    if crate::quantity::is_cpu(text) {
        Ok(text.to_owned())
    } else {
        Err("not a CPU quantity such as 5m or 0.1".to_owned())
    }
}
