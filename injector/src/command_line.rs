//! What the command line says. lexopt reads it: 7 KiB of the program, of which clap would be 175.

mod help;
mod parse;

use crate::log;
use crate::options::Options;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = option_env!("KEYSLUICE_COMMIT").unwrap_or("unknown");
    let environment = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    let (version, arch, os) =
        (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS);
    format!("{version} (commit {commit}, target {arch}-{os}-{environment})")
});

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Text to print: help, or the version.
    Print(String),
    Run(Options, Command),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Run,
    Once,
    Ready {
        /// Seconds.
        timeout: u64,
    },
    Status(Output),
    Refresh(Output),
    Idle,
    Intercept,
    Probe {
        urls: Vec<String>,
    },
    Exec {
        from: Vec<PathBuf>,
        keep: Vec<String>,
        /// The command and its arguments; never empty.
        command: Vec<OsString>,
    },
}

/// How `status` and `refresh` print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Table,
    Json,
    Metrics,
}

/// Wrong usage. Its text ends with the usage of the command.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("error: {problem}\n\n{usage}\nFor more information, try '--help'.")]
pub(crate) struct UsageError {
    problem: String,
    usage: String,
}

impl Request {
    /// Reads arguments, without the program's name; `variable` gives environment variables, which
    /// stand for options that are not there.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = OsString>,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, UsageError> {
        parse::parse(arguments, variable)
    }
}

#[cfg(test)]
mod tests;
