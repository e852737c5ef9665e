//! The token file, refusals of Entra, and the managed identity.

use crate::support::{CANARY, CLIENT, TestEnv, put, stderr, until};
use keysluice_emulator::TokenClaims;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn twenty_secrets_cost_one_token_and_twenty_gets() {
    let env = TestEnv::new();
    let names: Vec<String> = (0..20).map(|index| format!("s{index}")).collect();
    for name in &names {
        env.emulator.set_secret("shop", name, "value");
    }
    env.emulator.set_delay(Duration::from_millis(10));
    let files: Vec<Value> = names.iter().map(|name| env.file(name, name)).collect();
    let started = Instant::now();
    let sidecar = env.run_ready(&env.plan(&files));
    let counts = env.emulator.counts();
    println!("20 secrets at 10 ms: {} ms from exec to ready", started.elapsed().as_millis());
    let memory = fs::read_to_string(format!("/proc/{}/status", sidecar.child.id())).unwrap();
    println!(
        "{}",
        memory
            .lines()
            .filter(|line| line.starts_with("VmRSS") || line.starts_with("RssAnon"))
            .collect::<Vec<_>>()
            .join(" ")
    );
    assert_eq!((counts.tokens, counts.secret_gets, counts.status_401), (1, 20, 0));
}

#[test]
fn a_wrong_subject_is_told_with_the_subject() {
    let env = TestEnv::new();
    env.write_token(&env.emulator.mint_token(
        "shop",
        "other",
        "api://AzureADTokenExchange",
        Duration::from_secs(600),
    ));
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["startTimeoutSeconds"] = 1.into();
    let output = env.output(&plan, &["once"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("\"code\":\"KS303\"") && text.contains("system:serviceaccount:shop:other"),
        "{text}"
    );
    assert!(env.emulator.counts().tokens > 1, "a credential may not be known everywhere yet");
}

#[test]
fn the_token_file_is_read_afresh_for_each_request() {
    let env = TestEnv::new();
    for garbage in ["", "\n", "garbage", "a.b"] {
        env.write_token(garbage);
        let output = env.output(&env.plan(&[env.file("db", "db")]), &["once"]);
        let text = stderr(&output);
        assert!(
            output.status.code() == Some(1) && text.contains("KS302") && text.contains("/token"),
            "{text}"
        );
    }
    let sidecar = env.run(&env.plan(&[env.file("db", "db")]));
    until("the reason is logged", || env.log().contains("KS302"));
    env.write_token(&format!("{}\n", env.token));
    assert!(sidecar.ready().status.success());
    assert_eq!(env.read("db"), CANARY);
}

#[test]
fn a_fifo_or_a_device_in_the_place_of_the_token_file_holds_up_nothing() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan.as_object_mut().unwrap().remove("startTimeoutSeconds");
    let token = env.root.join("token");
    for (name, place) in [("fifo", env.root.join("fifo")), ("zero", "/dev/zero".into())] {
        if name == "fifo" {
            mknodat(CWD, &place, FileType::Fifo, Mode::RWXU, 0).unwrap();
        }
        fs::remove_file(&token).unwrap();
        std::os::unix::fs::symlink(&place, &token).unwrap();
        let before = env.log().len();
        let sidecar = env.run(&plan);
        until(name, || env.log()[before..].contains("\"KS302\""));
        assert!(env.log()[before..].contains("it is not a regular file"), "{}", env.log());
        let status = sidecar.status();
        assert_eq!(status["volumes"][0]["files"][0]["error"]["code"], "KS302", "{status}");
        sidecar.signal(Signal::TERM);
        assert_eq!(sidecar.wait().code(), Some(0), "{name}");
    }
}

#[test]
fn an_authority_with_a_password_is_refused_and_shown_without_it() {
    let env = TestEnv::new();
    put(&env.root.join("termination-log"), b"");
    for authority in ["https://u:canary@login.localhost/", "http://u:canary@login.localhost/"] {
        let mut plan = env.plan(&[env.file("db", "db")]);
        plan["identities"][0]["credential"]["authority"] = authority.into();
        let output = env.output(&plan, &["once"]);
        let text = stderr(&output) + &env.termination_log();
        assert_eq!(output.status.code(), Some(3), "{text}");
        let expected = "login.localhost/\\\" is not an https URL without user name and password";
        assert!(text.contains("\"KS315\"") && text.contains(expected), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
    assert_eq!(env.emulator.counts().tokens, 0);
}

#[test]
fn an_expired_token_is_read_again_once_and_named() {
    let env = TestEnv::new();
    let mut claims = TokenClaims::new("shop", "web");
    (claims.issued_at, claims.not_before, claims.expires) =
        (1_000_000_000, 1_000_000_000, 1_000_003_600);
    env.write_token(&env.emulator.mint(claims));
    let output = env.output(&env.plan(&[env.file("db", "db")]), &["once"]);
    let text = stderr(&output);
    assert!(
        text.contains("KS305") && text.contains("exp 1000003600") && text.contains("clocks"),
        "{text}"
    );
    assert_eq!((output.status.code(), env.emulator.counts().tokens), (Some(1), 2));
}

#[test]
fn a_missing_role_is_told_and_a_later_one_is_enough() {
    let env = TestEnv::new();
    env.emulator.revoke("shop", CLIENT).unwrap();
    let sidecar = env.run(&env.plan(&[env.file("db", "db")]));
    until("it is refused", || env.log().contains("KS402"));
    let role = json!({"clientId": CLIENT, "secrets": ["get"]});
    env.emulator.grant("shop", serde_json::from_value(role).unwrap()).unwrap();
    let output = sidecar.ready();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn managed_identity_needs_no_token_file() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["identities"][0]["credential"] = json!({
        "kind": "managedIdentity", "clientId": "22222222-2222-2222-2222-222222222222",
        "endpoint": env.emulator.imds_url()});
    let output = env.output(&plan, &["once"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(env.read("db"), CANARY);
    assert_eq!((env.emulator.counts().imds, env.emulator.counts().tokens), (1, 0));
}

#[test]
fn refusals_of_the_managed_identity_endpoint_are_told_apart() {
    let env = TestEnv::new();
    let second = json!({"apps": [{"clientId": "33333333-3333-3333-3333-333333333333",
        "tenantId": crate::support::TENANT, "kind": "managedIdentity"}]});
    env.emulator.seed(serde_json::from_value(second).unwrap()).unwrap();
    let imds = env.emulator.imds_url();
    for (client_id, endpoint, code, text) in [
        (Some("44444444-4444-4444-4444-444444444444"), &*imds, "KS321", "refused client 44444444"),
        (None, &*imds, "KS439", "without a client id"),
        (None, "http://127.0.0.1:1/", "KS440", "http://127.0.0.1:1/"),
    ] {
        let mut plan = env.plan(&[env.file("db", "db")]);
        plan["startTimeoutSeconds"] = 1.into();
        let mut credential = json!({"kind": "managedIdentity", "endpoint": endpoint});
        if let Some(client_id) = client_id {
            credential["clientId"] = client_id.into();
        }
        plan["identities"][0]["credential"] = credential;
        let log = stderr(&env.output(&plan, &["once"]));
        assert!(log.contains(code) && log.contains(text), "{code}: {log}");
    }
}
