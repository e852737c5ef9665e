//! What lies in a generation, seen through descriptors that open nothing (`O_PATH`): a container
//! with a writable mount can put a FIFO, a link, a sparse file or another user's file in the place
//! of ours, and exchange them at any moment.

use super::entries;
use super::tree::{TreeError, is_own, open_own_directory, write_all};
use crate::content::Content;
use keysluice_plan::RelativePath;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, chmod, fchmod, fstat, openat, statat};
use rustix::io::{Errno, read};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, OwnedFd};
use zeroize::Zeroizing;

/// No file of ours is larger: an answer has at most 256 KiB, and what is made of it is not much
/// more.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Nor are all that one generation takes over from the one before.
pub(super) const MAX_KEPT_BYTES: u64 = 16 * 1024 * 1024;
/// Nor is a generation with more entries, or longer paths in all, one of ours.
const MAX_FILES: usize = 16_384;
const MAX_PATH_BYTES: usize = 1024 * 1024;
const PIECE_BYTES: usize = 16 * 1024;

/// A regular file of ours. Mode and group are those of the very file that is read.
#[derive(Debug)]
pub(super) struct Old {
    fd: OwnedFd,
    pub(super) mode: u32,
    pub(super) group: u32,
    pub(super) size: u64,
}

/// The file at this path; `None` when there is none of ours.
pub(super) fn find(root: &OwnedFd, path: &RelativePath) -> Result<Option<Old>, TreeError> {
    match find_inner(root, path) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => Ok(None),
        other => other.map_err(|errno| TreeError::new(path.as_str(), errno)),
    }
}

