//! Which paths the entries of a volume write, and which of them collide: the rules that webhook and
//! sidecar share.

use crate::{File, ObjectName, PathError, RelativePath, TemplateFile, Volume};
use std::borrow::Cow;
use std::collections::HashMap;

/// What [`File::split`] adds to the path: the certificates and the private key.
pub const CERT_AND_KEY: [&str; 2] = [".crt", ".key"];

/// The paths of one file entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryPaths<'a> {
    /// Path of the file; with a history the directory of its versions.
    pub path: &'a RelativePath,
    /// Number of versions.
    pub history: Option<u32>,
    /// Whether it also writes certificate and key.
    pub split: bool,
}

impl<'a> From<&'a File> for EntryPaths<'a> {
    fn from(file: &'a File) -> Self {
        Self { path: &file.path, history: file.history, split: file.split }
    }
}

impl<'a> From<&'a TemplateFile> for EntryPaths<'a> {
    fn from(file: &'a TemplateFile) -> Self {
        Self { path: &file.path, history: None, split: false }
    }
}

impl<'a> EntryPaths<'a> {
    /// Whether every file of the entry has a path: its last version, and its certificate.
    ///
    /// # Errors
    /// The path that is not valid.
    pub fn check(&self) -> Result<(), PathError> {
        let last = self.history.map(|versions| format!("/{}", versions.saturating_sub(1)));
        let suffix = if self.split { CERT_AND_KEY[0] } else { "" };
        self.path.followed_by(&(last.unwrap_or_default() + suffix)).map(drop)
    }

    /// `PATH.crt` and `PATH.key` of a split file. A history has its pairs below its own directory.
    pub fn cert_and_key_files(self) -> impl Iterator<Item = RelativePath> + use<'a> {
        let suffixes = if self.split && self.history.is_none() { &CERT_AND_KEY[..] } else { &[] };
        suffixes.iter().filter_map(move |suffix| self.path.followed_by(suffix).ok())
    }

    /// Whether a file at this path belongs to the entry. All below a history's path does.
    pub fn claims(&self, path: &RelativePath) -> bool {
        match path.as_str().strip_prefix(self.path.as_str()) {
            Some("") => true,
            Some(rest) if self.history.is_some() => rest.starts_with('/'),
            Some(rest) => self.split && CERT_AND_KEY.contains(&rest),
            None => false,
        }
    }

    /// What a directory of the entry is called in `directory`: that of a history, with `all` also
    /// the first of those above a file.
    fn directory_name(&self, directory: Option<&RelativePath>, all: bool) -> Option<&'a str> {
        let name = match directory {
            None => self.path.as_str(),
            Some(directory) => below(directory, self.path)?,
        };
        match name.split_once('/') {
            Some((name, _)) => Some(name).filter(|_| all),
            None => Some(name).filter(|_| self.history.is_some()),
        }
    }
}

/// Whether every secret that a selection may find has a path below its directory.
///
/// # Errors
/// The directory, if it leaves no room for a name.
pub fn check_selection_directory(directory: &RelativePath) -> Result<(), PathError> {
    let longest = format!("/{}", "x".repeat(ObjectName::MAX_BYTES));
    directory.followed_by(&longest).map(drop).map_err(|_| PathError::Length(directory.to_string()))
}

/// The paths of a volume's entries, by position: the files, then the templates.
#[derive(Debug, Clone)]
pub struct Layout<'a> {
    files: Vec<EntryPaths<'a>>,
    /// Of the selections; `None` is the volume itself.
    directories: Vec<Option<&'a RelativePath>>,
}

impl<'a> Layout<'a> {
    /// Of a volume of a Plan.
    pub fn of(volume: &'a Volume) -> Self {
        let directories = volume.selections.iter().map(|selection| selection.directory.as_ref());
        let templates = volume.templates.iter().map(EntryPaths::from);
        Self::new(volume.files.iter().map(EntryPaths::from).chain(templates), directories)
    }

    /// Of file entries, and of selections in these directories.
    pub fn new(
        files: impl IntoIterator<Item = EntryPaths<'a>>,
        directories: impl IntoIterator<Item = Option<&'a RelativePath>>,
    ) -> Self {
        Self { files: files.into_iter().collect(), directories: directories.into_iter().collect() }
    }

    /// Position of the file entry to which a file at this path belongs. An entry of exactly this
    /// path goes before one that may write certificate or key there.
    pub fn file_of(&self, path: &RelativePath) -> Option<usize> {
        let exact = self.files.iter().position(|entry| entry.path == path);
        exact.or_else(|| self.files.iter().position(|entry| entry.claims(path)))
    }

