//! What the answer to the creation of a workload warns of, and which requests are reviewed for it.

use super::pods::csi_volume;
use super::stage::{Stage, WEBHOOK, WORKLOADS, Webhook, collection, path};
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) const KINDS: [(&str, &str); 6] = [
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "ReplicaSet"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
];

/// A workload whose template has the label and these annotations.
pub(crate) fn workload((version, kind): (&str, &str), name: &str, annotations: &Value) -> Value {
    let labels = json!({"app": name, "azure.workload.identity/use": "true"});
    let restart = if version == "batch/v1" { "Never" } else { "Always" };
    let template = json!({"metadata": {"labels": labels, "annotations": annotations},
        "spec": {"restartPolicy": restart,
            "containers": [{"name": "app", "image": "registry.test/app:1"}]}});
    let selector = json!({"matchLabels": {"app": name}});
    let spec = match kind {
        "Job" => json!({"template": template}),
        "CronJob" => {
            json!({"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template}}})
        }
        "StatefulSet" => json!({"serviceName": name, "selector": selector, "template": template}),
        _ => json!({"selector": selector, "template": template}),
    };
    json!({"apiVersion": version, "kind": kind, "spec": spec,
        "metadata": {"name": name, "namespace": "default"}})
}

/// A typing error in the name of an annotation.
pub(crate) fn fault() -> Value {
    json!({"keysluice.dev/gat": "none"})
}

async fn created(stage: &Stage, object: &Value) -> Vec<String> {
    stage.warned(Method::POST, &collection(object), Some(object)).await
}

/// The stage with a webhook that reviews workloads, and an annotated ServiceAccount.
pub(crate) async fn reviewed() -> (Stage, Webhook) {
    let stage = Stage::open().await;
    stage.install().await;
    let webhook = stage.serve_by_service(&[]).await;
    let annotations = json!({"metadata": {"annotations":
        {"azure.workload.identity/client-id": "7d8cdf74-5a38-4b5e-9ee1-000000000001"}}});
    let account = "/api/v1/namespaces/default/serviceaccounts/default";
    stage.request(Method::PATCH, account, Some(&annotations)).await.unwrap();
    stage
        .until("workloads are reviewed", async || {
            let probe = workload(KINDS[0], "probe", &fault());
            let path = format!("{}?dryRun=All", collection(&probe));
            !stage.warned(Method::POST, &path, Some(&probe)).await.is_empty()
        })
        .await;
    (stage, webhook)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn the_creation_of_a_workload_warns_of_what_its_pods_will_meet() {
    let (stage, webhook) = reviewed().await;
    for kind in KINDS {
        let warnings = created(&stage, &workload(kind, "faulty", &fault())).await;
        let expected = format!(
            "KS210 pods of this {} are refused: annotation keysluice.dev/gat is unknown; hint: \
             did you mean keysluice.dev/gate?",
            kind.1
        );
        assert_eq!(warnings, [expected]);
        stage
            .until("the annotated ServiceAccount is known", async || {
                let fine = workload(kind, "fine", &json!({}));
                let path = format!("{}?dryRun=All", collection(&fine));
                stage.warned(Method::POST, &path, Some(&fine)).await.is_empty()
            })
            .await;
        let fine = created(&stage, &workload(kind, "fine", &json!({}))).await;
        assert_eq!(fine, Vec::<String>::new(), "{kind:?}");
    }
    let mut missing = workload(KINDS[0], "missing", &json!({}));
    missing["spec"]["template"]["spec"]["volumes"] = json!([csi_volume("s", "payroll")]);
    let warnings = created(&stage, &missing).await;
    assert!(
        warnings[0].starts_with("KS207 SecretProviderClass default/payroll is not yet there"),
        "{warnings:?}"
    );
    // The label on the Deployment alone.
    let mut misplaced = workload(KINDS[0], "misplaced", &json!({}));
    misplaced["metadata"]["labels"] = json!({"azure.workload.identity/use": "true"});
    misplaced["spec"]["template"]["metadata"]["labels"] = json!({"app": "misplaced"});
    let warnings = created(&stage, &misplaced).await;
    assert!(warnings[0].starts_with("KS814 azure.workload.identity/use is among the labels"));
    // Not ours, and what a controller makes.
    let mut other = workload(KINDS[0], "other", &json!({}));
    other["spec"]["template"]["metadata"]["labels"] = json!({"app": "other"});
    assert_eq!(created(&stage, &other).await, Vec::<String>::new());
    let mut controlled = workload(KINDS[3], "controlled", &fault());
    controlled["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1",
        "kind": "Deployment", "name": "faulty", "uid": "u", "controller": true}]);
    assert_eq!(created(&stage, &controlled).await, Vec::<String>::new());
    // Without a webhook workloads are created as ever.
    drop(webhook);
    assert_eq!(created(&stage, &workload(KINDS[0], "alone", &fault())).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn only_a_change_of_the_template_is_reviewed() {
    let (stage, webhook) = reviewed().await;
    let deployment = workload(KINDS[0], "web", &fault());
    created(&stage, &deployment).await;
    let own = path(&deployment);
    until_reviewed(&stage, &webhook, 1).await;
    let replicas = json!({"spec": {"replicas": 3}});
    let scale = stage.warned(Method::PATCH, &format!("{own}/scale"), Some(&replicas)).await;
    let scaled = stage.warned(Method::PATCH, &own, Some(&replicas)).await;
    let status = json!({"status": {"observedGeneration": 1}});
    let status = stage.warned(Method::PATCH, &format!("{own}/status"), Some(&status)).await;
    let annotated = json!({"metadata": {"annotations": {"a": "b"}}});
    let annotated = stage.warned(Method::PATCH, &own, Some(&annotated)).await;
    assert_eq!([scale, scaled, status, annotated].concat(), Vec::<String>::new());
    let image = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image",
        "value": "registry.test/app:2"}]);
    assert_eq!(stage.warned(Method::PATCH, &own, Some(&image)).await.len(), 1);
    // Not one for each of the changes before.
    until_reviewed(&stage, &webhook, 2).await;
}

