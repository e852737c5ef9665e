//! Items with several files or none: histories, optional objects, JSON fields, selections.

mod certificates;

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
    let role = json!({"clientId": CLIENT, "secrets": ["get", "list"], "keys": ["get", "list"], "certificates": ["get", "list"]});
    env.emulator.grant("shop", serde_json::from_value(role).unwrap()).unwrap();
    env
}

/// A file with more fields.
pub(crate) fn file(env: &TestEnv, path: &str, name: &str, extra: &Value) -> Value {
    let mut file = env.file(path, name);
    file.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    file
}

fn selections(env: &TestEnv, plan: &mut Value, selections: &[Value]) {
    let all = selections.iter().map(|extra| {
        let mut one =
            json!({"mode": "0600", "identity": "a", "vault": env.emulator.vault_url("shop")});
        one.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        one
    });
    plan["volumes"][0]["selections"] = all.collect();
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
fn a_selection_follows_the_vault_and_keeps_its_files_when_it_fails() {
    let env = env();
    env.emulator.set_lists(ListShape { page_size: Some(3), empty_pages: true, next_host: None });
    let tags = |team: &str| BTreeMap::from([("team".to_owned(), team.to_owned())]);
    for number in 0..7 {
        env.emulator.set_secret("shop", &format!("App-{number}"), format!("value {number}"));
        env.emulator.set_tags(
            "shop",
            &format!("App-{number}"),
            tags(if number < 5 { "shop" } else { "other" }),
        );
    }
    let mut plan = env.plan(&[env.file("db", "db")]);
    selections(
        &env,
        &mut plan,
        &[json!({"directory": "app", "namePrefix": "app-", "tags": {"team": "shop"}})],
    );
    let sidecar = env.run_ready(&plan);
    assert_eq!(
        names(&env),
        ["app/App-0", "app/App-1", "app/App-2", "app/App-3", "app/App-4", "db"]
    );
    let mode = fs::metadata(env.root.join("mnt/v/app/App-0")).unwrap().mode() & 0o777;
    assert_eq!((env.read("app/App-3").as_str(), mode), ("value 3", 0o600));
    assert!(env.emulator.disable("shop", "App-0"));
    assert!(env.emulator.delete("shop", "App-1"));
    env.emulator.set_tags("shop", "App-6", tags("shop"));
    env.emulator.set_secret("shop", "App-3", "rotated");
    env.emulator.set_tags("shop", "App-3", tags("shop"));
    let (answer, well) = sidecar.refresh();
    assert!(well, "{answer}");
    let after = ["app/App-2", "app/App-3", "app/App-4", "app/App-6", "db"];
    assert_eq!(
        (names(&env), env.read("app/App-3").as_str()),
        (after.map(str::to_owned).to_vec(), "rotated")
    );
    let row = &answer["volumes"][0]["files"][1];
    assert_eq!((row["path"].as_str(), row["made"].as_array().unwrap().len()), (Some("app"), 4));
    assert!(
        row["object"]
            .as_str()
            .unwrap()
            .starts_with("secrets \"app-*\" tagged \"team=shop\" in https://shop."),
        "{row}"
    );
    // When the list fails all stay, when one of the secrets does, that one: also over a restart.
    for (fault, expected) in [
        (Fault::status(503).on(CallKind::List), "value 2"),
        (Fault::status(500).on(CallKind::SecretGet).object("App-4"), "unseen"),
    ] {
        env.emulator.inject(fault);
        env.emulator.set_secret("shop", "App-2", "unseen");
        env.emulator.set_tags("shop", "App-2", tags("shop"));
        assert!(!sidecar.refresh().1);
        assert_eq!(
            (names(&env), env.read("app/App-2").as_str()),
            (after.map(str::to_owned).to_vec(), expected)
        );
        assert_eq!(env.read("app/App-4"), "value 4");
        env.emulator.clear_faults();
    }
    env.emulator.inject(Fault::status(503).on(CallKind::List));
    drop(sidecar);
    env.emulator.set_secret("shop", "db", "new");
    let sidecar = env.run_ready(&plan);
    until("the other file is new", || env.read("db") == "new");
    assert_eq!(names(&env), after);
    env.emulator.clear_faults();
    assert!(sidecar.refresh().1);
    assert_eq!(env.read("app/App-2"), "unseen");
}

#[test]
fn a_selection_without_the_right_to_list_or_with_nothing_to_select_is_told() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[]);
    selections(&env, &mut plan, &[json!({})]);
    let output = env.output(&plan, &["once"]);
    let text = stderr(&output);
    assert!(output.status.code() == Some(1) && text.contains("\"code\":\"KS416\""), "{text}");
    assert!(
        text.contains("list of secrets in https://shop.")
            && text.contains("does not allow to list"),
        "{text}"
    );
    let mut history = env.plan(&[file(&env, "old", "db", &json!({"history": 2}))]);
    history["startTimeoutSeconds"] = 1.into();
    let text = stderr(&env.output(&history, &["once"]));
    assert!(text.contains("KS416") && text.contains("versions of secret \\\"db\\\""), "{text}");
    drop(env);
    let env = self::env();
    let mut plan = env.plan(&[]);
    selections(&env, &mut plan, &[json!({"namePrefix": "none-"})]);
    let output = env.output(&plan, &["once"]);
    assert!(
        output.status.success() && stderr(&output).contains("none-*") && names(&env).is_empty()
    );
}

#[test]
fn a_next_page_elsewhere_gets_no_token() {
    let env = env();
    let port = env.emulator.https_port();
    for host in ["other.vault.localhost".to_owned(), format!("login.localhost:{port}")] {
        env.emulator.set_lists(ListShape {
            page_size: Some(1),
            empty_pages: false,
            next_host: Some(host.clone()),
        });
        let mut plan = env.plan(&[]);
        selections(&env, &mut plan, &[json!({})]);
        let before = env.emulator.requests().len();
        let output = env.output(&plan, &["once"]);
        let text = stderr(&output);
        assert!(output.status.code() == Some(1) && text.contains("KS428"), "{text}");
        let asked = env.emulator.requests().len() - before;
        assert_eq!(asked, 2, "a token and the first page, nothing at {host}");
    }
}

#[test]
fn two_selections_on_one_path_are_refused_and_a_files_own_options_win() {
    let env = env();
    let mut plan = env.plan(&[env.file("db", "api")]);
    selections(
        &env,
        &mut plan,
        &[json!({"namePrefix": "d"}), json!({"namePrefix": "a", "directory": "more"})],
    );
    assert!(env.output(&plan, &["once"]).status.success());
    assert_eq!(seen(&env), expected(&[("db", "second"), ("more/api", "second")]));
    selections(&env, &mut plan, &[json!({"namePrefix": "a"}), json!({"namePrefix": "ap"})]);
    let text = stderr(&env.output(&plan, &["once"]));
    assert!(
        text.contains("KS429") && text.contains("file api cannot stand beside file api"),
        "{text}"
    );
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
