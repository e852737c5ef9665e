//! `once`: all or nothing, also where nobody prepared a directory.

use crate::support::{CANARY, Mount, TestEnv, loudly, put, stderr, until};
use keysluice_emulator::{CallKind, Fault};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn once_creates_the_directories_of_a_pipeline() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["volumes"][0]["directory"] = "/secrets/class".into();
    let output = env.output(&plan, &["once"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(env.root.join("secrets/class/db")).unwrap(), CANARY);
    put(&env.root.join("file"), b"");
    plan["volumes"][0]["directory"] = "/file/class".into();
    let output = env.output(&plan, &["once"]);
    assert!(
        output.status.code() == Some(3) && stderr(&output).contains("KS502"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_signal_ends_once_while_a_request_hangs() {
    let env = TestEnv::new();
    env.emulator.inject(Fault::delay(Duration::from_secs(3600)).on(CallKind::SecretGet));
    for (signal, name) in
        [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM"), (Signal::HUP, "SIGHUP")]
    {
        env.emulator.reset_counts();
        let mut once = env.command(&env.plan(&[env.file("db", "db")]), &["once"]);
        let once = once.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        until("it has a token", || env.emulator.counts().tokens == 1);
        kill_process(Pid::from_child(&once), signal).unwrap();
        let output = once.wait_with_output().unwrap();
        assert!(output.status.code() == Some(1) && stderr(&output).contains(name), "{output:?}");
    }
}

#[test]
fn once_writes_all_volumes_or_none() {
    let env = TestEnv::new();
    fs::create_dir_all(env.root.join("mnt/w")).unwrap();
    // Room for two generations, the links and one more file: a swap needs one more for a moment.
    let mount = Mount::tmpfs(&env.root.join("mnt/w"), "1m,nr_inodes=8");
    let mut plan = env.plan(&[env.file("db", "db")]);
    let second = json!({"name": "w", "directory": "/mnt/w", "refreshIntervalSeconds": 60,
        "files": [env.file("api", "absent")]});
    plan["volumes"].as_array_mut().unwrap().push(second);
    let output = env.output(&plan, &["once"]);
    assert!(
        output.status.code() == Some(1) && stderr(&output).contains("KS404"),
        "{}",
        stderr(&output)
    );
    assert!(fs::read_dir(env.root.join("mnt/v")).unwrap().next().is_none());
    plan["volumes"][1]["files"][0]["name"] = "api".into();
    env.emulator.inject(Fault::status(500).on(CallKind::SecretGet).times(1));
    assert!(env.output(&plan, &["once"]).status.success());
    assert_eq!(fs::read_to_string(env.root.join("mnt/w/api")).unwrap(), "second");
    // A file in the way of the second volume: the first stays as it is.
    env.emulator.set_secret("shop", "db", "rotated");
    put(&env.root.join("mnt/w/other"), b"theirs");
    plan["volumes"][1]["files"][0]["path"] = "other".into();
    let output = env.output(&plan, &["once"]);
    assert!(
        output.status.code() == Some(1) && stderr(&output).contains("KS504"),
        "{}",
        stderr(&output)
    );
    assert_eq!(env.read("db"), CANARY);
    // A swap of the second volume that fails: the first goes back.
    plan["volumes"][1]["files"][0]["path"] = "api".into();
    env.emulator.set_secret("shop", "api", "rotated");
    if mount.is_none() {
        return loudly("a swap that fails", "mounting a tmpfs is not permitted here");
    }
    let before = fs::read_link(env.root.join("mnt/v/..data")).unwrap();
    let output = env.output(&plan, &["once"]);
    assert!(
        output.status.code() == Some(1) && stderr(&output).contains("KS501"),
        "{}",
        stderr(&output)
    );
    assert_eq!(
        (env.read("db").as_str(), fs::read_link(env.root.join("mnt/v/..data")).unwrap()),
        (CANARY, before)
    );
    assert_eq!(
        fs::read_dir(env.root.join("mnt/v")).unwrap().count(),
        3,
        "no generation is left over"
    );
    fs::remove_file(env.root.join("mnt/w/other")).unwrap();
    assert!(env.output(&plan, &["once"]).status.success());
    assert_eq!(
        (env.read("db").as_str(), fs::read_to_string(env.root.join("mnt/w/api")).unwrap().as_str()),
        ("rotated", "rotated")
    );
}
