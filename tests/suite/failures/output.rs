//! The outputs of `keysluice doctor` beside the text about one workload.

use super::case::Case;
use super::{cluster, keysluice};
use crate::suite::support::data;
use serde_json::Value;

fn case(name: &str) -> Case {
    Case::read(&data().join("failures").join(name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_has_the_same_findings() {
    let (code, out, error) =
        cluster::run(&case("class-missing"), None, None, &["deploy/web", "-o", "json"]).await;
    assert_eq!((code, error.as_str()), (1, ""));
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["failed"], true);
    assert_eq!(report["cause"]["code"], "KS207");
    let workload = &report["groups"][1];
    assert_eq!(workload["title"], "Deployment shop/web");
    let check = &workload["checks"][0];
    assert_eq!((&check["level"], &check["code"]), (&"failed".into(), &"KS207".into()));
    assert!(check["fix"].as_str().unwrap().contains("create it in the pod's namespace"), "{check}");
    let page = "https://github.com/keysluice/keysluice/blob/main/docs/reasons.md#ks207";
    assert_eq!(check["see"], page);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_name_only_workloads_with_trouble_are_printed() {
    let mut case = case("class-missing");
    let healthy = serde_json::json!({"kind": "Deployment", "metadata": {"name": "fine"},
        "spec": {"template": {"metadata": {"labels": {"azure.workload.identity/use": "true"}},
            "spec": {"serviceAccountName": "web", "containers": [{"name": "app"}]}}}});
    let foreign = serde_json::json!({"kind": "Deployment", "metadata": {"name": "other"},
        "spec": {"template": {"spec": {"containers": [{"name": "app"}]}}}});
    case.objects.extend([healthy, foreign]);
    let (code, out, _) = cluster::run(&case, None, None, &[]).await;
    assert_eq!(code, 1);
    assert!(out.contains("Deployment shop/web\n× KS207 "), "{out}");
    assert!(!out.contains("shop/fine") && !out.contains("shop/other"), "{out}");
    assert!(out.contains("√ 1 other workload(s) without trouble"), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_trouble_ends_with_0() {
    let mut case = case("class-missing");
    case.applied = false;
    case.events.clear();
    let (code, out, error) = cluster::run(&case, None, None, &[]).await;
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(out.ends_with("0 failed, 0 warning(s)\n"), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_does_not_answer_is_an_error() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("config");
    let text = "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\nclusters: \
        [{name: k, cluster: {server: 'http://127.0.0.1:9'}}]\n";
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
    let arguments = ["doctor".to_owned()];
    let (code, out, error) = keysluice(&arguments, &[("KUBECONFIG", &path)]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    let expected = format!(
        "keysluice: KS705 no answer from the API server at http://127.0.0.1:9 (kubeconfig {}): ",
        path.display()
    );
    assert!(error.starts_with(&expected) && error.contains("; hint: "), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_usage_ends_with_2() {
    for (arguments, expected) in [
        (["doctor", "svc/web"], "is not a kind that makes pods"),
        (["doctor", "--kubeconfig=/nonexistent"], "KS705"),
    ] {
        let arguments = arguments.map(str::to_owned);
        let (code, _, error) = keysluice(&arguments, &[]).await;
        assert_eq!(code, 2, "{error}");
        assert!(error.contains(expected), "{error}");
    }
}
