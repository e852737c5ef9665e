//! The path that reviews are sent to: what is stored, what a configuration names, what a replica
//! answers.

use crate::material::Data;
use crate::{CertsError, Published, ResourceVersion};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// What a path of reviews of pods begins with.
pub const PODS: &str = "/mutate";
/// In its place, the same path is that of reviews of workloads.
pub const WORKLOADS: &str = "/validate";
const PREFIX: &str = "/mutate/";
const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const LENGTH: usize = 32;
/// More can only come from something that changes the configuration again and again.
const MAX_FORMER: usize = 16;
const MAX_PATH_BYTES: usize = 512;

/// A path that cannot be guessed: `/mutate/` and 32 lower-case letters or digits.
#[derive(Clone, PartialEq, Eq)]
pub struct ServicePath(String);

/// The text that is not such a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not /mutate/ and 32 lower-case letters or digits")]
pub struct ServicePathError;

impl ServicePath {
    /// A new one.
    ///
    /// # Errors
    /// The random source fails.
    #[expect(clippy::disallowed_methods, reason = "this room owns the random paths")]
    pub fn random() -> Result<Self, CertsError> {
        let mut path = PREFIX.to_owned();
        let mut bytes = [0; 2 * LENGTH];
        while path.len() < PREFIX.len() + LENGTH {
            aws_lc_rs::rand::fill(&mut bytes).map_err(|_| CertsError::Random)?;
            // 252 is a multiple of 36: every letter is as likely as the next.
            let letters = bytes
                .iter()
                .filter(|byte| **byte < 252)
                .map(|byte| LETTERS[usize::from(byte % 36)]);
            path.extend(letters.take(PREFIX.len() + LENGTH - path.len()).map(char::from));
        }
        Ok(Self(path))
    }

    /// As the configuration has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where reviews of workloads are sent to: `/validate/` and the same letters.
    pub fn of_workloads(&self) -> String {
        format!("{WORKLOADS}{}", &self.0[PODS.len()..])
    }
}

impl FromStr for ServicePath {
    type Err = ServicePathError;
    fn from_str(text: &str) -> Result<Self, ServicePathError> {
        let letters = text.strip_prefix(PREFIX).ok_or(ServicePathError)?;
        let fits = letters.len() == LENGTH && letters.bytes().all(|byte| LETTERS.contains(&byte));
        if fits { Ok(Self(text.to_owned())) } else { Err(ServicePathError) }
    }
}

/// Who knows it may call the webhook, so it is not shown.
impl fmt::Debug for ServicePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServicePath")
    }
}

/// A path without the slash at its end, as the API server calls it; without anything it is the
/// root.
pub(crate) fn plain(path: &str) -> String {
    match path.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.to_owned(),
    }
}

/// The path in the Secret, and those that configurations named before it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StoredPaths {
    pub(crate) current: Option<ServicePath>,
    /// What an API server may still call: every replica answers it, also one that starts now.
    pub(crate) former: Vec<String>,
    /// Counts what was about to be overwritten in the configuration, so that each time the Secret
    /// changes before.
    pub(crate) changes: u64,
}

impl StoredPaths {
    /// Reads the Secret; what is not a path is as good as nothing.
    pub fn parse(data: &Data) -> Self {
        let former = text(data, "old-paths")
            .lines()
            .filter(|path| is_kept(path))
            .map(plain)
            .take(MAX_FORMER)
            .collect();
        let changes = text(data, "path-changes").trim().parse().unwrap_or_default();
        Self { current: text(data, "path").trim().parse().ok(), former, changes }
    }

