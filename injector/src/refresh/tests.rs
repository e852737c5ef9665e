//! The machine under a simulated clock: no test sleeps.

#[path = "replan_tests.rs"]
mod replan;

use super::rounds::{LATE, QUIET, SILENCE};
use super::*;
use crate::content::{Content, Fetched, Output};
use crate::fetch::{ItemUpdate, Results};
use keysluice_plan::reason::{KS402, KS412};
use serde_json::{Value, json};

const INTERVAL: Duration = Duration::from_secs(120);

fn at(seconds: f64) -> Time {
    Duration::from_secs(1000) + Duration::from_secs_f64(seconds)
}

fn vault(name: &str) -> VaultUrl {
    format!("https://{name}/").parse().unwrap()
}

/// One volume of these files.
fn plan(files: &[Value]) -> Arc<Plan> {
    let files = files.iter().enumerate().map(|(index, extra)| {
        let mut file = json!({"path": format!("f{index}"), "mode": "0640", "identity": "a",
            "vault": "https://one/", "type": "secret", "name": "x"});
        file.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        file
    });
    let files: Vec<Value> = files.collect();
    let credential = json!({"kind": "managedIdentity", "endpoint": "http://i/"});
    let plan = json!({
        "schema": 1, "startTimeoutSeconds": 30,
        "identities": [{"name": "a", "scope": "s/.default", "credential": credential}],
        "volumes": [{"name": "v", "directory": "/v", "refreshIntervalSeconds": 120,
            "files": files}]});
    Arc::new(Plan::from_json(&plan.to_string()).unwrap())
}

/// Two secrets, each in a vault of its own.
fn two_vaults() -> Arc<Plan> {
    plan(&[json!({"name": "a"}), json!({"name": "b", "vault": "https://two/"})])
}

/// Leaf and key of one certificate.
fn certificate() -> Arc<Plan> {
    plan(&[json!({"type": "cert", "part": "cert"}), json!({"type": "cert", "part": "key"})])
}

fn start(plan: &Arc<Plan>) -> Machine {
    start_with(plan, Policy::KeepFresh)
}

fn start_with(plan: &Arc<Plan>, policy: Policy) -> Machine {
    let settings = Settings {
        start_timeout: plan.start_timeout_seconds.map(Duration::from_secs),
        linger: Duration::from_secs(10),
        seed: 1,
    };
    let found = plan.volumes.iter().map(|volume| Found::of(volume, None, |_| None)).collect();
    Machine::new(plan, policy, &settings, found, at(0.0))
}

fn items(results: Results) -> Event {
    Event::Progress(Progress::Items { volume: 0, results })
}

/// An item came in this version.
fn came(index: usize, version: &str) -> Event {
    let (path, content) = (format!("f{index}").parse().unwrap(), Content::new(b"x".to_vec()));
    let files = vec![Output { path, content, version: version.to_owned() }];
    let update = ItemUpdate::from(Fetched { files, ..Fetched::default() });
    items(vec![(index, Ok(update))])
}

fn failed(index: usize, fault: &Fault) -> Event {
    items(vec![(index, Err(fault.clone()))])
}

fn over() -> Event {
    Event::Progress(Progress::Over { volume: 0 })
}

fn committed() -> Event {
    let written = Written {
        swap: Swap::Clean,
        generation: Some("..g".to_owned()),
        changed: Vec::new(),
        fault: None,
    };
    Event::Committed { volume: 0, result: Ok(written) }
}

fn fetch(items: &[usize]) -> Action {
    Action::Fetch { volume: 0, items: items.to_vec() }
}

const COMMIT: Action = Action::Commit { volume: 0 };

/// A machine whose first generation was written at 0 s.
fn ready(plan: &Arc<Plan>) -> Machine {
    let mut machine = start(plan);
    assert_eq!(machine.on(Event::Wake, at(0.0)), [fetch(&[0, 1])]);
    for index in [0, 1] {
        assert_eq!(machine.on(came(index, "1"), at(0.0)), []);
    }
    assert_eq!(machine.on(over(), at(0.0)), [COMMIT]);
    let ready = machine.on(committed(), at(0.0));
    assert_eq!(ready.last(), Some(&Action::Ready));
    machine
}

