//! One generation's directory: written, read, counted and removed, always relative to an open directory.

use crate::content::Content;
use keysluice_plan::{FileMode, RelativePath};
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, chmodat, fchmod, fchown, fstat, mkdirat, openat, statat, unlinkat,
};
use rustix::io::{Errno, read as read_fd, write as write_fd};
use secrecy::zeroize::Zeroize;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

/// A call that failed and the name it was about.
#[derive(Debug)]
pub(super) struct TreeError {
    name: String,
    errno: Errno,
    group: Option<u32>,
}

impl TreeError {
    pub(super) fn new(name: &str, errno: Errno) -> Self {
        Self { name: name.to_owned(), errno, group: None }
    }

    /// The group that a file could not be given to.
    pub(super) fn group(&self) -> Option<u32> {
        self.group
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn errno(&self) -> Errno {
        self.errno
    }
}

/// A file to write.
pub(super) struct File<'a> {
    pub(super) path: &'a RelativePath,
    pub(super) mode: FileMode,
    pub(super) group: Option<u32>,
    pub(super) bytes: &'a [u8],
}

/// A file that was read.
pub(super) struct Old {
    pub(super) content: Content,
    pub(super) mode: u32,
    pub(super) group: u32,
}

/// Space for tests of a full volume: a tmpfs with `sizeLimit` needs root.
#[derive(Debug, Default)]
pub(super) struct Budget {
    #[cfg(test)]
    pub(super) limit_bytes: std::cell::Cell<Option<usize>>,
}

impl Budget {
    #[cfg(not(test))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)] // the other half exists in tests
    fn take(&self, _volume: &OwnedFd, _bytes: usize) -> Result<(), Errno> {
        Ok(())
    }

    /// What a tmpfs with this limit would say.
    #[cfg(test)]
    fn take(&self, volume: &OwnedFd, bytes: usize) -> Result<(), Errno> {
        let Some(limit) = self.limit_bytes.get() else {
            return Ok(());
        };
        if tests::used(volume) + bytes > limit { Err(Errno::NOSPC) } else { Ok(()) }
    }
}

/// `..2026_11_23_21_09_08.1234567890`, the kubelet's form; never `..data`.
pub(super) fn is_generation(name: &str) -> bool {
    let Some((date, random)) = name.strip_prefix("..").and_then(|rest| rest.split_once('.')) else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    date.len() == 19 && date.split('_').count() == 6 && date.split('_').all(digits) && digits(random)
}

