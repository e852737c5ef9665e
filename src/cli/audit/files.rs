//! The files of an audit: logs, records, role assignments.

use super::error::{AuditError, shown};
use crate::audit::{Assignment, Frame, Frames, Ledger, Malformed, PodRecord, read_assignments};
use crate::cluster::manifests::is_special;
use std::fs::{File, FileType};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// A line of a record, of a pod with some thousand objects.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// The first bytes of a compressed file.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// A list of role assignments.
const MAX_LIST_BYTES: u64 = 256 << 20;

/// Files of an audit.
#[derive(Debug, Default)]
pub(super) struct Logs {
    /// Those to read, in order.
    pub(super) all: Vec<PathBuf>,
    /// Those below directories that are compressed.
    pub(super) compressed: Vec<PathBuf>,
}

/// The logs that are named: files, and all `.json` and `.jsonl` below directories, in order.
///
/// # Errors
/// A directory that cannot be read, or holds no log.
pub(super) fn logs(paths: &[PathBuf]) -> Result<Logs, AuditError> {
    let mut logs = Logs::default();
    for path in paths {
        if !path.is_dir() {
            logs.all.push(path.clone());
            continue;
        }
        let mut found = Logs::default();
        below(path, &mut found)?;
        if found.all.is_empty() {
            let (directory, compressed) = (path.display().to_string(), found.compressed);
            return Err(AuditError::NoLog { directory, compressed });
        }
        logs.all.append(&mut found.all);
        logs.compressed.append(&mut found.compressed);
    }
    Ok(logs)
}

fn below(directory: &Path, logs: &mut Logs) -> Result<(), AuditError> {
    let entries = entries(directory).map_err(|error| AuditError::file(directory, error))?;
    for (path, kind) in entries {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        // A link to a directory could lead back.
        let is_file = !path.is_dir() && !is_special(&path);
        match ending.to_str() {
            _ if kind.is_dir() => below(&path, logs)?,
            Some("json" | "jsonl") if is_file => logs.all.push(path),
            Some("gz") if is_file => logs.compressed.push(path),
            _ => {}
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
    let mut source = BufReader::new(open(path)?);
    let file = shown(path);
    let start = source.fill_buf().map_err(|error| AuditError::file(path, error))?;
    if start.starts_with(&GZIP) {
        return Err(AuditError::Compressed { file });
    }
    let mut frames = Frames::new(source);
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
