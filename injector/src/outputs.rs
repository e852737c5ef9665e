//! What the items of a volume have made: fetched and not committed yet, or standing in the current generation.

mod certificates;

use crate::content::{Content, Output};
use crate::fault::{Class, Fault};
use crate::fetch::Brought;
use crate::item::Item;
use crate::volume::Entry;
use keysluice_plan::reason::{KS429, KS431};
use keysluice_plan::{File, RelativePath, Volume};
use std::collections::BTreeSet;

/// Per item the files it has made.
#[derive(Debug)]
pub(crate) struct Outputs {
    made: Vec<Made>,
    /// Items that are of one certificate: their files change together.
    certificates: Vec<Vec<usize>>,
}

#[derive(Debug, Default)]
struct Made {
    /// Its last good files, as they stand in the current generation.
    standing: Vec<RelativePath>,
    /// What they are of; `None` when an earlier process wrote them.
    version: Option<String>,
    /// Not committed by this process: selections of one directory cannot tell whose a file is that an earlier one left.
    guessed: bool,
    /// What replaces them at the next commit.
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    files: Vec<Output>,
    /// Standing files that stay.
    kept: Vec<RelativePath>,
}

impl Made {
    /// What the next generation has of it; without content where the current one has it already.
    fn files(&self) -> impl Iterator<Item = (&RelativePath, Option<&Content>)> {
        let pending = self.pending.iter().flat_map(|pending| &pending.files);
        let kept = self.pending.as_ref().map_or(&self.standing, |pending| &pending.kept);
        pending.map(|file| (&file.path, Some(&file.content))).chain(kept.iter().map(|path| (path, None)))
    }

    /// The version of its files in the next generation; `None` without files, `Some(None)` where nobody knows.
    fn next_version(&self) -> Option<Option<&str>> {
        match &self.pending {
            Some(pending) => pending.files.first().map(|file| Some(file.version.as_str())),
            None => (!self.standing.is_empty()).then_some(self.version.as_deref()),
        }
    }

    /// The same when what was fetched is held back.
    fn standing(&self) -> impl Iterator<Item = (&RelativePath, Option<&Content>)> {
        self.standing.iter().map(|path| (path, None))
    }
}

