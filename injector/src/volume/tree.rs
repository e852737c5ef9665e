//! One generation's directory: made and written, always relative to an open directory.

use super::old::Old;
use keysluice_plan::{FileMode, RelativePath};
use rustix::fs::{Gid, Mode, OFlags, Stat, fchmod, fchown, fstat, mkdirat, openat};
use rustix::io::{Errno, write as write_fd};
use rustix::process::geteuid;
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
    pub(super) bytes: Bytes<'a>,
}

impl File<'_> {
    fn error(&self, errno: Errno) -> TreeError {
        let errno = if errno == Errno::EXIST { Errno::IO } else { errno };
        TreeError::new(self.path.as_str(), errno)
    }
}

/// What a file gets.
pub(super) enum Bytes<'a> {
    New(&'a [u8]),
    /// What an older file holds.
    Kept(&'a Old),
}

impl Bytes<'_> {
    fn len(&self) -> usize {
        match self {
            Self::New(bytes) => bytes.len(),
            Self::Kept(old) => usize::try_from(old.size).unwrap_or(usize::MAX),
        }
    }
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
    date.len() == 19
        && date.split('_').count() == 6
        && date.split('_').all(is_number)
        && is_number(random)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Opens a directory below another without following a link.
pub(super) fn open_directory(parent: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// The same of a directory that belongs to us; one of somebody else is none of ours, as if it was
/// not there.
pub(super) fn open_own_directory(parent: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let directory = open_directory(parent, name)?;
    if is_own(&fstat(&directory)?) { Ok(directory) } else { Err(Errno::NOTDIR) }
}

/// Whether it belongs to the user this process runs as.
pub(super) fn is_own(stat: &Stat) -> bool {
    stat.st_uid == geteuid().as_raw()
}

/// Opens a generation's new directory for writing and reading.
pub(super) fn create(volume: &OwnedFd, generation: &str) -> Result<OwnedFd, TreeError> {
    open_own_directory(volume, generation)
        .and_then(|root| open_up(&root).map(|()| root))
        .map_err(|errno| TreeError::new(generation, errno))
}

/// Writes a file that is not there yet.
pub(super) fn write(
    volume: &OwnedFd,
    root: &OwnedFd,
    file: &File<'_>,
    budget: &Budget,
) -> Result<(), TreeError> {
    budget.take(volume, file.bytes.len()).map_err(|errno| file.error(errno))?;
    let fd = write_file(root, file).map_err(|errno| file.error(errno))?;
    give_to_group(&fd, file.group)
        .map_err(|errno| TreeError { group: file.group, ..file.error(errno) })?;
    // After the group: a change of it clears bits of the mode.
    fchmod(&fd, Mode::from_bits_truncate(file.mode.bits())).map_err(|errno| file.error(errno))
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
        let directory = open_own_directory(above, component)?;
        open_up(&directory)?;
        parent = Some(directory);
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(parent.as_ref().unwrap_or(root), name, flags, Mode::from_bits_truncate(0o600))?;
    match file.bytes {
        Bytes::New(bytes) => write_all(&fd, bytes)?,
        Bytes::Kept(old) => old.copy_to(&fd)?,
    }
    Ok(fd)
}

pub(super) fn write_all(fd: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match write_fd(fd, rest) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Without CAP_CHOWN the system allows it for groups of this process only.
fn give_to_group(fd: &OwnedFd, group: Option<u32>) -> Result<(), Errno> {
    let Some(group) = group else { return Ok(()) };
    if fstat(fd)?.st_gid == group { Ok(()) } else { fchown(fd, None, Some(Gid::from_raw(group))) }
}

/// `mkdir` is subject to the umask. The setgid bit stays: with `fsGroup` the kubelet sets it on the
/// volume, and by it the files below belong to that group.
fn open_up(directory: &OwnedFd) -> Result<(), Errno> {
    let setgid = fstat(directory)?.st_mode & 0o2000;
    fchmod(directory, Mode::from_bits_truncate(0o755 | setgid))
}

#[cfg(test)]
mod tests {
    use super::super::entries::names;
    use super::*;
    use rustix::fs::{AtFlags, statat};

    /// Bytes of all files below a directory.
    pub(super) fn used(directory: &OwnedFd) -> usize {
        let names = names(directory).unwrap();
        let sizes = names.iter().map(|name| match open_directory(directory, name) {
            Ok(inner) => used(&inner),
            Err(_) => usize::try_from(
                statat(directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).unwrap().st_size,
            )
            .unwrap(),
        });
        sizes.sum()
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
