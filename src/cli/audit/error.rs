//! Why there is no report.

use crate::reason;
use std::io;
use std::path::Path;

/// Why nothing is printed. `Display` gives code, message and hint, as the user reads it.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuditError {
    /// A file that cannot be read or written.
    #[error("{} {file}: {error}; hint: {}", reason::KS771, reason::KS771.fix)]
    File {
        /// The file.
        file: String,
        /// The system's word.
        error: io::Error,
    },
    /// A log without any record.
    #[error(
        "{} {file}, line {line}: {problem}; hint: {}",
        reason::KS772,
        reason::KS772.fix
    )]
    NoRecord {
        /// The file.
        file: String,
        /// The first line that is not a record.
        line: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A record without any pod.
    #[error("{} {file}: no line of it is a pod; hint: {}", reason::KS773, reason::KS773.fix)]
    NoPod {
        /// The file.
        file: String,
    },
    /// Not a list of role assignments.
    #[error(
        "{} {file}: not a list of role assignments (line {line}); hint: {}",
        reason::KS774,
        reason::KS774.fix
    )]
    Assignments {
        /// The file.
        file: String,
        /// Where that shows.
        line: usize,
    },
}

impl AuditError {
    pub(super) fn file(path: &Path, error: io::Error) -> Self {
        Self::File { file: path.display().to_string(), error }
    }
}
