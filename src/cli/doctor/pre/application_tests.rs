use super::super::facts::{Container, State};
use super::*;

/// A namespace without quotas, limits and policies.
fn empty() -> Application {
    Application {
        namespace: "shop".to_owned(),
        object: Ok(Some(json!({}))),
        quotas: Ok(Vec::new()),
        limit_ranges: Ok(Vec::new()),
        network_policies: Ok(Vec::new()),
        cpu_request: "1m".to_owned(),
        cpu_limit: None,
        probe: None,
    }
}

fn quota(hard: &Value, used: &Value) -> Value {
    json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"used": used}})
}

fn range(limit: &Value) -> Value {
    let mut limit = limit.clone();
    limit["type"] = "Container".into();
    json!({"metadata": {"name": "r"}, "spec": {"limits": [limit]}})
}

fn found(one: &Application) -> Vec<(Option<&'static str>, Level, String)> {
    application(one).into_iter().map(|one| (one.code, one.level, one.text)).collect()
}

#[test]
fn an_empty_namespace_has_room() {
    let found = found(&empty());
    assert!(found.len() == 1 && found[0].1 == Level::Good, "{found:?}");
}

#[test]
fn what_a_quota_does_not_leave_is_named() {
    let cases = [
        (json!({"pods": "3"}), json!({"pods": "3"}), None, None),
        (json!({"requests.cpu": "1"}), json!({"requests.cpu": "999m"}), None, None),
        (
            json!({"requests.cpu": "1"}),
            json!({"requests.cpu": "1"}),
            None,
            Some("requests.cpu (1m)"),
        ),
        (json!({"memory": "16Mi"}), json!({"memory": "9Mi"}), None, Some("memory (8Mi)")),
        (json!({"limits.memory": "1Gi"}), json!({}), None, None),
        (json!({"limits.memory": "16Mi"}), json!({}), None, Some("limits.memory (17Mi)")),
        (json!({"limits.cpu": "2"}), json!({}), None, Some("wants a CPU limit of every container")),
        (json!({"limits.cpu": "2"}), json!({}), Some("100m"), None),
        (json!({"limits.cpu": "50m"}), json!({}), Some("100m"), Some("limits.cpu (100m)")),
        (json!({"limits.memory": "what"}), json!({"memory": 7}), None, None),
    ];
    for (hard, used, cpu_limit, expected) in cases {
        let mut one = empty();
        one.quotas = Ok(vec![quota(&hard, &used)]);
        one.cpu_limit = cpu_limit.map(str::to_owned);
        let found = found(&one);
        let code = expected.map(|_| "KS808");
        assert_eq!(found[0].0, code, "{hard} {used}: {found:?}");
        assert!(found[0].2.contains(expected.unwrap_or_default()), "{found:?}");
    }
}

#[test]
fn a_quota_for_some_pods_or_with_a_default_limit_refuses_nothing() {
    let mut one = empty();
    let mut scoped = quota(&json!({"requests.cpu": "0"}), &json!({}));
    scoped["spec"]["scopes"] = json!(["BestEffort"]);
    one.quotas = Ok(vec![scoped, quota(&json!({"limits.cpu": "9"}), &json!({}))]);
    one.limit_ranges = Ok(vec![range(&json!({"default": {"cpu": "500m"}}))]);
    let found = found(&one);
    assert!(found[0].1 == Level::Good, "{found:?}");
}

