//! `keysluice cleanup`: before an uninstall, removes what could refuse pods once the webhook is gone.

use super::Failure;
use crate::cluster::api::{Client, Kind, RemovalError, delete_until};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Remove what could refuse pods once the webhook is gone: policy bindings first, then the webhook configuration.
#[derive(Debug, Args)]
pub(super) struct Cleanup {
    /// ValidatingAdmissionPolicyBinding to delete (repeatable); in the order given, each before the configuration.
    #[arg(long = "policy-binding", env = "KEYSLUICE_POLICY_BINDING", value_delimiter = ',', value_name = "NAME")]
    policy_bindings: Vec<String>,
    /// MutatingWebhookConfiguration to delete.
    #[arg(long, env = "KEYSLUICE_WEBHOOK_CONFIGURATION", value_name = "NAME")]
    webhook_configuration: String,
    /// Seconds between the last binding and the configuration: API servers look for changed bindings once a second, and heed a
    /// changed configuration at once.
    #[arg(long, env = "KEYSLUICE_BINDING_PROPAGATION_SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(..=60), value_name = "SECONDS")]
    binding_propagation_seconds: u64,
    /// The API server to ask; without it, the one of the cluster we run in.
    #[arg(long, env = "KEYSLUICE_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Seconds to go on trying, all together, beside that.
    #[arg(long, env = "KEYSLUICE_CLEANUP_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    within_seconds: u64,
}

impl Cleanup {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let client = match &self.kubeconfig {
            Some(path) => Client::from_kubeconfig(path).map_err(Failure::usage)?,
            None => Client::in_cluster().map_err(Failure::usage)?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.remove(&client))
    }

    async fn remove(&self, client: &Client) -> Result<ExitCode, Failure> {
        // The order is the point: with the guard gone nothing refuses a pod that no webhook saw. So the first failure ends it.
        let mut deadline = tokio::time::Instant::now() + Duration::from_secs(self.within_seconds);
        for name in &self.policy_bindings {
            delete(client, Kind::PolicyBinding, name, deadline).await?;
        }
        if !self.policy_bindings.is_empty() {
            // Also where they were gone: who deleted them may have done so this instant.
            let propagation = Duration::from_secs(self.binding_propagation_seconds);
            tokio::time::sleep(propagation).await;
            deadline += propagation;
        }
        delete(client, Kind::WebhookConfiguration, &self.webhook_configuration, deadline).await?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn delete(client: &Client, kind: Kind, name: &str, deadline: tokio::time::Instant) -> Result<(), Failure> {
    let there_was_one = delete_until(client, kind, name, deadline).await.map_err(|error| match error {
        RemovalError::Name { .. } => Failure::usage(error),
        RemovalError::TimeUp { .. } => Failure::from(error),
    })?;
    let done = if there_was_one { "deleted" } else { "already gone" };
    eprintln!("keysluice: {kind} {name}: {done}");
    Ok(())
}
