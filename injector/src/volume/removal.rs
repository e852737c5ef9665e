//! Removes a generation, whatever became of it: no stack, memory or time grows with what lies in
//! it.
//!
//! Directories are not descended into: what is in one of them goes up to the top, where it is next.

use super::entries;
use super::tree::{TreeError, is_own, open_directory};
use super::unique;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, fstat, openat, renameat, unlinkat};
use rustix::io::Errno;
use std::ffi::CStr;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;

/// So many entries are removed in one go, about 10 ms; a directory with something in it counts as
/// several.
const MAX_REMOVED: usize = 4096;
const DIRECTORY: usize = 8;

/// How many more entries may be removed in one go.
#[derive(Debug)]
pub(super) struct Allowance(usize);

impl Default for Allowance {
    fn default() -> Self {
        Self(MAX_REMOVED)
    }
}

impl Allowance {
    /// For a process that does nothing else: more than any generation of ours has.
    pub(super) fn whole() -> Self {
        Self(64 * MAX_REMOVED)
    }

    fn take(&mut self, count: usize) -> Result<(), Errno> {
        self.0 = self.0.checked_sub(count).ok_or(Errno::AGAIN)?;
        Ok(())
    }
}

/// Removes a directory of ours and everything below it; one that is not there, or not ours, is
/// fine. `AGAIN` when the allowance is used up: what is left goes the next time.
pub(super) fn remove(
    parent: &OwnedFd,
    name: &str,
    allowance: &mut Allowance,
) -> Result<(), TreeError> {
    match remove_top(parent, name, allowance) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(TreeError::new(name, errno)),
    }
}

fn remove_top(parent: &OwnedFd, name: &str, allowance: &mut Allowance) -> Result<(), Errno> {
    let top = open_directory(parent, name)?;
    if !is_own(&fstat(&top)?) {
        return Ok(());
    }
    make_writable(&top)?;
    loop {
        let (mut removed, mut failure) = (false, None);
        entries::each(&top, |entry, kind| {
            match remove_entry(&top, entry, kind, allowance) {
                Ok(()) => removed = true,
                Err(Errno::AGAIN) => return Err(Errno::AGAIN),
                Err(errno) => failure = Some(errno),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) if removed => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Err(failure.unwrap_or(Errno::NOTEMPTY)),
            other => return other,
        }
    }
}

fn remove_entry(
    top: &OwnedFd,
    name: &CStr,
    kind: FileType,
    allowance: &mut Allowance,
) -> Result<(), Errno> {
    allowance.take(1)?;
    if kind != FileType::Directory {
        match unlinkat(top, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {}
            Err(Errno::NOENT) => return Ok(()),
            other => return other,
        }
    }
    match unlinkat(top, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        Err(Errno::NOENT) => return Ok(()),
        other => return other,
    }
    allowance.take(DIRECTORY)?;
    let directory = open_closed(top, name)?;
    make_writable(&directory)?;
    entries::each(&directory, |inner, kind| {
        allowance.take(1)?;
        let is_directory = kind == FileType::Directory
            || match unlinkat(&directory, inner, AtFlags::empty()) {
                Err(Errno::ISDIR) => true,
                Err(Errno::NOENT) => false,
                other => other.map(|()| false)?,
            };
        if is_directory {
            renameat(&directory, inner, top, format!("..removed.{}", unique()))?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    match unlinkat(top, name, AtFlags::REMOVEDIR) {
        // More than was looked at in one go: it is met again.
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Opens a directory, also one of ours that shuts out its owner.
fn open_closed(parent: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(parent, name, flags | OFlags::RDONLY, Mode::empty()) {
        Err(Errno::ACCESS) => {
            let closed = openat(parent, name, flags | OFlags::PATH, Mode::empty())?;
            let stat = fstat(&closed)?;
            if !is_own(&stat) {
                return Err(Errno::ACCESS);
            }
            super::old::change_mode(
                &closed,
                Mode::from_raw_mode(stat.st_mode & 0o7777) | Mode::RWXU,
            )?;
            openat(&closed, c".", flags | OFlags::RDONLY, Mode::empty())
        }
        other => other,
    }
}

/// Entries can be removed from a directory only by a user that may write into it.
fn make_writable(directory: &OwnedFd) -> Result<(), Errno> {
    let stat = fstat(directory)?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    if is_own(&stat) && !mode.contains(Mode::RWXU) {
        fchmod(directory, mode | Mode::RWXU)
    } else {
        Ok(())
    }
}
