//! `keysluice completions SHELL`: a script with which a shell completes our command line.

use super::{Failure, help};
use clap::Args;
use clap_complete::Shell;
use std::io::Write as _;
use std::process::ExitCode;

/// Print the completions of a shell.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), help::PROGRAM, &mut script);
        std::io::stdout().lock().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
