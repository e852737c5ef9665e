//! `serve --tls-secret`: the path that reviews are sent to, in every condition a configuration can
//! be in.

use crate::suite::certificates::stage::{
    CONFIGURATION, NAME, Replica, Stage, authorities, bundles, path, secret, stage, until,
};
use crate::suite::support::api_server::{ApiServer, CONFIGURATIONS, Change, SECRETS};
use crate::suite::support::caller::Caller;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// API servers are at most so far behind.
const PROPAGATION: [&str; 2] = ["--bundle-propagation", "1s"];

fn is_ours(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    path.strip_prefix("/mutate/").is_some_and(|rest| rest.len() == 32 && rest.bytes().all(plain))
}

fn paths(server: &ApiServer) -> Vec<Value> {
    let world = server.world();
    let entries =
        world.find(CONFIGURATIONS, "", CONFIGURATION).unwrap()["webhooks"].as_array().unwrap();
    entries.iter().map(|entry| entry["clientConfig"]["service"]["path"].clone()).collect()
}

fn stored(server: &ApiServer, key: &str) -> Option<String> {
    let secret = secret(server)?;
    let value = BASE64_STANDARD.decode(secret["data"][key].as_str()?).unwrap();
    Some(String::from_utf8(value).unwrap())
}

/// What a review at this path meets.
async fn call(server: &ApiServer, replica: &mut Replica, path: &str) -> Result<(), String> {
    let mut caller = Caller::new(replica.address("listen").await, NAME);
    caller.lead(path);
    caller.call(&authorities(&bundles(server)[0])).await.map(drop)
}

#[tokio::test]
async fn a_path_is_stored_and_published_with_the_first_bundle_and_no_other_is_answered() {
    let Stage { server, scratch } = stage();
    server.world().put_entries(CONFIGURATION, None, true);
    let mut replica = Replica::start(&server, scratch.path(), 1, &[]);
    replica.until_ready().await;
    let ours = path(&server);
    assert!(is_ours(&ours), "{ours}");
    assert_eq!(paths(&server), [json!(ours), json!(ours)]);
    assert_eq!(stored(&server, "path").as_ref(), Some(&ours));
    call(&server, &mut replica, &ours).await.unwrap();
    for other in
        ["/", "/mutate", "/mutate-v1-pod", "/mutate/abcdefghijklmnopqrstuvwxyz012345", "/readyz"]
    {
        let refused = call(&server, &mut replica, other).await.unwrap_err();
        assert!(
            refused.starts_with("HTTP/1.1 404") && !refused.contains(&ours),
            "{other}: {refused}"
        );
    }
    // Neither the log nor what one may ask for tells it.
    assert!(!replica.process.log().contains(&ours[8..]));
    assert!(!replica.admin("/metrics").await.contains(&ours[8..]));
    call(&server, &mut replica, &format!("{ours}/x")).await.unwrap_err();
    call(&server, &mut replica, &ours[..39]).await.unwrap_err();
}

#[tokio::test]
async fn replicas_share_one_path_also_with_those_that_start_later() {
    let Stage { server, scratch } = stage();
    server.world().put_entries(CONFIGURATION, None, true);
    let mut replicas: Vec<Replica> =
        (0..3).map(|number| Replica::start(&server, scratch.path(), number, &[])).collect();
    replicas[0].until_ready().await;
    replicas.push(Replica::start(&server, scratch.path(), 3, &[]));
    for replica in &mut replicas {
        replica.until_ready().await;
        call(&server, replica, &path(&server)).await.unwrap();
    }
    let written = |change: &&Change| change.resource == CONFIGURATIONS;
    let world = server.world();
    let named = world
        .history
        .iter()
        .filter(written)
        .map(|change| change.object["webhooks"][0]["clientConfig"].clone());
    let mut named: Vec<Value> =
        named.filter_map(|config| config["service"].get("path").cloned()).collect();
    named.dedup();
    assert_eq!(named.len(), 1, "{named:?}");
}

/// A configuration without certificate and path, and two replicas that are ready.
async fn two_replicas(server: &ApiServer, scratch: &Path) -> [Replica; 2] {
    server.world().put_entries(CONFIGURATION, None, true);
    let mut replicas = [1, 2].map(|number| Replica::start(server, scratch, number, &PROPAGATION));
    for replica in &mut replicas {
        replica.until_ready().await;
    }
    replicas
}

/// Calls as an API server does that may be a little behind: what is promised is an answer as long
/// as the path is named or was until lately.
async fn call_promised(server: &ApiServer, replica: &mut Replica, called: &str) {
    if let Err(error) = call(server, replica, called).await {
        // Looked at afterwards: a slow machine may come too late.
        let is_promised = path(server) == called
            || stored(server, "old-paths").is_some_and(|old| old.lines().any(|one| one == called));
        assert!(!is_promised, "called at {called}: {error}\n{}", replica.process.log());
    }
}

/// By what the configuration names now, and by what it named before.
async fn call_both(server: &ApiServer, replicas: &mut [Replica; 2], before: &str) {
    for replica in replicas {
        for called in [path(server), before.to_owned()] {
            call_promised(server, replica, &called).await;
        }
    }
}