#[test]
fn what_a_limit_range_refuses_is_named() {
    let cases = [
        (json!({"min": {"cpu": "10m"}}), None, Some("cpu request 1m is below the minimum 10m")),
        (json!({"min": {"memory": "32Mi"}}), None, Some("memory request 8Mi is below")),
        (
            json!({"max": {"memory": "8Mi"}}),
            None,
            Some("memory limit 17Mi is above the maximum 8Mi"),
        ),
        (json!({"max": {"cpu": "2", "memory": "1Gi"}}), None, None),
        (json!({"max": {"cpu": "50m"}}), Some("100m"), Some("cpu limit 100m is above")),
        (
            json!({"default": {"cpu": "500m"}, "maxLimitRequestRatio": {"cpu": "10"}}),
            None,
            Some("cpu limit 500m is more than 10 times its request 1m"),
        ),
        (json!({"maxLimitRequestRatio": {"memory": "3"}}), None, None),
        (json!({"maxLimitRequestRatio": {"memory": "2"}}), None, Some("more than 2 times")),
        (json!({"min": {"cpu": "nonsense"}, "max": 7}), None, None),
    ];
    for (limit, cpu_limit, expected) in cases {
        let mut one = empty();
        one.limit_ranges = Ok(vec![range(&limit)]);
        one.cpu_limit = cpu_limit.map(str::to_owned);
        let found = found(&one);
        assert_eq!(found[0].0, expected.map(|_| "KS808"), "{limit}: {found:?}");
        assert!(found[0].2.contains(expected.unwrap_or_default()), "{found:?}");
    }
}

#[test]
fn policies_and_what_cannot_be_read_are_told() {
    let mut one = empty();
    one.network_policies = Ok(vec![json!({"metadata": {"name": "default-deny"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"]}})]);
    one.quotas = Err(Unknown { forbidden: true, message: "403".to_owned() });
    one.limit_ranges = Err(Unknown { forbidden: false, message: "broken".to_owned() });
    let found = found(&one);
    let expected =
        [(Some("KS811"), Level::Warning), (None, Level::Skipped), (Some("KS705"), Level::Failed)];
    let seen: Vec<_> = found.iter().map(|(code, level, _)| (*code, *level)).collect();
    assert_eq!(seen, expected, "{found:?}");
    assert!(found[1].2.ends_with("needs list resourcequotas in namespace shop"), "{found:?}");
    assert!(
        found[2].2.ends_with("limitranges of namespace shop cannot be read: broken"),
        "{found:?}"
    );
    one.object = Ok(None);
    assert_eq!(super::application(&one)[0].code, Some("KS817"));
}

fn wanted() -> Wanted {
    Wanted {
        image: "registry.test/injector:1".to_owned(),
        urls: vec!["https://login.test/".to_owned(), "https://kv.test/".to_owned()],
        patience: std::time::Duration::from_secs(1),
    }
}

fn ran(state: State) -> Probed {
    Probed::Ran(Container { image: wanted().image, state })
}

fn ended(exit_code: i64, message: &str) -> Probed {
    ran(State::Ended { exit_code, message: message.to_owned() })
}

#[test]
fn what_a_pod_of_the_namespace_met_is_told() {
    let waiting = State::Waiting { reason: "ErrImagePull".to_owned(), message: "401".to_owned() };
    let cases = [
        (Ok(ended(0, "https://login.test/ 200\nhttps://kv.test/ 401\n")), vec![None]),
        (
            Ok(ended(
                1,
                "https://login.test/ 200\nhttps://kv.test/ failed: kv.test: no such name\n",
            )),
            vec![Some("KS820")],
        ),
        (Ok(ended(2, "error: unrecognized subcommand")), vec![Some("KS731")]),
        (Ok(ended(128, "exec format error")), vec![Some("KS731")]),
        (Ok(ran(waiting)), vec![Some("KS730")]),
        (Ok(ran(State::Pending)), vec![Some("KS730")]),
        (Ok(Probed::Refused("violates PodSecurity".to_owned())), vec![Some("KS810")]),
        (Err(Unknown { forbidden: true, message: "needs create pods".to_owned() }), vec![None]),
    ];
    for (probed, expected) in cases {
        let told = format!("{probed:?}");
        let mut one = empty();
        one.probe = Some((wanted(), probed));
        let found = found(&one);
        let codes: Vec<_> = found.iter().map(|(code, ..)| *code).collect();
        assert_eq!(codes[..codes.len() - 1], expected, "{told}: {found:?}");
    }
}
