//! Selections: what one of their secrets does is not the others' business, and what they cost.

use crate::support::{CLIENT, TENANT, TestEnv, stderr, until};
use keysluice_emulator::seed::SecretSeed;
use keysluice_emulator::{CallKind, Fault};
use serde_json::{Map, Value, json};
use std::fs;

/// A vault of `count` secrets `app-0`, `app-1`, … that were made long ago, and a Plan that selects
/// them.
fn env(count: usize) -> (TestEnv, Value) {
    let env = TestEnv::new();
    let secret = |index: usize| {
        (format!("app-{index}"), json!({"value": format!("v{index}"), "created": 1_700_000_000}))
    };
    let secrets: Map<String, Value> = (0..count).map(secret).collect();
    let vaults = json!({"vaults": [{"name": "shop", "tenantId": TENANT, "secrets": secrets,
        "roles": [{"clientId": CLIENT, "secrets": ["get", "list"]}]}]});
    env.emulator.seed(serde_json::from_value(vaults).unwrap()).unwrap();
    let mut plan = env.plan(&[]);
    plan["volumes"][0]["selections"] = json!([{"mode": "0640", "identity": "a",
        "vault": env.emulator.vault_url("shop"), "namePrefix": "app-"}]);
    (env, plan)
}

#[test]
fn a_secret_that_fails_keeps_its_file_and_the_others_go_on() {
    let (env, plan) = env(4);
    let sidecar = env.run_ready(&plan);
    for (fault, code) in
        [(Fault::status(403), "KS405"), (Fault::status(500), "KS408"), (Fault::reset(), "KS411")]
    {
        env.emulator.inject(fault.on(CallKind::SecretGet).object("app-1"));
        env.emulator.set_secret("shop", "app-1", "unseen");
        env.emulator.set_secret("shop", "app-2", code);
        let (answer, well) = sidecar.refresh();
        assert!(!well);
        let file = &answer["volumes"][0]["files"][0];
        assert_eq!(file["error"]["code"], code, "{answer}");
        assert!(file["error"]["message"].as_str().unwrap().contains("\"app-1\""), "{answer}");
        assert_eq!(file["made"].as_array().unwrap().len(), 4, "{answer}");
        assert_eq!((env.read("app-1").as_str(), env.read("app-2").as_str()), ("v1", code));
        env.emulator.clear_faults();
    }
    until("it is asked for again", || sidecar.refresh().1);
    assert_eq!(env.read("app-1"), "unseen");
    // One that is new and fails has no file to keep.
    env.emulator.inject(Fault::status(403).on(CallKind::SecretGet).object("app-9"));
    env.emulator.set_secret("shop", "app-9", "new");
    env.emulator.delete("shop", "app-0");
    assert!(!sidecar.refresh().1);
    assert!(!env.root.join("mnt/v/app-9").exists() && !env.root.join("mnt/v/app-0").exists());
    env.emulator.clear_faults();
    assert!(sidecar.refresh().1);
    assert_eq!(env.read("app-9"), "new");
    assert_eq!(fs::read_dir(env.root.join("mnt/v/..data")).unwrap().count(), 4);
}

