use super::*;
use crate::control::RunDirectory;
use keysluice_plan::File;
use serde_json::{Value, json};

fn plan() -> Plan {
    let credential = json!({"kind": "managedIdentity", "endpoint": "http://i/"});
    let file = json!({"path": "x", "mode": "0644", "identity": "a", "vault": "https://kv/",
        "type": "secret", "name": "x"});
    let plan = json!({"schema": 1,
        "identities": [{"name": "a", "scope": "s/.default", "credential": credential}],
        "volumes": [{"name": "v", "directory": "/v", "refreshIntervalSeconds": 120,
            "files": [file]}],
        "source": {"url": "https://hook/v1/plan", "tokenFile": "/t", "authorities": "PEM",
            "classes": {"kv": "1"}, "basis": {}}});
    Plan::from_json(&plan.to_string()).unwrap()
}

fn answer(extra: &Value) -> Answer {
    let mut update = json!({"schema": 1, "authorities": "PEM"});
    update.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    Answer { update: Some(serde_json::from_value(update).unwrap()), etag: Some("\"e\"".to_owned()) }
}

fn follower() -> Follower {
    Follower::new(&plan(), None, Path::new("/"), Time::ZERO)
}

#[tokio::test]
async fn an_answer_is_a_new_plan_or_none_and_the_tag_is_kept_unless_there_is_a_problem() {
    let mut follower = follower();
    let unchanged = Answer { update: None, etag: None };
    assert_eq!(follower.take(unchanged, &plan()), (None, None));
    let (next, fault) = follower.take(answer(&json!({})), &plan());
    assert!(next.is_none() && fault.is_none() && follower.etag() == Some("\"e\""));
    follower.forget();
    let volume = json!({"name": "v", "directory": "/v", "refreshIntervalSeconds": 60, "files": []});
    let broken = json!({"problems": [{"class": "b", "message": "KS106 no"}],
        "classes": {"kv": "2"}, "volumes": [volume]});
    let (next, fault) = follower.take(answer(&broken), &plan());
    let (next, fault) = (next.unwrap(), fault.unwrap());
    assert_eq!(next.volumes[0].refresh_interval_seconds, 60);
    assert!(fault.to_string().starts_with("KS663 class \"b\": KS106 no"), "{fault}");
    assert_eq!(follower.etag(), None);
}

#[tokio::test]
async fn an_answer_that_the_pod_cannot_follow_leaves_the_plan() {
    let volume = json!({"name": "w", "directory": "/v", "refreshIntervalSeconds": 60, "files": []});
    let (next, fault) = follower().take(answer(&json!({"volumes": [volume]})), &plan());
    assert!(next.is_none());
    assert!(fault.unwrap().to_string().starts_with("KS664 "));
}

#[tokio::test]
async fn a_token_or_an_authority_that_cannot_be_used_is_told_by_its_place() {
    let directory = tempfile::tempdir().unwrap();
    put(&directory.path().join("t"), b" \n");
    let error = bearer(&directory.path().join("t")).unwrap_err();
    assert!(error.to_string().starts_with("KS665 "), "{error}");
    assert!(bearer(&directory.path().join("none")).unwrap_err().to_string().contains("none"));
    let error = ask(plan().source.as_ref().unwrap(), None, directory.path()).await.unwrap_err();
    assert!(error.to_string().starts_with("KS665 source.authorities"), "{error}");
}

#[test]
fn a_refusal_is_told_with_its_status_and_words() {
    let url = "https://hook/v1/plan";
    for (status, body, expected) in [
        (401, r#"{"message": "KS512 expired"}"#, "KS662 https://hook/v1/plan: 401 KS512 expired"),
        (502, "<html>", "KS662 https://hook/v1/plan: 502 no reason given"),
        (200, "{}", "KS664 https://hook/v1/plan: "),
    ] {
        let fault = read(url, status, None, body.as_bytes()).unwrap_err().to_string();
        assert!(fault.starts_with(expected), "{fault}");
    }
    assert!(read(url, 304, None, b"").unwrap().update.is_none());
}

#[test]
fn a_restarted_container_goes_on_with_the_plan_that_came_from_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let run = RunDirectory::create(directory.path()).unwrap();
    let (same, tag, base) = resume(plan(), &run);
    assert_eq!((same, tag), (plan(), None));
    let mut changed = plan();
    changed.volumes[0].refresh_interval_seconds = 7;
    Kept::new(base, Some("\"e\""), &changed).write(&run);
    let (kept, tag, again) = resume(plan(), &run);
    assert_eq!((kept, tag.as_deref(), again), (changed.clone(), Some("\"e\""), base));
    let mut other = plan();
    other.volumes[0].refresh_interval_seconds = 9;
    assert_eq!(resume(other.clone(), &run).0, other);
    put(&directory.path().join("plan.json"), b"{");
    assert_eq!(resume(plan(), &run).0, plan());
}

#[test]
fn a_restarted_container_goes_on_with_a_plan_of_many_files() {
    let directory = tempfile::tempdir().unwrap();
    let run = RunDirectory::create(directory.path()).unwrap();
    let base = resume(plan(), &run).2;
    let mut changed = plan();
    let file = changed.volumes[0].files[0].clone();
    changed.volumes[0].files = (0..2000)
        .map(|index| File { path: format!("x{index}").parse().unwrap(), ..file.clone() })
        .collect();
    Kept::new(base, None, &changed).write(&run);
    let kept = std::fs::metadata(directory.path().join("plan.json")).unwrap();
    assert!(kept.len() > 64 * 1024, "{}", kept.len());
    assert_eq!(resume(plan(), &run).0, changed);
}

fn put(path: &std::path::Path, bytes: &[u8]) {
    std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), bytes).unwrap();
}
