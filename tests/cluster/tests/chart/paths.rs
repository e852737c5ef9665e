//! The path that reviews are sent to, and what becomes strict: on a real API server, called through
//! a Service.

use super::certificates::is_mutated;
use super::helm::{Helm, get, root};
use super::stage::{CONFIGURATION, Stage};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const SECRET: &str = "/api/v1/namespaces/keysluice-system/secrets/keysluice-tls";
const MARK: &str = "keysluice.dev/path";

async fn entries(stage: &Stage) -> Vec<Value> {
    let configuration = stage.request(Method::GET, CONFIGURATION, None).await.unwrap();
    configuration["webhooks"].as_array().unwrap().clone()
}

async fn path(stage: &Stage) -> Option<String> {
    entries(stage).await[0]["clientConfig"]["service"]["path"].as_str().map(str::to_owned)
}

async fn policies(stage: &Stage) -> Vec<Value> {
    entries(stage).await.iter().map(|entry| entry["failurePolicy"].clone()).collect()
}

fn is_ours(path: Option<&str>) -> bool {
    let rest = path.and_then(|path| path.strip_prefix("/mutate/"));
    rest.is_some_and(|rest| rest.len() == 32 && !rest.contains('/'))
}

/// What somebody else writes: another path for every entry, or none.
async fn lead(stage: &Stage, to: Option<&str>) {
    let operation = |index: usize| {
        let at = format!("/webhooks/{index}/clientConfig/service/path");
        match to {
            Some(path) => json!({"op": "add", "path": at, "value": path}),
            None => json!({"op": "remove", "path": at}),
        }
    };
    let operations: Vec<Value> = (0..3).map(operation).collect();
    stage.request(Method::PATCH, CONFIGURATION, Some(&json!(operations))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn a_first_installation_refuses_nothing_until_its_first_review() {
    let stage = Stage::open().await;
    stage.install().await;
    stage.until_guarded().await;
    assert_eq!(policies(&stage).await, ["Ignore", "Ignore", "Ignore"]);
    // No webhook, as with an image that does not exist: labelled pods start as they did before.
    let error = is_mutated(&stage).await.unwrap_err();
    assert!(error.starts_with("not mutated"), "{error}");

    let webhook = stage.serve_by_service(&["--csi-failure-policy=Fail"]).await;
    assert!(is_ours(path(&stage).await.as_deref()), "{:?}", entries(&stage).await);
    stage.until("a pod is mutated", async || is_mutated(&stage).await.is_ok()).await;
    let begun = Instant::now();
    stage
        .until("the entry for labelled pods fails", async || policies(&stage).await[0] == "Fail")
        .await;
    println!("Fail {} ms after the first review", begun.elapsed().as_millis());
    stage
        .until("the guard refuses", async || {
            get(&stage, SECRET).await.unwrap()["data"]["guard"].is_string()
        })
        .await;
    assert_eq!(
        policies(&stage).await,
        ["Fail", "Ignore", "Ignore"],
        "what the policy does not let it tighten stays"
    );
    assert!(webhook.log().contains("KS715"), "and that is told");
    drop(webhook);
    stage
        .until("labelled pods are refused", async || {
            is_mutated(&stage).await.is_err_and(|error| error.contains("failed calling webhook"))
        })
        .await;
    stage.request(Method::DELETE, CONFIGURATION, None).await.unwrap();
    stage
        .until("by the guard too", async || {
            is_mutated(&stage).await.is_err_and(|error| error.contains("KS720"))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn a_configuration_that_is_reset_is_healed_and_no_pod_is_refused() {
    let stage = Stage::open().await;
    stage.install().await;
    let webhook = stage.serve_by_service(&["--bundle-propagation=2s"]).await;
    stage.until("a pod is mutated", async || is_mutated(&stage).await.is_ok()).await;
    stage
        .until("the entry for labelled pods fails", async || policies(&stage).await[0] == "Fail")
        .await;
    let ours = path(&stage).await.unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    let stream = async || {
        let mut pods = 0_u32;
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            is_mutated(&stage)
                .await
                .unwrap_or_else(|error| panic!("after {pods} pods: {error}\n{}", webhook.log()));
            pods += 1;
        }
        pods
    };
    let resets = async {
        for reset in [
            None,
            Some("/mutate-v1-pod"),
            Some("/other/path"),
            Some("/mutate/abcdefghijklmnopqrstuvwxyz012345"),
            None,
        ] {
            let begun = Instant::now();
            lead(&stage, reset).await;
            stage
                .until("the path is back", async || path(&stage).await.as_deref() == Some(&ours))
                .await;
            println!("{reset:?} was healed after {} ms", begun.elapsed().as_millis());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        // All of it at once, as a manifest that is applied anew.
        let loosened: Vec<Value> = (0..2)
            .map(|index| {
                json!({"op": "replace", "path": format!("/webhooks/{index}/failurePolicy"),
                    "value": "Ignore"})
            })
            .collect();
        stage.request(Method::PATCH, CONFIGURATION, Some(&json!(loosened))).await.unwrap();
        stage.until("it fails again", async || policies(&stage).await[0] == "Fail").await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (first, second, third, ()) = tokio::join!(stream(), stream(), stream(), resets);
    println!("{} pods, 0 refused", first + second + third);
    assert!(first + second + third > 50);
    let log = webhook.log();
    assert!(!log.contains("no such path"), "{log}");
    stage
        .until("former paths are forgotten", async || {
            get(&stage, SECRET).await.unwrap()["data"].get("old-paths").is_none()
        })
        .await;
}

/// What is called where no path is named: the webhook may not write one here.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn without_a_path_the_root_is_called() {
    let stage = Stage::open().await;
    stage.install().await;
    let webhook = stage.serve_by_service(&["--bundle-propagation=1s"]).await;
    stage.until("a pod is mutated", async || is_mutated(&stage).await.is_ok()).await;
    let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/keysluice";
    let rules = get(&stage, role).await.unwrap()["rules"].as_array().unwrap().clone();
    let at = rules
        .iter()
        .position(|rule| rule["resources"][0] == "mutatingwebhookconfigurations")
        .unwrap();
    let verbs = async |verbs: Value| {
        let operation =
            json!([{"op": "replace", "path": format!("/rules/{at}/verbs"), "value": verbs}]);
        stage.request(Method::PATCH, role, Some(&operation)).await.unwrap();
    };
    verbs(json!(["get", "watch"])).await;
    stage
        .until("the right is gone", async || {
            let nothing =
                json!([{"op": "test", "path": "/kind", "value": "MutatingWebhookConfiguration"}]);
            stage
                .act_as(super::stage::WEBHOOK, Method::PATCH, CONFIGURATION, Some(&nothing))
                .await
                .is_err()
        })
        .await;
    for reset in [None, Some("/x/y/")] {
        lead(&stage, reset).await;
        for _ in 0..20 {
            is_mutated(&stage)
                .await
                .unwrap_or_else(|error| panic!("{reset:?}: {error}\n{}", webhook.log()));
            assert_eq!(path(&stage).await.as_deref(), reset);
        }
    }
    verbs(json!(["get", "watch", "patch"])).await;
    stage.until("a path is written", async || is_ours(path(&stage).await.as_deref())).await;
}

/// Copies the chart, as a version had it that knew one path only.
fn earlier_chart(to: &Path) -> String {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let (entry, name) =
                (entry.as_ref().unwrap().path(), entry.as_ref().unwrap().file_name());
            if entry.is_dir() {
                copy(&entry, &to.join(name));
            } else {
                std::fs::copy(&entry, to.join(name)).unwrap();
            }
        }
    }
    let chart = to.join("earlier");
    copy(&root().join("webhook-config/chart"), &chart);
    for (file, from, to) in [
        (
            "webhook-configuration.yaml",
            "{{- define \"keysluice.otherReplicas\" -}}",
            "{{- define \"keysluice.otherReplicas\" -}}true",
        ),
        ("webhook-configuration.yaml", "    keysluice.dev/path: {{", "    #: {{"),
        (
            "deployment.yaml",
            "        keysluice.dev/path: written-by-webhook",
            "        another: annotation",
        ),
    ] {
        let path = chart.join("templates").join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file}: {from}");
        std::io::Write::write_all(
            &mut std::fs::File::create(&path).unwrap(),
            text.replace(from, to).as_bytes(),
        )
        .unwrap();
    }
    chart.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn helm_leaves_path_and_failure_policy_alone_and_an_earlier_version_keeps_its_path() {
    let stage = Stage::open().await;
    let helm = Helm::of(&stage).await;
    let mark =
        async || get(&stage, CONFIGURATION).await.unwrap()["metadata"]["annotations"][MARK].clone();
    let earlier = earlier_chart(stage.directory.path());
    helm.run(&["install", "keysluice", &earlier]).await;
    assert_eq!(
        (path(&stage).await.as_deref(), mark().await),
        (Some("/mutate-v1-pod"), Value::Null)
    );
    let upgrade = ["upgrade", "keysluice", "webhook-config/chart", "--reset-then-reuse-values"];

    // Replicas of before run on for a while: they are called by what they know.
    helm.run(&upgrade).await;
    assert_eq!(
        (path(&stage).await.as_deref(), mark().await),
        (Some("/mutate-v1-pod"), json!("kept-until-next-upgrade"))
    );
    let deployment = get(&stage, "/apis/apps/v1/namespaces/keysluice-system/deployments/keysluice")
        .await
        .unwrap();
    assert_eq!(
        deployment["spec"]["template"]["metadata"]["annotations"][MARK],
        "written-by-webhook"
    );
    {
        let webhook = stage.serve_by_service(&["--bundle-propagation=1s"]).await;
        stage.until("a pod is mutated", async || is_mutated(&stage).await.is_ok()).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(path(&stage).await.as_deref(), Some("/mutate-v1-pod"), "{}", webhook.log());
    }
    helm.run(&["rollback", "keysluice", "1"]).await;
    assert_eq!(
        (path(&stage).await.as_deref(), mark().await),
        (Some("/mutate-v1-pod"), Value::Null)
    );
    helm.run(&upgrade).await;

    // The next upgrade finds them gone.
    helm.run(&upgrade).await;
    assert_eq!((path(&stage).await, mark().await), (None, json!("written-by-webhook")));
    let webhook = stage.serve_by_service(&["--bundle-propagation=1s"]).await;
    stage.until("a path is written", async || is_ours(path(&stage).await.as_deref())).await;
    stage
        .until("it fails", async || {
            is_mutated(&stage).await.is_ok() && policies(&stage).await[0] == "Fail"
        })
        .await;
    let before = entries(&stage).await;
    let at_service = |entries: &[Value]| {
        entries
            .iter()
            .map(|entry| {
                let mut entry = entry.clone();
                // The test leads them to a port of its own.
                entry["clientConfig"]["service"]["port"] = Value::Null;
                entry
            })
            .collect::<Vec<_>>()
    };
    drop(webhook);
    helm.run(&[&upgrade[..], &["--set", "azureTenantID=t"]].concat()).await;
    assert_eq!(
        at_service(&entries(&stage).await),
        at_service(&before),
        "path, caBundle and failurePolicy stay"
    );
    assert!(get(&stage, SECRET).await.unwrap()["data"]["guard"].is_string());
    helm.run(&["rollback", "keysluice"]).await;
    assert!(is_ours(path(&stage).await.as_deref()));
    // What the operator wants is heeded.
    helm.run(&[&upgrade[..], &["--set", "webhook.failurePolicy=Ignore"]].concat()).await;
    assert_eq!(policies(&stage).await[0], "Ignore");
}
