use super::*;
use crate::content::Fetched;
use keysluice_plan::reason::{KS402, KS425};
use serde_json::{Value, json};

fn volume(files: &[Value], selections: &[Value]) -> Volume {
    let volume = json!({"name": "v", "directory": "/v", "refreshIntervalSeconds": 60,
        "files": completed(files), "selections": completed(selections)});
    serde_json::from_value(volume).unwrap()
}

/// With the fields that all items have.
fn completed(items: &[Value]) -> Vec<Value> {
    let completed = items.iter().map(|item| {
        let mut all = json!({"mode": "0640", "identity": "a", "vault": "https://kv/"});
        all.as_object_mut().unwrap().extend(item.as_object().unwrap().clone());
        all
    });
    completed.collect()
}

fn file(path: &str, extra: &Value) -> Value {
    let mut file = json!({"path": path, "type": "secret", "name": "x"});
    file.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    file
}

fn set(paths: &[&str]) -> BTreeSet<RelativePath> {
    paths.iter().map(|path| path.parse().unwrap()).collect()
}

fn fetched(paths: &[&str]) -> ItemUpdate {
    let files = paths.iter().map(|path| Output {
        path: path.parse().unwrap(),
        content: Content::new(path.as_bytes().to_vec()),
        version: format!("version of {path}"),
    });
    Fetched { files: files.collect(), ..Fetched::default() }.into()
}

fn fetched_as(path: &str, version: &str) -> ItemUpdate {
    let mut update = fetched(&[path]);
    version.clone_into(&mut update.fetched.files[0].version);
    update
}