    /// Writes them into the Secret's data.
    pub fn put(&self, data: &mut Data) {
        let changes = if self.changes == 0 { String::new() } else { self.changes.to_string() };
        let former = self.former.iter().fold(String::new(), |mut lines, path| {
            lines.push_str(path.as_ref());
            lines.push('\n');
            lines
        });
        let current = self.current.as_ref().map(|path| path.as_str().to_owned());
        for (key, value) in [
            ("path", current.unwrap_or_default()),
            ("path-changes", changes),
            ("old-paths", former),
        ] {
            if value.is_empty() {
                data.0.remove(key);
            } else {
                data.put(key, value);
            }
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.current.iter().map(ServicePath::as_str).chain(self.former.iter().map(String::as_str))
    }
}

/// A value of the Secret; empty where it is missing or not text.
fn text<'d>(data: &'d Data, key: &str) -> &'d str {
    data.0.get(key).and_then(|value| str::from_utf8(value).ok()).unwrap_or_default()
}

impl fmt::Debug for StoredPaths {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("StoredPaths");
        shown
            .field("current", &self.current)
            .field("former", &self.former.len())
            .finish_non_exhaustive()
    }
}

fn is_kept(path: &str) -> bool {
    path.starts_with('/') && path.len() <= MAX_PATH_BYTES
}

/// What one replica has seen of paths, on its monotonic clock, and in which order.
#[derive(Debug, Clone, Default)]
pub struct PathSightings {
    named: Vec<String>,
    stored: StoredPaths,
    notes: u64,
    /// The configuration's version, and since when it is that: only so long it is certain what it
    /// named.
    version: Option<ResourceVersion>,
    version_since: Duration,
    version_note: u64,
    /// Since when the Secret has had this path, and since when all that it has.
    current_since: Duration,
    whole_since: Duration,
    whole_note: u64,
    /// Since when every entry has named the stored path.
    in_force_since: Option<Duration>,
    /// Whether every entry named it at any time since it is stored.
    was_in_force: bool,
    /// What was named or stored, and when that was first seen to be over.
    gone: Vec<(String, Duration)>,
}

impl PathSightings {
    /// Notes what a look at the configuration, at the Secret or at both has found.
    pub fn note(
        &mut self,
        published: Option<&Published>,
        stored: Option<&StoredPaths>,
        uptime: Duration,
    ) {
        let before: Vec<String> = self.known().map(str::to_owned).collect();
        self.notes += 1;
        if let Some(published) = published {
            if self.version.as_ref() != Some(&published.version) {
                self.version = Some(published.version.clone());
                (self.version_since, self.version_note) = (uptime, self.notes);
            }
            // Without any CA no API server calls: no path is published.
            let named =
                if published.has_certificates() { published.paths().collect() } else { Vec::new() };
            self.named = named.into_iter().map(str::to_owned).collect();
        }
        if let Some(stored) = stored {
            if stored.current != self.stored.current {
                (self.current_since, self.was_in_force) = (uptime, false);
            }
            if *stored != self.stored {
                (self.whole_since, self.whole_note) = (uptime, self.notes);
                self.stored = stored.clone();
            }
        }
        if let (Some(published), Some(current)) = (published, &self.stored.current) {
            let in_force = published.all_name(current.as_str());
            self.in_force_since = in_force.then(|| self.version_since.max(self.current_since));
            self.was_in_force |= in_force;
        }
        self.gone.retain(|(path, _)| {
            !self.named.contains(path) && !self.stored.all().any(|one| one == path)
        });
        for path in before {
            if !self.known().any(|one| one == path)
                && !self.gone.iter().any(|(gone, _)| *gone == path)
            {
                self.gone.push((path, uptime));
            }
        }
    }

    fn known(&self) -> impl Iterator<Item = &str> {
        self.named.iter().map(String::as_str).chain(self.stored.all())
    }