/// Waits until the webhook's log tells of so many reviews of `web`; fails if it tells of more.
async fn until_reviewed(stage: &Stage, webhook: &Webhook, count: usize) {
    stage
        .until("the review is in the log", async || {
            let log = webhook.log();
            let warned = log.lines().filter(|line| line.contains("workload warned"));
            let reviews =
                warned.filter(|line| line.contains(r#""workload":"Deployment web""#)).count();
            assert!(reviews <= count, "{reviews} reviews");
            reviews == count
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn of_the_configuration_for_workloads_only_bundle_and_path_change() {
    let (stage, _webhook) = reviewed().await;
    let patch = async |path: &str, value: Value| {
        let operations = json!([{"op": "add", "path": format!("/webhooks/0/{path}"),
            "value": value}]);
        stage.act_as(WEBHOOK, Method::PATCH, WORKLOADS, Some(&operations)).await
    };
    // A policy that was just created comes into force some time later.
    let dry = format!("{WORKLOADS}?dryRun=All");
    let touched = json!([{"op": "add", "path": "/metadata/labels/probe", "value": "x"}]);
    stage
        .until("the configuration is bounded", async || {
            let patched = stage.act_as(WEBHOOK, Method::PATCH, &dry, Some(&touched)).await;
            patched.is_err_and(|refused| refused.message.contains("KS722"))
        })
        .await;
    let ours = json!("/validate/abcdefghijklmnopqrstuvwxyz012345");
    patch("clientConfig/service/path", ours).await.unwrap();
    for (path, value) in [
        ("failurePolicy", json!("Fail")),
        ("timeoutSeconds", json!(30)),
        ("matchConditions", json!([])),
        ("namespaceSelector", json!({})),
        ("clientConfig/service/path", json!("/elsewhere")),
        ("clientConfig/service/name", json!("elsewhere")),
    ] {
        let refused = patch(path, value).await.unwrap_err();
        assert!(refused.message.contains("KS722 "), "{path}: {refused:?}");
    }
}
