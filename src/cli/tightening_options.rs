//! What becomes strict once the webhook has answered a review.

use crate::cluster::api::{Client, SecretName, Tightening};
use clap::{Args, ValueEnum};

/// `Fail` or `Ignore`, as Kubernetes writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailurePolicy {
    /// Refuse what no webhook answered.
    #[value(name = "Fail")]
    Fail,
    /// Let it pass.
    #[value(name = "Ignore")]
    Ignore,
}

/// What the entries of the webhook configuration and the guard come to.
#[derive(Debug, Clone, Args)]
pub(super) struct TighteningOptions {
    /// `failurePolicy` that the webhook sets for labelled pods after it has answered a review:
    /// Fail, or Ignore to leave it unchanged.
    #[arg(
        long,
        env = "KEYSLUICE_FAILURE_POLICY",
        default_value = "Fail",
        value_name = "Fail|Ignore",
        hide_possible_values = true
    )]
    failure_policy: FailurePolicy,
    /// The same for the entry for pods with Secrets Store CSI volumes.
    #[arg(
        long,
        env = "KEYSLUICE_CSI_FAILURE_POLICY",
        default_value = "Ignore",
        value_name = "Fail|Ignore",
        hide_possible_values = true
    )]
    csi_failure_policy: FailurePolicy,
    /// Secret that then gets the key `guard`, so that the chart's guard refuses pods instead of
    /// warning.
    #[arg(
        long,
        env = "KEYSLUICE_GUARD_SECRET",
        value_name = "NAMESPACE/NAME",
        requires = "webhook_configuration"
    )]
    guard_secret: Option<SecretName>,
}

impl TighteningOptions {
    /// Of this configuration.
    pub(super) fn of(&self, client: &Client, configuration: &str) -> Tightening {
        let entries = [
            ("pods.keysluice.dev", self.failure_policy),
            ("csi-volumes.keysluice.dev", self.csi_failure_policy),
        ];
        let entries = entries
            .into_iter()
            .filter(|(_, policy)| *policy == FailurePolicy::Fail)
            .map(|(name, _)| name);
        Tightening::new(client.clone(), configuration, entries.collect(), self.guard_secret.clone())
    }
}
