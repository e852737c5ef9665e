//! Selections: sets of secrets whose names only the vault knows.

use super::{env, expected, file, names, seen};
use crate::support::{TestEnv, stderr, until};
use keysluice_emulator::{CallKind, Fault, ListShape};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

fn selections(env: &TestEnv, plan: &mut Value, selections: &[Value]) {
    let all = selections.iter().map(|extra| {
        let mut one =
            json!({"mode": "0600", "identity": "a", "vault": env.emulator.vault_url("shop")});
        one.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        one
    });
    plan["volumes"][0]["selections"] = all.collect();
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
            && text.contains("does not allow listing"),
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
