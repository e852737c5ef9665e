//! Which entries of a directory are read.

use std::io;
use std::path::{Path, PathBuf};

const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// The directories and manifests of a directory, in order of name: what ends in .yaml, .yml or
/// .json and is a regular file, also behind a link. A link that leads nowhere is among them, for
/// its error.
pub(crate) fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    let mut entries: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    entries.retain(|entry| entry.is_dir() || is_manifest(entry) && !is_special(entry));
    entries.sort();
    Ok(entries)
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
}

/// Whether it is a pipe, a socket or a device, links followed: reading a pipe waits for a writer.
pub(crate) fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir())
}
