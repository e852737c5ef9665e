//! `keysluice audit` from end to end: a pod as the webhook makes it, its sidecar, the log of its
//! vault, a cluster with the pod; and reports of logs that are written by hand.

mod files;

use crate::suite::support::api_server::ApiServer;
use crate::suite::support::{Theatre, keysluice};
use keysluice_demo::GUIDES;
use serde_json::{Value, json};
use std::path::Path;

/// What the guide's secret holds.
const VALUE: &str = "SuperSecretValueFromTechNews";

/// The pod that a guide's sidecar ran in, as the API server has it.
fn object(reviewed: &Value, namespace: &str) -> Value {
    let mut pod = reviewed.clone();
    let metadata = &mut pod["metadata"];
    metadata["uid"] = "f3b1c2d4-0000-4000-8000-000000000001".into();
    metadata["namespace"] = namespace.into();
    metadata["name"] = "web-5d4f8-abcde".into();
    metadata["creationTimestamp"] = "2026-11-01T00:00:00Z".into();
    metadata["labels"]["pod-template-hash"] = "5d4f8".into();
    metadata["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "name": "web-5d4f8", "uid": "rs", "controller": true}]);
    pod["status"] = json!({"phase": "Running"});
    pod
}

fn write(path: &Path, text: &str) {
    std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), text.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pod_read_is_found_in_the_log_of_its_vault_also_when_it_has_ended() {
    let theatre = Theatre::open().await;
    let guide = &GUIDES[0];
    let reviewed = theatre.review(guide.directory).await;
    let mut pod = theatre.start(guide.directory, &reviewed);
    pod.wait_until_ready().await.unwrap();
    let server = ApiServer::start();
    let all = json!({"kind": "PodList", "items": [object(&reviewed.pod, guide.namespace),
        {"metadata": {"name": "other", "uid": "x"}, "spec": {"containers": [{"name": "app"}]}}]});
    server.world().documents.insert("/api/v1/pods".to_owned(), all.to_string());
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name).display().to_string();
    let kubeconfig = server.kubeconfig(scratch.path()).display().to_string();

    let record = ["audit", "record", "-A", "--kubeconfig", &kubeconfig, "--out", &path("pods")];
    for _ in 0..2 {
        let (code, _, error) = keysluice(&record);
        assert_eq!((code, &*error), (0, ""), "{error}");
    }
    let recorded = std::fs::read_to_string(path("pods")).unwrap();
    assert_eq!(recorded.lines().count(), 1, "once, and no pod without a sidecar: {recorded}");
    let recorded: Value = serde_json::from_str(recorded.trim()).unwrap();
    assert_eq!(recorded["workload"], "Deployment/web");
    let methods = server.world().methods.clone();
    assert!(methods.iter().all(|method| *method == http::Method::GET), "{methods:?}");

    // By the user agent where the vault writes ids of its own, and by both.
    for is_of_client in [false, true] {
        theatre.emulator.set_client_correlation(is_of_client);
        assert!(pod.execute(&["refresh"]).await.unwrap().status.success());
        write(scratch.path().join("log.jsonl").as_path(), &theatre.emulator.diagnostic_log());
        for pods in [["--record", &path("pods")], ["--kubeconfig", &kubeconfig]] {
            let mut arguments = vec!["audit", "-o", "json"];
            arguments.extend(pods);
            arguments.extend((pods[0] == "--kubeconfig").then_some("-A"));
            let log = path("log.jsonl");
            arguments.push(&log);
            let (code, out, error) = keysluice(&arguments);
            assert_eq!((code, &*error), (0, ""), "{arguments:?}");
            let report: Value = serde_json::from_str(&out).unwrap();
            let counts = &report["log"];
            assert!(counts["attributed"].as_u64().unwrap() > 0, "{report:#}");
            assert_eq!(counts["attributed"], counts["records"], "{report:#}");
            assert_eq!(counts["attributed"], counts["checked"], "{report:#}");
            assert_eq!(report["unused"]["objects"], json!([]), "{report:#}");
            let mut rows = report["calls"].as_array().unwrap().iter();
            let row = rows.find(|row| row["operation"] == "SecretGet").unwrap();
            assert_eq!(row["workload"], format!("Deployment {}/web", guide.namespace));
            assert!(
                row["version"].is_string() && row["object"].as_str().unwrap().contains("/secrets/")
            );
        }
    }

    // A new version that another caller gets, and this pod does not have yet.
    let log = theatre.emulator.diagnostic_log();
    let last = log.lines().rfind(|line| line.contains("\"id\":")).unwrap();
    let mut newer: Value = serde_json::from_str(last).unwrap();
    let id = newer["properties"]["id"].as_str().unwrap().rsplit_once('/').unwrap().0.to_owned();
    newer["properties"]["id"] = format!("{id}/{}", "0".repeat(32)).into();
    newer["properties"]["clientInfo"] = "AZURECLI/2.70".into();
    newer["correlationId"] = "".into();
    newer["time"] = "2099-01-01T00:00:00Z".into();
    write(scratch.path().join("log.jsonl").as_path(), &format!("{log}{newer}\n"));
    let arguments = [
        "audit",
        "--record",
        &path("pods"),
        "-o",
        "json",
        &path("log.jsonl"),
        "--fail-on",
        "old-versions,malformed",
    ];
    let (code, out, _) = keysluice(&arguments);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, report["oldVersions"][0]["pods"].as_u64()), (1, Some(1)), "{report:#}");
    assert_eq!(report["log"]["unattributed"], 1);
    let values = [&out, &std::fs::read_to_string(path("pods")).unwrap(), &log];
    assert!(values.iter().all(|text| !text.contains(VALUE)), "no value anywhere");
}