/// Opens a directory below another without following a link.
pub(super) fn open_directory(parent: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Opens a generation's new directory for writing and reading.
pub(super) fn create(volume: &OwnedFd, generation: &str) -> Result<OwnedFd, TreeError> {
    let open = || {
        let root = open_directory(volume, generation)?;
        open_up(&root).map(|()| root)
    };
    open().map_err(|errno| TreeError::new(generation, errno))
}

/// Writes a file that is not there yet.
pub(super) fn write(volume: &OwnedFd, root: &OwnedFd, file: &File<'_>, budget: &Budget) -> Result<(), TreeError> {
    let failed = |errno| TreeError::new(file.path.as_str(), if errno == Errno::EXIST { Errno::IO } else { errno });
    budget.take(volume, file.bytes.len()).map_err(failed)?;
    let fd = write_file(root, file).map_err(failed)?;
    give_to_group(&fd, file.group).map_err(|errno| TreeError { group: file.group, ..failed(errno) })?;
    // After the group: a change of it clears bits of the mode.
    fchmod(&fd, Mode::from_bits_truncate(file.mode.bits())).map_err(failed)
}

fn write_file(root: &OwnedFd, file: &File<'_>) -> Result<OwnedFd, Errno> {
    let mut components: Vec<&str> = file.path.components().collect();
    let Some(name) = components.pop() else {
        return Err(Errno::INVAL);
    };
    let mut parent = None::<OwnedFd>;
    for component in components {
        let above = parent.as_ref().unwrap_or(root);
        match mkdirat(above, component, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        let directory = open_directory(above, component)?;
        open_up(&directory)?;
        parent = Some(directory);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(parent.as_ref().unwrap_or(root), name, flags, Mode::from_bits_truncate(0o600))?;
    let mut rest = file.bytes;
    while !rest.is_empty() {
        match write_fd(&fd, rest) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(fd)
}

/// Without CAP_CHOWN the system allows it for groups of this process only.
fn give_to_group(fd: &OwnedFd, group: Option<u32>) -> Result<(), Errno> {
    let Some(group) = group else { return Ok(()) };
    if fstat(fd)?.st_gid == group { Ok(()) } else { fchown(fd, None, Some(Gid::from_raw(group))) }
}

/// `mkdir` is subject to the umask. The setgid bit stays: with `fsGroup` the kubelet sets it on the volume, and by it the
/// files below belong to that group.
fn open_up(directory: &OwnedFd) -> Result<(), Errno> {
    let setgid = fstat(directory)?.st_mode & 0o2000;
    fchmod(directory, Mode::from_bits_truncate(0o755 | setgid))
}

/// The paths of all regular files below a directory.
pub(super) fn files(root: &OwnedFd) -> Result<BTreeSet<RelativePath>, Errno> {
    let mut paths = BTreeSet::new();
    collect(root, "", &mut paths)?;
    Ok(paths)
}

fn collect(directory: &OwnedFd, prefix: &str, paths: &mut BTreeSet<RelativePath>) -> Result<(), Errno> {
    for name in names(directory)? {
        let kind = FileType::from_raw_mode(statat(directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
        // A name that is no path of ours is nothing of ours.
        let Ok(path) = format!("{prefix}{name}").parse::<RelativePath>() else { continue };
        if kind == FileType::Directory {
            collect(&open_directory(directory, &name)?, &format!("{path}/"), paths)?;
        } else if kind == FileType::RegularFile {
            paths.insert(path);
        }
    }
    Ok(())
}

/// Reads a file; `None` when there is no regular file at this path.
pub(super) fn read(root: &OwnedFd, path: &RelativePath) -> Result<Option<Old>, TreeError> {
    let result = with_parent(root, path, |parent, name| {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match openat(parent, name, flags, Mode::empty()) {
            Err(Errno::ACCESS) => open_unreadable(parent, name)?,
            other => other?,
        };
        let stat = fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(stat.st_size).unwrap_or_default()];
        let mut filled = 0;
        while filled < bytes.len() {
            match read_fd(&fd, &mut bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(errno) => {
                    bytes.zeroize();
                    return Err(errno);
                }
            }
        }
        bytes.truncate(filled);
        Ok(Some(Old { content: Content::new(bytes), mode: stat.st_mode & 0o7777, group: stat.st_gid }))
    });
    match result {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        other => other.map_err(|errno| TreeError::new(path.as_str(), errno)),
    }
}

/// A mode without owner-read shuts out ourselves too, unless we are root: readable for the moment of opening.
fn open_unreadable(parent: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::ACCESS);
    }
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    chmodat(parent, name, mode | Mode::RUSR, AtFlags::empty())?;
    let fd = openat(parent, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    fchmod(&fd, mode)?;
    Ok(fd)
}

fn with_parent<T>(
    root: &OwnedFd,
    path: &RelativePath,
    then: impl FnOnce(&OwnedFd, &str) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let mut components: Vec<&str> = path.components().collect();
    let Some(name) = components.pop() else {
        return Err(Errno::INVAL);
    };
    let mut parent = None::<OwnedFd>;
    for component in components {
        parent = Some(open_directory(parent.as_ref().unwrap_or(root), component)?);
    }
    then(parent.as_ref().unwrap_or(root), name)
}

/// The names in a directory, without `.` and `..`; names that are not UTF-8 are not ours.
pub(super) fn names(directory: &OwnedFd) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        if let Ok(name) = entry?.file_name().to_str().map(str::to_owned)
            && name != "."
            && name != ".."
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// Number of entries that are not directories, at any depth.
pub(super) fn count(directory: &OwnedFd) -> Result<usize, Errno> {
    let mut total = 0;
    for name in names(directory)? {
        total += match open_directory(directory, &name) {
            Ok(inner) => count(&inner)?,
            Err(Errno::NOTDIR | Errno::LOOP) => 1,
            Err(errno) => return Err(errno),
        };
    }
    Ok(total)
}

/// Removes a generation and everything below it; one that is not there is fine.
pub(super) fn remove(parent: &OwnedFd, name: &str) -> Result<(), TreeError> {
    match remove_inner(parent, name) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(TreeError::new(name, errno)),
    }
}

fn remove_inner(parent: &OwnedFd, name: &str) -> Result<(), Errno> {
    let directory = open_directory(parent, name)?;
    for inner in names(&directory)? {
        match unlinkat(&directory, inner.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) => remove_inner(&directory, &inner)?,
            Err(errno) => return Err(errno),
        }
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of all files below a directory.
    pub(super) fn used(directory: &OwnedFd) -> usize {
        let size = |name: &String| match open_directory(directory, name) {
            Ok(inner) => used(&inner),
            Err(_) => {
                usize::try_from(statat(directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).unwrap().st_size).unwrap()
            }
        };
        names(directory).unwrap().iter().map(size).sum()
    }

    #[test]
    fn only_the_kubelets_form_is_a_generation() {
        for name in ["..2026_11_23_21_09_08.1234567890", "..2026_11_23_21_09_08.7"] {
            assert!(is_generation(name), "{name}");
        }
        for name in [
            "..data",
            "..data_tmp",
            "..",
            "..2026_11_23_21_09_08",
            "..2026_11_23_21_09_08.x",
            "2026_11_23_21_09_08.1",
            "..2026_11_23_21_09_08.1/x",
            "../2026_11_23_21_09_8.1",
        ] {
            assert!(!is_generation(name), "{name}");
        }
    }
}