impl Outputs {
    /// What the items left in a generation with these files; whether it can be a whole generation of this volume. A pod keeps
    /// its Plan, so whose a file is follows from its path: no state that could disagree with the volume.
    pub(crate) fn of(volume: &Volume, files: &BTreeSet<RelativePath>) -> (Self, bool) {
        let owned = |path: &RelativePath| volume.files.iter().any(|file| Item::File(file).claims(path));
        let named = |path: &RelativePath| volume.files.iter().any(|file| file.path == *path);
        let made = |item: Item<'_>| {
            let own = |path: &&RelativePath| {
                item.claims(path)
                    && match item {
                        // A half of a split secret gives way to the file the Plan names so.
                        Item::File(file) => file.path == **path || !named(path),
                        Item::Selection(_) => !owned(path),
                    }
            };
            Made { standing: files.iter().filter(own).cloned().collect(), guessed: true, ..Made::default() }
        };
        let complete = Item::count(volume) > 0 && Item::all(volume).all(|item| item.may_have_made(files));
        (Self { made: Item::all(volume).map(made).collect(), certificates: certificates::groups(volume) }, complete)
    }

    /// Takes what was fetched for an item; answers with the worst that some of its objects failed with while their files stay. A
    /// path that the Plan gives to a file is left to it; one that another item has is refused.
    pub(crate) fn accept(&mut self, volume: &Volume, index: usize, brought: Brought) -> Result<Option<Fault>, Fault> {
        let Brought { fetched, kept: asked } = brought;
        let mut files = fetched.files;
        match Item::at(volume, index) {
            Item::File(file) => check_halves(volume, file, &files)?,
            Item::Selection(_) => {
                files.retain(|new| !volume.files.iter().any(|file| Item::File(file).claims(&new.path)));
                self.check_selected(volume, index, &files)?;
            }
        }
        let made = &mut self.made[index];
        let first = made.pending.is_none() && made.standing.is_empty();
        let (paths, faults): (BTreeSet<_>, Vec<_>) = asked.into_iter().unzip();
        let fault = faults.into_iter().flatten().max_by_key(|fault: &Fault| fault.class);
        if let Some(fault) = fault.as_ref().filter(|_| first) {
            return Err(fault.clone());
        }
        let stays = |path: &RelativePath| paths.contains(path);
        let kept = match made.pending.take() {
            None => made.standing.iter().filter(|path| stays(path)).cloned().collect(),
            Some(earlier) => {
                files.extend(earlier.files.into_iter().filter(|file| stays(&file.path)));
                earlier.kept.into_iter().filter(stays).collect()
            }
        };
        made.pending = Some(Pending { files, kept });
        Ok(fault)
    }

    /// A secret that was selected may not stand where another item's file does.
    fn check_selected(&self, volume: &Volume, index: usize, files: &[Output]) -> Result<(), Fault> {
        let planned: Vec<RelativePath> = volume.files.iter().flat_map(|file| Item::File(file).paths()).collect();
        for new in files {
            let file = planned.iter().find(|path| new.path.collides_with(path));
            let mut others =
                self.made.iter().enumerate().filter(|(other, _)| *other != index && *other >= volume.files.len());
            let in_the_way = |(_, made): (usize, &Made)| {
                let guessed = made.guessed && made.pending.is_none();
                let mut paths = made.files().map(|(path, _)| path);
                paths.find(|path| new.path.collides_with(path) && !(guessed && new.path == **path)).cloned()
            };
            if let Some(other) = file.cloned().or_else(|| others.find_map(in_the_way)) {
                return Err(in_one_place(Item::at(volume, index), &new.path, &other));
            }
        }
        Ok(())
    }

    /// Certificates of whose files some are of another version than others, or may be: what was fetched of them is not committed.
    pub(crate) fn disagreeing(&self) -> impl Iterator<Item = &[usize]> {
        self.certificates.iter().map(Vec::as_slice).filter(|items| {
            let mut versions = items.iter().filter_map(|&item| self.made[item].next_version());
            let first = versions.next();
            let agree = first.is_none_or(|first| first.is_some() && versions.all(|version| version == first));
            !agree && items.iter().any(|&item| self.made[item].pending.is_some())
        })
    }

    /// The items whose next files are what they have, not what they have fetched.
    fn held(&self) -> BTreeSet<usize> {
        self.disagreeing().flatten().copied().collect()
    }

    /// Forgets what was fetched for an item.
    pub(crate) fn forget(&mut self, index: usize) {
        self.made[index].pending = None;
    }

    /// What the current generation has.
    pub(crate) fn standing(&self) -> impl Iterator<Item = &RelativePath> {
        self.made.iter().flat_map(|made| &made.standing)
    }

    /// Whether an item was fetched and not committed yet.
    pub(crate) fn is_pending(&self, index: usize) -> bool {
        self.made[index].pending.is_some()
    }

    /// The next generation. Two selections that share a directory may both keep a file after a restart.
    pub(crate) fn entries<'a>(&'a self, volume: &'a Volume) -> Vec<Entry<'a>> {
        let (mut paths, held) = (BTreeSet::new(), self.held());
        let mut all = Vec::new();
        for (index, (item, made)) in Item::all(volume).zip(&self.made).enumerate() {
            let (mode, group) = (item.mode(), item.group());
            let entry = |(path, content)| Entry { path, mode, group, content };
            if held.contains(&index) {
                all.extend(made.standing().map(entry));
            } else {
                all.extend(made.files().map(entry));
            }
        }
        let (new, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|entry| entry.content.is_some());
        new.into_iter().chain(kept).filter(|entry| paths.insert(entry.path)).collect()
    }

    /// Version of a file that is about to be committed.
    pub(crate) fn version(&self, path: &RelativePath) -> Option<&str> {
        let mut pending = self.made.iter().filter_map(|made| made.pending.as_ref()).flat_map(|pending| &pending.files);
        pending.find(|file| file.path == *path).map(|file| file.version.as_str())
    }

    /// The next generation is the current one; answers with the items it brought.
    pub(crate) fn committed(&mut self) -> Vec<usize> {
        let (mut items, held) = (Vec::new(), self.held());
        for (index, made) in self.made.iter_mut().enumerate().filter(|(index, _)| !held.contains(index)) {
            if let Some(Pending { files, mut kept }) = made.pending.take() {
                made.guessed = false;
                made.version = files.first().map(|file| file.version.clone());
                kept.extend(files.into_iter().map(|file| file.path));
                made.standing = kept;
                items.push(index);
            }
        }
        items
    }
}

