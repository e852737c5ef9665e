//! Generations on the tmpfs, in the layout of the kubelet's `AtomicWriter`.
//!
//! ```text
//! db      -> ..data/db
//! ..data  -> ..2026_11_23_21_09_08.1234567890
//! ..2026_11_23_21_09_08.1234567890/db
//! ```
//!
//! A generation is written whole into a directory nobody looks into, then `..data` is renamed onto it: a reader sees all of
//! the old or all of the new. Everything is opened relative to the volume's directory and without following symbolic links.

#[cfg(test)]
mod atomic_writer;
mod error;
mod links;
mod tree;

pub use error::VolumeError;

use crate::clock::Utc;
use crate::content::Content;
use error::{io, with_path};
use keysluice_plan::{FileMode, RelativePath};
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, fstat, mkdirat, openat, readlinkat, renameat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
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
}

impl Staged {
    /// The files whose bytes or mode differ, or that are new.
    pub fn changed(&self) -> &[RelativePath] {
        &self.changed
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
    /// Previous generations that linger for readers that have one open, oldest first.
    previous: Vec<String>,
    /// How many of them went early, because the volume was full: their scheduled removals are void.
    gone_early: usize,
    /// A crash left something that is still there.
    leftovers: bool,
    budget: Budget,
}

impl Volume {
    /// Opens the directory and removes what a crash left behind. What cannot be removed now (a volume that became read-only has the
    /// last good files all the same) is removed before the next generation is written.
    pub fn open(path: &Path) -> Result<Self, VolumeError> {
        let directory = open_volume(path)?;
        let (previous, budget) = (Vec::new(), Budget::default());
        let mut volume = Self { path: path.to_owned(), directory, previous, gone_early: 0, leftovers: false, budget };
        volume.leftovers = volume.remove_leftovers().is_err();
        Ok(volume)
    }

    /// Name of the generation `..data` points to, if it is one of ours.
    pub fn generation(&self) -> Option<String> {
        let target = readlinkat(&self.directory, DATA, Vec::new()).ok()?.into_string().ok()?;
        tree::is_generation(&target).then_some(target)
    }

