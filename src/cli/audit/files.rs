//! The files of an audit: logs, records, role assignments.

use super::error::AuditError;
use crate::audit::{Assignment, Frame, Frames, Ledger, Malformed, PodRecord, read_assignments};
use std::fs::{File, FileType};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// A line of a record, of a pod with some thousand objects.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// A list of role assignments.
const MAX_LIST_BYTES: u64 = 256 << 20;

/// The logs that are named: files, and all `.json` and `.jsonl` below directories, in order.
pub(super) fn logs(paths: &[PathBuf]) -> Result<Vec<PathBuf>, AuditError> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() { below(path, &mut all)? } else { all.push(path.clone()) }
    }
    Ok(all)
}

fn below(directory: &Path, all: &mut Vec<PathBuf>) -> Result<(), AuditError> {
    let entries = entries(directory).map_err(|error| AuditError::file(directory, error))?;
    for (path, kind) in entries {
        let is_log = path.extension().is_some_and(|extension| {
            ["json", "jsonl"].iter().any(|known| extension.eq_ignore_ascii_case(known))
        });
        // A link could lead back.
        if kind.is_dir() {
            below(&path, all)?;
        } else if kind.is_file() && is_log {
            all.push(path);
        }
    }
    Ok(())
}

/// What a directory holds, in the order of the names.
fn entries(directory: &Path) -> io::Result<Vec<(PathBuf, FileType)>> {
    let mut entries = std::fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    entries.iter().map(|entry| Ok((entry.path(), entry.file_type()?))).collect()
}

/// Counts the records of a log.
pub(super) fn read_log(path: &Path, ledger: &mut Ledger) -> Result<(), AuditError> {
    let mut frames = Frames::new(open(path)?);
    // The name of a file below a directory is anybody's.
    let file = path.display().to_string().replace(char::is_control, "?");
    while let Some(frame) = frames.next_frame().map_err(|error| AuditError::file(path, error))? {
        match frame {
            Frame::Record { line, json } => ledger.add(&file, line, json),
            Frame::Malformed { line, problem } => ledger.add_malformed(&file, line, problem),
        }
    }
    Ok(())
}

/// Where it shows that logs hold no record.
pub(super) fn no_record(first: &Malformed) -> AuditError {
    AuditError::NoRecord { file: first.file.clone(), line: first.line, problem: first.problem }
}

/// Gives the pods of a record; how many lines are none. Its last line may be cut off.
pub(super) fn read_record(
    path: &Path,
    mut take: impl FnMut(PodRecord),
) -> Result<usize, AuditError> {
    let mut source = BufReader::new(open(path)?);
    let (mut line, mut pods, mut skipped) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        let read = source.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
        if read.map_err(|error| AuditError::file(path, error))? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(pod) => {
                pods += 1;
                take(pod);
            }
            Err(_) => skipped += 1,
        }
    }
    if pods == 0 && skipped > 0 {
        return Err(AuditError::NoPod { file: path.display().to_string() });
    }
    Ok(skipped)
}

/// The role assignments of a file.
pub(super) fn assignments(path: &Path) -> Result<Vec<Assignment>, AuditError> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(MAX_LIST_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| AuditError::file(path, error))?;
    read_assignments(&bytes).map_err(|error| AuditError::Assignments {
        file: path.display().to_string(),
        line: error.line(),
    })
}

fn open(path: &Path) -> Result<Box<dyn Read>, AuditError> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).map_err(|error| AuditError::file(path, error))?;
    Ok(Box::new(file))
}
