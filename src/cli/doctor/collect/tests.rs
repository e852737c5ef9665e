use super::*;
use crate::cluster::api::stub::{Answer, JSON, Stub};

fn status(code: u16) -> Answer {
    (code, JSON, json!({"kind": "Status", "code": code, "message": "as told"}).to_string())
}

fn items(items: &Value) -> Answer {
    (200, JSON, json!({"items": items}).to_string())
}

/// What cannot be read, though the caller may.
fn failures(snapshot: &Snapshot) -> Vec<(&'static str, &str)> {
    let unknown = snapshot.unknown().filter(|(_, why)| !why.forbidden);
    unknown.map(|(source, why)| (source.resource, why.message.as_str())).collect()
}

#[tokio::test]
async fn an_api_server_that_answers_nothing_is_one_error() {
    for (answer, requests) in [
        ((|_| status(500)) as fn(&str) -> Answer, 1),
        (|_| status(401), 1),
        (|_| (200, "text/html", "<html>".to_owned()), 1),
        (
            |request| match request {
                "GET /version" => (200, JSON, "{}".to_owned()),
                _ => status(500),
            },
            1 + MAX_UNANSWERED,
        ),
        // What may not be read is an answer.
        (
            |request| match request {
                "GET /version" => status(403),
                _ => status(503),
            },
            1 + MAX_UNANSWERED,
        ),
    ] {
        let stub = Stub::start(answer).await;
        let error = snapshot(&stub.client(), "shop").await.unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        assert_eq!(stub.requests.lock().unwrap().len(), requests, "{error}");
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_unknown_and_no_error() {
    let stub = Stub::start(|_| status(403)).await;
    let snapshot = snapshot(&stub.client(), "shop").await.unwrap();
    assert!(failures(&snapshot).is_empty() && snapshot.unread.is_empty());
    assert_eq!(snapshot.unknown().count(), 21);
    assert!(snapshot.namespace_object.unwrap_err().forbidden);
}

#[tokio::test]
async fn a_list_that_fails_later_is_a_failure_with_its_reason() {
    let stub = Stub::start(|request| {
        if request.contains("/networkpolicies") || request.contains("/.well-known/") {
            status(500)
        } else if request.contains("/csidrivers") {
            (200, JSON, "{".to_owned())
        } else if request == "GET /api/v1/namespaces/shop" {
            status(503)
        } else {
            items(&json!([]))
        }
    })
    .await;
    let snapshot = snapshot(&stub.client(), "shop").await.unwrap();
    let found = failures(&snapshot);
    assert_eq!((found[0].0, found[1].0, found.len()), ("csidrivers", "networkpolicies", 2));
    assert!(found[0].1.starts_with("the API server's answer cannot be read: "), "{found:?}");
    let expected = "the API server answered 500: as told; hint: run the command again ";
    assert!(found[1].1.starts_with(expected), "{found:?}");
    assert_eq!(snapshot.unread[0].0, "the issuer of the cluster");
    let namespace = snapshot.namespace_object.unwrap_err();
    assert!(!namespace.forbidden && namespace.message.contains(" 503: "), "{namespace:?}");
}

#[tokio::test]
async fn an_item_that_is_not_an_object_is_told_and_the_others_are_read() {
    let stub = Stub::start(|request| {
        if request.contains("/namespaces/shop/pods?") {
            items(&json!(["x", {"metadata": {"name": "web-0"}}]))
        } else {
            items(&Value::Null)
        }
    })
    .await;
    let snapshot = snapshot(&stub.client(), "shop").await.unwrap();
    let pods = snapshot.list(Scope::Workloads, "pods");
    assert_eq!((pods.len(), name(&pods[0]), &pods[0]["kind"]), (1, "web-0", &json!("Pod")));
    let (what, why) = &snapshot.unread[0];
    assert_eq!(what, "pods, and what their sidecars say");
    let expected = "the API server's list /api/v1/namespaces/shop/pods cannot be read: item 0 ";
    assert!(why.message.starts_with(expected) && !why.forbidden, "{why:?}");
    assert_eq!(snapshot.unread.len(), 1);
}

#[tokio::test]
async fn a_log_that_is_not_there_yet_is_not_a_failure() {
    let stub = Stub::start(|request| match request {
        request if request.contains("/web-0/log") => status(400),
        request if request.contains("/web-1/log") => status(500),
        request if request.contains("/web-2/log") => (200, "text/plain", "line".to_owned()),
        _ => status(404),
    })
    .await;
    let mut snapshot = Snapshot::new("shop", SystemTime::UNIX_EPOCH);
    let pod = |number: u8| {
        json!({"metadata": {"name": format!("web-{number}")},
            "spec": {"initContainers": [{"name": SIDECAR}]},
            "status": {"initContainerStatuses": [{"name": SIDECAR, "restartCount": 1}]}})
    };
    let source = SOURCES.iter().find(|one| one.scope == Scope::Workloads && one.resource == "pods");
    snapshot.add(source.unwrap(), Ok(vec![pod(0), pod(1), pod(2)]));
    let names = ["web-0", "web-1", "web-2"].map(str::to_owned);
    logs(&stub.client(), &mut snapshot, &names).await;
    assert_eq!(snapshot.logs.len(), 2);
    assert_eq!(snapshot.logs["web-2"].as_deref(), Ok("line"));
    assert!(!snapshot.logs["web-1"].as_ref().unwrap_err().forbidden);
}
