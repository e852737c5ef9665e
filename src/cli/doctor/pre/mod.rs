//! Before an installation: whether the cluster has what it needs.
//!
//! A check is a pure function over gathered [`Facts`]; asking the cluster is in `gather`.

mod application;
mod checks;
mod facts;
mod gather;
mod image;
mod probe;

use super::finding::Finding;
use crate::cli::shared_options::{CloudOption, CsiVolumesOption, SidecarOptions};
use crate::cli::{Failure, object_name, options};
use crate::cluster::api::Client;
use crate::settings::Settings;
use anyhow::Context as _;
use clap::Args;
use facts::{Facts, Installation, Wanted};
use gather::Cpu;
use std::time::Duration;

pub(super) use facts::{Fact, Unknown, items};
pub(super) use gather::unknown;

/// The command of the pod takes one URL more.
const MAX_VAULTS: usize = 7;

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
    /// With --pre: a namespace whose pods are to get a sidecar: its quotas, limits and network
    /// policies are checked too.
    #[arg(long, env = "KEYSLUICE_APPLICATION_NAMESPACE", requires = "pre",
        value_parser = object_name, value_name = "NAME")]
    application_namespace: Option<String>,
    /// With --application-namespace: run a pod there for a moment that pulls the sidecar's image
    /// (--injector-image) and connects to Entra and the vaults. It meets the Pod Security level
    /// restricted, has the default ServiceAccount without its token, and is deleted.
    #[arg(long, env = "KEYSLUICE_PROBE", requires = "application_namespace")]
    probe: bool,
    /// With --probe: a vault to connect to (repeatable, at most 7 times).
    #[arg(
        long = "vault",
        env = "KEYSLUICE_VAULT",
        requires = "probe",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    vaults: Vec<String>,
    #[command(flatten)]
    cloud: CloudOption,
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
    /// With --pre: seconds to wait for that container, or for the pod of --probe.
    #[arg(long, env = "KEYSLUICE_WITHIN_SECONDS", default_value_t = 100,
        value_parser = clap::value_parser!(u64).range(..=3600), value_name = "SECONDS")]
    within_seconds: u64,
}

impl PreOptions {
    /// Gathers the facts and judges them.
    ///
    /// # Errors
    /// For a cloud or a vault that cannot be.
    pub(super) async fn findings(
        &self,
        client: &Client,
        namespace: &str,
    ) -> Result<Vec<Finding>, Failure> {
        let wanted = if self.probe { Some(self.wanted()?) } else { None };
        Ok(checks::pre(&self.facts(client, namespace, wanted).await))
    }

    /// What the pod of `--probe` is to try.
    fn wanted(&self) -> Result<Wanted, Failure> {
        let cloud = options::cloud(self.cloud.cloud.clone())?;
        let mut urls = vec![cloud.authority.clone()];
        if self.vaults.len() > MAX_VAULTS {
            return Err(Failure::usage(anyhow::anyhow!("--vault: more than {MAX_VAULTS} vaults")));
        }
        for vault in &self.vaults {
            let url = cloud.vault_url(vault).with_context(|| format!("--vault {vault:?}"));
            urls.push(url.map_err(Failure::usage)?.to_string());
        }
        let image = self.sidecar.image.as_deref();
        Ok(Wanted {
            image: image.unwrap_or(Settings::DEFAULT_INJECTOR_IMAGE).to_owned(),
            urls,
            patience: Duration::from_secs(self.within_seconds),
        })
    }

    async fn facts(&self, client: &Client, namespace: &str, wanted: Option<Wanted>) -> Facts {
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
            let SidecarOptions { cpu_request, cpu_limit, .. } = &self.sidecar;
            let cpu = Cpu { request: cpu_request.clone(), limit: cpu_limit.clone() };
            let mut application = gather::application(client, namespace, cpu).await;
            if let Some(wanted) = wanted {
                let probed = probe::probe(client, &application, &wanted).await;
                application.probe = Some((wanted, probed));
            }
            facts.application = Some(application);
        }
        facts
    }
}
