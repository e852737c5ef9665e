//! `keysluice doctor` runs the sidecar's `status` in pods, whose containers may answer anything.

use super::case::{Case, NAMESPACE, PodState};
use super::{cluster, patched};
use crate::suite::support::api_server::Exec;
use crate::suite::support::data;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

type Seen = ((i32, String, String), Vec<String>);

const REFUSED: &str = "identity \"workload-identity\": Entra refused client c in tenant t: 401 \
    invalid_client: AADSTS70021: No matching federated identity record found for presented \
    assertion issuer; the token has issuer \"https://oidc.example/1\", subject \
    \"system:serviceaccount:shop:web\", audience \"api://AzureADTokenExchange\", exp 5";

/// A Deployment whose pods have a sidecar that runs.
fn case(is_ready: bool) -> Case {
    let mut case = Case::read(&data().join("failures").join("credential-missing"));
    case.emulator = None;
    case.pod = PodState::Mutated;
    case.status = json!({"initContainerStatuses": [{"name": "keysluice", "ready": is_ready,
        "started": is_ready, "restartCount": 0, "state": {"running": {}}}]});
    case
}

fn path(pod: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}/exec")
}

fn status(error: &Value) -> Exec {
    let status = json!({"ready": error.is_null(), "version": "1.0.0", "failing": 1,
        "volumes": [{"name": "secrets", "directory": "/mnt", "error": null, "files": [
            {"path": "db-password", "object": "secret db-password", "ageSeconds": 70,
                "nextSeconds": 50, "error": error}]}]});
    Exec::Prints(status.to_string().into_bytes())
}

async fn doctor(mut case: Case, exec: Exec, more: &[&str]) -> Seen {
    let pod = patched(&case.manifests_file(), &[]).await;
    case.commands.push((path("web-0"), exec));
    cluster::run_with_requests(&case, pod, None, more).await
}

fn asked(requests: &[String]) -> Vec<&String> {
    requests.iter().filter(|path| path.contains("/exec?")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_a_running_sidecar_is_interpreted() {
    let error = json!({"code": "KS303", "message": REFUSED, "hint": "h", "ageSeconds": 7});
    let ((code, out, error), requests) = doctor(case(false), status(&error), &["deploy/web"]).await;
    assert_eq!((code, error.as_str()), (1, ""), "{out}");
    assert!(out.contains("× KS303 pod web-0: the sidecar says: identity"), "{out}");
    assert!(out.contains(" (file db-password; 7s ago)\n"), "{out}");
    assert!(out.contains("    | issuer    https://oidc.example/1 "), "{out}");
    assert!(out.contains("    $ az identity federated-credential create --name shop_web"), "{out}");
    assert!(out.contains("√ pod web-0: the sidecar is not ready (version 1.0.0)\n"), "{out}");
    assert!(out.contains("    | db-password  secret db-password  1m10s ago"), "{out}");
    let asked = asked(&requests);
    assert_eq!(asked.len(), 1);
    assert!(asked[0].contains("container=keysluice&"), "{asked:?}");
    let command = "&command=%2Fkeysluice-injector&command=status&command=-o&command=json";
    assert!(asked[0].ends_with(command), "{asked:?}");
    assert!(!requests.iter().any(|path| path.contains("/log?")), "{requests:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_it_says_so_and_goes_on() {
    for (forbidden, more, expected) in [
        ("exec", None, Some("needs get and create pods/exec in namespace shop")),
        ("selfsubjectaccessreviews", None, Some("needs get and create pods/exec")),
        ("none", Some("--no-exec"), None),
    ] {
        let mut case = case(true);
        case.forbidden.push(forbidden.to_owned());
        let more: Vec<&str> = ["deploy/web"].into_iter().chain(more).collect();
        let ((code, out, error), requests) = doctor(case, Exec::Hangs, &more).await;
        assert_eq!((code, error.as_str()), (0, ""), "{out}");
        assert!(out.contains("√ 1 pod(s) without trouble"), "{out}");
        let told = out.lines().find(|line| line.contains("what sidecars say of themselves"));
        assert_eq!(told.is_some(), expected.is_some(), "{out}");
        assert!(told.unwrap_or_default().contains(expected.unwrap_or_default()), "{out}");
        assert!(asked(&requests).is_empty());
        assert!(requests.iter().any(|path| path.contains("/pods/web-0/log?")), "{requests:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_answer_of_a_container_is_harmless() {
    let escape = b"\x1b]0;owned\x07{\"ready\":true}".to_vec();
    let endless = vec![b'['; 700 << 10];
    for (exec, expected) in [
        (Exec::Prints(escape), "the container prints something else than a status"),
        (Exec::Prints(Vec::new()), "the container prints something else than a status"),
        (Exec::Prints(endless), "the output exceeds 524288 bytes"),
        (Exec::Fails("no \x1b[2J socket"), "exit code 1: no  [2J socket"),
        (Exec::Cut, "the connection ended before the command"),
    ] {
        let ((code, out, error), _) = doctor(case(true), exec, &["deploy/web"]).await;
        assert_eq!((code, error.as_str()), (0, ""), "{out}");
        let told = out.lines().find(|line| line.contains("what sidecars say of themselves"));
        assert!(told.unwrap_or_default().contains(expected), "{expected}: {out}");
        assert!(!out.contains('\x1b'), "{out:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_does_not_answer_costs_seconds() {
    let begun = Instant::now();
    let ((code, out, _), _) = doctor(case(true), Exec::Hangs, &["deploy/web"]).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("pod web-0: no answer within 5 s"), "{out}");
    let elapsed = begun.elapsed();
    assert!(elapsed >= Duration::from_secs(5) && elapsed < Duration::from_secs(60), "{elapsed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_pods_of_a_deployment_are_asked_and_the_named_one_always() {
    let mut case = case(true);
    let mutated = patched(&case.manifests_file(), &[]).await.unwrap();
    for number in 1..20 {
        let name = format!("web-{number}");
        let mut pod = mutated.clone();
        pod["kind"] = "Pod".into();
        pod["metadata"]["name"] = name.clone().into();
        pod["metadata"]["ownerReferences"] =
            json!([{"kind": "ReplicaSet", "name": "web-1", "controller": true}]);
        pod["status"] = case.status.clone();
        case.objects.push(pod);
        case.commands.push((path(&name), status(&Value::Null)));
    }
    case.commands.push((path("web-0"), status(&Value::Null)));
    let pod = Some(mutated);
    let ((code, out, _), requests) =
        cluster::run_with_requests(&case, pod.clone(), None, &["deploy/web"]).await;
    assert_eq!((code, asked(&requests).len()), (0, 2), "{out}");
    let ((code, out, _), requests) =
        cluster::run_with_requests(&case, pod, None, &["pod/web-19"]).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("√ pod web-19: the sidecar is ready"), "{out}");
    let asked = asked(&requests);
    assert!(asked.len() == 1 && asked[0].contains("/pods/web-19/exec?"), "{asked:?}");
}
