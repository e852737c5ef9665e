//! The metrics of a running sidecar, over its port: calls by result, expiry, ages.

use crate::support::{TestEnv, until};
use keysluice_emulator::seed::SecretSeed;
use keysluice_emulator::{CallKind, Fault, free_port};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;

fn scraped(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: pod\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    body.to_owned()
}

/// The value of a sample that begins so.
fn value(text: &str, start: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(start))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn plan_with_port(env: &TestEnv, files: &[Value]) -> (Value, u16) {
    let (mut plan, port) = (env.plan(files), free_port().unwrap());
    plan["metricsPort"] = port.into();
    (plan, port)
}

#[test]
fn the_port_serves_calls_by_result_ages_and_the_expiry_of_each_object() {
    let env = TestEnv::new();
    let seed = SecretSeed { expires: Some(4_000_000_000), ..SecretSeed::new("expires") };
    env.emulator.put_secret("shop", "api", seed).unwrap();
    let (plan, port) = plan_with_port(&env, &[env.file("db", "db"), env.file("api", "api")]);
    let sidecar = env.run_ready(&plan);
    let text = scraped(port);
    let expiry = "keysluice_object_expiry_timestamp_seconds{volume=\"v\",path=";
    assert_eq!(value(&text, &format!("{expiry}\"api\",")), Some(4_000_000_000), "{text}");
    assert_eq!(value(&text, &format!("{expiry}\"db\",")), None, "it does not expire");
    let calls = |text: &str, what: &str, result: &str| {
        value(text, &format!("keysluice_calls_total{{{what},result=\"{result}\"}}"))
    };
    let (token, secret) =
        ("service=\"entra\",kind=\"token\"", "service=\"key_vault\",kind=\"secret\"");
    assert_eq!(calls(&text, token, "succeeded"), Some(1), "{text}");
    assert_eq!(calls(&text, secret, "succeeded"), Some(2), "{text}");
    assert_eq!(calls(&text, secret, "failed"), Some(0), "{text}");
    assert_eq!(value(&text, "keysluice_refresh_interval_seconds{volume=\"v\"}"), Some(3600));
    let next = value(&text, "keysluice_object_next_refresh_seconds{volume=\"v\",path=\"db\"}");
    assert!(next.is_some_and(|next| (3000..4000).contains(&next)), "{next:?}");
    assert!(value(&text, "keysluice_last_success_age_seconds{volume=\"v\"}").unwrap() < 20);

    // What the counters say is what the emulator answered.
    env.emulator.inject(Fault::status(503).on(CallKind::SecretGet));
    sidecar.refresh();
    let failed = calls(&scraped(port), secret, "failed").unwrap();
    assert!(failed >= 2, "{failed}");
    env.emulator.clear_faults();

    // A new expiry is one more version of the secret.
    let seed = SecretSeed { expires: Some(4_100_000_000), ..SecretSeed::new("later") };
    env.emulator.put_secret("shop", "api", seed).unwrap();
    until("the new expiry", || {
        sidecar.refresh();
        value(&scraped(port), &format!("{expiry}\"api\",")) == Some(4_100_000_000)
    });
}

#[test]
fn a_port_that_is_taken_ends_the_sidecar_with_its_code() {
    let env = TestEnv::new();
    let taken = std::net::TcpListener::bind("[::]:0")
        .or_else(|_| std::net::TcpListener::bind("0.0.0.0:0"))
        .unwrap();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["metricsPort"] = taken.local_addr().unwrap().port().into();
    let sidecar = env.run(&plan);
    assert!(!sidecar.wait().success());
    assert!(env.termination_log().starts_with("KS695 metrics port "), "{}", env.termination_log());
}
