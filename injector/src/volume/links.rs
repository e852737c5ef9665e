//! What a user sees in the volume: links `NAME -> ..data/NAME`. Other people's files are left
//! alone.

use super::entries;
use super::tree::TreeError;
use rustix::fs::{AtFlags, FileType, readlinkat, symlinkat, unlinkat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;

/// Refuses names of foreign files, before anything is written. Of `data`, which a
/// rename replaces, every link is ours.
pub(super) fn check(
    volume: &OwnedFd,
    data: &str,
    wanted: &BTreeSet<String>,
) -> Result<(), TreeError> {
    match readlinkat(volume, data, Vec::new()) {
        Ok(_) | Err(Errno::NOENT) => {}
        Err(Errno::INVAL) => return Err(TreeError::new(data, Errno::EXIST)),
        Err(errno) => return Err(TreeError::new(data, errno)),
    }
    for name in wanted {
        if kind(volume, name)? == Kind::Foreign {
            return Err(TreeError::new(name, Errno::EXIST));
        }
    }
    Ok(())
}

/// Adds missing links and removes those of files that are gone: the `gone` ones, and what else is
/// found within a bound.
pub(super) fn update(
    volume: &OwnedFd,
    wanted: &BTreeSet<String>,
    gone: &[String],
) -> Result<(), TreeError> {
    for name in wanted {
        match kind(volume, name)? {
            Kind::Ours => {}
            Kind::Foreign => return Err(TreeError::new(name, Errno::EXIST)),
            Kind::Missing => symlinkat(format!("..data/{name}"), volume, name.as_str())
                .map_err(|errno| TreeError::new(name, errno))?,
        }
    }
    for name in gone {
        remove_stale(volume, wanted, name)?;
    }
    let mut failure = None;
    let seen = entries::each(volume, |name, kind| {
        if let Ok(name) = name.to_str()
            && matches!(kind, FileType::Symlink | FileType::Unknown)
            && let Err(error) = remove_stale(volume, wanted, name)
        {
            failure = Some(error);
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    });
    seen.map_err(|errno| TreeError::new("", errno))?;
    failure.map_or(Ok(()), Err)
}

fn remove_stale(volume: &OwnedFd, wanted: &BTreeSet<String>, name: &str) -> Result<(), TreeError> {
    if !wanted.contains(name) && kind(volume, name)? == Kind::Ours {
        match unlinkat(volume, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(TreeError::new(name, errno)),
        }
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Kind {
    Missing,
    Ours,
    Foreign,
}

fn kind(volume: &OwnedFd, name: &str) -> Result<Kind, TreeError> {
    match readlinkat(volume, name, Vec::new()) {
        Ok(target) if target.as_bytes() == format!("..data/{name}").as_bytes() => Ok(Kind::Ours),
        // EINVAL: not a symbolic link.
        Ok(_) | Err(Errno::INVAL) => Ok(Kind::Foreign),
        Err(Errno::NOENT) => Ok(Kind::Missing),
        Err(errno) => Err(TreeError::new(name, errno)),
    }
}
