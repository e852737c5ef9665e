//! `serve --workload-configuration`: `caBundle` and path of the configuration for workloads follow
//! those of the configuration for pods.

use crate::suite::certificates::stage::{
    CONFIGURATION, Replica, Stage, authorities, bundles, path, read_bundles, stage, until,
};
use crate::suite::support::api_server::{ApiServer, GetFault, WORKLOADS};
use serde_json::{Value, json};

const NAME: &str = "keysluice-workloads";
const OPTION: [&str; 2] = ["--workload-configuration", NAME];

fn workloads(server: &ApiServer) -> Value {
    server.world().find(WORKLOADS, "", NAME).unwrap().clone()
}

fn client_config(server: &ApiServer) -> Value {
    workloads(server)["webhooks"][0]["clientConfig"].clone()
}

/// Whether bundle and path are those of the pods' configuration, which has some.
fn follows(server: &ApiServer) -> bool {
    let own = client_config(server);
    let path = path(server).replace("/mutate/", "/validate/");
    own["caBundle"].is_string()
        && read_bundles(&workloads(server))[0] == bundles(server)[0]
        && own["service"]["path"] == path
}

#[tokio::test]
async fn bundle_and_path_follow_and_are_repaired() {
    let Stage { server, scratch } = stage();
    server.world().put_entries(CONFIGURATION, None, true);
    server.world().put_workloads(NAME, &json!({"service": {"name": "s"}}));
    let mut replica = Replica::start(&server, scratch.path(), 1, &OPTION);
    replica.until_ready().await;
    until(async || follows(&server)).await;
    // Reviews at that path are answered.
    let mut caller = replica.caller(&server).await;
    caller.lead(&path(&server).replace("/mutate/", "/validate/"));
    let allowed = caller.call(&authorities(&bundles(&server)[0])).await.unwrap_err();
    assert!(allowed.starts_with("not mutated: HTTP/1.1 200"), "{allowed}");
    for other in ["/validate", "/validate-v1-pod", "/validate/abcdefghijklmnopqrstuvwxyz012345"] {
        caller.hang_up();
        caller.lead(other);
        let refused = caller.call(&authorities(&bundles(&server)[0])).await.unwrap_err();
        assert!(refused.starts_with("HTTP/1.1 404"), "{other}: {refused}");
    }
    // Somebody writes another bundle, or empties the configuration as an upgrade does.
    for damaged in [
        json!({"service": {"name": "s", "path": path(&server).replace("/mutate/", "/validate/")},
            "caBundle": "QQ=="}),
        json!({"service": {"name": "s"}}),
    ] {
        server.world().put_workloads(NAME, &damaged);
        until(async || follows(&server)).await;
    }
    // Not allowed to read it, as with an earlier chart: said, and mended when it is.
    server.world().get_fault = Some(GetFault::Status(403));
    server.world().put_workloads(NAME, &json!({"service": {"name": "s"}}));
    until(async || replica.process.log().contains("KS716")).await;
    server.world().get_fault = None;
    server.world().put_workloads(NAME, &json!({"service": {"name": "s"}}));
    until(async || follows(&server)).await;
    // Nothing is written that is right already.
    let version = workloads(&server)["metadata"]["resourceVersion"].clone();
    server.world().put_account("shop", "another", None);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(workloads(&server)["metadata"]["resourceVersion"], version);
}

#[tokio::test]
async fn a_rotation_reaches_workloads() {
    let Stage { server, scratch } = stage();
    server.world().put_entries(CONFIGURATION, None, true);
    server.world().put_workloads(NAME, &json!({"service": {"name": "s"}}));
    let fast = [
        "--authority-lifetime",
        "12s",
        "--certificate-lifetime",
        "4s",
        "--bundle-propagation",
        "200ms",
        "--clock-tolerance",
        "100ms",
    ];
    let further = [&OPTION[..], &fast].concat();
    let mut replica = Replica::start(&server, scratch.path(), 1, &further);
    replica.until_ready().await;
    until(async || follows(&server)).await;
    let first = authorities(&bundles(&server)[0]);
    // The next CA beside it, in both.
    until(async || authorities(&bundles(&server)[0]).len() > first.len()).await;
    until(async || follows(&server)).await;
}

#[tokio::test]
async fn pods_do_not_depend_on_the_configuration_for_workloads() {
    let Stage { server, scratch } = stage();
    server.world().put_entries(CONFIGURATION, None, true);
    // There is none.
    let mut replica = Replica::start(&server, scratch.path(), 1, &OPTION);
    replica.until_ready().await;
    replica.caller(&server).await.call(&authorities(&bundles(&server)[0])).await.unwrap();
    // It comes later, as with an upgrade that switches it on.
    server.world().put_workloads(NAME, &json!({"service": {"name": "s"}}));
    until(async || follows(&server)).await;
}
