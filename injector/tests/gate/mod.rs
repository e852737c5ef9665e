//! A start that fails says why where people look: the hook's or the probe's output, the log,
//! `status`, the termination message.

use crate::support::{TestEnv, stderr, until};
use keysluice_emulator::{CallKind, Fault};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// With the probe there is no bound: `startTimeoutSeconds` is absent, `ready` gives up a moment
/// before the probe's time is over.
#[test]
fn a_probe_shows_the_reason_in_time_and_the_sidecar_waits_on() {
    let env = TestEnv::new();
    let mut plan = env.plan(&[env.file("db", "late")]);
    plan.as_object_mut().unwrap().remove("startTimeoutSeconds");
    let mut sidecar = env.run(&plan);
    until("the reason is known", || env.log().contains("KS404"));
    let started = Instant::now();
    let probe = env.output(&plan, &["ready", "--timeout", "1"]);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(probe.status.code(), Some(1));
    let text = stderr(&probe);
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with(
            "KS603 not ready within 1 s; last reason: KS404 secret \"late\" in https://shop."
        ),
        "{text}"
    );
    assert!(last.contains("hint: check the name"), "{text}");
    assert!(sidecar.child.try_wait().unwrap().is_none(), "it waits on");
    assert_eq!(env.termination_log(), "");
    env.emulator.set_secret("shop", "late", "here");
    assert!(sidecar.ready().status.success());
    assert_eq!(env.read("db"), "here");
}

#[test]
fn every_place_tells_the_same_code() {
    let env = TestEnv::new();
    let revoked = json!({"clientId": "11111111-1111-1111-1111-111111111111", "secrets": ["list"]});
    let cases: &[(&str, &str, Option<Fault>, &str)] = &[
        ("no such object", "absent", None, "KS404"),
        ("a disabled version", "off", None, "KS406"),
        ("the firewall", "db", Some(Fault::status(403).on(CallKind::SecretGet)), "KS405"),
        ("a throttled vault", "db", Some(Fault::status(429).on(CallKind::SecretGet)), "KS407"),
        ("a vault that fails", "db", Some(Fault::status(503).on(CallKind::SecretGet)), "KS408"),
        ("Entra throttles", "db", Some(Fault::status(429).on(CallKind::Token)), "KS310"),
        ("no role", "db", None, "KS402"),
    ];
    for (what, name, fault, code) in cases {
        if *code == "KS402" {
            env.emulator.revoke("shop", "11111111-1111-1111-1111-111111111111").unwrap();
            env.emulator.grant("shop", serde_json::from_value(revoked.clone()).unwrap()).unwrap();
        }
        if let Some(fault) = fault {
            env.emulator.inject(fault.clone());
        }
        let mut plan = env.plan(&[env.file("db", name)]);
        plan.as_object_mut().unwrap().remove("startTimeoutSeconds");
        let before = env.log().len();
        let sidecar = env.run(&plan);
        until(what, || env.log()[before..].contains(&format!("\"code\":\"{code}\"")));
        let status: Value = sidecar.status();
        assert_eq!(status["volumes"][0]["files"][0]["error"]["code"], *code, "{what}: {status}");
        assert!(
            status["volumes"][0]["files"][0]["error"]["hint"]
                .as_str()
                .is_some_and(|hint| !hint.is_empty()),
            "{what}"
        );
        let gate = stderr(&env.output(&plan, &["ready", "--timeout", "1"]));
        assert!(gate.starts_with(&format!("waiting: {code} ")), "{what}: {gate}");
        // A hook that gives up has the kubelet end the container.
        sidecar.signal(Signal::TERM);
        assert_eq!(sidecar.wait().code(), Some(0), "{what}");
        let text = env.termination_log();
        assert!(
            text.starts_with(code) && text.contains("\ncause: ") && text.contains("\nfix: "),
            "{what}: {text}"
        );
        env.emulator.clear_faults();
        let _ = std::fs::remove_file(env.root.join("run/keysluice/throttle.json"));
    }
}

#[test]
fn a_volume_that_cannot_be_written_is_told_by_the_gate_too() {
    let env = TestEnv::new();
    let volume = env.root.join("mnt/v");
    // A file of somebody else where ours must go.
    std::fs::File::create(volume.join("db")).unwrap();
    let mut plan = env.plan(&[env.file("db", "db")]);
    plan["startTimeoutSeconds"] = 5.into();
    let sidecar = env.run(&plan);
    let gate = stderr(&sidecar.ready());
    assert!(gate.starts_with("waiting: KS504 "), "{gate}");
    assert_eq!(sidecar.wait().code(), Some(1));
    assert!(env.termination_log().starts_with("KS504 "), "{}", env.termination_log());
}
