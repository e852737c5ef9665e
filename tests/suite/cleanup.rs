//! `keysluice cleanup`: the order, what it does when something is gone already or refused, and that it never goes on after a failure.

use super::api_server::{ApiServer, BINDINGS, CONFIGURATIONS, Fault};
use serde_json::json;
use std::path::Path;
use tokio::process::Command;

const GUARDS: [&str; 2] = ["keysluice-guard-identity", "keysluice-guard-sidecar"];

/// Exit code and standard error.
async fn cleanup(kubeconfig: &Path, within_seconds: u64, binding: &str) -> (i32, String) {
    cleanup_with(kubeconfig, within_seconds, binding, "0").await
}

async fn cleanup_with(kubeconfig: &Path, within_seconds: u64, binding: &str, propagation: &str) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keysluice"));
    command.env_clear().arg("cleanup").arg("--kubeconfig").arg(kubeconfig);
    command.args(["--policy-binding", binding, "--policy-binding", GUARDS[1], "--webhook-configuration", "keysluice"]);
    command.args(["--binding-propagation-seconds", propagation]);
    let output = command.arg("--within-seconds").arg(within_seconds.to_string()).output().await.unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn installed(server: &ApiServer, bindings: &[&str]) {
    let mut world = server.world();
    for name in bindings {
        world.put(BINDINGS, json!({"metadata": {"name": name}}));
    }
    world.put_configuration("keysluice", &["bundle"]);
}

/// What was asked for, in order.
fn requests(server: &ApiServer) -> Vec<String> {
    let name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
    server.world().requests.iter().map(name).collect()
}

#[tokio::test]
async fn the_guard_goes_first_then_the_configuration() {
    let scratch = tempfile::tempdir().unwrap();
    let kind = "ValidatingAdmissionPolicyBinding";
    for (name, there, faults, expected) in [
        ("everything is there", &GUARDS[..], &[][..], format!("{kind} {}: deleted", GUARDS[0])),
        ("an earlier run was interrupted", &GUARDS[1..], &[], format!("{kind} {}: already gone", GUARDS[0])),
        (
            "the right to delete was granted this instant",
            &GUARDS,
            &[403, 403],
            format!("{kind} {}: deleted", GUARDS[0]),
        ),
        ("the API server is overloaded", &GUARDS, &[429, 503], format!("{kind} {}: deleted", GUARDS[0])),
    ] {
        let server = ApiServer::start();
        installed(&server, there);
        server.world().fail(BINDINGS, faults.iter().map(|code| Fault::Status(*code)));
        let (code, text) = cleanup(&server.kubeconfig(scratch.path()), 30, GUARDS[0]).await;
        assert_eq!(code, 0, "{name}: {text}");
        assert!(
            text.contains(&expected) && text.contains("MutatingWebhookConfiguration keysluice: deleted"),
            "{name}: {text}"
        );
        let mut order = requests(&server);
        order.dedup();
        assert_eq!(order, [GUARDS[0], GUARDS[1], "keysluice"], "{name}");
        let left = [BINDINGS, CONFIGURATIONS].map(|resource| server.world().all(resource).count());
        assert_eq!(left, [0, 0], "{name}");
    }
}

/// The webhook must still be asked while an API server does not know yet that the guard is gone.
#[tokio::test]
async fn the_configuration_goes_only_when_api_servers_know_that_the_guard_is_gone() {
    let scratch = tempfile::tempdir().unwrap();
    for there in [&GUARDS[..], &[]] {
        let server = ApiServer::start();
        installed(&server, there);
        let kubeconfig = server.kubeconfig(scratch.path());
        // The time is not in the deadline: with one second for it this would end without the configuration.
        let run = tokio::spawn(async move { cleanup_with(&kubeconfig, 1, GUARDS[0], "2").await });
        let begun = std::time::Instant::now();
        while server.world().all(CONFIGURATIONS).count() == 1 {
            assert!(begun.elapsed() < std::time::Duration::from_secs(30), "never deleted");
            tokio::task::yield_now().await;
        }
        assert!(begun.elapsed() >= std::time::Duration::from_secs(2), "{there:?}: after {:?}", begun.elapsed());
        let (code, text) = run.await.unwrap();
        assert_eq!(code, 0, "{text}");
    }
}

#[tokio::test]
async fn a_guard_that_cannot_be_removed_keeps_the_configuration() {
    let scratch = tempfile::tempdir().unwrap();
    let server = ApiServer::start();
    installed(&server, &GUARDS);
    server.world().fail(BINDINGS, [Fault::Status(403); 1000]);
    let (code, text) = cleanup(&server.kubeconfig(scratch.path()), 1, GUARDS[0]).await;
    let hint = format!("hint: kubectl delete {BINDINGS} {}", GUARDS[0]);
    assert!(code == 1 && text.contains("KS724 ") && text.contains(&hint), "{code}: {text}");
    assert_eq!(
        server.world().all(CONFIGURATIONS).count(),
        1,
        "without the webhook the guard would refuse every labelled pod"
    );
    assert!(requests(&server).iter().all(|name| name == GUARDS[0]));
}

#[tokio::test]
async fn an_api_server_that_is_gone_costs_the_time_and_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    let mut server = ApiServer::start();
    server.stop().await;
    let (code, text) = cleanup(&server.kubeconfig(scratch.path()), 1, GUARDS[0]).await;
    assert!(code == 1 && text.contains("could not be deleted: no answer from the API server"), "{code}: {text}");
}

#[tokio::test]
async fn a_name_never_leads_to_another_object() {
    let scratch = tempfile::tempdir().unwrap();
    let server = ApiServer::start();
    installed(&server, &GUARDS);
    for name in ["../mutatingwebhookconfigurations/other", "a/b", "A", "a?dryRun=All"] {
        let (code, text) = cleanup(&server.kubeconfig(scratch.path()), 5, name).await;
        assert!(code == 2 && text.contains("KS724 ") && text.contains("is no name"), "{name}: {code}: {text}");
    }
    assert!(requests(&server).is_empty());
}
