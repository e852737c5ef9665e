//! Why there is no report.

use crate::reason;
use std::io;
use std::path::{Path, PathBuf};

/// What to do with a compressed log.
pub(super) const GUNZIP: &str = "decompress it with gunzip";
/// So many files are named.
const NAMED: usize = 3;

/// Compressed files, the first of them by name.
pub(super) fn named(compressed: &[PathBuf]) -> String {
    let names = compressed.iter().take(NAMED).map(|path| shown(path));
    let names = names.collect::<Vec<_>>().join(", ");
    let more = match compressed.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} other(s)"),
    };
    format!("compressed, and not read: {names}{more}")
}

/// The name of a file below a directory is anybody's.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string().replace(char::is_control, "?")
}

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
    /// A directory without any log.
    #[error(
        "{} {directory}: no .json or .jsonl file is in it or below it{}; hint: {}",
        reason::KS772,
        if compressed.is_empty() { String::new() } else { format!("; {}", named(compressed)) },
        if compressed.is_empty() { reason::KS772.fix } else { GUNZIP }
    )]
    NoLog {
        /// The directory.
        directory: String,
        /// Compressed files in it and below it.
        compressed: Vec<PathBuf>,
    },
    /// A log that is compressed.
    #[error("{} {file}: compressed, and not read; hint: {GUNZIP}", reason::KS772)]
    Compressed {
        /// The file.
        file: String,
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
