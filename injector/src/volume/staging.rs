//! A new generation beside the current one, written only when something differs.

use super::error::{VolumeError, io, with_path};
use super::removal::{self, Allowance};
use super::tree::{self, Bytes};
use super::{DATA, Entry, Staged, Volume, links, old, unique};
use crate::clock::Utc;
use crate::content::Content;
use keysluice_plan::RelativePath;
use rustix::fs::{Mode, mkdirat};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::SystemTime;

impl Volume {
    /// Of the files of the current generation no more than a piece is in memory at a time.
    pub(super) fn try_stage(
        &self,
        entries: &[Entry<'_>],
        now: SystemTime,
    ) -> Result<Staged, VolumeError> {
        let current = self.current().map(|(_, current)| current);
        let mut changed = Vec::new();
        for entry in entries {
            let old = self.old(current.as_ref(), entry.path)?;
            if entry.content.is_none() && old.is_none() {
                return Err(VolumeError::Incomplete { path: entry.path.clone() });
            }
            let same = match old {
                Some(old) => self.is_same(entry, &old)?,
                None => false,
            };
            if !same {
                changed.push(entry.path.clone());
            }
        }
        let names: BTreeSet<String> =
            entries.iter().map(|entry| entry.path.top().to_owned()).collect();
        links::check(&self.directory, DATA, &names).map_err(with_path(&self.path))?;
        let same_set = current.as_ref().is_some_and(|current| {
            let paths = entries.iter().map(|entry| entry.path.as_str()).collect();
            old::holds_only(current, &paths).unwrap_or(false)
        });
        if same_set && changed.is_empty() {
            return Ok(Staged { generation: None, names, changed, removed: Vec::new() });
        }
        let removed = current.as_ref().filter(|_| !same_set);
        let removed = removed.map_or_else(Vec::new, |current| missing(current, entries));
        let generation = format!("..{}.{}", Utc::of(now).underscored(), unique());
        if let Err(error) = self.write(&generation, entries, current.as_ref()) {
            let _ = removal::remove(&self.directory, &generation, &mut Allowance::default());
            return Err(error);
        }
        Ok(Staged { generation: Some(generation), names, changed, removed })
    }

    fn is_same(&self, entry: &Entry<'_>, old: &old::Old) -> Result<bool, VolumeError> {
        let attributes =
            entry.group.is_none_or(|group| group == old.group) && old.mode == entry.mode.bits();
        match entry.content.filter(|_| attributes) {
            Some(new) => {
                old.holds(new.expose()).map_err(|errno| io(&self.path, entry.path.as_str(), errno))
            }
            None => Ok(attributes),
        }
    }

    fn old(
        &self,
        current: Option<&OwnedFd>,
        path: &RelativePath,
    ) -> Result<Option<old::Old>, VolumeError> {
        current.map_or(Ok(None), |current| old::find(current, path)).map_err(with_path(&self.path))
    }

    fn write(
        &self,
        generation: &str,
        entries: &[Entry<'_>],
        current: Option<&OwnedFd>,
    ) -> Result<(), VolumeError> {
        mkdirat(&self.directory, generation, Mode::from_bits_truncate(0o755))
            .map_err(|errno| io(&self.path, generation, errno))?;
        let root = tree::create(&self.directory, generation).map_err(with_path(&self.path))?;
        let mut kept_bytes = 0;
        for &Entry { path, mode, group, content } in entries {
            let kept = if content.is_none() { self.old(current, path)? } else { None };
            kept_bytes += kept.as_ref().map_or(0, |old| old.size);
            let bytes = match (content, &kept) {
                (Some(content), _) => Bytes::New(Content::expose(content)),
                (None, Some(old)) if kept_bytes <= old::MAX_KEPT_BYTES => Bytes::Kept(old),
                _ => return Err(VolumeError::Incomplete { path: path.clone() }),
            };
            let file = tree::File { path, mode, group, bytes };
            tree::write(&self.directory, &root, &file, &self.budget)
                .map_err(with_path(&self.path))?;
        }
        Ok(())
    }
}

/// The files of a generation that are not among these; none where it is not one of ours.
fn missing(current: &OwnedFd, entries: &[Entry<'_>]) -> Vec<RelativePath> {
    let kept: BTreeSet<&RelativePath> = entries.iter().map(|entry| entry.path).collect();
    let files = old::files(current).unwrap_or_default();
    files.into_iter().filter(|path| !kept.contains(path)).collect()
}