#[test]
fn files_of_a_silent_vault_are_left_behind_and_those_of_a_slow_one_are_not() {
    for answers in [false, true] {
        let mut machine = ready(&two_vaults());
        assert_eq!(machine.on(Event::Refresh, at(50.0)), [fetch(&[0, 1])]);
        assert_eq!(machine.on(came(0, "2"), at(50.1)), []);
        assert_eq!(machine.wake_at(), Some(at(50.0) + SILENCE));
        if answers {
            machine.answered(&vault("two"), at(52.0));
            assert_eq!(machine.on(Event::Wake, at(50.0) + SILENCE), []);
            let next = machine.wake_at().unwrap();
            assert!(next >= at(0.0) + INTERVAL * 9 / 10, "it waits for the end of the round");
            assert_eq!(machine.on(came(1, "2"), at(60.0)), []);
            assert_eq!(machine.on(over(), at(60.0)), [COMMIT]);
        } else {
            machine.answered(&vault("two"), at(49.0));
            machine.answered(&vault("one"), at(50.1));
            assert_eq!(machine.on(Event::Wake, at(50.0) + SILENCE), [COMMIT]);
        }
        let entries = machine.entries(0);
        let new = entries.iter().filter(|entry| entry.content.is_some()).count();
        assert_eq!(new, if answers { 2 } else { 1 });
    }
}

#[test]
fn a_vault_has_its_time_again_after_the_process_stood_still() {
    for late in [LATE, Duration::from_secs(3600)] {
        let mut machine = ready(&two_vaults());
        assert_eq!(machine.on(Event::Refresh, at(50.0)), [fetch(&[0, 1])]);
        assert_eq!(machine.on(came(0, "2"), at(50.1)), []);
        let resumed = at(50.0) + SILENCE + late;
        assert!(!machine.on(Event::Wake, resumed).contains(&COMMIT));
        assert_eq!(machine.wake_at(), Some(resumed + SILENCE));
        let soon = resumed + SILENCE + LATE / 2;
        assert!(machine.on(Event::Wake, soon).contains(&COMMIT), "only once");
    }
}

#[test]
fn a_start_tries_again_what_failed_although_others_are_under_way() {
    let mut machine = start(&two_vaults());
    machine.on(Event::Wake, at(0.0));
    let fault = Fault::new(KS412, Class::Transient, "no answer");
    let warned = machine.on(failed(0, &fault), at(5.0));
    assert_eq!(warned, [Action::Report(Report::Warn(fault.clone()))]);
    assert_eq!(machine.reasons(), [fault.to_string()]);
    // Even an answer of the other vault does not keep it from that.
    machine.answered(&vault("two"), at(5.0));
    assert_eq!(machine.wake_at(), Some(at(5.0) + QUIET));
    assert_eq!(machine.on(Event::Wake, at(5.0) + QUIET), []);
    let retry = machine.wake_at().unwrap();
    assert!(retry > at(5.0) + QUIET && retry < at(6.1), "{retry:?}");
    assert_eq!(machine.on(Event::Wake, retry), [fetch(&[0])]);
}

#[test]
fn a_certificate_of_two_versions_is_fetched_again_and_not_committed() {
    let mut machine = ready(&certificate());
    machine.on(Event::Refresh, at(50.0));
    machine.on(came(0, "1"), at(50.1));
    machine.on(came(1, "2"), at(50.2));
    let actions = machine.on(over(), at(50.2));
    let [Action::Report(Report::Warn(fault)), Action::Forget { items, .. }, ..] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!((fault.kind, &items[..]), (crate::fault::FaultKind::TwoVersions, &[0, 1][..]));
    let retry = machine.wake_at().unwrap();
    assert!(retry < at(52.0), "{retry:?}");
    assert_eq!(machine.on(Event::Wake, retry), [fetch(&[0, 1])]);
    assert_eq!(machine.on(came(0, "2"), retry).len(), 1, "it works again");
    machine.on(came(1, "2"), retry);
    assert_eq!(machine.on(over(), retry), [COMMIT]);
}

