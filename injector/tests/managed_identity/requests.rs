//! Tokens, refusals, and what Entra says.

use super::{Endpoint, HEADER, OBJECT_ID, RESOURCE_ID, answer, get, identity, plan};
use crate::support::{CLIENT, TestEnv, put, stderr, until};
use keysluice_emulator::{CallKind, Fault, free_port};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const VAULT: &str = "resource=https%3A%2F%2Fvault.azure.net";

#[test]
fn a_pod_without_secrets_is_ready_at_once_and_gets_tokens_by_both_protocols() {
    let env = TestEnv::new();
    let endpoint = Endpoint::start(&env);
    assert_eq!(env.emulator.counts().tokens, 0, "nothing is requested before an application asks");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let first = endpoint.app_service(VAULT);
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(
        (&first.body["client_id"], &first.body["token_type"]),
        (&json!(CLIENT), &json!("Bearer"))
    );
    assert_eq!(first.body["resource"], "https://vault.azure.net");
    let expires_on: u64 = first.body["expires_on"].as_str().unwrap().parse().unwrap();
    assert!((now + 600..now + 90_000).contains(&expires_on), "{expires_on}");
    let second = endpoint.imds(&format!("{VAULT}&client_id={CLIENT}"));
    assert_eq!(second.body["access_token"], first.body["access_token"]);
    let rest: u64 = second.body["expires_in"].as_str().unwrap().parse().unwrap();
    assert!(rest.abs_diff(expires_on - now) < 30, "{second:?}");
    for name in
        [format!("object_id={}", OBJECT_ID.to_uppercase()), format!("mi_res_id={RESOURCE_ID}")]
    {
        let third = endpoint.imds(&format!("{VAULT}&{name}"));
        assert_eq!(third.body["access_token"], first.body["access_token"], "{third:?}");
    }
    assert_eq!(env.emulator.counts().tokens, 1);
    for resource in ["https://management.azure.com/", "https://storage.azure.com", "api://app"] {
        let other = endpoint.app_service(&format!("resource={resource}"));
        assert_eq!((other.status, &other.body["resource"]), (200, &json!(resource)), "{other:?}");
    }
    assert_eq!(env.emulator.counts().tokens, 4);
    assert!(!env.log().contains(first.body["access_token"].as_str().unwrap()));
    assert!(!env.log().contains(HEADER));
}

#[test]
fn only_identities_of_the_plan_get_tokens_and_never_the_default_in_their_place() {
    let env = TestEnv::new();
    let port = free_port().unwrap();
    let mut plan = plan(&env, port);
    let other = "44444444-4444-4444-4444-444444444444";
    plan["managedIdentity"]["identities"].as_array_mut().unwrap().push(identity(&env, other));
    let endpoint = Endpoint { sidecar: env.run_ready(&plan), port };
    for name in ["client_id", "object_id", "mi_res_id"] {
        let query = format!("{VAULT}&{name}=55555555-5555-5555-5555-555555555555");
        let imds = endpoint.imds(&query);
        assert_eq!(imds.status, 400);
        let expected =
            json!({"error": "invalid_request", "error_description": "Identity not found"});
        assert_eq!(imds.body, expected);
        let app_service = endpoint.app_service(&query);
        assert_eq!(app_service.status, 400);
        assert!(app_service.body["message"].as_str().unwrap().starts_with("No User Assigned"));
    }
    assert_eq!(env.emulator.counts().tokens, 0);
    // Entra does not know the other one.
    let refused = endpoint.imds(&format!("{VAULT}&client_id={other}"));
    let text = refused.body["error_description"].as_str().unwrap();
    assert!(refused.status == 400 && text.starts_with("KS306 ") && text.contains(other), "{text}");
}

#[test]
fn without_a_default_a_request_must_name_its_identity() {
    let env = TestEnv::new();
    let port = free_port().unwrap();
    let mut plan = plan(&env, port);
    plan["managedIdentity"]["identities"][0]["default"] = false.into();
    let endpoint = Endpoint { sidecar: env.run_ready(&plan), port };
    let refused = endpoint.imds(VAULT);
    assert!(refused.body["error_description"].as_str().unwrap().starts_with("Multiple user"));
    assert_eq!(endpoint.imds(&format!("{VAULT}&client_id={CLIENT}")).status, 200);
}

#[test]
fn a_hundred_parallel_requests_cost_one_call_of_entra() {
    let env = TestEnv::new();
    let endpoint = Endpoint::start(&env);
    env.emulator.set_delay(Duration::from_millis(300));
    let target = format!("/msi/token?api-version=2019-08-01&{VAULT}");
    let headers = format!("X-IDENTITY-HEADER: {HEADER}\r\nConnection: close");
    let request = get(endpoint.port, &target, &headers);
    let mut streams: Vec<_> = (0..100).map(|_| endpoint.connect()).collect();
    for stream in &mut streams {
        stream.write_all(request.as_bytes()).unwrap();
    }
    for mut stream in streams {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(answer(&text).status, 200, "{text}");
    }
    assert_eq!(env.emulator.counts().tokens, 1);
}

