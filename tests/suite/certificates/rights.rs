//! The verbs that the chart grants are those that the webhook uses: recorded on the stand-in,
//! compared with the rendered chart.

use crate::suite::certificates::stage::{
    CONFIGURATION, Replica, Stage, authorities, bundles, path, secret, stage, until,
};
use crate::suite::support::api_server::{CONFIGURATIONS, DRIVERS, Fault, World};
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// `verb resource[/name]` of every request so far.
fn used(world: &World) -> BTreeSet<String> {
    let requests = world.methods.iter().zip(&world.requests);
    requests.map(|(method, request)| right(method, request)).collect()
}

fn right(method: &Method, request: &str) -> String {
    let (path, query) = request.split_once('?').unwrap_or((request, ""));
    let mut parts: Vec<&str> =
        path.split('/').skip(if path.starts_with("/apis/") { 4 } else { 3 }).collect();
    if parts[0] == "namespaces" {
        parts.drain(..2);
    }
    let field = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key));
    // RBAC looks at the name of a watch's field selector.
    let selected = field("fieldSelector=metadata.name%3D");
    let name = parts.get(1).copied().or(selected);
    let verb = match *method {
        Method::GET if field("watch=") == Some("true") => "watch",
        Method::GET if parts.len() == 1 => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PATCH => "patch",
        _ => panic!("{method} {request}"),
    };
    name.map_or_else(
        || format!("{verb} {}", parts[0]),
        |name| format!("{verb} {}/{name}", parts[0]),
    )
}

/// The same of `install.yaml`.
fn granted() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("webhook-config/install.yaml");
    let all: Vec<Value> =
        serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap();
    let words = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    };
    let mut found = BTreeSet::new();
    for role in
        all.iter().filter(|object| object["kind"] == "Role" || object["kind"] == "ClusterRole")
    {
        // The switch of the chart is a right that nothing is done with.
        let rules = role["rules"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|rule| rule["apiGroups"][0] != "keysluice.dev");
        for rule in rules {
            let names = words(&rule["resourceNames"]);
            let names = if names.is_empty() {
                vec![String::new()]
            } else {
                names.iter().map(|name| format!("/{name}")).collect()
            };
            for resource in words(&rule["resources"]) {
                for verb in words(&rule["verbs"]) {
                    found.extend(names.iter().map(|name| format!("{verb} {resource}{name}")));
                }
            }
        }
    }
    found
}

/// What of it a right without a name covers, has no name here.
fn covered(used: BTreeSet<String>, granted: &BTreeSet<String>) -> BTreeSet<String> {
    let unnamed = |one: &String| one.split('/').next().unwrap().to_owned();
    used.into_iter()
        .map(|one| if granted.contains(&unnamed(&one)) { unnamed(&one) } else { one })
        .collect()
}

#[tokio::test]
async fn the_chart_grants_exactly_what_is_used() {
    let granted = granted();
    let mut all = BTreeSet::new();
    // An API server that streams lists, and one that does not.
    for streams_lists in [true, false] {
        let Stage { server, scratch } = stage();
        server.world().streams_lists = streams_lists;
        // Not listed at first: what a review needs meanwhile is read live.
        server.world().fail(DRIVERS, [Fault::Status(500); 1000]);
        server.world().put_entries(CONFIGURATION, None, true);
        server.world().put_workloads("keysluice-workloads", &json!({"service": {"name": "s"}}));
        let further = [
            "--csi-failure-policy",
            "Fail",
            "--guard-secret",
            "keysluice/keysluice-tls",
            "--workload-configuration",
            "keysluice-workloads",
        ];
        let mut replica = Replica::start(&server, scratch.path(), 1, &further);
        until(async || path(&server) != "/").await;
        let (mut caller, roots) =
            (replica.caller(&server).await, authorities(&bundles(&server)[0]));
        let mut strange = keysluice_bench::pod_with_class(4096);
        strange["spec"]["serviceAccountName"] = "missing".into();
        caller.send(&strange);
        until(async || {
            // Refused, as there is no such class; before the certificate is served not even that.
            let _ = caller.call(&roots).await;
            let used = covered(used(&server.world()), &granted);
            ["serviceaccounts", "secretproviderclasses", "csidrivers"]
                .iter()
                .all(|one| used.contains(&format!("get {one}")))
        })
        .await;
        server.world().forgive();
        replica.until_ready().await;
        replica.caller(&server).await.call(&roots).await.unwrap();
        until(async || secret(&server).unwrap()["data"]["guard"].is_string()).await;
        until(async || {
            used(&server.world())
                .contains("patch validatingwebhookconfigurations/keysluice-workloads")
        })
        .await;
        until(async || {
            let world = server.world();
            let entries = &world.find(CONFIGURATIONS, "", CONFIGURATION).unwrap()["webhooks"];
            entries[1]["failurePolicy"] == "Fail"
        })
        .await;
        all.extend(covered(used(&server.world()), &granted));
    }
    assert_eq!(all, granted);
}
