//! `once` makes the Secrets of its Plan too.

use super::{cluster_env, object, plan, secret, value};
use crate::support::{CANARY, TestEnv};
use keysluice_emulator::{CallKind, Fault};
use serde_json::Value;
use std::process::Output;

fn once(env: &TestEnv, plan: &Value) -> Output {
    let mut command = env.command(plan, &["once"]);
    command
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", env.emulator.https_port().to_string());
    command.output().unwrap()
}

#[test]
fn a_run_that_ends_has_written_files_and_secrets() {
    let env = cluster_env();
    env.emulator.inject(Fault::status(503).on(CallKind::SecretPatch).times(2));
    let output = once(&env, &plan(&env, &secret()));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(value(&object(&env), "password"), CANARY);
    assert_eq!(env.read("db"), CANARY);
    let before = object(&env);
    assert!(once(&env, &plan(&env, &secret())).status.success());
    assert_eq!(object(&env), before, "a second run changes nothing");
}

#[test]
fn without_the_right_it_fails_with_the_reason() {
    let env = cluster_env();
    env.emulator.allow_secrets(Some(&[]));
    let mut plan = plan(&env, &secret());
    plan["startTimeoutSeconds"] = 1.into();
    let output = once(&env, &plan);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("KS643") && text.contains("gave up within 1 s"), "{text}");
}