/// Where the halves of a split secret are, no other file of the Plan may be.
fn check_halves(volume: &Volume, file: &File, files: &[Output]) -> Result<(), Fault> {
    let split = file.split && file.history.is_none();
    for half in files.iter().map(|new| &new.path).filter(|path| split && **path != file.path) {
        if let Some(other) = volume.files.iter().map(|other| &other.path).find(|path| half.collides_with(path)) {
            return Err(in_one_place(Item::File(file), half, other));
        }
    }
    Ok(())
}

/// What the items of such a certificate wait for; `index` is one of them.
pub(crate) fn of_two_versions(volume: &Volume, index: usize) -> Fault {
    let source = Item::at(volume, index).source();
    Fault::new(KS431, Class::Transient, format_args!("{source}: its files would be of different versions"))
}

fn in_one_place(item: Item<'_>, path: &RelativePath, other: &RelativePath) -> Fault {
    let message = format_args!("{}: file {path} cannot stand beside file {other}", item.source());
    Fault::new(KS429, Class::Slow, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Fetched;
    use keysluice_plan::reason::KS402;
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

    fn fetched(paths: &[&str]) -> Brought {
        let output = |path: &&str| Output {
            path: path.parse().unwrap(),
            content: Content::new(path.as_bytes().to_vec()),
            version: format!("version of {path}"),
        };
        Fetched { files: paths.iter().map(output).collect(), warnings: Vec::new() }.into()
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
        outputs.accept(&volume, 3, Fetched::default().into()).unwrap();
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
    fn a_half_of_a_split_secret_gives_way_to_a_file_of_the_plan() {
        let split = |path: &str| file(path, &json!({"split": true}));
        for (other, expected) in [
            ("a.key", "secret \"x\" in https://kv/: file a.key cannot stand beside file a.key"),
            ("a.key/x", "secret \"x\" in https://kv/: file a.key cannot stand beside file a.key/x"),
        ] {
            let volume = volume(&[split("a"), file(other, &json!({}))], &[]);
            let (mut outputs, _) = Outputs::of(&volume, &BTreeSet::new());
            for _ in 0..2 {
                outputs.accept(&volume, 1, fetched(&[other])).unwrap();
                let fault = outputs.accept(&volume, 0, fetched(&["a", "a.crt", "a.key"])).unwrap_err();
                assert_eq!((fault.reason.code, fault.message.as_str()), ("KS429", expected));
                assert_eq!(next(&outputs, &volume), [other]);
            }
            // A value without blocks makes no halves.
            outputs.accept(&volume, 0, fetched(&["a"])).unwrap();
            assert_eq!(next(&outputs, &volume), ["a", other]);
        }
        let volume = volume(&[split("a"), file("a.key", &json!({}))], &[json!({"directory": "a.crt"})]);
        let (mut outputs, _) = Outputs::of(&volume, &set(&["a", "a.crt", "a.key"]));
        outputs.accept(&volume, 0, fetched(&["a"])).unwrap();
        assert_eq!(next(&outputs, &volume), ["a", "a.key*"], "after a restart it is the file's as well");
        assert!(outputs.accept(&volume, 2, fetched(&["a.crt/x"])).is_err());
    }

    #[test]
    fn a_selected_secret_that_fails_keeps_its_file() {
        let volume = volume(&[], &[json!({})]);
        let (mut outputs, _) = Outputs::of(&volume, &BTreeSet::new());
        let some = |new: &[&str], kept: &[&str]| {
            let fault = || Some(Fault::new(KS402, Class::Slow, "refused"));
            let kept = kept.iter().map(|path| (path.parse().unwrap(), fault())).collect();
            Brought { kept, ..fetched(new) }
        };
        assert_eq!(
            outputs.accept(&volume, 0, some(&["a"], &["b"])).unwrap_err().reason,
            KS402,
            "the first are all there"
        );
        assert_eq!(outputs.accept(&volume, 0, fetched(&["a", "b", "c"])), Ok(None));
        assert_eq!(outputs.accept(&volume, 0, some(&["a"], &["b", "new"])).unwrap().unwrap().reason, KS402);
        assert_eq!(next(&outputs, &volume), ["a", "b"], "also one that is not committed yet; c went");
        outputs.committed();
        assert!(outputs.accept(&volume, 0, some(&["c"], &["b"])).unwrap().is_some());
        assert_eq!(next(&outputs, &volume), ["b*", "c"]);
        outputs.accept(&volume, 0, some(&["a"], &["b"])).unwrap();
        assert_eq!(next(&outputs, &volume), ["a", "b*"]);
    }

    #[test]
    fn files_of_one_certificate_change_together_once_they_are_of_one_version() {
        let cert = |path: &str, part: &str| file(path, &json!({"type": "cert", "part": part}));
        let volume = volume(&[cert("crt", "cert"), cert("key", "key"), file("other", &json!({"name": "y"}))], &[]);
        let of = |path: &str, version: &str| {
            let mut brought = fetched(&[path]);
            version.clone_into(&mut brought.fetched.files[0].version);
            brought
        };
        let left = set(&["crt", "key", "other"]);
        for (what, left, steps, expected, disagree) in [
            ("one of them failed", &left, &[("crt", "2")][..], &["crt*", "key*", "other*"][..], true),
            ("both came", &left, &[("crt", "2"), ("key", "2")], &["crt", "key", "other*"], false),
            ("a renewal between them", &left, &[("crt", "1"), ("key", "2")], &["crt*", "key*", "other*"], true),
            (
                "and then the other",
                &left,
                &[("crt", "1"), ("key", "2"), ("crt", "2")],
                &["crt", "key", "other*"],
                false,
            ),
            ("at the start", &set(&[]), &[("crt", "1"), ("key", "2")], &[], true),
        ] {
            let (mut outputs, _) = Outputs::of(&volume, left);
            for &(path, version) in steps {
                outputs.accept(&volume, usize::from(path == "key"), of(path, version)).unwrap();
            }
            assert_eq!(next(&outputs, &volume), expected, "{what}");
            assert_eq!(outputs.disagreeing().count(), usize::from(disagree), "{what}");
            assert_eq!(outputs.committed().len(), if disagree { 0 } else { 2 }, "{what}");
            assert_eq!(outputs.is_pending(0), disagree, "{what}");
        }
        // What stands is known from here on: the same again changes nothing, a new one waits.
        let (mut outputs, _) = Outputs::of(&volume, &left);
        outputs.accept(&volume, 0, of("crt", "1")).unwrap();
        outputs.accept(&volume, 1, of("key", "1")).unwrap();
        outputs.committed();
        outputs.accept(&volume, 0, of("crt", "1")).unwrap();
        assert_eq!(outputs.committed(), [0]);
        outputs.accept(&volume, 0, of("crt", "2")).unwrap();
        assert!(outputs.committed().is_empty());
        outputs.accept(&volume, 1, Brought::default()).unwrap();
        assert_eq!(outputs.committed(), [0, 1], "an optional part that is not there has no version");
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
