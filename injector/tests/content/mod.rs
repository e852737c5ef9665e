//! Items with several files or none: histories, optional objects, JSON fields, selections.

mod certificates;
mod selections;

use crate::support::{CLIENT, TestEnv, stderr, until};
use keysluice_emulator::seed::SecretSeed;
use keysluice_emulator::{CallKind, Fault, ListShape};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// An environment whose identity may get and list everything.
pub(crate) fn env() -> TestEnv {
    let env = TestEnv::new();
    let role = json!({"clientId": CLIENT, "secrets": ["get", "list"], "keys": ["get", "list"],
        "certificates": ["get", "list"]});
    env.emulator.grant("shop", serde_json::from_value(role).unwrap()).unwrap();
    env
}

/// A file with more fields.
pub(crate) fn file(env: &TestEnv, path: &str, name: &str, extra: &Value) -> Value {
    let mut file = env.file(path, name);
    file.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    file
}

/// Everything a user sees in the volume: path and text (binary files by their length).
fn seen(env: &TestEnv) -> BTreeMap<String, String> {
    fn walk(directory: &Path, prefix: &str, all: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let (path, shown) = (directory.join(&name), format!("{prefix}{name}"));
            if name.starts_with("..") {
                continue;
            }
            if path.is_dir() {
                walk(&path, &format!("{shown}/"), all);
            } else {
                let bytes = fs::read(&path).unwrap();
                let text = String::from_utf8(bytes)
                    .unwrap_or_else(|error| format!("{} bytes", error.as_bytes().len()));
                all.insert(shown, text);
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(&env.root.join("mnt/v"), "", &mut all);
    all
}

fn names(env: &TestEnv) -> Vec<String> {
    seen(env).into_keys().collect()
}

fn expected(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|&(path, text)| (path.to_owned(), text.to_owned())).collect()
}

fn put_version(env: &TestEnv, name: &str, value: &str, created: i64, enabled: bool) -> String {
    let seed =
        SecretSeed { created: Some(created), enabled: Some(enabled), ..SecretSeed::new(value) };
    env.emulator.put_secret("shop", name, seed).unwrap()
}

#[test]
fn a_history_follows_the_vault_over_short_and_empty_pages() {
    let env = env();
    env.emulator.set_lists(ListShape { page_size: Some(2), empty_pages: true, next_host: None });
    for (number, enabled) in [(1, true), (2, true), (3, false), (4, true)] {
        put_version(&env, "rolling", &format!("v{number}"), 1000 + number, enabled);
    }
    let plan =
        env.plan(&[file(&env, "old", "rolling", &json!({"history": 3})), env.file("db", "db")]);
    let sidecar = env.run_ready(&plan);
    assert_eq!(names(&env), ["db", "old/0", "old/1", "old/2"]);
    let history = || ["old/0", "old/1", "old/2"].map(|path| env.read(path));
    assert_eq!(history(), ["v4", "v2", "v1"], "the disabled one is passed over");
    let newest = put_version(&env, "rolling", "v5", 1005, true);
    let (answer, well) = sidecar.refresh();
    assert!(well);
    assert_eq!(history(), ["v5", "v4", "v2"]);
    let made = &answer["volumes"][0]["files"][0]["made"];
    assert_eq!(
        (&made[0], made.as_array().unwrap().len()),
        (&json!({"path": "old/0", "version": newest}), 3)
    );
    // A list that fails keeps them all, also over a restart.
    env.emulator.inject(Fault::status(503).on(CallKind::List));
    assert!(!sidecar.refresh().1);
    assert_eq!(history(), ["v5", "v4", "v2"]);
    env.emulator.set_secret("shop", "db", "rotated");
    drop(sidecar);
    let sidecar = env.run_ready(&plan);
    until("the other file is new", || env.read("db") == "rotated");
    assert_eq!(history(), ["v5", "v4", "v2"]);
    env.emulator.clear_faults();
    // Fewer versions are fewer files.
    assert!(env.emulator.set_enabled("shop", "rolling", Some(&newest), false));
    env.emulator.delete("shop", "rolling");
    put_version(&env, "rolling", "anew", 1010, true);
    assert!(sidecar.refresh().1);
    assert_eq!(
        (names(&env), env.read("old/0").as_str()),
        (vec!["db".to_owned(), "old/0".to_owned()], "anew")
    );
}

#[test]
fn a_history_starts_where_it_is_told_and_an_unknown_start_makes_no_file() {
    let env = env();
    let ids = [1, 2, 3]
        .map(|number| put_version(&env, "rolling", &format!("v{number}"), 1000 + number, true));
    let history = |path: &str, version: &str| {
        file(&env, path, "rolling", &json!({"history": 2, "version": version}))
    };
    let files = [
        history("from", &ids[1]),
        history("latest", "latest"),
        history("none", "0123456789abcdef0123456789abcdef"),
    ];
    let latest = file(&env, "single", "rolling", &json!({"version": "latest"}));
    let sidecar = env.run_ready(&env.plan(&[files.as_slice(), &[latest]].concat()));
    let wanted = [
        ("from/0", "v2"),
        ("from/1", "v1"),
        ("latest/0", "v3"),
        ("latest/1", "v2"),
        ("single", "v3"),
    ];
    assert_eq!(seen(&env), expected(&wanted));
    assert!(
        env.log().contains("there is no such enabled version, so no file is written"),
        "{}",
        env.log()
    );
    assert!(sidecar.refresh().1);
    assert_eq!(env.log().matches("there is no such enabled version").count(), 1, "said once");
}

#[test]
fn an_optional_object_comes_and_goes_and_other_failures_keep_it() {
    let env = env();
    let optional = json!({"optional": true});
    let history = json!({"optional": true, "history": 2});
    let files = [
        env.file("db", "db"),
        file(&env, "maybe", "maybe", &optional),
        file(&env, "past", "maybe", &history),
    ];
    let plan = env.plan(&files);
    let sidecar = env.run_ready(&plan);
    assert_eq!(names(&env), ["db"]);
    env.emulator.set_secret("shop", "maybe", "here");
    assert!(sidecar.refresh().1);
    assert_eq!(names(&env), ["db", "maybe", "past/0"]);
    env.emulator.inject(Fault::status(403).object("maybe"));
    assert!(!sidecar.refresh().1, "a refusal is a failure");
    drop(sidecar);
    let sidecar = env.run_ready(&plan);
    assert_eq!(names(&env), ["db", "maybe", "past/0"]);
    env.emulator.clear_faults();
    assert!(env.emulator.delete("shop", "maybe"));
    assert!(sidecar.refresh().1);
    assert_eq!(names(&env), ["db"]);
}

#[test]
fn a_json_field_is_a_file_and_a_missing_one_is_named() {
    let env = env();
    env.emulator.set_secret("shop", "config", r#"{"db": {"password": "s3cret", "ports": [1, 2]}}"#);
    let field = |path: &str, key: &str| file(&env, path, "config", &json!({"jsonKey": key}));
    let files =
        [field("password", "db.password"), field("port", "db.ports[1]"), field("all", "db.ports")];
    let sidecar = env.run_ready(&env.plan(&files));
    assert_eq!(seen(&env), expected(&[("password", "s3cret"), ("port", "2"), ("all", "[1,2]")]));
    assert_eq!(env.emulator.counts().secret_gets, 1);
    env.emulator.set_secret("shop", "config", r#"{"db": {"password": "n3w"}}"#);
    let (answer, _) = sidecar.refresh();
    let error = &answer["volumes"][0]["files"][1]["error"];
    assert_eq!(error["code"], "KS427");
    assert!(
        error["message"].as_str().unwrap().ends_with("jsonKey db.ports[1]: there is no such field"),
        "{error}"
    );
    assert_eq!(seen(&env), expected(&[("password", "n3w"), ("port", "2"), ("all", "[1,2]")]));
}

#[test]
fn a_group_is_given_or_refused_in_words() {
    let env = env();
    let own = fs::metadata(env.root.join("mnt/v")).unwrap().gid();
    let plan = env.plan(&[file(&env, "db", "db", &json!({"group": own}))]);
    assert!(env.output(&plan, &["once"]).status.success());
    let plan = env.plan(&[file(&env, "db", "db", &json!({"group": own + 7}))]);
    let output = env.output(&plan, &["once"]);
    let gid = fs::metadata(env.root.join("mnt/v/db")).unwrap().gid();
    if output.status.success() {
        assert_eq!(gid, own + 7, "root may");
    } else {
        let text = stderr(&output);
        assert!(gid == own && text.contains("KS505") && text.contains("runAsGroup"), "{text}");
    }
}