    /// What is answered: what is named or stored, or was until less than `propagation` ago.
    pub(crate) fn answered(&self, uptime: Duration, propagation: Duration) -> Vec<String> {
        let lately = self
            .gone
            .iter()
            .filter(|(_, since)| uptime <= *since + propagation)
            .map(|(path, _)| path.as_str());
        let mut paths: Vec<String> = self.known().chain(lately).map(str::to_owned).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    pub(crate) fn named(&self) -> &[String] {
        &self.named
    }

    /// Forgets what is no longer answered.
    pub(crate) fn forget(&mut self, uptime: Duration, propagation: Duration) {
        self.gone.retain(|(_, since)| uptime <= *since + propagation);
    }
}

/// What a replica answers now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnsweredPaths {
    /// Looks at configuration and Secret that succeeded so far.
    pub looks: u64,
    /// Every path that is answered.
    pub paths: Arc<[String]>,
    /// Those of them that the configuration names.
    pub named: Arc<[String]>,
}

/// What to do about the path.
#[derive(Debug, Default)]
pub(crate) struct PathDecision {
    /// For every entry that may be written and names another one.
    pub(crate) publish: Option<ServicePath>,
    /// What to store.
    pub(crate) write: Option<StoredPaths>,
    /// When something is due, if nothing happens before.
    pub(crate) next_check: Option<Duration>,
}

/// Decides. What keeps a review from a replica that answers 404:
///
/// - A replica answers what the configuration names, also a path that another client wrote there.
/// - A path is published only once this replica has seen it stored for `propagation`, in which
///   every other one has looked at the Secret; or when it was in force before; or before the first
///   CA is published, when no API server can call and no replica is ready.
/// - Before it replaces another path, that one is stored too: replicas that start afterwards answer
///   it, and so does one that asks once more because it is called by a path that it does not know.
/// - A former path is dropped once the new one has been in force for `propagation`. The
///   Secret is written between reading the configuration and overwriting it, even if it contains
///   the path already: otherwise another replica could drop the path that is being overwritten.
/// - A lost path is taken from the configuration, so nothing changes.
pub(crate) fn step(
    published: Option<&Published>,
    stored: &StoredPaths,
    sightings: &PathSightings,
    uptime: Duration,
    propagation: Duration,
) -> Result<PathDecision, CertsError> {
    let Some(published) = published else { return Ok(PathDecision::default()) };
    let current = match &stored.current {
        Some(current) => current.clone(),
        None => published.common_path().map_or_else(ServicePath::random, Ok)?,
    };
    let mut wanted = StoredPaths { current: Some(current.clone()), ..stored.clone() };
    let named = published.paths().filter(|_| published.has_certificates());
    // A Secret that was lost had them.
    let remembered =
        sightings.gone.iter().filter(|_| stored.current.is_none()).map(|(path, _)| path.as_str());
    for path in named.chain(remembered).filter(|path| *path != current.as_str() && is_kept(path)) {
        if !wanted.former.iter().any(|known| known == path) && wanted.former.len() < MAX_FORMER {
            wanted.former.push(path.to_owned());
        }
    }
    let all_name = published.all_name(current.as_str());
    let settled =
        sightings.in_force_since.map(|since| since.max(sightings.whole_since) + propagation);
    if all_name && settled.is_some_and(|settled| settled <= uptime) {
        wanted.former.clear();
    }
    let ripe = sightings.current_since + propagation;
    let is_ripe = sightings.was_in_force || ripe <= uptime || !published.has_certificates();
    let replaces = published.would_replace(current.as_str());
    let is_announced =
        sightings.whole_note > sightings.version_note || !published.has_certificates();
    if wanted == *stored && replaces && is_ripe && !is_announced {
        wanted.changes = wanted.changes.wrapping_add(1);
    }
    let is_stored = wanted == *stored;
    let due = [(!stored.former.is_empty()).then_some(settled).flatten(), replaces.then_some(ripe)];
    let next_check = due
        .into_iter()
        .flatten()
        .filter_map(|due| due.checked_sub(uptime))
        .filter(|due| !due.is_zero());
    Ok(PathDecision {
        next_check: next_check.min(),
        publish: (is_stored && replaces && is_ripe).then_some(current),
        write: (!is_stored).then_some(wanted),
    })
}

#[cfg(test)]
mod tests;
