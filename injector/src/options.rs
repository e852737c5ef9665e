//! What every command takes.

use clap::Args;
use std::path::PathBuf;

/// The options before or after the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The Plan, when it is not in `KEYSLUICE_PLAN`.
    #[arg(long, value_name = "FILE", env = "KEYSLUICE_PLAN_FILE", global = true)]
    pub(crate) plan: Option<PathBuf>,
    /// Prefix of every path in the Plan.
    #[arg(long, value_name = "DIR", env = "KEYSLUICE_ROOT", default_value = "/", global = true)]
    pub(crate) root: PathBuf,
    /// Where the reason of an end goes, if the file can be written.
    #[arg(
        long,
        value_name = "FILE",
        env = "KEYSLUICE_TERMINATION_LOG",
        default_value = "/dev/termination-log",
        global = true
    )]
    pub(crate) termination_log: PathBuf,
}
