//! Where a command reads objects: files, or a live cluster.

use super::{Failure, kubeconfig};
use crate::cluster::api::Client;
use anyhow::anyhow;
use clap::Args;
use std::path::PathBuf;
use tokio::runtime::Runtime;

/// Files, or a live cluster.
#[derive(Debug, Args)]
pub(super) struct InputOptions {
    /// Manifest or directory with workloads, ServiceAccounts and classes (repeatable; - reads
    /// standard input).
    #[arg(short = 'f', long = "filename", num_args = 1.., value_name = "FILE",
        conflicts_with_all = ["all_namespaces", "kubeconfig"])]
    pub(super) files: Vec<PathBuf>,
    /// Reads all namespaces of a live cluster. Nothing is changed there.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// With files: namespace of objects that do not name one. Without: reads this namespace of a
    /// live cluster.
    #[arg(short = 'n', long, value_name = "NS", value_parser = super::object_name)]
    pub(super) namespace: Option<String>,
    /// Kubeconfig of the API server to ask (default: KUBECONFIG, then ~/.kube/config, then the API
    /// server of the cluster in which the command runs).
    #[arg(long, env = "KEYSLUICE_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

impl InputOptions {
    /// Whether a live cluster is read.
    ///
    /// # Errors
    /// Where nothing is named to read.
    pub(super) fn is_live(&self) -> Result<bool, Failure> {
        if self.files.is_empty() && !self.all_namespaces && self.namespace.is_none() {
            return Err(Failure::usage(anyhow!(
                "nothing to read; hint: name files with -f, a namespace of a live cluster with \
                 -n, or all with -A"
            )));
        }
        Ok(self.files.is_empty())
    }

    /// A client for the live cluster, and the runtime that its connections need.
    pub(super) fn connect(&self) -> Result<(Runtime, Client), Failure> {
        let kubeconfig = kubeconfig::find(self.kubeconfig.clone())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let client = Client::connect(kubeconfig.as_deref()).map_err(Failure::usage)?;
        drop(entered);
        Ok((runtime, client))
    }
}