fn find_inner(root: &OwnedFd, path: &RelativePath) -> Result<Option<Old>, Errno> {
    let mut components: Vec<&str> = path.components().collect();
    let Some(name) = components.pop() else { return Err(Errno::INVAL) };
    let mut parent = None::<OwnedFd>;
    for component in components {
        parent = Some(open_own_directory(parent.as_ref().unwrap_or(root), component)?);
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(parent.as_ref().unwrap_or(root), name, flags, Mode::empty())?;
    let stat = fstat(&fd)?;
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    let ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && is_own(&stat);
    let old = Old { fd, mode: stat.st_mode & 0o7777, group: stat.st_gid, size };
    Ok((ours && size <= MAX_FILE_BYTES).then_some(old))
}

impl Old {
    /// Whether it holds these bytes.
    pub(super) fn holds(&self, expected: &[u8]) -> Result<bool, Errno> {
        if self.size != expected.len() as u64 {
            return Ok(false);
        }
        let mut rest = expected;
        self.pieces(|piece| match rest.split_at_checked(piece.len()) {
            Some((same, after)) if same == piece => {
                rest = after;
                Ok(ControlFlow::Continue(()))
            }
            _ => Ok(ControlFlow::Break(())),
        })
        .map(|all| all && rest.is_empty())
    }

    /// Writes what it holds to another file.
    pub(super) fn copy_to(&self, file: &OwnedFd) -> Result<(), Errno> {
        let mut left = MAX_FILE_BYTES;
        let all = self.pieces(|piece| {
            // It may grow meanwhile.
            left = left.checked_sub(piece.len() as u64).ok_or(Errno::FBIG)?;
            write_all(file, piece)?;
            Ok(ControlFlow::Continue(()))
        });
        all.map(|_| ())
    }

    /// What it holds.
    pub(super) fn read(&self, path: &RelativePath) -> Result<Content, TreeError> {
        // It may grow meanwhile; a vector that grows leaves a copy behind.
        let capacity = usize::try_from(self.size).unwrap_or_default();
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        let all = self.pieces(|piece| {
            if bytes.len() + piece.len() > capacity {
                return Err(Errno::FBIG);
            }
            bytes.extend_from_slice(piece);
            Ok(ControlFlow::Continue(()))
        });
        all.map_err(|errno| TreeError::new(path.as_str(), errno))?;
        Ok(Content::from(bytes))
    }

    /// Calls `each` for one piece after the other; `false` when it broke.
    fn pieces(
        &self,
        mut each: impl FnMut(&[u8]) -> Result<ControlFlow<()>, Errno>,
    ) -> Result<bool, Errno> {
        let fd = self.open()?;
        let mut buffer =
            Zeroizing::new(vec![0; PIECE_BYTES.min(usize::try_from(self.size).unwrap_or(0) + 1)]);
        loop {
            match read(&fd, buffer.as_mut_slice()) {
                Ok(0) => return Ok(true),
                Ok(count) if each(&buffer[..count])?.is_break() => return Ok(false),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// For reading. A mode without owner-read shuts out ourselves too, unless we are root: readable
    /// for this moment.
    fn open(&self) -> Result<OwnedFd, Errno> {
        match self.try_open() {
            Err(Errno::ACCESS) => {
                let mode = Mode::from_raw_mode(self.mode);
                change_mode(&self.fd, mode | Mode::RUSR)?;
                let opened = self.try_open();
                match &opened {
                    Ok(fd) => fchmod(fd, mode)?,
                    Err(_) => change_mode(&self.fd, mode)?,
                }
                opened
            }
            other => other,
        }
    }

    fn try_open(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        openat(CWD, itself(&self.fd), flags, Mode::empty())
    }
}

/// Changes the mode of what an `O_PATH` descriptor stands for, and of nothing else (`fchmod` does
/// not take one).
pub(super) fn change_mode(fd: &OwnedFd, mode: Mode) -> Result<(), Errno> {
    chmod(itself(fd), mode)
}

/// The way to open again what a descriptor stands for; a process may look into its own, also when
/// it is not dumpable.
fn itself(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// The paths of all regular files of ours below a directory; `FBIG` when it is not a generation of
/// ours by its size.
pub(super) fn files(root: &OwnedFd) -> Result<BTreeSet<RelativePath>, Errno> {
    let (mut paths, mut bytes, mut seen) = (BTreeSet::new(), 0, 0);
    let mut directories = vec![None::<RelativePath>];
    while let Some(above) = directories.pop() {
        let opened = above.as_ref().map(|path| open_below(root, path)).transpose()?;
        let directory = opened.as_ref().unwrap_or(root);
        let all = entries::each(directory, |name, _| {
            seen += 1;
            let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let prefix = above.as_ref().map(|path| format!("{path}/")).unwrap_or_default();
            let path = name
                .to_str()
                .ok()
                .and_then(|name| format!("{prefix}{name}").parse::<RelativePath>().ok());
            // A name that is no path of ours is nothing of ours.
            if let Some(path) = path.filter(|_| is_own(&stat)) {
                bytes += path.as_str().len();
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => directories.push(Some(path)),
                    FileType::RegularFile if stat.st_size.unsigned_abs() <= MAX_FILE_BYTES => {
                        paths.insert(path);
                    }
                    _ => {}
                }
            }
            Ok(if seen > MAX_FILES || bytes > MAX_PATH_BYTES {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        if !all {
            return Err(Errno::FBIG);
        }
    }
    Ok(paths)
}

/// Whether nothing but these files and their directories is below a directory; that they are there
/// is known.
pub(super) fn holds_only(root: &OwnedFd, paths: &BTreeSet<&str>) -> Result<bool, Errno> {
    let mut directories = vec![String::new()];
    while let Some(prefix) = directories.pop() {
        let opened = match prefix.strip_suffix('/').map(str::parse::<RelativePath>) {
            Some(Ok(path)) => Some(open_below(root, &path)?),
            Some(Err(_)) => return Ok(false),
            None => None,
        };
        let all = entries::each(opened.as_ref().unwrap_or(root), |name, _| {
            let Ok(name) = name.to_str() else { return Ok(ControlFlow::Break(())) };
            let path = format!("{prefix}{name}");
            if paths.contains(path.as_str()) {
                return Ok(ControlFlow::Continue(()));
            }
            let below = format!("{path}/");
            let leads =
                paths.range(below.as_str()..).next().is_some_and(|next| next.starts_with(&below));
            if !leads {
                return Ok(ControlFlow::Break(()));
            }
            directories.push(below);
            Ok(ControlFlow::Continue(()))
        })?;
        if !all {
            return Ok(false);
        }
    }
    Ok(true)
}

fn open_below(root: &OwnedFd, path: &RelativePath) -> Result<OwnedFd, Errno> {
    let mut directory = None::<OwnedFd>;
    for component in path.components() {
        directory = Some(open_own_directory(directory.as_ref().unwrap_or(root), component)?);
    }
    directory.ok_or(Errno::INVAL)
}
