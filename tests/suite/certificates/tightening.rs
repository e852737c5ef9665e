//! `serve --webhook-configuration`: entries and guard become strict once a review has been
//! answered, and stay so.

use crate::suite::certificates::stage::{
    CONFIGURATION, NAME, Replica, Stage, authorities, bundles, path, secret, stage, until,
};
use crate::suite::support::api_server::{ApiServer, CONFIGURATIONS, Fault, SECRETS};
use crate::suite::support::caller::Caller;
use keysluice_certs::{CertificateAuthority, Pair};
use serde_json::{Value, json};

const BOTH: [&str; 4] =
    ["--csi-failure-policy", "Fail", "--guard-secret", "keysluice/keysluice-tls"];

fn policies(server: &ApiServer) -> Vec<Value> {
    let world = server.world();
    let entries =
        world.find(CONFIGURATIONS, "", CONFIGURATION).unwrap()["webhooks"].as_array().unwrap();
    entries.iter().map(|entry| entry["failurePolicy"].clone()).collect()
}

fn guard(server: &ApiServer) -> Value {
    secret(server).map(|secret| secret["data"]["guard"].clone()).unwrap_or_default()
}

async fn review(server: &ApiServer, replica: &mut Replica) {
    replica.caller(server).await.call(&authorities(&bundles(server)[0])).await.unwrap();
}

#[tokio::test]
async fn the_first_review_tightens_entries_and_guard_and_a_reset_does_not_last() {
    let Stage { server, scratch } = stage();
    server.world().put_entries(CONFIGURATION, None, true);
    let mut replica = Replica::start(&server, scratch.path(), 1, &BOTH);
    replica.until_ready().await;
    // What does not come by the path that only the API server knows is no evidence that it reaches
    // us.
    let mut stranger = replica.caller(&server).await;
    stranger.lead("/mutate");
    stranger.call(&authorities(&bundles(&server)[0])).await.unwrap_err();
    assert_eq!((policies(&server), guard(&server)), (vec!["Ignore".into(); 2], Value::Null));

    review(&server, &mut replica).await;
    until(async || policies(&server) == ["Fail", "Fail"] && guard(&server) == "RGVueQ==").await;
    // An upgrade without a look at the cluster.
    server.world().put_entries(CONFIGURATION, None, true);
    until(async || policies(&server) == ["Fail", "Fail"]).await;
    // It survives what happens to the rest of the Secret.
    let mut damaged = secret(&server).unwrap();
    damaged["data"]["ca.key"] = "Z2FyYmFnZQ==".into();
    server.world().put(SECRETS, damaged);
    let ours = path(&server);
    server.world().put_entries(CONFIGURATION, Some(&ours), true);
    until(async || secret(&server).unwrap()["data"]["ca.key"] != "Z2FyYmFnZQ==").await;
    assert_eq!(guard(&server), "RGVueQ==");
}

#[tokio::test]
async fn what_the_operator_wants_to_ignore_stays() {
    let Stage { server, scratch } = stage();
    server.world().put_entries(CONFIGURATION, None, true);
    let further = ["--failure-policy", "Ignore", "--csi-failure-policy", "Fail"];
    let mut replica = Replica::start(&server, scratch.path(), 1, &further);
    replica.until_ready().await;
    review(&server, &mut replica).await;
    until(async || policies(&server) == ["Ignore", "Fail"]).await;
    assert_eq!(guard(&server), Value::Null, "there is no guard");
}

#[tokio::test]
async fn a_refused_tightening_is_told_once_and_tried_again() {
    let Stage { server, scratch } = stage();
    server.world().put_entries(CONFIGURATION, None, true);
    let mut replica = Replica::start(&server, scratch.path(), 1, &BOTH);
    replica.until_ready().await;
    server.world().fail(CONFIGURATIONS, [Fault::Status(403); 2]);
    review(&server, &mut replica).await;
    until(async || policies(&server) == ["Fail", "Fail"]).await;
    let log = replica.process.log();
    assert_eq!(log.lines().filter(|line| line.contains("KS715")).count(), 1, "{log}");
}

/// The policy of the chart allows only the entries that its values name.
#[tokio::test]
async fn an_entry_that_stays_loose_by_policy_keeps_no_other_from_tightening() {
    for kept in [0, 1] {
        let Stage { server, scratch } = stage();
        server.world().put_entries(CONFIGURATION, None, true);
        server.world().kept_loose = Some(kept);
        let mut replica = Replica::start(&server, scratch.path(), 1, &BOTH);
        replica.until_ready().await;
        review(&server, &mut replica).await;
        until(async || policies(&server)[1 - kept] == "Fail" && guard(&server) == "RGVueQ==").await;
        assert_eq!(policies(&server)[kept], "Ignore");
        until(async || replica.process.log().contains("KS715")).await;
    }
}

#[tokio::test]
async fn with_certificates_from_elsewhere_it_only_tightens() {
    let Stage { server, scratch } = stage();
    let authority = CertificateAuthority::generate().unwrap();
    let pair = Pair::new(authority.issue(&[NAME.to_owned()]).unwrap()).unwrap();
    for (name, text) in [("tls.crt", pair.chain_pem()), ("tls.key", pair.key_pem())] {
        let mut file = std::fs::File::create(scratch.path().join(name)).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    }
    server.world().put_entries(CONFIGURATION, Some("/mutate-v1-pod"), false);
    server
        .world()
        .put(SECRETS, json!({"metadata": {"name": "keysluice-guard", "namespace": "keysluice"}}));
    let directory = scratch.path().display().to_string();
    let guard = ["--guard-secret", "keysluice/keysluice-guard", "--tls-poll-seconds", "1"];
    let further = [&["--tls-dir", &*directory][..], &guard].concat();
    let mut replica = Replica::start_with(&server, scratch.path(), 1, &further);
    replica.until_ready().await;
    let mut caller = Caller::new(replica.address("listen").await, NAME);
    caller.lead("/mutate-v1-pod");
    caller.call(&authorities(authority.pem())).await.unwrap();
    until(async || policies(&server) == ["Fail", "Ignore"]).await;
    until(async || {
        server.world().find(SECRETS, "keysluice", "keysluice-guard").unwrap()["data"]["guard"]
            == "RGVueQ=="
    })
    .await;
    let entry =
        server.world().find(CONFIGURATIONS, "", CONFIGURATION).unwrap()["webhooks"][0].clone();
    assert_eq!(entry["clientConfig"], json!({"service": {"name": "s", "path": "/mutate-v1-pod"}}));
    // Half a file is not loaded, and the log says so; the last good one is served.
    let path = scratch.path().join("tls.crt");
    std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), b"no PEM").unwrap();
    until(async || replica.process.log().contains("KS717")).await;
    caller.hang_up();
    caller.call(&authorities(authority.pem())).await.unwrap();
}
