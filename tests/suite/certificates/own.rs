//! `serve --tls-secret`: our own CA in a Secret, `caBundle` in step, in every condition an
//! installation can be in.

use crate::suite::certificates::stage::{
    CONFIGURATION, NAME, Replica, SECRET, Stage, authorities, bundles, path, read_bundles, secret,
    stage, until,
};
use crate::suite::support::api_server::{ApiServer, CONFIGURATIONS, Fault, SECRETS};
use crate::suite::support::caller::{Caller, load_seconds};
use crate::suite::support::keysluice;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_first_installation_is_ready_as_soon_as_its_configuration_is_there() {
    let Stage { server, scratch } = stage();
    let mut replica = Replica::start(&server, scratch.path(), 1, &[]);
    until(async || secret(&server).is_some()).await;
    let body = replica.admin("/readyz").await;
    assert!(
        body.starts_with("HTTP/1.1 503")
            && body.contains("certificate: none that the API server trusts yet"),
        "{body}"
    );

    server.world().put_configuration(CONFIGURATION, &["", "", ""]);
    replica.until_ready().await;
    let stored = secret(&server).unwrap();
    assert_eq!((&stored["type"], &stored["metadata"]["name"]), (&json!("Opaque"), &json!(SECRET)));
    let published = bundles(&server);
    assert!(published.len() == 3 && published.iter().all(|one| *one == published[0]));
    replica.caller(&server).await.call(&authorities(&published[0])).await.unwrap();
    let metrics = replica.admin("/metrics").await;
    for line in [
        "keysluice_certificate_changes_total{event=\"stored\"} 1",
        "keysluice_certificate_changes_total{event=\"published\"} 1",
        "keysluice_certificate_changes_total{event=\"served\"} 1",
        "keysluice_cache_synced{cache=\"serviceaccounts\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
    assert!(!metrics.contains("keysluice_certificate_expiry_timestamp_seconds 0\n"));
}

#[tokio::test]
async fn an_overwritten_bundle_is_mended_at_once() {
    let Stage { server, scratch } = stage();
    server.world().put_configuration(CONFIGURATION, &["", ""]);
    let mut replica = Replica::start(&server, scratch.path(), 1, &[]);
    replica.until_ready().await;
    let good = bundles(&server);
    for broken in
        [["", ""], [BASE64_STANDARD.encode(&good[0]).as_str(), ""], ["Z2FyYmFnZQ==", "eA=="]]
    {
        let begun = Instant::now();
        server.world().put_configuration(CONFIGURATION, &broken);
        until(async || bundles(&server) == good).await;
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "the look every 30 s would have found it: {:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test]
async fn replicas_that_start_together_share_one_authority_and_one_leaf() {
    let Stage { server, scratch } = stage();
    server.world().put_configuration(CONFIGURATION, &[""]);
    let mut replicas: Vec<Replica> =
        (0..3).map(|number| Replica::start(&server, scratch.path(), number, &[])).collect();
    let mut leaves = BTreeSet::new();
    for replica in &mut replicas {
        replica.until_ready().await;
        let roots = authorities(&bundles(&server)[0]);
        assert_eq!(roots.len(), 1);
        leaves.insert(replica.caller(&server).await.call(&roots).await.unwrap().to_vec());
    }
    assert_eq!(leaves.len(), 1);
}

#[tokio::test]
async fn a_lost_emptied_or_damaged_secret_heals_and_no_call_fails_meanwhile() {
    let Stage { server, scratch } = stage();
    server.world().put_configuration(CONFIGURATION, &[""]);
    let lives = [
        "--bundle-propagation",
        "500ms",
        "--certificate-lifetime",
        "20s",
        "--authority-lifetime",
        "60s",
        "--clock-tolerance",
        "1s",
    ];
    let mut replica = Replica::start(&server, scratch.path(), 1, &lives);
    replica.until_ready().await;
    let mut caller = replica.caller(&server).await;
    let damage: [fn(&mut Value); 3] = [
        |secret| secret["data"] = Value::Null,
        |secret| secret["data"]["ca.key"] = json!("Z2FyYmFnZQ=="),
        |secret| drop(secret["data"].as_object_mut().unwrap().remove("tls.crt")),
    ];
    for number in 0..=damage.len() {
        let before = secret(&server).unwrap();
        match damage.get(number) {
            None => server.world().delete(SECRETS, "keysluice", SECRET),
            Some(damage) => {
                let mut damaged = before.clone();
                damage(&mut damaged);
                server.world().put(SECRETS, damaged);
            }
        }
        // The watch is of the configuration alone: a touch of it saves the test the wait for the
        // next look.
        let touched =
            bundles(&server).iter().map(|one| BASE64_STANDARD.encode(one)).collect::<Vec<_>>();
        server.world().put_configuration(
            CONFIGURATION,
            &touched.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        let whole = |secret: Option<Value>| {
            secret.is_some_and(|secret| {
                secret["data"]["tls.crt"].is_string()
                    && secret["data"]["ca.key"].is_string()
                    && secret["data"]["ca.key"] != before["data"]["ca.key"]
            })
        };
        let begun = Instant::now();
        loop {
            caller.hang_up();
            // The touch took the path away too.
            caller.lead(&path(&server));
            let roots = authorities(&bundles(&server)[0]);
            caller.call(&roots).await.unwrap();
            if whole(secret(&server)) {
                break;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "case {number}: {:?}",
                secret(&server).map(|one| one["data"]
                    .as_object()
                    .map(|data| data.keys().cloned().collect::<Vec<_>>()))
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn missing_rights_are_told_and_the_webhook_waits() {
    let Stage { server, scratch } = stage();
    server.world().put_configuration(CONFIGURATION, &[""]);
    server.world().fail(SECRETS, [Fault::Status(403); 3]);
    let mut replica = Replica::start(&server, scratch.path(), 1, &[]);
    replica.until_ready().await;
    let log = replica.process.log();
    let line = log.lines().find(|line| line.contains("KS707")).unwrap();
    assert!(
        line.contains("the Secret with the certificates")
            && line.contains("the API server answered 403"),
        "{line}"
    );
}

#[tokio::test]
async fn a_watch_of_the_configuration_that_is_refused_is_told_once() {
    let Stage { server, scratch } = stage();
    server.world().put_configuration(CONFIGURATION, &[""]);
    server.world().fail(CONFIGURATIONS, [Fault::Status(403); 1000]);
    let replica = Replica::start(&server, scratch.path(), 1, &[]);
    until(async || server.world().requests_for("mutatingwebhookconfigurations?watch").len() > 3)
        .await;
    let log = replica.process.log();
    let told: Vec<&str> =
        log.lines().filter(|line| line.contains("only at the next regular look")).collect();
    assert!(
        told.len() == 1
            && told[0].contains("KS707")
            && told[0].contains("the API server answered 403"),
        "{log}"
    );
}

/// 16 callers, half of them over HTTP/2, that trust the last but one publication of `caBundle`, new
/// connections and kept ones, through renewals and rotations.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_review_fails_while_certificate_and_authority_rotate_every_two_seconds() {
    let Stage { server, scratch } = stage();
    server.world().put_configuration(CONFIGURATION, &["", ""]);
    let lives = [
        "--bundle-propagation",
        "200ms",
        "--certificate-lifetime",
        "2s",
        "--authority-lifetime",
        "6s",
        "--clock-tolerance",
        "1s",
    ];
    let mut replicas = [1, 2].map(|number| Replica::start(&server, scratch.path(), number, &lives));
    let mut callers = Vec::new();
    for replica in &mut replicas {
        replica.until_ready().await;
        let address = replica.address("listen").await;
        for _ in 0..2 {
            callers.extend([Caller::new(address, NAME), Caller::new(address, NAME)]);
            callers.extend([Caller::http2(address, NAME), Caller::http2(address, NAME)]);
        }
        for caller in &mut callers {
            caller.lead(&path(&server));
        }
    }
    let seconds = load_seconds(12);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (trusted, _) = tokio::sync::watch::channel(last_but_one(&server));
    let mut tasks = tokio::task::JoinSet::new();
    for (number, mut caller) in callers.into_iter().enumerate() {
        let trusted = trusted.subscribe();
        tasks.spawn(async move {
            let (mut calls, mut leaves, mut failures) = (0_u64, BTreeSet::new(), Vec::new());
            while Instant::now() < end {
                let roots = trusted.borrow().clone();
                match caller.call(&roots).await {
                    Ok(leaf) => drop(leaves.insert(leaf.to_vec())),
                    Err(error) => {
                        caller.hang_up();
                        failures.push(error);
                    }
                }
                calls += 1;
                // Half of them open a connection for each call, the others for one in 50.
                if number % 2 == 0 || calls % 50 == 0 {
                    caller.hang_up();
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            (calls, leaves, failures)
        });
    }
    while Instant::now() < end {
        trusted.send_replace(last_but_one(&server));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (mut calls, mut leaves, mut failures) = (0, BTreeSet::new(), Vec::new());
    while let Some(task) = tasks.join_next().await {
        let (more, seen, failed) = task.unwrap();
        calls += more;
        leaves.extend(seen);
        failures.extend(failed);
    }
    let publications =
        server.world().history.iter().filter(|change| change.resource == CONFIGURATIONS).count();
    println!(
        "{calls} reviews, {} certificates, {publications} publications, {} failures",
        leaves.len(),
        failures.len()
    );
    assert!(
        failures.is_empty(),
        "{} of {calls} failed: {:?}",
        failures.len(),
        &failures[..failures.len().min(5)]
    );
    let leaves = u64::try_from(leaves.len()).unwrap();
    assert!(
        calls > seconds * 16 && leaves * 2 >= seconds - 2,
        "{calls} calls, {leaves} certificates"
    );
    assert!(u64::try_from(publications).unwrap() * 2 >= seconds, "{publications} publications");
}

/// What a client trusts that has not heard of the latest publication; in the beginning the only
/// one.
fn last_but_one(server: &ApiServer) -> Vec<CertificateDer<'static>> {
    let world = server.world();
    let changes = world.history.iter().rev().filter(|change| change.resource == CONFIGURATIONS);
    let mut published =
        changes.map(|change| read_bundles(&change.object)[0].clone()).filter(|pem| !pem.is_empty());
    let last = published.next().unwrap_or_default();
    authorities(&published.next().unwrap_or(last))
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    let secret = ["serve", "--tls-secret", "n/s"];
    let full = ["--kubeconfig", "Cargo.toml", "--webhook-configuration", "c"];
    for (further, expected) in [
        (&[][..], "--webhook-configuration <NAME>"),
        (&["--webhook-configuration", "c", "--objects", "x"], "cannot be used with"),
        (&["--webhook-configuration", "c", "--tls-dir", "x"], "cannot be used with"),
        (&["--webhook-configuration", "c", "--guard-secret", "x"], "\"x\" is not NAMESPACE/NAME"),
        (&["--webhook-configuration", "c", "--failure-policy", "fail"], "invalid value 'fail'"),
        (
            &["--webhook-configuration", "c", "--authority-lifetime", "1w"],
            "\"1w\" is not a number with a unit",
        ),
    ] {
        let (exit, _, error) = keysluice(&[&secret, further].concat());
        assert_eq!(exit, 2, "{error}");
        assert!(error.contains(expected), "{error}");
    }
    let (exit, _, error) = keysluice(&[&["serve", "--tls-secret", "secret"], &full[..]].concat());
    assert!(exit == 2 && error.contains("\"secret\" is not NAMESPACE/NAME"), "{error}");
}

#[tokio::test]
async fn lifetimes_that_do_not_go_together_are_refused_at_start() {
    let Stage { server, scratch } = stage();
    let mut replica = Replica::start(&server, scratch.path(), 1, &["--authority-lifetime", "60d"]);
    let status = replica.process.wait(Duration::from_secs(10)).await.unwrap();
    assert_eq!(status.code(), Some(2));
    let log = replica.process.log();
    assert!(
        log.contains("KS708") && log.contains("at least three times the certificate's"),
        "{log}"
    );
}
