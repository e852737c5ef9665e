//! When the objects of the files were updated: what a rollout is decided on.

use super::{ItemRow, Status};
use crate::item::Item;
use crate::react::Newest;
use keysluice_plan::RelativePath;
use std::fmt::Write as _;

/// Of one item.
#[derive(Debug, Clone, Default)]
pub(super) struct NewestRow {
    /// Of what was fetched for the next generation.
    pending: Option<i64>,
    updated: Option<i64>,
    /// Whether this process has committed it: of files of an earlier one nothing is known.
    known: bool,
}

impl NewestRow {
    pub(super) fn committed(&mut self) {
        self.updated = self.updated.max(self.pending.take());
        self.known = true;
    }
}

impl Status {
    /// When the newest object of what was fetched for an item was updated.
    pub fn updated(&mut self, volume: usize, item: usize, updated: Option<i64>) {
        self.volumes[volume].items[item].newest.pending = updated;
    }

    /// What these files are of (all if none is named); `None` while it is not known of one.
    pub(crate) fn newest(&self, of: &[RelativePath]) -> Option<Newest> {
        let (mut updated, mut versions) = (None, String::new());
        for (volume, row) in self.plan.volumes.iter().zip(&self.volumes) {
            // A template may be made of any file.
            let is_all = volume.templates.iter().any(|made| of.contains(&made.path));
            for (item, row) in Item::all(volume).zip(&row.items) {
                if !is_all && !counts(item, row, of) {
                    continue;
                }
                if !row.newest.known {
                    return None;
                }
                updated = updated.max(row.newest.updated);
                let source = item.source();
                let mut files: Vec<_> = row.files.iter().collect();
                files.sort();
                for (path, version) in files {
                    let _ = writeln!(versions, "{source}\t{path}\t{version}");
                }
            }
        }
        Some(Newest::of(updated?, &versions))
    }
}

/// Whether an item makes one of these files, or may.
fn counts(item: Item<'_>, row: &ItemRow, of: &[RelativePath]) -> bool {
    let is_selection = matches!(item, Item::Selection(_));
    of.is_empty()
        || row.files.iter().any(|(path, _)| of.contains(path))
        || of.iter().any(|path| path.as_str() == item.path())
        || is_selection && !row.newest.known
}

#[cfg(test)]
mod tests {
    use super::*;
    use keysluice_plan::Plan;
    use serde_json::json;
    use std::sync::Arc;
    use std::time::Duration;

    fn status() -> Status {
        let files = ["a", "b"].map(|name| {
            json!({"path": name, "mode": "0640", "identity": "a", "vault": "https://one/",
                "type": "secret", "name": name})
        });
        let credential = json!({"kind": "managedIdentity", "endpoint": "http://i/"});
        let plan = json!({"schema": 1,
            "identities": [{"name": "a", "scope": "s/.default", "credential": credential}],
            "volumes": [{"name": "v", "directory": "/v", "refreshIntervalSeconds": 120,
                "files": files}]});
        Status::new(Arc::new(Plan::from_json(&plan.to_string()).unwrap()))
    }

    fn commit(status: &mut Status, item: usize, version: &str, updated: i64) {
        let path: RelativePath = ["a", "b"][item].parse().unwrap();
        status.fetched(0, item, vec![(path, version.to_owned())], [], Duration::ZERO);
        status.updated(0, item, Some(updated));
        status.committed(0, None, &[item], None, Duration::ZERO);
    }

    #[test]
    fn the_newest_object_counts_and_nothing_before_all_are_known() {
        let mut status = status();
        commit(&mut status, 0, "1", 100);
        assert_eq!(status.newest(&[]), None);
        let of = ["a".parse().unwrap()];
        let of_a = status.newest(&of).unwrap();
        commit(&mut status, 1, "1", 200);
        let both = status.newest(&[]).unwrap();
        assert_eq!(status.newest(&of).unwrap(), of_a, "other files do not count");
        assert!(both.to_string().starts_with("1970-01-01T00:03:20Z/"), "{both}");
        commit(&mut status, 0, "2", 150);
        let again = status.newest(&[]).unwrap();
        assert_eq!(again.to_string()[..20], both.to_string()[..20]);
        assert_ne!(again, both, "the versions differ");
    }

    #[test]
    fn what_is_fetched_and_not_committed_does_not_count() {
        let mut status = status();
        commit(&mut status, 0, "1", 100);
        commit(&mut status, 1, "1", 100);
        let before = status.newest(&[]);
        status.fetched(0, 0, vec![("a".parse().unwrap(), "2".to_owned())], [], Duration::ZERO);
        status.updated(0, 0, Some(300));
        assert_eq!(status.newest(&[]), before);
    }
}
