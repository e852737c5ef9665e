//! What a refresh costs when a list shows what changed, and that nothing is missed by it.

use crate::support::{CLIENT, TENANT, TestEnv, until};
use keysluice_emulator::{CallKind, Fault, ListShape};
use serde_json::{Map, Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// A vault of `secrets` secrets `s0`, `s1`, … that were made long ago, and the right to list them.
fn env(secrets: usize) -> TestEnv {
    let env = TestEnv::new();
    let secret = |index: usize| {
        (format!("s{index}"), json!({"value": format!("v{index}"), "created": 1_700_000_000}))
    };
    let secrets: Map<String, Value> = (0..secrets).map(secret).collect();
    let vaults = json!({"vaults": [{"name": "shop", "tenantId": TENANT, "secrets": secrets,
        "keys": {"k": {"kty": "EC", "crv": "P-256"}},
        "roles": [{"clientId": CLIENT, "secrets": ["get", "list"], "keys": ["get", "list"]}]}]});
    env.emulator.seed(serde_json::from_value(vaults).unwrap()).unwrap();
    env
}

fn files(env: &TestEnv, count: usize) -> Vec<Value> {
    (0..count).map(|index| env.file(&format!("f{index}"), &format!("s{index}"))).collect()
}

#[test]
fn a_refresh_costs_a_page_for_25_objects_and_a_get_for_each_that_changed() {
    let env = env(50);
    // Beside these 50 there are db, api and off: three pages.
    let sidecar = env.run_ready(&env.plan(&files(&env, 50)));
    let counts = env.emulator.counts();
    assert_eq!(
        (counts.lists, counts.secret_gets, counts.tokens),
        (0, 50, 1),
        "the start asks for objects, and nothing before"
    );
    let generation = fs::read_link(env.root.join("mnt/v/..data")).unwrap();
    for _ in 0..3 {
        assert_eq!(sidecar.cost(), (3, 0, true));
    }
    assert_eq!(fs::read_link(env.root.join("mnt/v/..data")).unwrap(), generation);
    env.emulator.set_secret("shop", "s7", "changed");
    assert_eq!(sidecar.cost(), (3, 1, true));
    assert_eq!(env.read("f7"), "changed");
    // Until no further change can have the same time it is asked for again.
    until("it is settled", || sidecar.cost() == (3, 0, true));
    assert_eq!(
        sidecar.status()["volumes"][0]["files"][7]["ageSeconds"],
        0,
        "a list confirms it as well"
    );
}

#[test]
fn short_and_empty_pages_cost_a_call_each_and_miss_nothing() {
    let env = env(20);
    let sidecar = env.run_ready(&env.plan(&files(&env, 20)));
    // 23 objects: three pages, and an empty one between each two.
    env.emulator.set_lists(ListShape {
        page_size: Some(10),
        empty_pages: true,
        ..ListShape::default()
    });
    assert_eq!(sidecar.cost(), (5, 0, true));
    env.emulator.set_secret("shop", "s19", "changed");
    assert_eq!(sidecar.cost(), (5, 1, true));
    assert_eq!(env.read("f19"), "changed");
    env.emulator.set_lists(ListShape {
        next_host: Some("stranger.localhost".to_owned()),
        page_size: Some(10),
        ..ListShape::default()
    });
    let (lists, gets, well) = sidecar.cost();
    assert_eq!((lists, gets, well), (1, 20, true), "a link that leads elsewhere is not followed");
    assert!(env.log().contains("KS428"), "{}", env.log());
}

#[test]
fn two_changes_within_a_second_are_both_seen() {
    let env = env(10);
    let sidecar = env.run_ready(&env.plan(&files(&env, 10)));
    for round in 0..40 {
        let value = format!("value {round}");
        env.emulator.set_secret("shop", "s3", value.as_str());
        assert!(sidecar.refresh().1);
        assert_eq!(env.read("f3"), value);
    }
    assert!(env.emulator.counts().lists >= 40, "and they were looked for in lists");
}

#[test]
fn what_is_disabled_deleted_or_back_is_noticed() {
    let env = env(10);
    let sidecar = env.run_ready(&env.plan(&files(&env, 10)));
    let error =
        |file: usize| sidecar.refresh().0["volumes"][0]["files"][file]["error"]["code"].clone();
    env.emulator.disable("shop", "s1");
    env.emulator.delete("shop", "s2");
    assert_eq!((error(1), error(2), error(3)), (json!("KS406"), json!("KS404"), Value::Null));
    assert_eq!(
        (env.read("f1").as_str(), env.read("f2").as_str()),
        ("v1", "v2"),
        "the last good files stay"
    );
    env.emulator.set_enabled("shop", "s1", None, true);
    env.emulator.set_secret("shop", "s2", "back");
    assert!(sidecar.refresh().1);
    assert_eq!((env.read("f1").as_str(), env.read("f2").as_str()), ("v1", "back"));
}

#[test]
fn where_listing_is_not_allowed_objects_are_asked_for_and_nothing_fails() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db"), env.file("api", "api")]));
    // Their times have to be settled before a list could save anything.
    until("a list is asked for", || {
        let (lists, gets, well) = sidecar.cost();
        assert!(well && gets == 2);
        lists == 1
    });
    assert_eq!(env.emulator.counts().status_403, 1);
    assert!(env.log().contains("KS416"), "{}", env.log());
    for _ in 0..3 {
        assert_eq!(sidecar.cost(), (0, 2, true), "and not asked for again for a while");
    }
    assert_eq!(sidecar.status()["failing"], 0);
}

