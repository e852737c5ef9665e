//! What every command takes.

use crate::log;
use std::path::PathBuf;

/// Options that every command takes.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// File with the Plan, if it is not in `KEYSLUICE_PLAN`.
    pub(crate) plan: Option<PathBuf>,
    /// Prefix of every path in the Plan.
    pub(crate) root: PathBuf,
    /// File for the reason of the exit, if it can be written.
    pub(crate) termination_log: PathBuf,
    /// Format of the log. Without it the Plan says which; JSON lines if it does not.
    pub(crate) log_format: Option<log::Format>,
}
