//! The entries of a directory, one at a time: a directory that somebody else fills may have any
//! number.

use rustix::fs::{Dir, FileType};
use rustix::io::Errno;
use std::ffi::CStr;
use std::ops::ControlFlow;
use std::os::fd::AsFd;

/// So many entries are looked at in one go, some milliseconds; the sidecar's one thread has more to
/// do.
pub(super) const MAX_ENTRIES: usize = 8192;

/// Calls `each` for every entry but `.` and `..`, until it breaks. `false` when it broke or there
/// are more than [`MAX_ENTRIES`].
pub(super) fn each(
    directory: impl AsFd,
    mut each: impl FnMut(&CStr, FileType) -> Result<ControlFlow<()>, Errno>,
) -> Result<bool, Errno> {
    let mut seen = 0;
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if [c".", c".."].contains(&entry.file_name()) {
            continue;
        }
        seen += 1;
        if seen > MAX_ENTRIES || each(entry.file_name(), entry.file_type())?.is_break() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The names in a directory, at most [`MAX_ENTRIES`]; names that are not UTF-8 are not ours.
pub(super) fn names(directory: impl AsFd) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    each(directory, |name, _| {
        names.extend(name.to_str().ok().map(str::to_owned));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(names)
}
