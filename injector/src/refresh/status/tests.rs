use super::*;
use crate::fault::Class;
use keysluice_plan::reason::{KS404, KS407, KS501};
use serde_json::json;
use std::time::Duration;

fn status() -> Status {
    let files = ["a", "b"].map(|name| {
        json!({"path": name, "mode": "0644", "identity": "a", "vault": "https://kv/",
            "type": "secret", "name": name})
    });
    let credential = json!({"kind": "managedIdentity", "endpoint": "http://i/"});
    let plan = json!({"schema": 1,
        "identities": [{"name": "a", "scope": "s/.default", "credential": credential}],
        "volumes": [{"name": "v", "directory": "/mnt/v", "refreshIntervalSeconds": 120,
            "files": files}]});
    Status::new(Arc::new(Plan::from_json(&plan.to_string()).unwrap()))
}

fn made() -> Vec<(RelativePath, String)> {
    vec![("a".parse().unwrap(), "v1".to_owned())]
}

#[test]
fn a_repeated_failure_is_no_news_and_another_code_is() {
    let (mut status, at) = (status(), Duration::ZERO);
    for (file, reason, text, is_news) in [
        (0, KS404, "x 1", true),
        (0, KS404, "x 2", false),
        (0, KS407, "x 3", true),
        // The same of another file.
        (1, KS407, "x 3", false),
    ] {
        let fault = Fault::new(reason, Class::Slow, text);
        assert_eq!(status.failed(0, file, &fault, at), is_news, "file {file}, {text}");
    }
    assert!(status.works(0, 0));
    assert!(!status.works(0, 0));
}

#[test]
fn a_generation_that_cannot_be_removed_is_told_once() {
    let mut status = status();
    let fault = Some(Fault::new(KS501, Class::Transient, "busy"));
    assert_eq!(status.removed(0, fault.clone()), fault);
    assert_eq!(status.removed(0, fault.clone()), None);
    assert_eq!(status.removed(0, None), None);
    assert_eq!(status.removed(0, fault.clone()), fault, "after one that was");
}

#[test]
fn reasons_are_distinct_and_end_with_the_first_generation() {
    let (mut status, at) = (status(), Duration::ZERO);
    let fault = Fault::new(KS404, Class::Slow, "same");
    status.failed(0, 0, &fault, at);
    status.failed(0, 1, &fault, at);
    assert_eq!(status.reasons().len(), 1);
    assert_eq!(status.fault(), Some(&fault));
    status.committed(0, None, &[], None, Duration::ZERO);
    assert_eq!((status.reasons().len(), status.fault()), (0, None));
}

#[test]
fn the_report_has_generation_versions_ages_and_errors() {
    let mut status = status();
    status.fetched(0, 0, made(), [], Duration::from_secs(1));
    status.failed(0, 1, &Fault::new(KS404, Class::Slow, "gone"), Duration::from_secs(2));
    let early: serde_json::Value =
        serde_json::from_str(&status.json(false, &|_, _| None, Duration::from_secs(5))).unwrap();
    assert_eq!(
        early["volumes"][0]["files"][0]["version"],
        serde_json::Value::Null,
        "not before it is committed"
    );
    assert_eq!(early["volumes"][0]["files"][0]["ageSeconds"], serde_json::Value::Null);
    status.committed(0, Some("..g".into()), &[0], None, Duration::ZERO);
    status.commit_failed(0, &Fault::new(KS501, Class::Transient, "full"), Duration::from_secs(3));
    let json = status.json(
        true,
        &|_, item| (item == 0).then_some(Duration::from_secs(65)),
        Duration::from_secs(5),
    );
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["volumes"][0]["generation"], "..g");
    assert_eq!(json["volumes"][0]["files"][0]["version"], "v1");
    assert_eq!(json["volumes"][0]["files"][0]["ageSeconds"], 4);
    assert_eq!(json["volumes"][0]["files"][0]["nextSeconds"], 60);
    assert_eq!(json["volumes"][0]["files"][1]["nextSeconds"], serde_json::Value::Null);
    assert_eq!(json["volumes"][0]["files"][0]["object"], "secret \"a\" in https://kv/");
    assert_eq!(json["volumes"][0]["files"][1]["error"]["code"], "KS404");
    assert_eq!(json["volumes"][0]["error"]["code"], "KS501");
    assert_eq!((json["failing"].as_u64(), json["ready"].as_bool()), (Some(2), Some(true)));
}
