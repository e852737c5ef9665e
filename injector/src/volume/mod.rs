//! Generations on the tmpfs, in the layout of the kubelet's `AtomicWriter`.
//!
//! ```text
//! db      -> ..data/db
//! ..data  -> ..2026_11_23_21_09_08.1234567890
//! ..2026_11_23_21_09_08.1234567890/db
//! ```
//!
//! A generation is written whole into a directory nobody looks into, then `..data` is renamed onto
//! it: a reader sees all of the old or all of the new. Everything is opened relative to the
//! volume's directory and without following symbolic links.
//!
//! A container with a writable mount can put anything into the volume, and exchange it at any
//! moment. So nothing is checked by its name and used by its name afterwards, what belongs to
//! another user is not a generation, and no step takes more memory or time because of what lies
//! there.

#![allow(clippy::disallowed_methods, reason = "this room draws the names of generations")]

#[cfg(test)]
mod atomic_writer;
mod entries;
mod error;
#[cfg(test)]
mod hostile;
mod leftovers;
mod links;
mod old;
#[cfg(test)]
mod properties;
mod publication;
mod removal;
#[cfg(test)]
mod restart_tests;
mod staging;
mod tree;

pub use error::VolumeError;

use crate::content::Content;
use error::with_path;
use keysluice_plan::{FileMode, RelativePath};
use leftovers::Leftovers;
use removal::Allowance;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, openat, readlinkat, statat};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tree::Budget;

const DATA: &str = "..data";
const DATA_TMP: &str = "..data_tmp";

/// One file of the generation to be.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Path below the volume.
    pub path: &'a RelativePath,
    /// Mode of the file.
    pub mode: FileMode,
    /// Group of the file; `None` leaves it the directory's.
    pub group: Option<u32>,
    /// New bytes, or `None` to keep what the current generation has.
    pub content: Option<&'a Content>,
}

/// A generation that is written but not visible, or none because nothing differs.
#[derive(Debug)]
pub struct Staged {
    generation: Option<String>,
    names: BTreeSet<String>,
    changed: Vec<RelativePath>,
    removed: Vec<RelativePath>,
}

impl Staged {
    /// The files whose bytes or mode differ, or that are new.
    pub fn changed(&self) -> &[RelativePath] {
        &self.changed
    }

    /// The files of the current generation that it does not have.
    pub fn removed(&self) -> &[RelativePath] {
        &self.removed
    }

    /// Whether the current generation is already what was asked for.
    pub fn is_unchanged(&self) -> bool {
        self.generation.is_none()
    }
}

/// One volume.
#[derive(Debug)]
pub struct Volume {
    path: PathBuf,
    directory: OwnedFd,
    /// The generation that was made visible last; a container may have pointed `..data` to
    /// something else since.
    published: Option<String>,
    /// Previous generations that linger for readers that have one open, oldest first.
    previous: Vec<String>,
    /// How many of them went early, because the volume was full: their scheduled removals are void.
    gone_early: usize,
    leftovers: Leftovers,
    budget: Budget,
}

impl Volume {
    /// Opens the directory and removes what a crash left behind. What cannot be removed now (a
    /// volume that became read-only has the last good files all the same) is removed before the
    /// next generation is written.
    pub fn open(path: &Path) -> Result<Self, VolumeError> {
        let directory = open_volume(path)?;
        let mut volume = Self {
            path: path.to_owned(),
            directory,
            published: None,
            previous: Vec::new(),
            gone_early: 0,
            leftovers: Leftovers::default(),
            budget: Budget::default(),
        };
        volume.published = volume.generation();
        volume.clean_up();
        Ok(volume)
    }

    /// What is in the volume and cannot be removed, or was put there by another user; each told
    /// once.
    pub fn news(&mut self) -> Option<VolumeError> {
        self.leftovers.news()
    }

    /// Name of the generation `..data` points to, if it is one of ours.
    pub fn generation(&self) -> Option<String> {
        self.current().map(|(name, _)| name)
    }

    /// Name and directory of the generation `..data` points to; what belongs to another user is not
    /// one of ours.
    fn current(&self) -> Option<(String, OwnedFd)> {
        let target = readlinkat(&self.directory, DATA, Vec::new()).ok()?.into_string().ok()?;
        let directory = self.own_generation(&target)?;
        Some((target, directory))
    }

    fn own_generation(&self, name: &str) -> Option<OwnedFd> {
        let is_generation = tree::is_generation(name);
        is_generation.then(|| tree::open_own_directory(&self.directory, name).ok()).flatten()
    }

