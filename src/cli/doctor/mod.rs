//! `keysluice doctor`: says what is wrong with an installation and the workloads of a namespace,
//! the cause first, with the command that mends it. `--pre` looks at a cluster before an
//! installation.
//!
//! A check is a pure function over what was read; `collect` reads, `report` prints.

mod access;
mod advice;
mod collect;
mod diagnosis;
mod events;
mod finding;
mod installation;
mod network;
mod pods;
mod pre;
mod report;
mod rights;
mod sidecar;
mod snapshot;
mod status;
mod table;
mod target;
mod workload;

use super::{FAILED, Failure, kubeconfig, object_name};
use crate::azure::stand_in;
use crate::cli::installed_options;
use crate::cli::terminal::{Color, Terminal};
use crate::cluster::api::Client;
use crate::cluster::manifests::Manifests;
use crate::reason;
use crate::settings::Settings;
use clap::{Args, ValueEnum};
use finding::{Finding, Group};
use pre::items;
use snapshot::{Scope, Snapshot, name, named};
use std::path::PathBuf;
use std::process::ExitCode;
use target::TargetName;

/// Namespace of an installation that does not say another.
const INSTALLATION: &str = "keysluice-system";

/// Find out why pods do not get their identity or secrets: checks the installation and the
/// workloads of a namespace. Only reads, with the rights of the kubeconfig; where they allow
/// pods/exec, a few sidecars print their status.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// A workload or a pod: deploy/NAME, pod/NAME, or its name alone. Without it, the workloads
    /// with trouble are printed.
    #[arg(value_name = "WORKLOAD", conflicts_with = "pre")]
    target: Option<TargetName>,
    /// Check before an installation or an upgrade; the chart runs this as a hook.
    #[arg(long)]
    pre: bool,
    /// Namespace of the workloads (default: that of the kubeconfig's context); with --pre that of
    /// the installation (default keysluice-system).
    #[arg(short = 'n', long, env = "KEYSLUICE_NAMESPACE", value_parser = object_name,
        value_name = "NAME")]
    namespace: Option<String>,
    #[command(flatten)]
    options: pre::PreOptions,
    /// Do not run the sidecar's `status` in pods (pods/exec): only read.
    #[arg(long, env = "KEYSLUICE_NO_EXEC", conflicts_with = "pre")]
    no_exec: bool,
    /// Kubeconfig of the API server to ask (default: KUBECONFIG, then ~/.kube/config, then the API
    /// server of the cluster in which the command runs).
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let kubeconfig = if self.pre {
            self.kubeconfig.clone()
        } else {
            kubeconfig::find(self.kubeconfig.clone())?
        };
        let client = Client::connect(kubeconfig.as_deref()).map_err(Failure::usage)?;
        drop(entered);
        let has_failed = if self.pre {
            runtime.block_on(self.look_before(&client))?
        } else {
            runtime.block_on(self.look(&client))?
        };
        Ok(if has_failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    }

    async fn look_before(&self, client: &Client) -> Result<bool, Failure> {
        let namespace = self.namespace.as_deref().unwrap_or(INSTALLATION);
        let findings = self.options.findings(client, namespace).await?;
        match self.output {
            Output::Text => report::lines(&findings, Terminal::stdout(Color::Never))?,
            Output::Json => report::json_lines(&findings)?,
        }
        Ok(finding::failed(&findings))
    }

    /// Whether a failure was found.
    async fn look(&self, client: &Client) -> Result<bool, Failure> {
        let namespace = self.namespace.clone().unwrap_or_else(|| client.default_namespace());
        let mut snapshot = collect::snapshot(client, &namespace).await?;
        let pods = self.pods(&snapshot);
        collect::sidecars(client, &mut snapshot, &pods, !self.no_exec).await;
        let settings = settings(&snapshot)?;
        let (mut groups, mut fine) = self.groups(&snapshot, &settings).await?;
        // What is missing may be in another namespace.
        if groups.iter().flat_map(|group| &group.findings).any(is_missing) {
            collect::elsewhere(client, &mut snapshot).await;
            (groups, fine) = self.groups(&snapshot, &settings).await?;
        }
        match self.output {
            Output::Text => {
                let terminal = Terminal::stdout(Color::Never);
                report::groups(&groups, fine, report::Signs::of_locale(), terminal)?;
            }
            Output::Json => report::json(&groups, fine)?,
        }
        Ok(groups.iter().any(Group::has_failed))
    }

    /// Names of the pods of each workload that is looked at.
    fn pods(&self, snapshot: &Snapshot) -> Vec<Vec<String>> {
        let mut pods = Vec::new();
        for mut workload in workload::workloads(snapshot) {
            if let Some(target) = &self.target {
                if !target.is(&workload) {
                    continue;
                }
                target.narrow(&mut workload);
            }
            pods.push(workload.pods.iter().map(|pod| name(pod).to_owned()).collect());
        }
        pods
    }

    /// The installation and the workloads that are to be printed; how many others there are.
    async fn groups(
        &self,
        snapshot: &Snapshot,
        settings: &Settings,
    ) -> Result<(Vec<Group>, usize), Failure> {
        let cluster = workload::manifests(snapshot);
        let mut groups = vec![diagnosis::installation_group(snapshot)];
        let (mut fine, mut is_found) = (0, false);
        for mut workload in workload::workloads(snapshot) {
            if let Some(target) = &self.target {
                if !target.is(&workload) {
                    continue;
                }
                is_found = true;
                target.narrow(&mut workload);
            }
            let group = self.group(snapshot, workload, settings, &cluster).await?;
            match group {
                Some(group) if self.target.is_some() || group.has_trouble() => groups.push(group),
                Some(_) => fine += 1,
                None => {}
            }
        }
        // Without an answer it is not known whether there is one.
        let is_known = !snapshot.has_gaps(Scope::Workloads);
        if let Some(target) = self.target.as_ref().filter(|_| !is_found && is_known) {
            groups.push(absent(target, snapshot));
        }
        Ok((groups, fine))
    }

    async fn group(
        &self,
        snapshot: &Snapshot,
        workload: workload::Workload<'_>,
        settings: &Settings,
        cluster: &Manifests,
    ) -> Result<Option<Group>, Failure> {
        let Some(judged) = workload.judge(settings, cluster).await? else { return Ok(None) };
        let is_asked_for = self.target.is_some();
        Ok(diagnosis::workload_group(snapshot, &judged, cluster, settings, is_asked_for))
    }
}

/// Settings of the installation; where they cannot be read, those that refuse nothing.
fn settings(snapshot: &Snapshot) -> Result<Settings, Failure> {
    let Some(webhook) = snapshot.webhook() else {
        let mut settings = Settings::new(super::options::cloud(None)?);
        settings.tenant_id = Some(stand_in(0));
        return Ok(settings);
    };
    let containers = &webhook["spec"]["template"]["spec"]["containers"];
    installed_options::settings(items(&named(containers, "webhook")["env"]))
}

fn is_missing(finding: &Finding) -> bool {
    [reason::KS202.code, reason::KS207.code].map(Some).contains(&finding.code)
}

fn absent(target: &TargetName, snapshot: &Snapshot) -> Group {
    let title = format!("{target} in namespace {}", snapshot.namespace);
    let text = format!(
        "there is no {target} in namespace {}; hint: {}",
        snapshot.namespace,
        reason::KS817.fix
    );
    let finding = Finding::failed("selection", reason::KS817.code, text);
    let list = format!("kubectl -n {} get deploy,sts,ds,job,cronjob,pod", snapshot.namespace);
    Group::new(title, vec![finding.run(list)])
}
