//! What every command takes.

use crate::log;
use clap::Args;
use std::path::PathBuf;

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// File with the Plan, if it is not in `KEYSLUICE_PLAN`.
    #[arg(long, value_name = "FILE", env = "KEYSLUICE_PLAN_FILE", global = true)]
    pub(crate) plan: Option<PathBuf>,
    /// Prefix of every path in the Plan.
    #[arg(long, value_name = "DIR", env = "KEYSLUICE_ROOT", default_value = "/", global = true)]
    pub(crate) root: PathBuf,
    /// File for the reason of the exit, if it can be written.
    #[arg(
        long,
        value_name = "FILE",
        env = "KEYSLUICE_TERMINATION_LOG",
        default_value = "/dev/termination-log",
        global = true
    )]
    pub(crate) termination_log: PathBuf,
    /// Format of the log: JSON lines, or text for people. Without it the Plan says which; JSON
    /// lines if it does not.
    #[arg(long, value_name = "FORMAT", env = "KEYSLUICE_LOG_FORMAT", global = true)]
    pub(crate) log_format: Option<log::Format>,
}