    /// When the current generation was written.
    pub fn generation_time(&self) -> Option<SystemTime> {
        let stat = fstat(self.current()?.1).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(stat.st_mtime).ok()?))
    }

    /// The files of the generation an earlier run left; `None` when there is none.
    pub fn left(&self) -> Option<BTreeSet<RelativePath>> {
        old::files(&self.current()?.1).ok()
    }

    /// Whether the current generation has all these files.
    pub fn has<'a>(&mut self, paths: impl IntoIterator<Item = &'a RelativePath>) -> bool {
        let current = self.follow().ok().and_then(|()| self.current());
        let mut left = old::MAX_KEPT_BYTES;
        paths.into_iter().all(|path| {
            let found =
                current.as_ref().and_then(|(_, current)| old::find(current, path).ok().flatten());
            let rest = found.and_then(|old| left.checked_sub(old.size));
            left = rest.unwrap_or_default();
            rest.is_some()
        })
    }

    /// Whether the current generation has this file.
    pub fn has_file(&self, path: &RelativePath) -> Result<bool, VolumeError> {
        let Some((_, current)) = self.current() else { return Ok(false) };
        old::find(&current, path).map(|old| old.is_some()).map_err(with_path(&self.path))
    }

    /// What a file of the current generation holds; `None` when it has no such file of ours.
    pub fn read(&self, path: &RelativePath) -> Result<Option<Content>, VolumeError> {
        let Some((_, current)) = self.current() else { return Ok(None) };
        old::find(&current, path)
            .and_then(|old| old.map(|old| old.read(path)).transpose())
            .map_err(with_path(&self.path))
    }

    /// Completes the links of the generation an earlier run left: a crash may have come between the
    /// swap and them. `false` when that cannot be done.
    pub fn resume<'a>(&self, paths: impl IntoIterator<Item = &'a RelativePath>) -> bool {
        let names = paths.into_iter().map(|path| path.top().to_owned()).collect();
        links::update(&self.directory, &names, &[]).is_ok()
    }

    /// Writes a new generation next to the current one; nothing is visible yet. If the volume is
    /// full, generations that linger go first; if that is not enough nothing changes.
    pub fn stage(&mut self, entries: &[Entry<'_>], now: SystemTime) -> Result<Staged, VolumeError> {
        self.follow()?;
        if self.leftovers.are_due() {
            self.clean_up();
        }
        let mut staged = self.try_stage(entries, now);
        if staged.as_ref().is_err_and(VolumeError::is_full) {
            self.clean_up();
            self.remove_all_previous()?;
            staged = self.try_stage(entries, now);
        }
        if staged.is_err() {
            self.leftovers.expect();
        }
        staged
    }

    /// A volume that was removed or mounted anew since it was opened is opened again: what is
    /// written into the old one nobody sees.
    fn follow(&mut self) -> Result<(), VolumeError> {
        let (there, opened) = statat(CWD, &self.path, AtFlags::empty())
            .and_then(|there| Ok((there, fstat(&self.directory)?)))
            .map_err(|errno| VolumeError::Directory {
                path: self.path.clone(),
                error: errno.into(),
            })?;
        if (opened.st_dev, opened.st_ino) != (there.st_dev, there.st_ino) {
            self.directory = open_volume(&self.path)?;
            self.published = self.generation();
            self.gone_early += std::mem::take(&mut self.previous).len();
        }
        Ok(())
    }

    /// Takes a staged generation back.
    pub fn discard(&mut self, staged: Staged) {
        if let Some(generation) = staged.generation {
            self.remove(&generation);
        }
    }

    /// Removes a generation that nobody has seen; what stays of it goes with the leftovers.
    fn remove(&mut self, generation: &str) {
        if removal::remove(&self.directory, generation, &mut Allowance::default()).is_err() {
            self.leftovers.expect();
        }
    }

    /// Removes the oldest generation that lingers; to be called once for each publication that said
    /// one does, and again when it failed. `false` when it went earlier.
    pub fn remove_previous(&mut self) -> Result<bool, VolumeError> {
        self.remove_previous_within(Allowance::default())
    }

    /// The same for a process that does not stay: whole, however much lies in it.
    pub fn remove_previous_at_once(&mut self) -> Result<bool, VolumeError> {
        self.remove_previous_within(Allowance::whole())
    }

    fn remove_previous_within(&mut self, mut allowance: Allowance) -> Result<bool, VolumeError> {
        if self.gone_early > 0 {
            self.gone_early -= 1;
            return Ok(false);
        }
        let Some(name) = self.previous.first() else { return Ok(false) };
        removal::remove(&self.directory, name, &mut allowance).map_err(with_path(&self.path))?;
        self.previous.remove(0);
        Ok(true)
    }

    fn remove_all_previous(&mut self) -> Result<(), VolumeError> {
        while let Some(name) = self.previous.first() {
            removal::remove(&self.directory, name, &mut Allowance::default())
                .map_err(with_path(&self.path))?;
            self.previous.remove(0);
            self.gone_early += 1;
        }
        Ok(())
    }

    /// Removes generations that are neither the current one nor linger, and temporary links.
    fn clean_up(&mut self) {
        let mut used: Vec<&str> =
            self.previous.iter().chain(&self.published).map(String::as_str).collect();
        let current = self.generation();
        used.extend(current.as_deref());
        let result = leftovers::remove(&self.directory, DATA_TMP, &used);
        self.leftovers.note(result.map_err(with_path(&self.path)));
    }
}

fn open_volume(path: &Path) -> Result<OwnedFd, VolumeError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty())
        .map_err(|errno| VolumeError::Directory { path: path.to_owned(), error: errno.into() })
}

/// Ten digits that differ from one generation to the next, also within a second.
fn unique() -> u64 {
    RandomState::new().build_hasher().finish() % 10_000_000_000
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