    /// When the current generation was written.
    pub fn generation_time(&self) -> Option<SystemTime> {
        let stat = fstat(self.current()?).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(stat.st_mtime).ok()?))
    }

    /// The files of the generation an earlier run left; `None` when there is none.
    pub fn left(&self) -> Option<BTreeSet<RelativePath>> {
        tree::files(&self.current()?).ok()
    }

    /// Whether the current generation has all these files.
    pub fn has<'a>(&mut self, paths: impl IntoIterator<Item = &'a RelativePath>) -> bool {
        let files = self.follow().ok().and_then(|()| self.left()).unwrap_or_default();
        paths.into_iter().all(|path| files.contains(path))
    }

    /// Completes the links of the generation an earlier run left: a crash may have come between the swap and them. `false` when
    /// that cannot be done.
    pub fn resume<'a>(&self, paths: impl IntoIterator<Item = &'a RelativePath>) -> bool {
        let names = paths.into_iter().map(|path| path.top().to_owned()).collect();
        links::update(&self.directory, &names).is_ok()
    }

    /// Writes a new generation next to the current one; nothing is visible yet. If the volume is full, generations that linger
    /// go first; if that is not enough nothing changes.
    pub fn stage(&mut self, entries: &[Entry<'_>], now: SystemTime) -> Result<Staged, VolumeError> {
        self.follow()?;
        self.leftovers = self.leftovers && self.remove_leftovers().is_err();
        match self.try_stage(entries, now) {
            Err(error) if error.is_full() && !self.previous.is_empty() => {
                self.remove_all_previous()?;
                self.try_stage(entries, now)
            }
            other => other,
        }
    }

    /// A volume that was removed or mounted anew since it was opened is opened again: what is written into the old one nobody
    /// sees.
    fn follow(&mut self) -> Result<(), VolumeError> {
        let failed = |errno: Errno| VolumeError::Directory { path: self.path.clone(), error: errno.into() };
        let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
        let there = statat(CWD, &self.path, AtFlags::empty()).map(identity).map_err(failed)?;
        if fstat(&self.directory).map(identity).map_err(failed)? != there {
            self.directory = open_volume(&self.path)?;
            self.gone_early += std::mem::take(&mut self.previous).len();
        }
        Ok(())
    }

    /// Makes a staged generation visible, or leaves all as it was. Returns whether a previous one lingers now.
    pub fn publish(&mut self, staged: Staged) -> Result<bool, VolumeError> {
        let Staged { generation, names, .. } = staged;
        let previous = self.generation();
        if let Some(generation) = &generation
            && let Err(errno) = self.point_to(generation)
        {
            let _ = tree::remove(&self.directory, generation);
            return Err(io(&self.path, DATA, errno));
        }
        let linked = links::update(&self.directory, &names).map_err(with_path(&self.path));
        if generation.is_none() {
            return linked.map(|()| false);
        }
        if let Err(error) = linked {
            self.go_back(previous);
            return Err(error);
        }
        let lingers = previous.is_some();
        self.previous.extend(previous);
        Ok(lingers)
    }

    /// Undoes the last publication that changed something; `lingers` is what it returned.
    pub fn withdraw(&mut self, lingers: bool) {
        let previous = if lingers { self.previous.pop() } else { None };
        self.go_back(previous);
    }

    /// To a previous generation or to none, as far as that can be done.
    fn go_back(&self, previous: Option<String>) {
        let failed = self.generation();
        let names =
            previous.as_ref().and_then(|name| tree::names(&tree::open_directory(&self.directory, name).ok()?).ok());
        let _ = match previous {
            Some(previous) => self.point_to(&previous),
            None => unlinkat(&self.directory, DATA, AtFlags::empty()),
        };
        let _ = links::update(&self.directory, &names.into_iter().flatten().collect());
        if let Some(failed) = failed.filter(|failed| self.generation().as_ref() != Some(failed)) {
            let _ = tree::remove(&self.directory, &failed);
        }
    }

    fn point_to(&self, generation: &str) -> Result<(), Errno> {
        // A crash between the two calls below leaves it; `symlinkat` does not replace.
        let _ = unlinkat(&self.directory, DATA_TMP, AtFlags::empty());
        symlinkat(generation, &self.directory, DATA_TMP)?;
        renameat(&self.directory, DATA_TMP, &self.directory, DATA)
    }

    /// Takes a staged generation back.
    pub fn discard(&self, staged: Staged) {
        if let Some(generation) = staged.generation {
            let _ = tree::remove(&self.directory, &generation);
        }
    }

    /// Removes the oldest generation that lingers; to be called once for each publication that said one does, and again when
    /// it failed. `false` when it went earlier.
    pub fn remove_previous(&mut self) -> Result<bool, VolumeError> {
        if self.gone_early > 0 {
            self.gone_early -= 1;
            return Ok(false);
        }
        let Some(name) = self.previous.first() else { return Ok(false) };
        tree::remove(&self.directory, name).map_err(with_path(&self.path))?;
        self.previous.remove(0);
        Ok(true)
    }

    fn remove_all_previous(&mut self) -> Result<(), VolumeError> {
        while let Some(name) = self.previous.first() {
            tree::remove(&self.directory, name).map_err(with_path(&self.path))?;
            self.previous.remove(0);
            self.gone_early += 1;
        }
        Ok(())
    }

    /// No more than one file of the current generation is in memory at a time, beside those that were fetched.
    fn try_stage(&self, entries: &[Entry<'_>], now: SystemTime) -> Result<Staged, VolumeError> {
        let current = self.current();
        let old = |path: &RelativePath| match &current {
            Some(current) => tree::read(current, path).map_err(with_path(&self.path)),
            None => Ok(None),
        };
        let mut changed = Vec::new();
        for entry in entries {
            let old = old(entry.path)?;
            if entry.content.is_none() && old.is_none() {
                return Err(VolumeError::Incomplete { path: entry.path.clone() });
            }
            let same = |old: tree::Old| {
                let group = entry.group.is_none_or(|group| group == old.group);
                let content = entry.content.is_none_or(|new| new.expose() == old.content.expose());
                group && content && old.mode == entry.mode.bits()
            };
            if !old.is_some_and(same) {
                changed.push(entry.path.clone());
            }
        }
        let names: BTreeSet<String> = entries.iter().map(|entry| entry.path.top().to_owned()).collect();
        links::check(&self.directory, DATA, &names).map_err(with_path(&self.path))?;
        let same_set = current.as_ref().is_some_and(|current| tree::count(current).is_ok_and(|n| n == entries.len()));
        if same_set && changed.is_empty() {
            return Ok(Staged { generation: None, names, changed });
        }
        let generation = format!("..{}.{}", Utc::of(now).underscored(), random());
        if let Err(error) = self.write(&generation, entries, old) {
            let _ = tree::remove(&self.directory, &generation);
            return Err(error);
        }
        Ok(Staged { generation: Some(generation), names, changed })
    }

    fn write(
        &self,
        generation: &str,
        entries: &[Entry<'_>],
        old: impl Fn(&RelativePath) -> Result<Option<tree::Old>, VolumeError>,
    ) -> Result<(), VolumeError> {
        mkdirat(&self.directory, generation, Mode::from_bits_truncate(0o755))
            .map_err(|errno| io(&self.path, generation, errno))?;
        let root = tree::create(&self.directory, generation).map_err(with_path(&self.path))?;
        for &Entry { path, mode, group, content } in entries {
            let kept = if content.is_none() { old(path)? } else { None };
            let content = content.or_else(|| kept.as_ref().map(|old| &old.content));
            let Some(bytes) = content.map(Content::expose) else {
                return Err(VolumeError::Incomplete { path: path.clone() });
            };
            let file = tree::File { path, mode, group, bytes };
            tree::write(&self.directory, &root, &file, &self.budget).map_err(with_path(&self.path))?;
        }
        Ok(())
    }

    fn current(&self) -> Option<OwnedFd> {
        tree::open_directory(&self.directory, &self.generation()?).ok()
    }

    /// Generations that are neither the current one nor linger, and a `..data_tmp`.
    fn remove_leftovers(&self) -> Result<(), VolumeError> {
        let current = self.generation();
        let _ = unlinkat(&self.directory, DATA_TMP, AtFlags::empty());
        for name in tree::names(&self.directory).map_err(|errno| io(&self.path, "", errno))? {
            if tree::is_generation(&name) && current.as_ref() != Some(&name) && !self.previous.contains(&name) {
                match tree::remove(&self.directory, &name) {
                    // Somebody else's file that happens to be named like a generation.
                    Err(error) if error.errno() == Errno::NOTDIR || error.errno() == Errno::LOOP => {}
                    other => other.map_err(with_path(&self.path))?,
                }
            }
        }
        Ok(())
    }
}

fn open_volume(path: &Path) -> Result<OwnedFd, VolumeError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty())
        .map_err(|errno| VolumeError::Directory { path: path.to_owned(), error: errno.into() })
}

/// Ten digits that differ from one generation to the next, also within a second.
fn random() -> u64 {
    RandomState::new().build_hasher().finish() % 10_000_000_000
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
