//! Which secrets of a selection had a file: a list that leaves one out does not show that it is
//! deleted.

use super::selected::{has_prefix, path};
use crate::plan_source::below;
use keysluice_plan::{Layout, ObjectName, Selection, Volume};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The names, by volume and item.
#[derive(Debug)]
pub(super) struct Stood {
    root: PathBuf,
    names: Mutex<BTreeMap<(usize, usize), BTreeSet<ObjectName>>>,
}

/// What is known of one selection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) all: BTreeSet<ObjectName>,
    /// Some may be of another selection with the same directory.
    pub(super) is_guess: bool,
}

impl Stood {
    /// The volumes are below this root.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), names: Mutex::default() }
    }

    /// The names that the last fetch had. Before the first one they are those of the files that an
    /// earlier process, or an earlier Plan, left.
    pub(super) fn names(&self, volumes: &[Volume], volume: usize, item: usize) -> Names {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = names.get(&(volume, item)) {
            return Names { all: names.clone(), is_guess: false };
        }
        drop(names);
        let volume = &volumes[volume];
        let index = item - volume.files.len();
        let directory = &volume.selections[index].directory;
        let sharing = volume.selections.iter().filter(|other| other.directory == *directory);
        let generation = below(&self.root, &volume.directory).join("..data");
        Names { all: left(&generation, volume, index), is_guess: sharing.count() > 1 }
    }

    /// The names that this fetch had.
    pub(super) fn set(&self, volume: usize, item: usize, names: BTreeSet<ObjectName>) {
        let mut known = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((volume, item), names);
    }
}

/// The names of the files that a selection may have made.
fn left(generation: &Path, volume: &Volume, index: usize) -> BTreeSet<ObjectName> {
    let selection: &Selection = &volume.selections[index];
    let layout = Layout::of(volume);
    let directory = selection.directory.as_ref().map_or(".", |directory| directory.as_str());
    let Ok(entries) = std::fs::read_dir(generation.join(directory)) else {
        return BTreeSet::new();
    };
    let files = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|is| is.is_file()));
    let names = files.filter_map(|file| file.file_name().to_str()?.parse::<ObjectName>().ok());
    let own = names.filter(|name| {
        let path = path(selection, name);
        has_prefix(selection, name.as_str())
            && path.is_ok_and(|path| layout.may_be_selected(index, &path))
    });
    // A container may have put anything there.
    own.take(super::selected::MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(names: &[&str]) -> BTreeSet<ObjectName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn what_an_earlier_process_left_counts_until_the_first_fetch() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("mnt/v/..data");
        std::fs::create_dir_all(data.join("sub/app-deep")).unwrap();
        for file in ["app-1", "app-db", "other", "app_2", "sub/app-3"] {
            std::fs::File::create(data.join(file)).unwrap();
        }
        let volume: Volume = serde_json::from_value(json!({
            "name": "v", "directory": "/mnt/v", "refreshIntervalSeconds": 1,
            "files": [{"path": "app-db", "mode": "0600", "identity": "a", "vault": "https://kv/",
                "type": "secret", "name": "x"}],
            "selections": [
                {"mode": "0600", "identity": "a", "vault": "https://kv/", "namePrefix": "APP-"},
                {"mode": "0600", "identity": "a", "vault": "https://kv/", "directory": "sub"},
                {"mode": "0600", "identity": "a", "vault": "https://kv/", "directory": "none"},
                {"mode": "0600", "identity": "a", "vault": "https://w/", "directory": "sub"}]
        }))
        .unwrap();
        let (stood, volumes) = (Stood::new(root.path()), [volume]);
        for (item, expected, is_guess) in
            [(1, &["app-1"][..], false), (2, &["app-3"], true), (3, &[], false)]
        {
            let expected = Names { all: names(expected), is_guess };
            assert_eq!(stood.names(&volumes, 0, item), expected, "{item}");
        }
        stood.set(0, 2, names(&["new"]));
        let expected = Names { all: names(&["new"]), is_guess: false };
        assert_eq!(stood.names(&volumes, 0, 2), expected);
    }
}
