//! Injected faults and what is counted.

use std::time::{Duration, Instant};

use keysluice_emulator::{CallKind, Counts, Fault, TokenClaims};
use serde_json::Value;

use crate::client::{APP, Bench, TENANT, VAULT_RESOURCE, error};

const DB: &str = "secrets/db-password?api-version=7.4";

#[tokio::test]
async fn a_throttled_vault_recovers() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    bench
        .emulator
        .inject(Fault::throttle(2).on(CallKind::SecretGet).object("db-password").times(1));
    assert_eq!(bench.get(&token, "secrets/history?api-version=7.4").await.0, 200);
    let response = bench.vault(DB).bearer_auth(&token).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()),
        (429, "2")
    );
    let body: Value = response.json().await.unwrap();
    assert_eq!(error(&body).0, "Throttled");
    assert_eq!(bench.get(&token, DB).await.0, 200);
}

#[tokio::test]
async fn a_failure_lasts_until_cleared() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    bench.emulator.inject(Fault::status(503).vault("shop"));
    for _ in 0..3 {
        let (status, body) = bench.get(&token, DB).await;
        assert_eq!((status, error(&body).0), (503, "ServiceUnavailable"));
    }
    bench.emulator.clear_faults();
    assert_eq!(bench.get(&token, DB).await.0, 200);
    assert_eq!(bench.emulator.counts().status_5xx, 3);
}

#[tokio::test]
async fn entra_fails_in_its_own_words() {
    let bench = Bench::start().await;
    let assertion = bench.emulator.mint(TokenClaims::new("shop", "web"));
    let form = Bench::form(APP, VAULT_RESOURCE, &assertion);
    bench.emulator.inject(Fault::throttle(60).on(CallKind::Token).times(1));
    bench.emulator.inject(Fault::status(500).on(CallKind::Token).times(1));
    for (status, code) in [(429, 90_055), (500, 90_033)] {
        let response = bench.post_token(TENANT, &form).await;
        assert_eq!(response.status(), status);
        let body: Value = response.json().await.unwrap();
        assert_eq!(
            (&body["error"], &body["error_codes"][0]),
            (&"temporarily_unavailable".into(), &code.into())
        );
    }
    assert_eq!(bench.post_token(TENANT, &form).await.status(), 200);
}

#[tokio::test]
async fn a_reset_connection_and_a_cut_body_are_errors_at_the_client() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    bench.emulator.inject(Fault::truncate().object("db-password").times(1));
    let response = bench.vault(DB).bearer_auth(&token).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err());

    // For all attempts: a client may repeat a GET once on a kept connection that closes.
    bench.emulator.inject(Fault::reset().object("db-password"));
    assert!(bench.vault(DB).bearer_auth(&token).send().await.is_err());
    bench.emulator.clear_faults();
    assert_eq!(bench.get(&token, DB).await.0, 200);

    let counts = bench.emulator.counts();
    assert!(counts.resets >= 1 && counts.truncated == 1, "{counts:?}");
    assert!(bench.emulator.requests().iter().any(|request| request.status.is_none()));
}

#[tokio::test]
async fn calls_take_as_long_as_told_and_overlap() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    let delay = Duration::from_millis(400);
    bench.emulator.set_delay(delay / 2);
    bench.emulator.inject(Fault::delay(delay / 2).on(CallKind::SecretGet));
    bench.emulator.reset_counts();
    let begun = Instant::now();
    let answers = tokio::join!(bench.get(&token, DB), bench.get(&token, DB), bench.get(&token, DB));
    assert_eq!((answers.0.0, answers.1.0, answers.2.0), (200, 200, 200));
    assert!(begun.elapsed() >= delay, "{:?}", begun.elapsed());
    assert_eq!(bench.emulator.counts().peak_in_flight, 3);
}

#[tokio::test]
async fn calls_are_counted_and_logged_without_secrets() {
    let bench = Bench::start().await;
    let token = bench.access_token(APP, VAULT_RESOURCE).await;
    // Read whole, so that the connection is used again.
    bench.vault(DB).send().await.unwrap().bytes().await.unwrap();
    for path in [
        DB,
        "secrets/absent?api-version=7.4",
        "keys/rsa?api-version=7.4",
        "secrets?api-version=7.4",
    ] {
        let _ = bench.get(&token, path).await;
    }
    let expected = Counts {
        tokens: 1,
        secret_gets: 2,
        key_gets: 1,
        lists: 1,
        status_401: 1,
        status_404: 1,
        connections: 2,
        peak_in_flight: 1,
        ..Counts::default()
    };
    assert_eq!(bench.emulator.counts(), expected);

    let requests = bench.emulator.requests();
    let log: Vec<_> =
        requests.iter().map(|one| (one.kind, one.method.as_str(), one.status)).collect();
    assert_eq!(
        log,
        [
            (CallKind::Token, "POST", Some(200)),
            (CallKind::SecretGet, "GET", Some(401)),
            (CallKind::SecretGet, "GET", Some(200)),
            (CallKind::SecretGet, "GET", Some(404)),
            (CallKind::KeyGet, "GET", Some(200)),
            (CallKind::List, "GET", Some(200)),
        ]
    );
    assert_eq!(
        (requests[2].host.as_str(), requests[2].path.as_str()),
        ("shop.vault.localhost", "/secrets/db-password")
    );
    let log = format!("{requests:?} {:?}", bench.emulator);
    assert!(!log.contains("s3cret") && !log.contains(&token), "{log}");

    bench.emulator.reset_counts();
    assert_eq!(bench.emulator.counts(), Counts::default());
}
