use crate::{Plan, PlanUpdate};
use serde_json::{Value, json};

fn identity(name: &str, client: &str) -> Value {
    json!({"name": name, "scope": "https://vault.azure.net/.default", "credential": {
        "kind": "federated", "clientId": client, "tenantId": "t", "tokenFile": "/t/token",
        "authority": "https://login/"}})
}

fn file(path: &str, identity: &str, name: &str) -> Value {
    json!({"path": path, "mode": "0644", "identity": identity, "vault": "https://kv/",
        "type": "secret", "name": name})
}

fn volume(name: &str, files: &[Value]) -> Value {
    json!({"name": name, "directory": format!("/mnt/{name}"), "refreshIntervalSeconds": 120,
        "files": files})
}

fn secret(name: &str, class: &str, path: &str) -> Value {
    json!({"name": name, "type": "Opaque", "class": class, "adopt": true,
        "data": [{"key": "k", "volume": "a", "path": path}]})
}

/// A pod with a volume of each of two classes, and a Secret of the first.
fn plan() -> Plan {
    let plan = json!({"schema": 1, "identities": [identity("workload-identity", "one")],
        "volumes": [volume("a", &[file("x", "workload-identity", "x")]),
            volume("b", &[file("y", "workload-identity", "y")])],
        "kubernetes": {"directory": "/api"}, "secrets": [secret("s", "ka", "x")],
        "source": {"url": "https://hook/v1/plan", "tokenFile": "/p/token", "authorities": "old",
            "classes": {"ka": "1", "kb": "1"}, "basis": {}}});
    Plan::from_json(&plan.to_string()).unwrap()
}

fn update(extra: &Value) -> PlanUpdate {
    let mut update = json!({"schema": 1, "authorities": "new"});
    update.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    serde_json::from_value(update).unwrap()
}

#[test]
fn an_update_changes_what_is_fetched_into_the_volumes_of_its_classes_and_nothing_else() {
    let mut new = volume("a", &[file("z", "workload-identity", "other")]);
    new["directory"] = json!("/elsewhere");
    let mut of_class = secret("s", "ka", "z");
    of_class["adopt"] = json!(false);
    let changed = plan()
        .updated(update(&json!({"classes": {"ka": "2"}, "volumes": [new], "secrets": [of_class],
            "identities": [identity("workload-identity", "two")]})))
        .unwrap();
    assert_eq!(changed.volumes[0].directory, "/mnt/a");
    assert_eq!(changed.volumes[0].files[0].path.as_str(), "z");
    assert_eq!(changed.volumes[0].files[0].identity, "workload-identity-2");
    assert_eq!(changed.volumes[1], plan().volumes[1]);
    let names: Vec<_> = changed.identities.iter().map(|identity| &*identity.name).collect();
    assert_eq!(names, ["workload-identity", "workload-identity-2"]);
    assert!(changed.secrets[0].adopt, "what the pod's annotation says stays");
    let source = changed.source.unwrap();
    assert_eq!((source.authorities.as_str(), &*source.classes["ka"]), ("new", "2"));
    assert_eq!(source.classes["kb"], "1");
}

#[test]
fn an_identity_that_nothing_uses_any_more_goes_and_an_equal_one_is_shared() {
    let both = json!({"classes": {"ka": "2", "kb": "2"},
        "identities": [identity("n", "two"), identity("m", "one")],
        "volumes": [volume("a", &[file("x", "n", "x")]), volume("b", &[])], "secrets": []});
    let changed = plan().updated(update(&both)).unwrap();
    let names: Vec<_> = changed.identities.iter().map(|identity| &*identity.name).collect();
    assert_eq!((names, changed.secrets.len()), (vec!["n"], 0));
}

#[test]
fn what_the_pod_does_not_have_is_refused_in_words() {
    for (extra, expected) in [
        (json!({"volumes": [volume("c", &[])]}), "no volume \"c\""),
        (json!({"classes": {"kc": "2"}}), "class \"kc\""),
        (json!({"classes": {"ka": "2"}, "secrets": [secret("other", "ka", "x")]}), "\"other\""),
        (json!({"classes": {"ka": "2"}, "secrets": [secret("s", "ka", "gone")]}), "no file gone"),
        (json!({"volumes": [volume("a", &[file("x", "nobody", "x")])]}), "nobody"),
        (json!({"volumes": [volume("a", &[])]}), "no file x"),
    ] {
        let error = plan().updated(update(&extra)).unwrap_err().to_string();
        assert!(error.contains(expected), "{extra}: {error}");
    }
    let alone = Plan { source: None, ..plan() };
    assert!(alone.updated(update(&json!({}))).is_err());
}

#[test]
fn a_source_that_cannot_be_asked_is_refused_at_the_start() {
    for (field, value) in [("url", "http://hook/"), ("tokenFile", "token")] {
        let mut bad = serde_json::to_value(plan()).unwrap();
        bad["source"][field] = json!(value);
        assert!(Plan::from_json(&bad.to_string()).unwrap_err().to_string().contains(value));
    }
}
