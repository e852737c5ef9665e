//! New values: which files change, and when.

use crate::support::{CANARY, Mount, TestEnv, loudly, until};
use keysluice_emulator::{CallKind, Fault};
use rustix::process::Signal;
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn a_rotated_secret_is_replaced_without_a_restart() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db"), env.file("api", "api")]));
    let before = fs::read_link(env.root.join("mnt/v/..data")).unwrap();
    assert!(sidecar.refresh().1);
    assert_eq!(
        fs::read_link(env.root.join("mnt/v/..data")).unwrap(),
        before,
        "nothing changed, nothing is rewritten"
    );
    let version = env.emulator.set_secret("shop", "db", "rotated");
    let (answer, well) = sidecar.refresh();
    assert!(well);
    assert_eq!(answer["volumes"][0]["files"][0]["version"], version.as_str());
    assert_eq!((env.read("db").as_str(), env.read("api").as_str()), ("rotated", "second"));
    env.emulator.set_secret("shop", "api", "by signal");
    sidecar.signal(Signal::HUP);
    until("SIGHUP refreshes", || env.read("api") == "by signal");
}

#[test]
fn an_interval_refreshes_by_itself() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["volumes"][0]["refreshIntervalSeconds"] = 1.into();
    let _sidecar = env.run_ready(&plan);
    let changed = Instant::now();
    env.emulator.set_secret("shop", "db", "rotated");
    until("the interval passes", || env.read("db") == "rotated");
    // Far less than any time-out or other interval, far more than a busy machine needs.
    assert!(changed.elapsed() < Duration::from_secs(10), "{:?}", changed.elapsed());
}

#[test]
fn a_failing_object_keeps_its_last_good_file_while_others_update() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db"), env.file("api", "api")]));
    for (fault, code) in [
        (Fault::status(403), "KS405"),
        (Fault::status(404), "KS404"),
        (Fault::status(500), "KS408"),
        (Fault::truncate(), "KS413"),
        (Fault::reset(), "KS411"),
    ] {
        env.emulator.inject(fault.on(CallKind::SecretGet).object("db"));
        env.emulator.set_secret("shop", "db", "unseen");
        env.emulator.set_secret("shop", "api", code);
        let (answer, well) = sidecar.refresh();
        env.emulator.clear_faults();
        assert!(!well);
        let error = &answer["volumes"][0]["files"][0]["error"];
        assert_eq!(error["code"], code, "{error}");
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .starts_with("secret \"db\" in https://shop.vault.localhost"),
            "{error}"
        );
        assert_eq!((env.read("db").as_str(), env.read("api").as_str()), (CANARY, code));
    }
    assert!(sidecar.refresh().1);
    assert_eq!(env.read("db"), "unseen");
}

#[test]
fn files_that_share_an_object_share_its_get() {
    let env = TestEnv::new();
    let mut decoded = env.file("hex", "api");
    env.emulator.set_secret("shop", "api", "6869");
    decoded["encoding"] = "hex".into();
    let _sidecar = env.run_ready(&env.plan(&[env.file("raw", "api"), decoded]));
    assert_eq!((env.read("raw").as_str(), env.read("hex").as_str()), ("6869", "hi"));
    assert_eq!(env.emulator.counts().secret_gets, 1);
}

#[test]
fn the_previous_generation_goes_after_ten_seconds() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db")]));
    let previous =
        env.root.join("mnt/v").join(fs::read_link(env.root.join("mnt/v/..data")).unwrap());
    env.emulator.set_secret("shop", "db", "rotated");
    let before = Instant::now();
    sidecar.refresh();
    assert!(previous.join("db").exists());
    until("the previous generation goes", || !previous.exists());
    assert!(before.elapsed() >= Duration::from_secs(10));
}

/// Needs root; elsewhere the unit test with a simulated limit has to do.
#[test]
fn a_full_tmpfs_keeps_the_last_good_generation() {
    let env = TestEnv::new();
    let volume = env.root.join("mnt/v");
    let Some(_mount) = Mount::tmpfs(&volume, "64k") else {
        return loudly("a full tmpfs", "mounting a tmpfs is not permitted here");
    };
    env.emulator.set_secret("shop", "db", "1".repeat(20_000));
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db"), env.file("api", "api")]));
    for digit in ["2", "3", "4"] {
        env.emulator.set_secret("shop", "db", digit.repeat(20_000));
        assert!(sidecar.refresh().1, "generations that linger make room");
        assert_eq!(env.read("db"), digit.repeat(20_000));
    }
    env.emulator.set_secret("shop", "db", "5".repeat(20_000));
    env.emulator.set_secret("shop", "api", "5".repeat(25_000));
    let (answer, _) = sidecar.refresh();
    let (db, api) = (env.read("db"), env.read("api"));
    let generations = fs::read_dir(&volume)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("..2"))
        .count();
    assert_eq!(answer["volumes"][0]["error"]["code"], "KS501", "{answer}");
    assert!(answer["volumes"][0]["error"]["hint"].as_str().unwrap().contains("sizeLimit"));
    assert_eq!((db, api.as_str(), generations), ("4".repeat(20_000), "second", 1));
}
