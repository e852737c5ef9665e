//! The command line. One file a command.

mod audit;
mod azure;
mod certificate_options;
mod completions;
mod decision;
mod doctor;
mod explain;
mod fetch;
mod help;
mod input_options;
mod installed_options;
mod jwks;
mod kubeconfig;
mod live_documents;
mod manifest_pods;
mod migrate;
mod misplaced;
mod misspelt;
mod options;
mod output;
mod plan;
mod plan_options;
mod rbac;
mod rbac_inputs;
mod reloader;
mod render;
mod serve;
mod shared_options;
mod terminal;
mod tightening_options;
mod why;
mod yaml_diff;

use clap::builder::Resettable;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use std::process::ExitCode;

/// Failed at run time.
const FAILED: u8 = 1;
/// Wrong usage.
const USAGE: u8 = 2;
/// A configuration that will never work.
const NEVER: u8 = 3;

const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("KEYSLUICE_COMMIT"),
    ", ",
    env!("KEYSLUICE_TARGET"),
    ")"
);

/// Azure identity and Key Vault secrets for Kubernetes pods.
#[derive(Debug, Parser)]
#[command(name = "keysluice", version = VERSION)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the admission webhook.
    Serve(Box<serve::Serve>),
    /// Show for each workload of a manifest whether and why its pods are mutated or refused, and
    /// what changes in them.
    Explain(explain::Explain),
    /// Turn SecretProviderClasses into a Plan for `keysluice-injector once --plan`.
    Plan(plan::PlanCommand),
    /// Fetch secrets in a pipeline: into files, variables of the job, or a command's environment.
    Fetch(Box<fetch::Fetch>),
    /// Print the Roles that pods need to write the Secrets of their classes (secretObjects).
    Rbac(rbac::Rbac),
    /// Print the Azure side of ServiceAccounts: identities, federated credentials, and the least
    /// role assignments for the vault objects that their pods read.
    Azure(azure::Azure),
    /// Print who read what from Key Vault, which grants are unused and which workloads use an old
    /// version: joins diagnostic logs with the pods of a cluster and of a record.
    Audit(Box<audit::Audit>),
    /// Turn manifests of the Secrets Store CSI driver, AAD Pod Identity, akv2k8s and Vault Agent
    /// into those of Keysluice, with a report of what is left to do.
    Migrate(migrate::Migrate),
    /// Print the JSON Web Key Set of the keys with which an API server signs ServiceAccount tokens.
    Jwks(jwks::Jwks),
    /// Print manifests.
    Render(render::Render),
    /// Explain a KS code.
    Why(why::Why),
    /// Find out why pods do not get their identity or secrets; with --pre, whether a cluster has
    /// what an installation needs.
    Doctor(Box<doctor::Doctor>),
    /// Print the completions of a shell: bash, elvish, fish, powershell, zsh.
    Completions(completions::Completions),
}

/// A failure with its exit code.
struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: FAILED, error: error.into() }
    }
}

impl Failure {
    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { code: USAGE, error: error.into() }
    }

    fn never(error: impl Into<anyhow::Error>) -> Self {
        Self { code: NEVER, error: error.into() }
    }

    /// Whether the reader of our output has ended, as behind `| head`: not a failure.
    fn is_broken_pipe(&self) -> bool {
        let kind = self.error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        kind == Some(std::io::ErrorKind::BrokenPipe)
    }
}

/// The command line, for what is generated from it.
pub fn command() -> clap::Command {
    help::dressed(Cli::command(), None)
}

/// Parses the arguments, runs the command, prints the one error.
pub fn main() -> ExitCode {
    let started_as = std::env::args_os().next();
    let command = help::dressed(Cli::command(), started_as.as_deref());
    let matches = without_empty_variables(command).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let result = match cli.command {
        Command::Serve(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Plan(command) => command.run(),
        Command::Fetch(command) => command.run(),
        Command::Rbac(command) => command.run(),
        Command::Azure(command) => command.run(),
        Command::Audit(command) => command.run(),
        Command::Migrate(command) => command.run(),
        Command::Jwks(command) => command.run(),
        Command::Render(command) => command.run(),
        Command::Why(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Completions(command) => command.run(),
    };
    match result {
        Ok(code) => code,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::tell(&kubeconfig::explained(&failure.error, chain(&failure.error)));
            ExitCode::from(failure.code)
        }
    }
}

/// A name that cannot lead to another path.
fn object_name(text: &str) -> Result<String, String> {
    let is_plain =
        text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.');
    if is_plain && !text.is_empty() && text.len() <= 253 && !text.starts_with('.') {
        Ok(text.to_owned())
    } else {
        Err("not a name of a Kubernetes object".to_owned())
    }
}

/// The error with its causes. Many errors name their cause themselves: nothing is said twice.
fn chain(error: &anyhow::Error) -> String {
    let mut causes = error.chain().map(ToString::to_string);
    let first = causes.next().unwrap_or_default();
    causes.fold(first, |told, cause| {
        if told.contains(&cause) {
            return told;
        }
        // What both end with, such as the operating system's error, stays at the end.
        let last = cause.rsplit(": ").next().filter(|last| !last.is_empty());
        let known = last.and_then(|last| told.strip_suffix(&format!(": {last}")));
        format!("{}: {cause}", known.unwrap_or(&told))
    })
}

/// Charts render variables without a value: an empty one counts as absent.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| match arg.get_env().and_then(std::env::var_os) {
        Some(value) if value.is_empty() => arg.env(Resettable::Reset),
        _ => arg,
    });
    command.mut_subcommands(without_empty_variables)
}

#[cfg(test)]
mod tests {
    use super::chain;

    #[test]
    fn of_an_error_and_its_causes_nothing_is_said_twice() {
        const OS: &str = "No such file or directory (os error 2)";
        for (causes, expected) in [
            (vec![OS, "cannot read x"], format!("cannot read x: {OS}")),
            (
                vec![OS, "cannot read x: No such file or directory (os error 2)"],
                format!("cannot read x: {OS}"),
            ),
            (
                vec![
                    "open y: No such file or directory (os error 2)",
                    "cannot read x: No such file or directory (os error 2)",
                ],
                format!("cannot read x: open y: {OS}"),
            ),
            (vec!["b", "a"], "a: b".to_owned()),
            (vec!["", "a"], "a".to_owned()),
        ] {
            let mut causes = causes.into_iter();
            let first = anyhow::anyhow!(causes.next().unwrap());
            let error = causes.fold(first, anyhow::Error::context);
            assert_eq!(chain(&error), expected);
        }
    }
}
