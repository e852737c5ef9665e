//! Which paths of a volume are taken: by files, and by the directories that files need.

use keysluice_plan::RelativePath;
use std::collections::HashMap;

/// The places taken so far, each with the position of the object it belongs to.
#[derive(Debug, Default)]
pub(super) struct Places<'f> {
    files: HashMap<&'f str, usize>,
    /// Directories, with the first file below each.
    directories: HashMap<&'f str, (&'f str, usize)>,
}

impl<'f> Places<'f> {
    /// Takes a path for a file; gives who has it already, or stands in its way: a path, and the
    /// position of its object.
    pub(super) fn take(
        &mut self,
        path: &'f RelativePath,
        index: usize,
    ) -> Option<(&'f str, usize)> {
        if let Some(holder) = self.holder(path) {
            return Some(holder);
        }
        self.files.insert(path.as_str(), index);
        for parent in parents(path.as_str()) {
            self.directories.entry(parent).or_insert((path.as_str(), index));
        }
        None
    }

    /// Who stands in the way of a file at this path.
    pub(super) fn holder(&self, path: &RelativePath) -> Option<(&'f str, usize)> {
        self.above(path).or_else(|| self.directories.get(path.as_str()).copied())
    }

    /// The file that stands where a directory is needed: at the path itself, or above it.
    pub(super) fn above(&self, path: &RelativePath) -> Option<(&'f str, usize)> {
        let mut places = parents(path.as_str()).chain([path.as_str()]);
        places
            .find_map(|place| self.files.get_key_value(place))
            .map(|(path, index)| (*path, *index))
    }
}

fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(move |(end, _)| &path[..end])
}
