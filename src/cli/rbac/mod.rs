//! `keysluice rbac`: the least Roles with which pods write the Secrets of their classes.

pub(super) mod files;
mod live;

use super::{FAILED, Failure};
use crate::cli::input_options::InputOptions;
use crate::rights::{Classes, Form, Grants, POLICIES, Workload, refused};
use clap::Args;
use std::io::Write as _;
use std::process::ExitCode;

/// Print the Roles that pods need to write the Secrets of their classes (secretObjects), and for
/// the reactions evict and rollout.
#[derive(Debug, Args)]
pub(super) struct Rbac {
    #[command(flatten)]
    input: InputOptions,
    /// The Roles do not include the creation of Secrets: prints empty Secrets to start from.
    #[arg(long, conflicts_with = "per_namespace")]
    strict: bool,
    /// One Role per namespace for all of its ServiceAccounts.
    #[arg(long)]
    per_namespace: bool,
    /// Prints the commands that take the rights away, in order.
    #[arg(long)]
    remove: bool,
    /// Leaves out the policies (keysluice-secret-types, keysluice-evictions, keysluice-rollouts),
    /// which the cluster must have.
    #[arg(long)]
    without_policy: bool,
    /// Prints only the policy keysluice-secret-types and its binding.
    #[arg(long, conflicts_with_all = ["files", "all_namespaces", "namespace", "without_policy"])]
    policy_only: bool,
    /// Prints only the policies keysluice-evictions and keysluice-rollouts and their bindings.
    #[arg(long, conflicts_with_all = ["files", "all_namespaces", "namespace", "without_policy",
        "policy_only"])]
    reaction_policies_only: bool,
}

/// What files or a cluster hold.
#[derive(Debug, Default)]
pub(super) struct Facts {
    workloads: Vec<Workload>,
    pub(super) classes: Classes,
    pub(super) warnings: Vec<String>,
}

impl Facts {
    /// Why the webhook would refuse classes: their pods do not start, whatever rights they have.
    fn refused(&self) -> Vec<String> {
        refused(&self.workloads, &self.classes).iter().map(ToString::to_string).collect()
    }
}

impl Rbac {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if self.policy_only {
            return print(POLICIES[0].0);
        }
        if self.reaction_policies_only {
            return print(POLICIES[1].0);
        }
        let is_live = self.input.is_live()?;
        let (grants, faults, warnings) =
            if is_live { self.of_cluster()? } else { self.of_files()? };
        for warning in &warnings {
            eprintln!("keysluice: warning: {warning}");
        }
        for fault in &faults {
            eprintln!("keysluice: {fault}");
        }
        if !faults.is_empty() {
            return Ok(ExitCode::from(FAILED));
        }
        if grants.is_empty() {
            eprintln!(
                "keysluice: note: no workload uses a class of provider azure with secretObjects, \
                 or reacts with evict or rollout: no rights are needed"
            );
            return Ok(ExitCode::SUCCESS);
        }
        let form = match (self.strict, self.per_namespace) {
            (true, _) => Form::Strict,
            (_, true) => Form::PerNamespace,
            _ => Form::ByAccount,
        };
        if self.remove {
            return print(&grants.print_removal(form));
        }
        let without = is_live || self.without_policy;
        let policy = if without { String::new() } else { grants.policy_files() };
        print(&format!("{policy}{}", grants.print(form)))
    }

    fn of_files(&self) -> Result<(Grants, Vec<String>, Vec<String>), Failure> {
        let (mut facts, secrets) = files::read(&self.input.files, self.input.namespace.as_deref())?;
        let found = Grants::of(&facts.workloads, &facts.classes);
        facts.warnings.extend(found.warnings);
        let mut faults: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
        if !self.remove {
            let refused = facts.refused();
            facts.warnings.extend(refused);
            let foreign = secrets
                .iter()
                .filter_map(|(place, metadata)| found.grants.check_owner(place, metadata));
            faults.extend(foreign.map(|fault| fault.to_string()));
        }
        Ok((found.grants, faults, facts.warnings))
    }

    fn of_cluster(&self) -> Result<(Grants, Vec<String>, Vec<String>), Failure> {
        let (runtime, client) = self.input.connect()?;
        runtime.block_on(async {
            let mut faults = Vec::new();
            let mut facts = live::read(&client, self.input.namespace.as_deref()).await?;
            let found = Grants::of(&facts.workloads, &facts.classes);
            if !self.remove && !self.without_policy {
                for name in found.grants.policies() {
                    let checked = live::check_policy(&client, name).await;
                    faults.extend(checked.err().map(|fault| fault.to_string()));
                }
            }
            facts.warnings.extend(found.warnings);
            faults.extend(found.faults.iter().map(ToString::to_string));
            if !self.remove {
                let refused = facts.refused();
                facts.warnings.extend(refused);
                let (foreign, unknown) = live::check_owners(&client, &found.grants).await;
                faults.extend(foreign.iter().map(ToString::to_string));
                facts.warnings.extend(unknown);
            }
            Ok((found.grants, faults, facts.warnings))
        })
    }
}

fn print(text: &str) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