/// Paths of the next generation; those that are kept end with `*`.
fn next(outputs: &Outputs, volume: &Volume) -> Vec<String> {
    let entries = outputs.entries(volume);
    let paths = entries.iter().map(|entry| match entry.content {
        Some(_) => entry.path.to_string(),
        None => format!("{}*", entry.path),
    });
    let mut paths: Vec<_> = paths.collect();
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
    let left = set(&[
        "db",
        "tls",
        "tls.crt",
        "tls.key",
        "old/0",
        "old/1",
        "all/one",
        "free",
        "foreign.txt",
        "x/y/z",
    ]);
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
    assert_eq!(
        next(&outputs, &volume),
        expected.map(|path| format!("{}*", path.trim_end_matches('*')))
    );
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
    let split = file("a", &json!({"split": true}));
    for (other, expected) in [
        ("a.key", "secret \"x\" in https://kv/: file a.key cannot stand beside file a.key"),
        ("a.key/x", "secret \"x\" in https://kv/: file a.key cannot stand beside file a.key/x"),
    ] {
        let volume = volume(&[split.clone(), file(other, &json!({}))], &[]);
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
    let volume = volume(&[split, file("a.key", &json!({}))], &[json!({"directory": "a.crt"})]);
    let (mut outputs, _) = Outputs::of(&volume, &set(&["a", "a.crt", "a.key"]));
    outputs.accept(&volume, 0, fetched(&["a"])).unwrap();
    assert_eq!(
        next(&outputs, &volume),
        ["a", "a.key*"],
        "after a restart it is the file's as well"
    );
    assert!(outputs.accept(&volume, 2, fetched(&["a.crt/x"])).is_err());
}

#[test]
fn a_selected_secret_that_fails_keeps_its_file() {
    let volume = volume(&[], &[json!({})]);
    let (mut outputs, _) = Outputs::of(&volume, &BTreeSet::new());
    assert_eq!(
        outputs.accept(&volume, 0, partly_refused(&["a"], &["b"])).unwrap_err().reason,
        KS402,
        "the first are all there"
    );
    assert_eq!(outputs.accept(&volume, 0, fetched(&["a", "b", "c"])), Ok(None));
    assert_eq!(
        outputs.accept(&volume, 0, partly_refused(&["a"], &["b", "new"])).unwrap().unwrap().reason,
        KS402
    );
    assert_eq!(next(&outputs, &volume), ["a", "b"], "also one that is not committed yet; c went");
    outputs.committed();
    assert!(outputs.accept(&volume, 0, partly_refused(&["c"], &["b"])).unwrap().is_some());
    assert_eq!(next(&outputs, &volume), ["b*", "c"]);
    outputs.accept(&volume, 0, partly_refused(&["a"], &["b"])).unwrap();
    assert_eq!(next(&outputs, &volume), ["a", "b*"]);
}

/// The vault gives some of the selected secrets and refuses the others.
fn partly_refused(given: &[&str], refused: &[&str]) -> ItemUpdate {
    let fault = Fault::new(KS402, Class::Slow, "refused");
    let kept = refused.iter().map(|path| (path.parse().unwrap(), Some(fault.clone())));
    ItemUpdate { kept: kept.collect(), ..fetched(given) }
}

/// A file with a part of the certificate.
fn part(path: &str, part: &str) -> Value {
    file(path, &json!({"type": "cert", "part": part}))
}

#[test]
fn files_of_one_certificate_change_together_once_they_are_of_one_version() {
    let volume = volume(
        &[part("crt", "cert"), part("key", "key"), file("other", &json!({"name": "y"}))],
        &[],
    );
    let left = set(&["crt", "key", "other"]);
    for (what, left, steps, expected, disagree) in [
        ("one of them failed", &left, &[("crt", "2")][..], &["crt*", "key*", "other*"][..], true),
        ("both came", &left, &[("crt", "2"), ("key", "2")], &["crt", "key", "other*"], false),
        (
            "a renewal between them",
            &left,
            &[("crt", "1"), ("key", "2")],
            &["crt*", "key*", "other*"],
            true,
        ),
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
            let update = fetched_as(path, version);
            outputs.accept(&volume, usize::from(path == "key"), update).unwrap();
        }
        assert_eq!(next(&outputs, &volume), expected, "{what}");
        assert_eq!(outputs.disagreeing().count(), usize::from(disagree), "{what}");
        assert_eq!(outputs.committed().len(), if disagree { 0 } else { 2 }, "{what}");
        assert_eq!(outputs.items[0].pending.is_some(), disagree, "{what}");
    }
    // What stands is known from here on: the same again changes nothing, a new one waits.
    let (mut outputs, _) = Outputs::of(&volume, &left);
    outputs.accept(&volume, 0, fetched_as("crt", "1")).unwrap();
    outputs.accept(&volume, 1, fetched_as("key", "1")).unwrap();
    outputs.committed();
    outputs.accept(&volume, 0, fetched_as("crt", "1")).unwrap();
    assert_eq!(outputs.committed(), [0]);
    outputs.accept(&volume, 0, fetched_as("crt", "2")).unwrap();
    assert!(outputs.committed().is_empty());
    outputs.accept(&volume, 1, ItemUpdate::default()).unwrap();
    assert_eq!(outputs.committed(), [0, 1], "an optional part that is not there has no version");
}

#[test]
fn a_certificate_without_authorities_is_replaced_and_one_without_its_key_is_not() {
    let volume = volume(&[part("ca", "ca"), part("crt", "cert"), part("key", "key")], &[]);
    for (failed, reason, expected) in [
        ("ca", KS425, ["ca*", "crt", "key"]),
        ("ca", KS402, ["ca*", "crt*", "key*"]),
        ("key", KS425, ["ca*", "crt*", "key*"]),
        ("crt", KS425, ["ca*", "crt*", "key*"]),
    ] {
        let (mut outputs, _) = Outputs::of(&volume, &set(&["ca", "crt", "key"]));
        for (index, path) in ["ca", "crt", "key"].into_iter().enumerate() {
            if path == failed {
                let kind = if reason == KS425 { FaultKind::NoPart } else { FaultKind::Forbidden };
                let fault = Fault::new(reason, Class::Slow, "it failed").of_kind(kind);
                outputs.failed(&volume, index, &fault);
            } else {
                outputs.accept(&volume, index, fetched_as(path, "2")).unwrap();
            }
        }
        assert_eq!(next(&outputs, &volume), expected, "{failed} {reason}");
    }
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
