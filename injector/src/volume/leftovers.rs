//! What a crash left behind: found by its name, removed within a bound, tried again after longer
//! and longer pauses.

use super::entries;
use super::error::VolumeError;
use super::removal::{self, Allowance};
use super::tree::{TreeError, is_generation, is_own};
use rustix::fs::{AtFlags, FileType, statat, unlinkat};
use rustix::io::Errno;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;

/// So many leftovers are looked for in one go.
const MAX_FOUND: usize = 64;
/// So often it is tried with each refresh: a volume that is read-only for a while is clean right
/// after it.
const PROMPT_TRIES: u32 = 4;
/// Then there are more and more refreshes from one try to the next, at most so many.
const LONGEST_PAUSE: u32 = 64;

/// Whether something is left, and when it is tried again.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    expected: bool,
    failures: u32,
    /// Refreshes until the next try.
    pause: u32,
    told: Option<String>,
    news: Option<VolumeError>,
}

impl Leftovers {
    /// Something may be left.
    pub(super) fn expect(&mut self) {
        self.expected = true;
    }

    /// Whether to try now; to be asked once for each refresh.
    pub(super) fn are_due(&mut self) -> bool {
        let due = self.expected && self.pause == 0;
        self.pause = self.pause.saturating_sub(1);
        due
    }

    /// What a try came to.
    pub(super) fn note(&mut self, result: Result<(), VolumeError>) {
        self.expected = result.is_err();
        let Err(error) = result else {
            self.failures = 0;
            return;
        };
        self.failures = self.failures.saturating_add(1);
        let repeated = self.failures.saturating_sub(PROMPT_TRIES);
        self.pause = 2_u32.saturating_pow(repeated).min(LONGEST_PAUSE) - 1;
        let text = error.to_string();
        if self.told.as_ref() != Some(&text) {
            (self.told, self.news) = (Some(text), Some(error));
        }
    }

    /// What was not told yet.
    pub(super) fn news(&mut self) -> Option<VolumeError> {
        self.news.take()
    }
}

/// Removes generations of ours that are not `used`, and links that never became `..data`. Another
/// user's directories stay: they are not ours, and whoever made them can make more.
pub(super) fn remove(volume: &OwnedFd, link: &str, used: &[&str]) -> Result<(), TreeError> {
    let (mut generations, mut links) = (Vec::new(), Vec::new());
    let all = entries::each(volume, |name, _| {
        if let Ok(name) = name.to_str() {
            if is_generation(name) && !used.contains(&name) && is_own_directory(volume, name) {
                generations.push(name.to_owned());
            } else if name.starts_with(link) {
                links.push(name.to_owned());
            }
        }
        let full = generations.len() + links.len() >= MAX_FOUND;
        Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    let all = all.map_err(|errno| TreeError::new("", errno))?;
    for name in links {
        // A foreign directory is not in the way.
        let _ = unlinkat(volume, name.as_str(), AtFlags::empty());
    }
    let (mut allowance, mut failure) = (Allowance::default(), None);
    for name in generations {
        match removal::remove(volume, &name, &mut allowance) {
            Err(error) if error.errno() == Errno::NOTDIR || error.errno() == Errno::LOOP => {}
            other => failure = failure.or_else(|| other.err()),
        }
    }
    match failure {
        Some(failure) => Err(failure),
        None if all => Ok(()),
        None => Err(TreeError::new("", Errno::AGAIN)),
    }
}

/// Others may have a file that happens to be named like a generation.
fn is_own_directory(volume: &OwnedFd, name: &str) -> bool {
    statat(volume, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        is_own(&stat) && FileType::from_raw_mode(stat.st_mode) == FileType::Directory
    })
}
