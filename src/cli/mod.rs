//! The command line. One file a command.

mod explain;
mod manifest_pods;
mod options;
mod plan;
mod serve;
mod why;
mod yaml_diff;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Failed at run time.
const FAILED: u8 = 1;
/// Wrong usage.
const USAGE: u8 = 2;

const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("KEYSLUICE_COMMIT"), ", ", env!("KEYSLUICE_TARGET"), ")");

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
    Serve(serve::Serve),
    /// Show for each pod of a manifest whether and why it is mutated, and the exact patch.
    Explain(explain::Explain),
    /// Turn SecretProviderClasses into a Plan for `keysluice-injector once --plan`.
    Plan(plan::PlanCommand),
    /// Explain a KS code.
    Why(why::Why),
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
}

/// Parses the arguments, runs the command, prints the one error.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Plan(command) => command.run(),
        Command::Why(command) => command.run(),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("keysluice: {:#}", failure.error);
            ExitCode::from(failure.code)
        }
    }
}
