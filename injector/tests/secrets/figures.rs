//! What Secrets cost; only the released binary has to keep within it.

use super::{cluster_env, run_ready};
use crate::support::{Cgroup, MAX_RESIDENT_KIB, TestEnv, loudly, resident_kib};
use keysluice_emulator::CallKind;
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Fifty files, and five Secrets of ten each.
fn large_plan(env: &TestEnv) -> Value {
    let names: Vec<String> = (0..50).map(|index| format!("s{index}")).collect();
    for name in &names {
        env.emulator.set_secret("shop", name, "x".repeat(200).as_str());
    }
    let files: Vec<Value> = names.iter().map(|name| env.file(name, name)).collect();
    let mut plan = env.plan(&files);
    plan["kubernetes"] = json!({"directory": "/api"});
    let secrets = names.chunks(10).enumerate().map(|(index, names)| {
        let key = |name: &String| json!({"key": name, "volume": "v", "path": name});
        let data: Vec<Value> = names.iter().map(key).collect();
        json!({"name": format!("db-{index}"), "type": "Opaque", "class": "kv", "data": data})
    });
    plan["secrets"] = secrets.collect();
    plan
}

/// What the webhook gives the process beside its tmpfs.
const LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// A Secret holds a mebibyte; the process has to hold it several times over.
#[test]
fn the_largest_secrets_fit_into_the_memory_of_the_sidecar() {
    let env = cluster_env();
    let names: Vec<String> = (0..40).map(|index| format!("l{index}")).collect();
    for name in &names {
        env.emulator.set_secret("shop", name, "x".repeat(25_000).as_str());
    }
    let files: Vec<Value> = names.iter().map(|name| env.file(name, name)).collect();
    let mut plan = env.plan(&files);
    plan["kubernetes"] = json!({"directory": "/api"});
    let key = |name: &String| json!({"key": name, "volume": "v", "path": name});
    let data: Vec<Value> = names.iter().map(key).collect();
    let secret = |index: usize| {
        let name = format!("db-{index}");
        json!({"name": name, "type": "Opaque", "class": "kv", "data": data})
    };
    plan["secrets"] = (0..4).map(secret).collect();
    let Some(cgroup) = Cgroup::new(LIMIT_BYTES) else {
        loudly("the largest Secrets", "a memory cgroup cannot be made here");
        return;
    };
    let mut command = env.command(&plan, &["run"]);
    command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1");
    command.env("KUBERNETES_SERVICE_PORT", env.emulator.https_port().to_string());
    let child = cgroup.wrap(&command).stdout(Stdio::null()).spawn().unwrap();
    let sidecar = env.sidecar(child, &plan);
    assert!(sidecar.ready().status.success());
    assert!(sidecar.refresh().1);
    println!("peak {} KiB", cgroup.peak_bytes() / 1024);
    assert_eq!(cgroup.kills(), 0);
    drop(sidecar);
}

#[test]
fn fifty_files_and_five_secrets_take_four_mebibytes() {
    let env = cluster_env();
    let begun = Instant::now();
    let plan = large_plan(&env);
    let sidecar = run_ready(&env, &plan);
    let ready = begun.elapsed();
    std::thread::sleep(Duration::from_secs(3));
    let resident = resident_kib(sidecar.child.id());
    let requests = env.emulator.requests();
    let patches = requests.iter().filter(|request| request.kind == CallKind::SecretPatch).count();
    println!("ready after {ready:?}, {patches} patches, {resident} KiB resident");
    assert_eq!(patches, 15, "look, create, own");
    if std::env::var_os("KEYSLUICE_TEST_BINARY").is_some() {
        assert!(resident <= MAX_RESIDENT_KIB, "{resident} KiB");
    }
}

/// Milliseconds from the last object to the first Secret, with a round trip of 10 ms to everything.
fn first_secret_after_ms() -> u64 {
    let env = cluster_env();
    env.emulator.set_delay(Duration::from_millis(10));
    let _sidecar = run_ready(&env, &large_plan(&env));
    let requests = env.emulator.requests();
    let of_kind = |kind: CallKind| requests.iter().filter(move |request| request.kind == kind);
    let last_object = of_kind(CallKind::SecretGet).map(|get| get.at_ms).max().unwrap();
    // The first of the three requests for a Secret looks whether it is there.
    let written =
        of_kind(CallKind::SecretPatch).filter(|patch| matches!(patch.status, Some(200..300)));
    written.map(|patch| patch.at_ms).min().unwrap() - last_object
}

#[test]
fn the_first_secret_is_written_sixty_milliseconds_after_the_last_object() {
    let elapsed: Vec<u64> = (0..3).map(|_| first_secret_after_ms()).collect();
    println!("the first Secret {elapsed:?} ms after the last object");
    // The least of three: other programs use the machine, too.
    if std::env::var_os("KEYSLUICE_TEST_BINARY").is_some() {
        assert!(elapsed.iter().any(|elapsed| *elapsed <= 60), "{elapsed:?} ms");
    }
}