    /// Whether a selection may have written this file: it is no file entry's, and named like a
    /// secret.
    pub fn may_be_selected(&self, selection: usize, path: &RelativePath) -> bool {
        let name = match self.directories[selection] {
            None => Some(path.as_str()),
            Some(directory) => below(directory, path),
        };
        name.is_some_and(|name| name.parse::<ObjectName>().is_ok()) && self.file_of(path).is_none()
    }

    /// The path of a file entry beside which a file at `path` cannot exist.
    pub fn colliding_file(&self, path: &RelativePath) -> Option<&'a RelativePath> {
        self.files.iter().map(|entry| entry.path).find(|other| path.collides_with(other))
    }

    /// The same among all paths that the file entries may write.
    pub fn colliding_path(&self, path: &RelativePath) -> Option<RelativePath> {
        let file = self.colliding_file(path).cloned();
        let mut beside = self.files.iter().flat_map(|entry| entry.cert_and_key_files());
        file.or_else(|| beside.find(|other| path.collides_with(other)))
    }

    /// A name that a secret of a selection may have and that is a directory of a file entry, with
    /// the entry's position. Among all names only a history's is likely to be one; among those with
    /// a prefix every directory's.
    pub fn colliding_selection(
        &self,
        directory: Option<&RelativePath>,
        prefix: &str,
    ) -> Option<(&'a str, usize)> {
        let names =
            self.files.iter().map(|entry| entry.directory_name(directory, !prefix.is_empty()));
        let mut names = names.enumerate().filter_map(|(at, name)| Some((name?, at)));
        names.find(|(name, _)| {
            name.parse::<ObjectName>().is_ok()
                && name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
    }

    /// All paths that the file entries write.
    ///
    /// # Errors
    /// The first two that collide: files in their order, then the certificates and keys.
    pub fn path_set(&self) -> Result<PathSet<'a>, Collision> {
        let mut set = PathSet::default();
        for (entry, paths) in self.files.iter().enumerate() {
            set.take(paths.path, entry)?;
        }
        for (entry, paths) in self.files.iter().enumerate() {
            for path in paths.cert_and_key_files() {
                set.take_beside(path, entry)?;
            }
        }
        Ok(set)
    }

    /// For many questions whether a file exists.
    pub fn index(&self) -> FileIndex<'a> {
        FileIndex {
            by_path: self.files.iter().map(|entry| (entry.path.as_str(), *entry)).collect(),
            directories: self.directories.clone(),
        }
    }
}

/// The rest of a path below a directory.
fn below<'a>(directory: &RelativePath, path: &'a RelativePath) -> Option<&'a str> {
    path.as_str().strip_prefix(directory.as_str())?.strip_prefix('/')
}

/// Two files that cannot exist beside each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collision {
    /// Position of the later entry.
    pub entry: usize,
    /// Its path.
    pub path: RelativePath,
    /// Whether that is the path of a certificate or a key.
    pub is_cert_or_key: bool,
    /// Position of the entry whose own path it collides with.
    pub other: usize,
}

/// Paths that are taken: by files, and by the directories that files need. Each has the position of
/// its entry.
#[derive(Debug, Default)]
pub struct PathSet<'a> {
    files: HashMap<Cow<'a, str>, usize>,
    /// Directories, with the first file below each.
    directories: HashMap<&'a str, usize>,
}

impl<'a> PathSet<'a> {
    fn take(&mut self, path: &'a RelativePath, entry: usize) -> Result<(), Collision> {
        if let Some(other) = self.holder(path) {
            return Err(Collision { entry, path: path.clone(), is_cert_or_key: false, other });
        }
        self.files.insert(Cow::Borrowed(path.as_str()), entry);
        for parent in parents(path.as_str()) {
            self.directories.entry(parent).or_insert(entry);
        }
        Ok(())
    }

    /// Takes a path beside a file that is in the set: its directories are in it already.
    fn take_beside(&mut self, path: RelativePath, entry: usize) -> Result<(), Collision> {
        if let Some(other) = self.holder(&path) {
            return Err(Collision { entry, path, is_cert_or_key: true, other });
        }
        self.files.insert(Cow::Owned(path.into()), entry);
        Ok(())
    }

    fn holder(&self, path: &RelativePath) -> Option<usize> {
        let above = self.file_above(path).map(|(_, entry)| entry);
        above.or_else(|| self.directories.get(path.as_str()).copied())
    }

    /// The file at this path, or where a directory is needed for it.
    pub fn file_above(&self, path: &RelativePath) -> Option<(&str, usize)> {
        let mut paths = parents(path.as_str()).chain([path.as_str()]);
        let (path, entry) = paths.find_map(|path| self.files.get_key_value(path))?;
        Some((path.as_ref(), *entry))
    }
}

fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(move |(end, _)| &path[..end])
}

/// The files that a volume may have, those of histories and of split certificates too.
#[derive(Debug)]
pub struct FileIndex<'a> {
    by_path: HashMap<&'a str, EntryPaths<'a>>,
    directories: Vec<Option<&'a RelativePath>>,
}

impl<'a> FileIndex<'a> {
    /// The files of the entries: of a history its newest version.
    pub fn paths(&self) -> impl Iterator<Item = Cow<'a, str>> {
        self.by_path.values().map(|entry| match entry.history {
            None => Cow::Borrowed(entry.path.as_str()),
            Some(_) => Cow::Owned(format!("{}/0", entry.path)),
        })
    }

    /// Whether a file may be at this path. In the directory of a selection every file may.
    pub fn contains(&self, path: &str) -> bool {
        let whole = CERT_AND_KEY.iter().find_map(|suffix| path.strip_suffix(suffix));
        let parent = path.rsplit_once('/').map(|(parent, _)| parent);
        self.has(path, false)
            || whole.is_some_and(|whole| self.has(whole, true))
            || self.directories.iter().any(|at| at.map(RelativePath::as_str) == parent)
    }

    /// Whether this is a file, or one version of a history; with `split` only of an entry that is.
    fn has(&self, path: &str, split: bool) -> bool {
        self.entry(path, split).is_some_and(|entry| entry.history.is_none())
            || self.has_version(path, split).unwrap_or(false)
    }

    fn has_version(&self, path: &str, split: bool) -> Option<bool> {
        let (parent, version) = path.rsplit_once('/')?;
        let versions = self.entry(parent, split)?.history?;
        let number: u32 = version.parse().ok()?;
        Some(number.to_string() == version && number < versions)
    }

    fn entry(&self, path: &str, split: bool) -> Option<&EntryPaths<'a>> {
        self.by_path.get(path).filter(|entry| entry.split || !split)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelativePath {
        text.parse().unwrap()
    }

    fn entry(path: &RelativePath, history: Option<u32>, split: bool) -> EntryPaths<'_> {
        EntryPaths { path, history, split }
    }

    #[test]
    fn an_entry_claims_the_paths_it_can_write() {
        let (tls, asked) = (path("tls"), ["tls", "tls.crt", "tls.key", "tls/0", "tlsx", "other"]);
        for (history, split, expected) in [
            (None, false, [true, false, false, false, false, false]),
            (None, true, [true, true, true, false, false, false]),
            (Some(2), true, [true, false, false, true, false, false]),
        ] {
            let entry = entry(&tls, history, split);
            assert_eq!(asked.map(|text| entry.claims(&path(text))), expected, "{entry:?}");
        }
    }

    #[test]
    fn a_selection_may_have_written_what_is_named_like_a_secret_and_no_files() {
        let (named, directory) = (path("db.key"), path("app"));
        let layout = Layout::new([entry(&named, None, false)], [None, Some(&directory)]);
        let asked = ["db", "app/db", "app/x/db", "app/d.b", "db.key", "apps"];
        let selected = |selection| asked.map(|text| layout.may_be_selected(selection, &path(text)));
        assert_eq!(selected(0), [true, false, false, false, false, true]);
        assert_eq!(selected(1), [false, true, false, false, false, false]);
        let split = path("db");
        let layout = Layout::new([entry(&split, None, true), entry(&named, None, false)], [None]);
        let files = ["db.crt", "db.key", "db/x"].map(|text| layout.file_of(&path(text)));
        assert_eq!(files, [Some(0), Some(1), None]);
        assert_eq!(layout.colliding_path(&path("db.crt/x")), Some(path("db.crt")));
        assert_eq!(layout.colliding_file(&path("db.crt/x")), None);
    }

    #[test]
    fn the_first_collision_is_told_with_both_entries() {
        for (paths, expected) in [
            (["a", "b/c", "d"], None),
            (["a", "b/c", "b"], Some((2, "b", false, 1))),
            (["b", "c", "b/c"], Some((2, "b/c", false, 0))),
            (["c", "a.key/x", "a"], Some((2, "a.key", true, 1))),
            (["a", "c", "a.crt"], Some((0, "a.crt", true, 2))),
        ] {
            let paths = paths.map(path);
            let entries = paths.iter().map(|path| entry(path, None, path.as_str() == "a"));
            let collision = Layout::new(entries, []).path_set().err();
            let expected = expected.map(|(entry, text, is_cert_or_key, other)| Collision {
                entry,
                path: path(text),
                is_cert_or_key,
                other,
            });
            assert_eq!(collision, expected, "{paths:?}");
        }
    }
}
