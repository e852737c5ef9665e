//! The process itself: signals, usage, what it holds and shows.

use crate::support::{CANARY, TestEnv, loudly, may_look_into, put, stderr, until};
use keysluice_emulator::{CallKind, Fault};
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

#[test]
fn sigterm_ends_quickly() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db")]));
    let started = Instant::now();
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait().code(), Some(0));
    let took = started.elapsed();
    println!("SIGTERM to exit: {took:?}");
    assert!(took < Duration::from_millis(250), "{took:?}");
    assert_eq!(env.termination_log(), "");
    // Before it is ready it leaves its reason behind, also while another request hangs.
    env.emulator.inject(Fault::status(403).on(CallKind::SecretGet).object("db"));
    env.emulator
        .inject(Fault::delay(Duration::from_secs(3600)).on(CallKind::SecretGet).object("api"));
    fs::remove_dir_all(env.root.join("mnt/v")).unwrap();
    fs::create_dir(env.root.join("mnt/v")).unwrap();
    let sidecar = env.run(&env.plan(&[env.file("db", "db"), env.file("api", "api")]));
    until("it failed", || env.log().contains("KS405"));
    let started = Instant::now();
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(env.termination_log().starts_with("KS405 "), "{}", env.termination_log());
}

#[test]
fn no_value_and_no_token_is_seen_outside_the_volume() {
    let env = TestEnv::new();
    let plan = env.plan(&[env.file("db", "db"), env.file("api", "api")]);
    let sidecar = env.run_ready(&plan);
    env.emulator.set_secret("shop", "db", format!("{CANARY}-2"));
    let mut seen = sidecar.refresh().0.to_string();
    for fault in [Fault::status(400), Fault::truncate(), Fault::status(401)] {
        env.emulator.inject(fault.on(CallKind::SecretGet).object("db"));
        seen += &sidecar.refresh().0.to_string();
        env.emulator.clear_faults();
    }
    let mut bad = plan.clone();
    bad["volumes"][0]["files"][0]["encoding"] = "hex".into();
    seen += &stderr(&env.output(&bad, &["once"]));
    for name in ["cmdline", "environ"] {
        // Only for root, since the process is not dumpable.
        match fs::read(format!("/proc/{}/{name}", sidecar.child.id())) {
            Ok(bytes) => seen += &String::from_utf8_lossy(&bytes),
            Err(error) => loudly("what a process shows of itself", &error.to_string()),
        }
    }
    seen += &sidecar.status().to_string();
    seen += &env.log();
    for entry in fs::read_dir(env.root.join("run/keysluice")).unwrap() {
        seen += &fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
    }
    assert!(seen.contains("KS422") && seen.contains("KS401"), "{seen}");
    // The middle of a value, hexadecimal or as numbers, the tokens, and what every JSON web token
    // starts with.
    for secret in ["s3cret", "73336372", "115, 51, 99", env.token.as_str(), "eyJ"] {
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
}

#[test]
fn wrong_usage_is_2_and_a_bad_plan_is_3() {
    let env = TestEnv::new();
    let plan = env.plan(&[]);
    let run = |arguments: &[&str], plan: Option<&str>| {
        let mut command = env.command(&json!(null), arguments);
        command.env_remove("KEYSLUICE_PLAN");
        if let Some(plan) = plan {
            command.env("KEYSLUICE_PLAN", plan);
        }
        let output = command.output().unwrap();
        (output.status.code().unwrap(), stderr(&output))
    };
    let (code, text) = run(&["run"], None);
    assert!(code == 2 && text.contains("KS602"), "{text}");
    let (code, text) = run(&["run", "--plan", "/x"], Some(&plan.to_string()));
    assert!(code == 2 && text.contains("KS602"), "{text}");
    let (code, text) = run(&["once", "--plan", "/does/not/exist"], None);
    assert!(code == 3 && text.contains("KS601") && text.contains("/does/not/exist"), "{text}");
    assert_eq!(run(&["fly"], None).0, 2);
    assert_eq!(run(&["--version"], None).0, 0);
    let mut unknown = plan.clone();
    unknown["colour"] = "red".into();
    for command in ["run", "once", "ready", "status", "refresh"] {
        let (code, text) = run(&[command], Some(&unknown.to_string()));
        assert!(code == 3 && text.contains("unknown field `colour`"), "{command}: {text}");
        assert_eq!(run(&[command], Some("{")).0, 3);
    }
}

#[test]
fn an_idle_sidecar_sleeps_without_connections() {
    let env = TestEnv::new();
    let sidecar = env.run_ready(&env.plan(&[env.file("db", "db")]));
    let id = sidecar.child.id();
    if !may_look_into(id) {
        return;
    }
    let sockets = || {
        let targets = fs::read_dir(format!("/proc/{id}/fd"))
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    };
    // The control socket, and tokio's pair for signals, one end of it twice.
    until("connections are closed", || sockets() <= 4);
    let switches = || {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .unwrap()
            .trim()
            .to_owned()
    };
    let before = switches();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(), before, "no wake-up");
}

#[test]
fn clients_that_gave_up_or_say_nothing_leave_no_connection_behind() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "absent")]);
    plan["startTimeoutSeconds"] = 300.into();
    let sidecar = env.run(&plan);
    until("it failed", || env.log().contains("KS404"));
    let id = sidecar.child.id();
    if !may_look_into(id) {
        return;
    }
    let files = || fs::read_dir(format!("/proc/{id}/fd")).unwrap().count();
    let idle = files();
    for _ in 0..10 {
        assert_eq!(env.output(&plan, &["ready", "--timeout", "0"]).status.code(), Some(1));
    }
    // Half of ten: connections to the vault come and go too.
    until("gates are let go", || files() < idle + 5);
    let socket = env.root.join("run/keysluice/control.sock");
    let _silent: Vec<_> = (0..10).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    until("they are accepted", || files() >= idle + 5);
    until("they are let go", || files() < idle + 5);
}

#[test]
fn numbers_of_any_size_end_no_process_by_accident() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["volumes"][0]["refreshIntervalSeconds"] = u64::MAX.into();
    fs::create_dir_all(env.root.join("run/keysluice")).unwrap();
    let state =
        json!({env.emulator.vault_url("shop"): u64::MAX, env.emulator.authority(): u64::MAX});
    put(&env.root.join("run/keysluice/throttle.json"), state.to_string().as_bytes());
    let sidecar = env.run_ready(&plan);
    assert!(sidecar.refresh().1);
    let output = env.output(&plan, &["ready", "--timeout", "18446744073709551615"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    plan["startTimeoutSeconds"] = u64::MAX.into();
    let output = env.output(&plan, &["once"]);
    assert!(
        output.status.code() == Some(3) && stderr(&output).contains("KS601"),
        "{}",
        stderr(&output)
    );
}
