//! The ids of requests, as the vault's diagnostic log has them.

use crate::support::{Sidecar, TestEnv};
use keysluice_emulator::{CallKind, Fault};
use keysluice_plan::{Guid, RequestId};
use serde_json::Value;
use std::collections::BTreeSet;

const POD: &str = "6f1d1c2e-8a4b-4f0e-9b7a-3c2d1e0f9a8b";

fn records(env: &TestEnv) -> Vec<Value> {
    let log = env.emulator.diagnostic_log();
    log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn agent(record: &Value) -> &str {
    record["properties"]["clientInfo"].as_str().unwrap()
}

/// A sidecar that is ready, in a pod of this uid.
fn run_ready<'a>(env: &'a TestEnv, plan: &Value, uid: &str) -> Sidecar<'a> {
    let sidecar = env.run_with(plan, &[("POD_UID", uid)]);
    let output = sidecar.ready();
    assert!(output.status.success(), "{output:?}\n{}", env.log());
    sidecar
}

#[test]
fn every_request_to_a_vault_has_the_uid_of_the_pod_and_a_counter() {
    let env = TestEnv::new();
    env.emulator.set_client_correlation(true);
    // What is sent again is another request.
    env.emulator.inject(Fault::status(401).on(CallKind::SecretGet).times(1));
    let plan = env.plan(&[env.file("db", "db"), env.file("api", "api")]);
    let sidecar = run_ready(&env, &plan, POD);
    assert!(sidecar.refresh().1);
    let records = records(&env);
    assert!(records.len() >= 4, "{records:?}");
    let pod: Guid = POD.parse().unwrap();
    let mut calls = BTreeSet::new();
    for record in &records {
        let id = RequestId::of_user_agent(agent(record)).unwrap();
        assert_eq!(
            (id.pod, record["correlationId"].as_str().unwrap().parse()),
            (pod, Ok(id.guid()))
        );
        assert!(calls.insert(id.call), "{id:?} occurs twice");
    }
    let all: BTreeSet<u32> = (1..=u32::try_from(records.len()).unwrap()).collect();
    assert_eq!(calls, all, "each call counts one further");
    assert!(records.iter().any(|record| record["operationName"] == "Authentication"));
    assert!(!env.log().contains(POD), "the log of the sidecar has no use for it");
}

#[test]
fn without_a_uid_a_request_has_no_id() {
    for uid in ["", "web-1", "6f1d1c2e8a4b4f0e9b7a3c2d1e0f9a8b", "a\u{e4}"] {
        let env = TestEnv::new();
        env.emulator.set_client_correlation(true);
        let sidecar = run_ready(&env, &env.plan(&[env.file("db", "db")]), uid);
        drop(sidecar);
        for record in records(&env) {
            assert_eq!(agent(&record), concat!("keysluice-injector/", env!("CARGO_PKG_VERSION")));
            let correlation = record["correlationId"].as_str().unwrap();
            assert!(correlation.parse::<Guid>().is_ok(), "the service's own: {correlation}");
        }
    }
}

#[test]
fn a_job_of_a_pipeline_names_no_pod() {
    let env = TestEnv::new();
    let output = env.output(&env.plan(&[env.file("db", "db")]), &["once"]);
    assert!(output.status.success(), "{output:?}");
    let records = records(&env);
    assert!(!records.is_empty());
    assert!(records.iter().all(|record| RequestId::of_user_agent(agent(record)).is_none()));
}
