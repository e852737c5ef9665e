//! Before an installation: whether the cluster has what it needs.
//!
//! A check is a pure function over gathered [`Facts`]; asking the cluster is in `gather`.

mod application;
mod checks;
mod facts;
mod gather;

use super::finding::Finding;
use crate::cluster::api::Client;
use crate::cli::object_name;
use crate::cli::shared_options::{CsiVolumesOption, SidecarOptions};
use clap::Args;
use facts::{Facts, Installation};
use gather::Cpu;
use std::time::Duration;

pub(super) use facts::{Fact, Unknown, items};
pub(super) use gather::unknown;

/// What the chart's hook sets.
#[derive(Debug, Args)]
pub(super) struct PreOptions {
    /// With --pre: name of the installation's objects (fullnameOverride of the chart).
    #[arg(long = "name", env = "KEYSLUICE_NAME", default_value = "keysluice",
        value_parser = object_name, value_name = "NAME")]
    name: String,
    #[command(flatten)]
    csi_volumes: CsiVolumesOption,
    #[command(flatten)]
    sidecar: SidecarOptions,
    /// With --pre: a namespace whose pods are to get a sidecar: its ResourceQuotas, LimitRanges and
    /// NetworkPolicies are checked too.
    #[arg(long, env = "KEYSLUICE_APPLICATION_NAMESPACE", requires = "pre",
        value_parser = object_name, value_name = "NAME")]
    application_namespace: Option<String>,
    /// With --pre: the pod of the installation whose containers run both images; without it the
    /// images are not checked.
    #[arg(long, env = "KEYSLUICE_POD", value_parser = object_name, value_name = "NAME")]
    pod: Option<String>,
    /// With --pre: the container of that pod that runs the sidecar's image and ends.
    #[arg(
        long,
        env = "KEYSLUICE_INJECTOR_CONTAINER",
        default_value = "injector",
        value_name = "NAME"
    )]
    injector_container: String,
    /// With --pre: the installation pulls images with Secrets of its own namespace.
    #[arg(long, env = "KEYSLUICE_PULL_SECRETS")]
    pull_secrets: bool,
    /// With --pre: seconds to wait for that container.
    #[arg(long, env = "KEYSLUICE_WITHIN_SECONDS", default_value_t = 100,
        value_parser = clap::value_parser!(u64).range(..=3600), value_name = "SECONDS")]
    within_seconds: u64,
}

impl PreOptions {
    /// Gathers the facts and judges them.
    pub(super) async fn findings(&self, client: &Client, namespace: &str) -> Vec<Finding> {
        checks::pre(&self.facts(client, namespace).await)
    }

    async fn facts(&self, client: &Client, namespace: &str) -> Facts {
        let installation =
            Installation { namespace: namespace.to_owned(), name: self.name.clone() };
        let mut facts = gather::cluster(client, installation, self.csi_volumes.csi_volumes).await;
        facts.pull_secrets = self.pull_secrets;
        if let Some(pod) = &self.pod {
            let patience = Duration::from_secs(self.within_seconds);
            let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
            facts.injector =
                Some(gather::container(client, &path, &self.injector_container, patience).await);
        }
        if let Some(namespace) = &self.application_namespace {
            let SidecarOptions { injector_cpu_request, injector_cpu_limit, .. } = &self.sidecar;
            let cpu =
                Cpu { request: injector_cpu_request.clone(), limit: injector_cpu_limit.clone() };
            facts.application = Some(gather::application(client, namespace, cpu).await);
        }
        facts
    }
}