#[test]
fn a_failure_of_entra_is_told_with_its_code_and_is_not_repeated_at_once() {
    let env = TestEnv::new();
    let endpoint = Endpoint::start(&env);
    env.emulator.inject(Fault::throttle(7).on(CallKind::Token).times(1));
    for _ in 0..20 {
        let throttled = endpoint.imds(VAULT);
        assert_eq!(throttled.status, 429, "{throttled:?}");
        assert!(throttled.head.contains("Retry-After: "), "{throttled:?}");
        let text = throttled.body["error_description"].as_str().unwrap();
        assert!(text.starts_with("KS310 "), "{text}");
    }
    assert_eq!(env.emulator.counts().tokens, 1);
    env.write_token("garbage");
    let port = free_port().unwrap();
    let mut other = plan(&env, port);
    other["runDirectory"] = "/run/other".into();
    let other = Endpoint { sidecar: env.run_ready(&other), port };
    let refused = other.app_service(VAULT);
    let text = refused.body["message"].as_str().unwrap();
    assert!(refused.status == 400 && text.starts_with("KS302 "), "{text}");
    until("it is logged", || env.log().contains("KS302"));
    assert_eq!(env.log().matches("\"code\":\"KS310\"").count(), 1, "{}", env.log());
}

#[test]
fn what_is_not_a_request_of_the_protocols_is_refused_and_the_endpoint_goes_on() {
    let env = TestEnv::new();
    let endpoint = Endpoint::start(&env);
    let imds = format!("/metadata/identity/oauth2/token?api-version=2018-02-01&{VAULT}");
    let app_service = format!("/msi/token?api-version=2019-08-01&{VAULT}");
    for (target, header, status) in [
        (&*imds, "A: b", 400),
        (&*imds, "Metadata: true\r\nX-Forwarded-For: 10.0.0.1", 400),
        (&*imds, "Metadata: true\r\nHost: evil.example", 400),
        (&*app_service, "Metadata: true", 401),
        (&*app_service, "X-IDENTITY-HEADER: wrong", 401),
        ("/", "Metadata: true", 404),
        ("/metadata/instance?api-version=2021-02-01", "Metadata: true", 404),
    ] {
        assert_eq!(endpoint.get(target, header).status, status, "{target} {header}");
    }
    let post = "POST /msi/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(endpoint.raw(post).status, 405);
    assert_eq!(endpoint.raw("\u{16}\u{3}\u{1} not HTTP\r\n\r\n").status, 400);
    let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(20_000));
    assert_eq!(endpoint.raw(&long).status, 431);
    assert_eq!(env.emulator.counts().tokens, 0);
    assert_eq!(endpoint.imds(VAULT).status, 200);
}

#[test]
fn a_connection_takes_requests_one_after_the_other_and_in_one_piece_or_many() {
    let env = TestEnv::new();
    let endpoint = Endpoint::start(&env);
    let target = format!("/Metadata/identity/oauth2/token/?api-version=2018-02-01&{VAULT}");
    let kept = get(endpoint.port, &target, "Metadata: true");
    let last = get(endpoint.port, &target, "Metadata: true\r\nConnection: close");
    let mut stream = endpoint.connect();
    let (start, rest) = kept.split_at(30);
    stream.write_all(start.as_bytes()).unwrap();
    std::thread::yield_now();
    stream.write_all(format!("{rest}{kept}{last}").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3, "{text}");
}

#[test]
fn silent_and_slow_connections_keep_no_other_out() {
    let env = TestEnv::new();
    let endpoint = Endpoint::start(&env);
    let held: Vec<_> = (0..120)
        .map(|_| {
            let mut stream = endpoint.connect();
            stream.write_all(b"GET / HT").unwrap();
            stream
        })
        .collect();
    assert_eq!(endpoint.imds(VAULT).status, 200);
    let begun = Instant::now();
    let more: Vec<_> = (0..40).map(|_| endpoint.connect()).collect();
    assert_eq!(endpoint.imds(VAULT).status, 200, "the kernel queues it until a place is free");
    assert!(begun.elapsed() < Duration::from_secs(19));
    drop((held, more));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let env = TestEnv::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    put(&env.root.join("termination-log"), b"");
    let output = env.output(&plan(&env, port), &["run"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("KS691") && text.contains(&format!("127.0.0.1:{port}")), "{text}");
    assert!(env.termination_log().starts_with("KS691 "));
}

#[test]
fn a_command_that_ends_serves_no_endpoint() {
    let env = TestEnv::new();
    let output = env.output(&plan(&env, free_port().unwrap()), &["once"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("KS692"), "{}", stderr(&output));
}

#[test]
fn a_sidecar_with_files_serves_both_and_starts_again_on_its_port() {
    let env = TestEnv::new();
    let port = free_port().unwrap();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["managedIdentity"] = super::plan(&env, port)["managedIdentity"].clone();
    for _ in 0..2 {
        let endpoint = Endpoint { sidecar: env.run_ready(&plan), port };
        assert_eq!(endpoint.imds(VAULT).status, 200);
        assert_eq!(env.read("db"), crate::support::CANARY);
        assert_eq!(endpoint.sidecar.status()["ready"], true);
    }
}