#[test]
fn a_list_alone_removes_no_file() {
    let (env, plan) = env(3);
    let files = || fs::read_dir(env.root.join("mnt/v/..data")).unwrap().count();
    let short = |body: &str| Fault::answer(200, "application/json", body).on(CallKind::List);
    let mut sidecar = env.run_ready(&plan);
    for body in [r#"{"value":[]}"#, r#"{"value":null}"#, r#"{"value":[],"nextLink":null}"#] {
        env.emulator.inject(short(body));
        env.emulator.set_secret("shop", "app-1", body);
        sidecar.refresh();
        assert_eq!(files(), 3, "{body}: {}", env.log());
        env.emulator.clear_faults();
    }
    // The same for the process after it, which knows the files only.
    drop(sidecar);
    env.emulator.inject(short(r#"{"value":[]}"#));
    sidecar = env.run_ready(&plan);
    until("it has asked", || sidecar.refresh().1);
    assert_eq!(files(), 3, "{}", env.log());
    // Only Key Vault's own answer removes a file.
    for fault in [Fault::status(500), Fault::status(403), Fault::answer(404, "text/plain", "x")] {
        env.emulator.inject(fault.on(CallKind::SecretGet).object("app-1"));
        assert!(!sidecar.refresh().1);
        assert_eq!(files(), 3, "{}", env.log());
        env.emulator.clear_faults();
        env.emulator.inject(short(r#"{"value":[]}"#));
    }
    assert!(!env.log().contains("removed"), "{}", env.log());
    env.emulator.delete("shop", "app-1");
    env.emulator.disable("shop", "app-2");
    until("one is left", || {
        sidecar.refresh();
        files() == 1
    });
    assert_eq!(env.read("app-0"), "v0");
    let log = env.log();
    assert!(log.contains("the files are removed: app-1, app-2"), "{log}");
    env.emulator.delete("shop", "app-0");
    until("none is left", || {
        sidecar.refresh();
        env.log().contains("KS404 secrets")
            && env.log().contains("no secret matches; hint: check the name")
    });
}

#[test]
fn a_secret_that_loses_its_tag_loses_its_file() {
    let (env, mut plan) = env(2);
    let tag = |value: &str| [("team".to_owned(), value.to_owned())].into();
    for name in ["app-0", "app-1"] {
        env.emulator.set_tags("shop", name, tag("web"));
    }
    plan["volumes"][0]["selections"][0]["tags"] = json!({"team": "web"});
    let sidecar = env.run_ready(&plan);
    env.emulator.set_tags("shop", "app-1", tag("other"));
    assert!(sidecar.refresh().1);
    assert!(!env.root.join("mnt/v/app-1").exists(), "{}", env.log());
    assert!(env.log().contains("the files are removed: app-1"), "{}", env.log());
}

#[test]
fn the_first_generation_of_a_selection_is_whole() {
    let (env, plan) = env(4);
    env.emulator.inject(Fault::status(403).on(CallKind::SecretGet).object("app-1"));
    let sidecar = env.run(&plan);
    until("it is told", || env.log().contains("KS405"));
    assert_eq!(sidecar.status()["ready"], false);
    env.emulator.clear_faults();
    assert!(sidecar.ready().status.success());
    assert_eq!(env.read("app-1"), "v1");
}

#[test]
fn a_page_of_a_list_with_as_many_tags_as_a_vault_takes_is_read() {
    let (env, mut plan) = env(25);
    let tags: std::collections::BTreeMap<_, _> =
        (0..15).map(|tag| (format!("{tag:0>512}"), "v".repeat(512))).collect();
    for index in 0..25 {
        env.emulator.set_tags("shop", &format!("app-{index}"), tags.clone());
    }
    plan["volumes"][0]["files"] =
        json!([env.file("a", "app-1"), env.file("b", "app-2"), env.file("c", "app-3")]);
    let sidecar = env.run_ready(&plan);
    env.emulator.reset_counts();
    until("a list shows that nothing changed", || {
        let (gets, well) = (env.emulator.counts().secret_gets, sidecar.refresh().1);
        assert!(well, "{}", env.log());
        env.emulator.counts().secret_gets == gets
    });
}

#[test]
fn a_refresh_of_a_selection_costs_its_list_and_a_get_for_each_that_changed() {
    let (env, plan) = env(40);
    let sidecar = env.run_ready(&plan);
    let generation = || fs::read_link(env.root.join("mnt/v/..data")).unwrap();
    let before = generation();
    // With db, api and off 43 secrets.
    assert_eq!(sidecar.cost(), (2, 0, true));
    assert_eq!(generation(), before);
    env.emulator.set_secret("shop", "app-7", "changed");
    env.emulator.set_secret("shop", "app-new", "new");
    env.emulator.delete("shop", "app-8");
    // The third GET shows that app-8 is deleted.
    assert_eq!(sidecar.cost(), (2, 3, true));
    assert_eq!(
        (env.read("app-7").as_str(), env.read("app-new").as_str(), env.read("app-9").as_str()),
        ("changed", "new", "v9")
    );
    assert_eq!(fs::read_dir(env.root.join("mnt/v/..data")).unwrap().count(), 40);
    until("it is settled", || sidecar.cost() == (2, 0, true));
    assert_eq!(sidecar.status()["volumes"][0]["files"][0]["made"].as_array().unwrap().len(), 40);
    // What the volume has lost no list tells.
    fs::remove_file(env.root.join("mnt/v/..data/app-9")).unwrap();
    assert_eq!(sidecar.cost(), (2, 40, true));
    assert_eq!(env.read("app-9"), "v9");
    for round in 0..10 {
        let value = format!("value {round}");
        env.emulator.set_secret("shop", "app-7", value.as_str());
        assert!(sidecar.refresh().1);
        assert_eq!(env.read("app-7"), value);
    }
}

#[test]
fn a_refresh_of_a_history_costs_its_list() {
    let (env, mut plan) = env(1);
    // The service promises no order of two versions within a second.
    for (value, created) in [("1", 1_700_000_001), ("2", 1_700_000_002), ("3", 1_700_000_003)] {
        let seed = SecretSeed {
            value: Some(value.into()),
            created: Some(created),
            ..SecretSeed::default()
        };
        env.emulator.put_secret("shop", "versions", seed).unwrap();
    }
    let mut history = env.file("old", "versions");
    history["history"] = 2.into();
    let mut other = history.clone();
    (other["path"], other["encoding"]) = ("other".into(), "utf-8".into());
    plan["volumes"][0]["files"] = json!([history, other]);
    plan["volumes"][0]["selections"] = json!([]);
    let sidecar = env.run_ready(&plan);
    assert_eq!(sidecar.cost(), (1, 0, true));
    env.emulator.set_secret("shop", "versions", "4");
    assert_eq!(sidecar.cost(), (1, 2, true));
    let read = || ["old/0", "other/0", "old/1", "other/1"].map(|path| env.read(path));
    assert_eq!(read(), ["4", "4", "3", "3"]);
    assert_eq!(sidecar.cost(), (1, 0, true));
    assert_eq!(sidecar.status()["volumes"][0]["files"][1]["made"].as_array().unwrap().len(), 2);
    env.emulator.disable("shop", "versions");
    assert_eq!(sidecar.cost(), (1, 2, true));
    assert_eq!(read(), ["3", "3", "2", "2"]);
}

#[test]
fn a_selection_that_would_not_fit_into_memory_is_told() {
    let (env, plan) = env(1);
    for index in 0..350 {
        env.emulator.set_secret("shop", &format!("app-{index}"), "x".repeat(25_000));
    }
    let output = env.output(&plan, &["once"]);
    let text = stderr(&output);
    assert!(
        output.status.code() == Some(1) && text.contains("KS430") && text.contains("8388608 bytes"),
        "{text}"
    );
}
