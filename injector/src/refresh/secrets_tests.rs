use super::*;
use keysluice_plan::reason::KS643;
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

fn secrets(interval_seconds: u64) -> Secrets {
    let file = json!({"path": "a", "mode": "0644", "identity": "a", "vault": "https://kv/",
        "type": "secret", "name": "a"});
    let volumes = ["v", "w"].map(|name| {
        json!({"name": name, "directory": format!("/mnt/{name}"),
            "refreshIntervalSeconds": interval_seconds, "files": [file]})
    });
    let secrets = [("one", "v"), ("two", "w")].map(|(name, volume)| {
        json!({"name": name, "type": "Opaque", "class": "c",
            "data": [{"key": "k", "volume": volume, "path": "a"}]})
    });
    let credential = json!({"kind": "managedIdentity", "endpoint": "http://i/"});
    let plan = json!({"schema": 1, "kubernetes": {"directory": "/api"},
        "identities": [{"name": "a", "scope": "s/.default", "credential": credential}],
        "volumes": volumes, "secrets": secrets});
    let plan = Plan::from_json(&plan.to_string()).unwrap();
    let settings = Settings { start_timeout: Some(30 * SECOND), linger: SECOND, seed: 1 };
    Secrets::new(&plan, &settings, Duration::ZERO)
}

fn fault() -> Fault {
    Fault::new(KS643, Class::Slow, "x")
}

/// Both made at `at`.
fn made(interval_seconds: u64, at: Time) -> Secrets {
    let mut secrets = secrets(interval_seconds);
    for secret in [0, 1] {
        assert_eq!(secrets.take_due(at, |_| true), Some(secret));
        assert_eq!(secrets.take_due(at, |_| true), None, "one at a time");
        secrets.made(secret, Ok(()), at);
    }
    secrets
}

#[test]
fn a_secret_waits_for_the_generation_of_its_volume() {
    let mut secrets = secrets(120);
    assert_eq!(secrets.take_due(SECOND, |_| false), None);
    assert_eq!(secrets.take_due(SECOND, |volume| volume == 1), Some(1));
    assert_eq!(secrets.take_due(SECOND, |_| true), None, "the other one is under way");
    secrets.made(1, Ok(()), SECOND);
    assert_eq!(secrets.take_due(SECOND, |_| true), Some(0));
    assert!(!secrets.are_done());
    secrets.made(0, Ok(()), SECOND);
    assert!(secrets.are_done() && secrets.wake_at(true).is_none());
}

#[test]
fn a_commit_makes_the_secrets_of_its_volume_due() {
    let mut secrets = made(120, SECOND);
    secrets.committed(1, 2 * SECOND);
    assert_eq!(secrets.take_due(2 * SECOND, |_| true), Some(1));
    secrets.committed(1, 3 * SECOND);
    assert_eq!(secrets.take_due(3 * SECOND, |_| true), None, "one at a time");
    secrets.made(1, Ok(()), 4 * SECOND);
    assert_eq!(secrets.take_due(4 * SECOND, |_| true), Some(1), "and what came meanwhile after it");
}

#[test]
fn a_secret_is_looked_at_again_only_after_a_round_that_confirmed_its_files() {
    for (interval, early, late) in [(120, 299, 301), (2, 9, 11), (3600, 3599, 3601)] {
        let mut secrets = made(interval, Duration::ZERO);
        let now = Duration::from_secs(10 * interval);
        assert_eq!(secrets.take_due(now, |_| true), None, "time alone is no reason");
        secrets.confirmed(0, |_| true, false, Duration::from_secs(early));
        assert_eq!(secrets.take_due(now, |_| true), None, "{interval}");
        secrets.confirmed(0, |_| true, false, Duration::from_secs(late));
        assert_eq!(secrets.take_due(now, |_| true), Some(0), "{interval}");
    }
    let mut secrets = made(120, SECOND);
    secrets.confirmed(0, |_| true, true, 2 * SECOND);
    assert_eq!(secrets.take_due(2 * SECOND, |_| true), Some(0), "on demand");
}

#[test]
fn failures_are_tried_again_soon_at_the_start_and_seldom_later() {
    let mut secrets = secrets(120);
    secrets.take_due(SECOND, |_| true);
    secrets.made(0, Err(&fault()), SECOND);
    assert_eq!(secrets.take_due(SECOND, |_| true), Some(1), "the other one does not wait");
    secrets.made(1, Ok(()), SECOND);
    let soon = secrets.wake_at(false).unwrap();
    assert!(soon < 2 * SECOND, "{soon:?}");
    assert_eq!(secrets.take_due(soon, |_| true), Some(0));
    secrets.made(0, Ok(()), soon);
    secrets.committed(0, soon);
    secrets.take_due(soon, |_| true);
    assert!(!secrets.are_tried());
    secrets.made(0, Err(&fault()), soon);
    assert!(secrets.are_tried() && !secrets.are_idle());
    secrets.committed(0, soon);
    assert!(!secrets.are_tried(), "new files were not tried");
    secrets.take_due(soon, |_| true);
    secrets.made(0, Err(&fault()), soon);
    let later = secrets.wake_at(false).unwrap();
    assert!(later > soon + 20 * SECOND, "{later:?}");
    let throttled = Fault { retry_after: Some(90 * SECOND), ..fault() };
    secrets.take_due(later, |_| true);
    secrets.made(0, Err(&throttled), later);
    assert!(secrets.wake_at(false).unwrap() >= later + 90 * SECOND);
}

#[test]
fn a_start_without_its_secrets_ends_at_the_deadline() {
    let mut secrets = secrets(120);
    assert_eq!(secrets.wake_at(true), Some(30 * SECOND));
    assert!(!secrets.is_out_of_time(29 * SECOND) && secrets.is_out_of_time(30 * SECOND));
    secrets.was_made(0);
    secrets.was_made(1);
    secrets.was_made(7);
    assert!(!secrets.is_out_of_time(30 * SECOND));
}

#[test]
fn where_the_driver_is_each_round_looks_at_the_secrets() {
    let mut secrets = made(120, SECOND);
    secrets.confirmed(0, |_| true, false, 121 * SECOND);
    assert_eq!(secrets.take_due(121 * SECOND, |_| true), None);
    secrets.has_driver = true;
    secrets.confirmed(0, |_| true, false, 109 * SECOND);
    assert_eq!(secrets.take_due(109 * SECOND, |_| true), Some(0));
}

#[test]
fn a_round_confirms_the_secrets_whose_files_it_found_unchanged() {
    let mut secrets = made(120, SECOND);
    secrets.confirmed(0, |_| false, true, 2 * SECOND);
    assert_eq!(secrets.take_due(2 * SECOND, |_| true), None);
    secrets.confirmed(1, |secret| secret == 1, true, 2 * SECOND);
    assert_eq!(secrets.take_due(2 * SECOND, |_| true), Some(1));
}