#[test]
fn a_vault_with_more_pages_than_objects_is_not_listed() {
    let env = env(300);
    let sidecar = env.run_ready(&env.plan(&files(&env, 4)));
    // Secrets come by name: s0 to s3 are on pages 1, 5 and 9.
    assert_eq!(sidecar.cost(), (3, 4, true), "once, to find out");
    assert_eq!(sidecar.cost(), (0, 4, true));
    // With all of them early in the list it ends there.
    let other = self::env(300);
    let sidecar = other.run_ready(&other.plan(&[
        other.file("a", "s0"),
        other.file("b", "s1"),
        other.file("c", "s10"),
    ]));
    assert_eq!(sidecar.cost(), (1, 0, true));
}

#[test]
fn a_list_that_fails_for_a_moment_costs_no_objects_and_one_that_goes_on_failing_does() {
    let env = env(10);
    let sidecar = env.run_ready(&env.plan(&files(&env, 10)));
    for (fault, code) in
        [(Fault::status(500), "KS408"), (Fault::truncate(), "KS413"), (Fault::reset(), "KS411")]
    {
        env.emulator.set_secret("shop", "s3", code);
        env.emulator.inject(fault.clone().on(CallKind::List).times(1));
        env.emulator.reset_counts();
        let answer = sidecar.refresh().0;
        assert_eq!(
            (&answer["failing"], env.emulator.counts().secret_gets),
            (&json!(10), 0),
            "{answer}"
        );
        assert_eq!(answer["volumes"][0]["files"][0]["error"]["code"], code);
        until("the next tells", || env.read("f3") == code);
        until("and all is settled", || sidecar.cost() == (1, 0, true));
        // Where listing goes on failing the objects have to tell.
        env.emulator.set_secret("shop", "s3", "by itself");
        env.emulator.inject(fault.on(CallKind::List));
        assert!(!sidecar.refresh().1);
        until("by GETs", || env.read("f3") == "by itself");
        env.emulator.clear_faults();
        until("lists go on", || sidecar.cost() == (1, 0, true));
    }
}

#[test]
fn a_throttled_list_is_not_answered_with_a_get_for_each_object() {
    let env = env(10);
    let sidecar = env.run_ready(&env.plan(&files(&env, 10)));
    env.emulator.inject(Fault::status(429).on(CallKind::List).times(3));
    env.emulator.set_secret("shop", "s3", "changed");
    env.emulator.reset_counts();
    let started = Instant::now();
    assert_eq!(sidecar.refresh().0["volumes"][0]["files"][0]["error"]["code"], "KS407");
    assert!(!sidecar.refresh().1, "the vault is left alone, although it did not say for how long");
    until("it has passed", || env.read("f3") == "changed");
    let counts = env.emulator.counts();
    assert_eq!((counts.lists, counts.secret_gets), (4, 1));
    assert!(started.elapsed() >= Duration::from_secs(1 + 2 + 4), "{:?}", started.elapsed());
}

#[test]
fn without_a_token_one_request_is_made_and_lists_go_on_afterwards() {
    let env = env(10);
    env.emulator.set_token_lifetime(Some(std::time::Duration::from_secs(2)));
    let sidecar = env.run_ready(&env.plan(&files(&env, 10)));
    fs::remove_file(env.root.join("token")).unwrap();
    until("the token ended", || {
        let answer = sidecar.refresh().0;
        answer["volumes"][0]["files"]
            .as_array()
            .unwrap()
            .iter()
            .all(|file| file["error"]["code"] == "KS301")
    });
    env.emulator.set_token_lifetime(None);
    env.write_token(&env.token);
    env.emulator.inject(Fault::status(503).on(CallKind::Token).times(1));
    assert_eq!(sidecar.cost(), (0, 0, false));
    assert_eq!(
        env.emulator.counts().tokens,
        1,
        "shared by all objects, and not tried again for each"
    );
    // A token that ends while it is under way may have cost the objects a 401: then they are asked
    // for once.
    until("lists go on", || sidecar.cost() == (1, 0, true));
}

#[test]
fn a_pinned_version_is_fetched_once_and_keys_have_a_list_of_their_own() {
    let env = env(10);
    let version = env.emulator.set_secret("shop", "s9", "pinned");
    env.emulator.set_secret("shop", "s9", "newer");
    let mut all = files(&env, 9);
    let mut pinned = env.file("pinned", "s9");
    pinned["version"] = version.into();
    all.push(pinned);
    let key = |path: &str, name: &str| {
        let mut key = env.file(path, name);
        key["type"] = "key".into();
        key
    };
    all.extend([key("k", "k"), key("sign", "sign")]);
    let sidecar = env.run_ready(&env.plan(&all));
    until("the keys are settled", || {
        assert!(sidecar.refresh().1);
        sidecar.cost() == (2, 0, true) && env.emulator.counts().key_gets == 0
    });
    assert_eq!(env.read("pinned"), "pinned");
}

#[test]
fn a_file_that_was_lost_comes_back_although_the_vault_has_nothing_new() {
    let env = env(10);
    let sidecar = env.run_ready(&env.plan(&files(&env, 10)));
    assert_eq!(sidecar.cost(), (1, 0, true));
    fs::remove_file(env.root.join("mnt/v/..data/f4")).unwrap();
    assert_eq!(sidecar.cost(), (0, 10, true));
    assert_eq!(env.read("f4"), "v4");
    assert_eq!(sidecar.cost(), (1, 0, true));
}