#[test]
fn half_a_certificate_waits_for_the_other_half() {
    let mut machine = ready(&certificate());
    machine.on(Event::Refresh, at(50.0));
    machine.on(came(0, "2"), at(50.1));
    machine.on(failed(1, &Fault::new(KS402, Class::Slow, "refused")), at(50.2));
    assert_eq!(machine.on(over(), at(50.2)), [COMMIT]);
    assert!(machine.entries(0).iter().all(|entry| entry.content.is_none()), "nothing is new");
}

#[test]
fn a_start_that_ends_says_why() {
    let mut machine = start(&two_vaults());
    machine.on(Event::Wake, at(0.0));
    let fault = Fault::new(KS412, Class::Transient, "no answer");
    machine.on(failed(0, &fault), at(1.0));
    let end = machine.on(Event::Wake, at(30.0));
    let Some(Action::GiveUp(last)) = end.last() else { panic!("{end:?}") };
    assert_eq!(last.message, "no answer (gave up after 30 s)");
    let mut machine = start(&two_vaults());
    machine.on(Event::Wake, at(0.0));
    let fault = Fault::new(KS402, Class::Permanent, "never");
    assert_eq!(machine.on(failed(0, &fault), at(1.0)).last(), Some(&Action::GiveUp(fault)));
    let mut machine = ready(&two_vaults());
    machine.on(Event::Refresh, at(50.0));
    let fault = Fault::new(KS402, Class::Permanent, "never");
    let warned = [Action::Report(Report::Warn(fault.clone()))];
    assert_eq!(machine.on(failed(0, &fault), at(51.0)), warned, "a running pod keeps its files");
}

#[test]
fn all_or_nothing_writes_once_all_is_there() {
    let mut machine = start_with(&two_vaults(), Policy::AllOrNothing);
    assert_eq!(machine.on(Event::Wake, at(0.0)), [fetch(&[0, 1])]);
    machine.on(came(0, "1"), at(0.1));
    let fault = Fault::new(KS412, Class::Transient, "no answer");
    machine.on(failed(1, &fault), at(0.1));
    assert_eq!(machine.on(over(), at(0.1)), []);
    let retry = machine.wake_at().unwrap();
    assert!(retry < at(0.5), "{retry:?}");
    assert_eq!(machine.on(Event::Wake, retry), [fetch(&[1])]);
    machine.on(came(1, "1"), retry);
    assert_eq!(machine.on(over(), retry), [Action::CommitAll]);
    assert!(machine.entries(0).iter().all(|entry| entry.content.is_some()));
}

#[test]
fn all_or_nothing_ends_when_no_try_in_time_helps() {
    let long = Some(Duration::from_secs(60));
    let slow = Fault::new(KS402, Class::Slow, "refused");
    let throttled = Fault { retry_after: long, ..Fault::new(KS412, Class::Transient, "wait") };
    for (fault, message) in [(slow, "refused"), (throttled, "wait (gave up within 30 s)")] {
        let mut machine = start_with(&two_vaults(), Policy::AllOrNothing);
        machine.on(Event::Wake, at(0.0));
        machine.on(came(0, "1"), at(0.1));
        machine.on(failed(1, &fault), at(0.1));
        let end = machine.on(over(), at(0.1));
        let [Action::GiveUp(last)] = &end[..] else { panic!("{end:?}") };
        assert_eq!((last.message.as_str(), last.class), (message, fault.class));
    }
}

#[test]
fn a_start_without_an_answer_names_what_was_asked() {
    for policy in [Policy::KeepFresh, Policy::AllOrNothing] {
        let mut machine = start_with(&two_vaults(), policy);
        machine.on(Event::Wake, at(0.0));
        let end = machine.on(Event::Wake, at(31.0));
        let Some(Action::GiveUp(fault)) = end.last() else { panic!("{end:?}") };
        let expected = "no object was complete within 30 s; no answer came for secret \"a\" in \
                        https://one/";
        assert_eq!((fault.reason, fault.message.as_str()), (KS603, expected));
    }
}
