//! `keysluice doctor`: looks whether everything is there, and says what to do where it is not.
//!
//! A check is a pure function over gathered [`Facts`]; asking the cluster is in `gather`, printing
//! in `report`.

mod checks;
mod facts;
mod gather;
mod report;

use super::{FAILED, Failure, object_name};
use crate::cluster::api::Client;
use crate::settings::CsiVolumes;
use clap::{Args, ValueEnum};
use facts::{Facts, Installation};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Check whether a cluster has what an installation needs.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Check before an installation or an upgrade; the chart runs this as a hook.
    #[arg(long, required = true)]
    pre: bool,
    /// Namespace of the installation.
    #[arg(long, env = "KEYSLUICE_NAMESPACE", default_value = "keysluice-system",
        value_parser = object_name, value_name = "NAME")]
    namespace: String,
    /// Name of its objects (fullnameOverride of the chart).
    #[arg(long = "name", env = "KEYSLUICE_NAME", default_value = "keysluice",
        value_parser = object_name, value_name = "NAME")]
    name: String,
    /// Handling of Secrets Store CSI volumes in the installation.
    #[arg(
        long,
        env = "KEYSLUICE_CSI_VOLUMES",
        default_value = "auto",
        value_name = "auto|replace|leave"
    )]
    csi_volumes: CsiVolumes,
    /// The pod in that namespace whose containers run both images; without it the images are not
    /// checked.
    #[arg(long, env = "KEYSLUICE_POD", value_parser = object_name, value_name = "NAME")]
    pod: Option<String>,
    /// The container of that pod that runs the sidecar's image and ends.
    #[arg(
        long,
        env = "KEYSLUICE_INJECTOR_CONTAINER",
        default_value = "injector",
        value_name = "NAME"
    )]
    injector_container: String,
    /// The installation pulls images with Secrets of its own namespace.
    #[arg(long, env = "KEYSLUICE_PULL_SECRETS")]
    pull_secrets: bool,
    /// Seconds to wait for that container.
    #[arg(long, env = "KEYSLUICE_WITHIN_SECONDS", default_value_t = 100,
        value_parser = clap::value_parser!(u64).range(..=3600), value_name = "SECONDS")]
    within_seconds: u64,
    /// Kubeconfig of the API server to ask; without it, the API server of the cluster in which the
    /// command runs.
    #[arg(long, env = "KEYSLUICE_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Output format.
    #[arg(short, long, env = "KEYSLUICE_OUTPUT", default_value = "text", value_name = "text|json")]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

impl Doctor {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        debug_assert!(self.pre, "clap requires it");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let client = Client::connect(self.kubeconfig.as_deref()).map_err(Failure::usage)?;
        drop(entered);
        let facts = runtime.block_on(self.facts(&client));
        let findings = checks::pre(&facts);
        match self.output {
            Output::Text => report::text(&findings)?,
            Output::Json => report::json(&findings)?,
        }
        Ok(if checks::failed(&findings) { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    }

    async fn facts(&self, client: &Client) -> Facts {
        let installation =
            Installation { namespace: self.namespace.clone(), name: self.name.clone() };
        let mut facts = gather::cluster(client, installation, self.csi_volumes).await;
        facts.pull_secrets = self.pull_secrets;
        if let Some(pod) = &self.pod {
            let patience = Duration::from_secs(self.within_seconds);
            let path = format!("/api/v1/namespaces/{}/pods/{pod}", self.namespace);
            facts.injector =
                Some(gather::container(client, &path, &self.injector_container, patience).await);
        }
        facts
    }
}
