//! What the items of a volume have made: fetched and not committed yet, or standing in the current generation.

use crate::content::{Content, Fetched};
use crate::fault::{Class, Fault};
use crate::item::Item;
use crate::volume::Entry;
use keysluice_plan::reason::KS429;
use keysluice_plan::{RelativePath, Volume};
use std::collections::BTreeSet;

/// Per item the files it has made.
#[derive(Debug)]
pub(crate) struct Outputs(Vec<Made>);

#[derive(Debug, Default)]
struct Made {
    /// Its last good files, as they stand in the current generation.
    standing: Vec<RelativePath>,
    /// Not committed by this process: selections of one directory cannot tell whose a file is that an earlier one left.
    guessed: bool,
    /// What replaces them at the next commit.
    pending: Option<Fetched>,
}

impl Made {
    /// What the next generation has of it; without content where the current one has it already.
    fn files(&self) -> impl Iterator<Item = (&RelativePath, Option<&Content>)> {
        let pending = self.pending.iter().flat_map(|fetched| &fetched.files);
        let standing = if self.pending.is_some() { &[][..] } else { &self.standing };
        pending.map(|file| (&file.path, Some(&file.content))).chain(standing.iter().map(|path| (path, None)))
    }
}

impl Outputs {
    /// What the items left in a generation with these files; whether it can be a whole generation of this volume. A pod keeps
    /// its Plan, so whose a file is follows from its path: no state that could disagree with the volume.
    pub(crate) fn of(volume: &Volume, files: &BTreeSet<RelativePath>) -> (Self, bool) {
        let owned = |path: &RelativePath| volume.files.iter().any(|file| Item::File(file).claims(path));
        let made = |item: Item<'_>| {
            let own = |path: &&RelativePath| item.claims(path) && (matches!(item, Item::File(_)) || !owned(path));
            Made { standing: files.iter().filter(own).cloned().collect(), guessed: true, pending: None }
        };
        let complete = Item::count(volume) > 0 && Item::all(volume).all(|item| item.may_have_made(files));
        (Self(Item::all(volume).map(made).collect()), complete)
    }

    /// Takes what was fetched for an item. A path that the Plan gives to a file is left to it; one that another selection has
    /// taken is refused.
    pub(crate) fn accept(&mut self, volume: &Volume, index: usize, mut fetched: Fetched) -> Result<(), Fault> {
        if let Item::Selection(selection) = Item::at(volume, index) {
            fetched.files.retain(|new| !volume.files.iter().any(|file| Item::File(file).claims(&new.path)));
            for new in &fetched.files {
                let file = volume.files.iter().map(|file| &file.path).find(|path| new.path.collides_with(path));
                let others =
                    self.0.iter().enumerate().filter(|(other, _)| *other != index && *other >= volume.files.len());
                let in_the_way = |(_, made): (usize, &Made)| {
                    let guessed = made.guessed && made.pending.is_none();
                    let mut paths = made.files().map(|(path, _)| path);
                    paths.find(|path| new.path.collides_with(path) && !(guessed && new.path == **path)).cloned()
                };
                if let Some(other) = file.cloned().or_else(|| others.into_iter().find_map(in_the_way)) {
                    let source = Item::Selection(selection).source();
                    let message = format_args!("{source}: file {} cannot stand beside file {other}", new.path);
                    return Err(Fault::new(KS429, Class::Slow, message));
                }
            }
        }
        self.0[index].pending = Some(fetched);
        Ok(())
    }

    /// What the current generation has.
    pub(crate) fn standing(&self) -> impl Iterator<Item = &RelativePath> {
        self.0.iter().flat_map(|made| &made.standing)
    }

    /// Whether an item was fetched and not committed yet.
    pub(crate) fn is_pending(&self, index: usize) -> bool {
        self.0[index].pending.is_some()
    }

    /// The next generation. Two selections that share a directory may both keep a file after a restart.
    pub(crate) fn entries<'a>(&'a self, volume: &'a Volume) -> Vec<Entry<'a>> {
        let mut paths = BTreeSet::new();
        let entry = |(item, made): (Item<'a>, &'a Made)| {
            let (mode, group) = (item.mode(), item.group());
            made.files().map(move |(path, content)| Entry { path, mode, group, content })
        };
        let all = Item::all(volume).zip(&self.0).flat_map(entry).collect::<Vec<_>>();
        let (new, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|entry| entry.content.is_some());
        new.into_iter().chain(kept).filter(|entry| paths.insert(entry.path)).collect()
    }

    /// Version of a file that is about to be committed.
    pub(crate) fn version(&self, path: &RelativePath) -> Option<&str> {
        let mut pending = self.0.iter().filter_map(|made| made.pending.as_ref()).flat_map(|fetched| &fetched.files);
        pending.find(|file| file.path == *path).map(|file| file.version.as_str())
    }

    /// The next generation is the current one.
    pub(crate) fn committed(&mut self) {
        for made in &mut self.0 {
            if let Some(fetched) = made.pending.take() {
                made.guessed = false;
                made.standing = fetched.files.into_iter().map(|file| file.path).collect();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Output;
    use serde_json::{Value, json};

    fn volume(files: &[Value], selections: &[Value]) -> Volume {
        let with = |value: &Value| {
            let mut all = json!({"mode": "0640", "identity": "a", "vault": "https://kv/"});
            all.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
            all
        };
        let files: Vec<_> = files.iter().map(with).collect();
        let selections: Vec<_> = selections.iter().map(with).collect();
        let volume = json!({"name": "v", "directory": "/v", "refreshIntervalSeconds": 60, "files": files, "selections": selections});
        serde_json::from_value(volume).unwrap()
    }

    fn file(path: &str, extra: &Value) -> Value {
        let mut file = json!({"path": path, "type": "secret", "name": "x"});
        file.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        file
    }

    fn set(paths: &[&str]) -> BTreeSet<RelativePath> {
        paths.iter().map(|path| path.parse().unwrap()).collect()
    }

    fn fetched(paths: &[&str]) -> Fetched {
        let output = |path: &&str| Output {
            path: path.parse().unwrap(),
            content: Content::new(path.as_bytes().to_vec()),
            version: format!("version of {path}"),
        };
        Fetched { files: paths.iter().map(output).collect(), warnings: Vec::new() }
    }

    /// Paths of the next generation; those that are kept end with `*`.
    fn next(outputs: &Outputs, volume: &Volume) -> Vec<String> {
        let shown = |entry: &Entry<'_>| format!("{}{}", entry.path, if entry.content.is_some() { "" } else { "*" });
        let mut paths: Vec<_> = outputs.entries(volume).iter().map(shown).collect();
        paths.sort();
        paths
    }

    #[test]
    fn after_a_restart_every_file_is_its_items() {
        let volume = volume(
            &[
                file("db", &json!({})),
                file("tls", &json!({"split": true})),
                file("old", &json!({"history": 3})),
                file("maybe", &json!({"optional": true})),
            ],
            &[json!({"directory": "all"}), json!({})],
        );
        let left =
            set(&["db", "tls", "tls.crt", "tls.key", "old/0", "old/1", "all/one", "free", "foreign.txt", "x/y/z"]);
        let (mut outputs, complete) = Outputs::of(&volume, &left);
        assert!(complete);
        let kept = ["all/one*", "db*", "free*", "old/0*", "old/1*", "tls*", "tls.crt*", "tls.key*"];
        assert_eq!(next(&outputs, &volume), kept);
        // Each item replaces what is its own and nothing else.
        outputs.accept(&volume, 2, fetched(&["old/0"])).unwrap();
        outputs.accept(&volume, 4, fetched(&["all/two"])).unwrap();
        outputs.accept(&volume, 3, fetched(&["maybe"])).unwrap();
        let expected = ["all/two", "db*", "free*", "maybe", "old/0", "tls*", "tls.crt*", "tls.key*"];
        assert_eq!(next(&outputs, &volume), expected);
        assert_eq!(outputs.version(&"old/0".parse().unwrap()), Some("version of old/0"));
        outputs.committed();
        assert_eq!(next(&outputs, &volume), expected.map(|path| format!("{}*", path.trim_end_matches('*'))));
        assert_eq!(outputs.version(&"old/0".parse().unwrap()), None);
        // An optional object that went takes its file along.
        outputs.accept(&volume, 3, Fetched::default()).unwrap();
        assert!(!next(&outputs, &volume).iter().any(|path| path.starts_with("maybe")));
    }

    #[test]
    fn a_generation_without_a_file_that_must_be_there_is_none_of_this_volume() {
        let needed = volume(&[file("db", &json!({})), file("maybe", &json!({"optional": true}))], &[]);
        assert!(!Outputs::of(&needed, &set(&["maybe"])).1);
        assert!(Outputs::of(&needed, &set(&["db"])).1);
        assert!(!Outputs::of(&volume(&[], &[]), &set(&["db"])).1, "nothing asked for, nothing resumed");
        assert!(Outputs::of(&volume(&[], &[json!({})]), &set(&[])).1);
    }

    #[test]
    fn a_selected_secret_gives_way_to_a_file_of_its_path_and_to_no_other_selection() {
        let volume = volume(
            &[file("db", &json!({})), file("dir/inner", &json!({}))],
            &[json!({}), json!({}), json!({"directory": "sub"})],
        );
        let (mut outputs, _) = Outputs::of(&volume, &BTreeSet::new());
        outputs.accept(&volume, 2, fetched(&["api", "db"])).unwrap();
        assert_eq!(next(&outputs, &volume), ["api"], "the Plan's file has its own options");
        for (index, paths, expected) in [
            (3, &["api"][..], "secrets \"*\" in https://kv/: file api cannot stand beside file api"),
            (3, &["dir"], "secrets \"*\" in https://kv/: file dir cannot stand beside file dir/inner"),
            (4, &["api/x"], "secrets \"*\" in https://kv/: file api/x cannot stand beside file api"),
        ] {
            let fault = outputs.accept(&volume, index, fetched(paths)).unwrap_err();
            assert_eq!((fault.reason.code, fault.message.as_str()), ("KS429", expected));
        }
        outputs.accept(&volume, 3, fetched(&["other"])).unwrap();
        outputs.accept(&volume, 4, fetched(&["sub/api"])).unwrap();
        assert_eq!(next(&outputs, &volume), ["api", "other", "sub/api"]);
    }

    #[test]
    fn two_selections_of_one_directory_keep_a_file_once_after_a_restart() {
        let volume = volume(&[], &[json!({}), json!({})]);
        let (mut outputs, _) = Outputs::of(&volume, &set(&["a", "b"]));
        assert_eq!(next(&outputs, &volume), ["a*", "b*"]);
        outputs.accept(&volume, 0, fetched(&["a"])).unwrap();
        assert_eq!(next(&outputs, &volume), ["a", "b*"], "b may be the other's");
        outputs.accept(&volume, 1, fetched(&["b"])).unwrap();
        assert_eq!(next(&outputs, &volume), ["a", "b"]);
    }
}