#[tokio::test]
async fn a_configuration_that_is_reset_is_healed_and_no_review_is_refused() {
    let Stage { server, scratch } = stage();
    let mut replicas = two_replicas(&server, scratch.path()).await;
    let ours = path(&server);
    for reset in [
        None,
        Some("/"),
        Some("/mutate-v1-pod"),
        Some("/mutate"),
        Some("/x/y"),
        Some("/mutate/abcdefghijklmnopqrstuvwxyz012345"),
    ] {
        server.world().put_entries(CONFIGURATION, reset, true);
        let begun = Instant::now();
        while path(&server) != ours {
            assert!(begun.elapsed().as_secs() < 20, "{reset:?} is still there");
            call_both(&server, &mut replicas, reset.unwrap_or("/")).await;
        }
        call_both(&server, &mut replicas, reset.unwrap_or("/")).await;
        // And one that starts in this moment.
        replicas[1] = Replica::start(&server, scratch.path(), 2, &PROPAGATION);
        replicas[1].until_ready().await;
        call_promised(&server, &mut replicas[1], reset.unwrap_or("/")).await;
        // In the end only the one is answered.
        until(async || stored(&server, "old-paths").is_none()).await;
        until(async || call(&server, &mut replicas[0], reset.unwrap_or("/")).await.is_err()).await;
    }
}

#[tokio::test]
async fn the_path_of_an_earlier_version_stays_until_an_upgrade_takes_it_away() {
    let Stage { server, scratch } = stage();
    server.world().put_entries(CONFIGURATION, Some("/mutate-v1-pod"), false);
    let mut replica =
        Replica::start(&server, scratch.path(), 1, &["--bundle-propagation", "200ms"]);
    replica.until_ready().await;
    until(async || stored(&server, "old-paths").is_some()).await;
    let looks = server.world().requests_for("secrets/").len();
    until(async || server.world().requests_for("secrets/").len() > looks + 4).await;
    assert_eq!(path(&server), "/mutate-v1-pod", "replicas that answer no other may be running");
    call(&server, &mut replica, "/mutate-v1-pod").await.unwrap();

    server.world().put_entries(CONFIGURATION, None, true);
    until(async || is_ours(&path(&server))).await;
    call_promised(&server, &mut replica, "/").await;
    call(&server, &mut replica, &path(&server)).await.unwrap();
    // Back to it.
    server.world().put_entries(CONFIGURATION, Some("/mutate-v1-pod"), false);
    call(&server, &mut replica, "/mutate-v1-pod").await.unwrap();
}

#[tokio::test]
async fn a_lost_path_is_taken_from_the_configuration() {
    let Stage { server, scratch } = stage();
    server.world().put_entries(CONFIGURATION, None, true);
    let mut replica = Replica::start(&server, scratch.path(), 1, &PROPAGATION);
    replica.until_ready().await;
    let ours = path(&server);
    let changes: [fn(&mut Value); 3] = [
        |secret| drop(secret["data"].as_object_mut().unwrap().remove("path")),
        |secret| secret["data"]["path"] = json!("L290aGVy"),
        |secret| secret["data"] = Value::Null,
    ];
    for change in changes {
        let mut moved = secret(&server).unwrap();
        change(&mut moved);
        server.world().put(SECRETS, moved);
        until(async || {
            call(&server, &mut replica, &ours).await.unwrap();
            stored(&server, "path").as_ref() == Some(&ours)
        })
        .await;
    }
    assert_eq!(path(&server), ours);
}

#[tokio::test]
async fn a_path_written_into_the_secret_is_used_once_every_replica_knows_it() {
    let Stage { server, scratch } = stage();
    let mut replicas = two_replicas(&server, scratch.path()).await;
    let (before, new) = (path(&server), "/mutate/abcdefghijklmnopqrstuvwxyz012345");
    let mut moved = secret(&server).unwrap();
    moved["data"]["path"] = json!(BASE64_STANDARD.encode(new));
    server.world().put(SECRETS, moved);
    until(async || {
        call_both(&server, &mut replicas, &before).await;
        path(&server) == new
    })
    .await;
    call_both(&server, &mut replicas, &before).await;
}

#[tokio::test]
async fn guesses_cost_the_api_server_next_to_nothing() {
    let Stage { server, scratch } = stage();
    server.world().put_entries(CONFIGURATION, None, true);
    let mut replica = Replica::start(&server, scratch.path(), 1, &[]);
    replica.until_ready().await;
    let (begun, before) = (Instant::now(), server.world().requests.len());
    for number in 0..3 {
        call(&server, &mut replica, &format!("/mutate/{number}")).await.unwrap_err();
    }
    let guesses = (0..64).map(|number| {
        let (address, roots) = (replica.process.log(), authorities(&bundles(&server)[0]));
        let line = address.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = line.into_iter().find(|line| line["message"] == "serving").unwrap();
        let mut caller = Caller::new(line["listen"].as_str().unwrap().parse().unwrap(), NAME);
        caller.lead(&format!("/mutate/{number}"));
        tokio::spawn(async move { caller.call(&roots).await.is_err() })
    });
    for guess in guesses.collect::<Vec<_>>() {
        assert!(guess.await.unwrap());
    }
    let spent = usize::try_from(begun.elapsed().as_secs()).unwrap();
    let asked = server.world().requests.len() - before;
    assert!(asked <= 2 * (spent + 3), "{asked} requests in {spent} s");
}
