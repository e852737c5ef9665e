//! The guard: pods that no webhook saw, and that a cluster with every webhook gone still starts.

use super::pods::{pod, token_volume, with};
use super::stage::{CONFIGURATION, NAMESPACE, Stage, manifest};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn a_labelled_pod_that_no_webhook_saw_is_refused_with_the_reason() {
    let stage = Stage::open().await;
    stage.install().await;
    stage.until_guarded().await;
    // Before the webhook has answered anything nobody is harmed.
    let created = stage.dry_run(&pod("p", "default", true)).await;
    assert!(created.is_ok(), "{created:?}");
    stage.tighten().await;
    // As an operator may have it, and as it is while nobody knows that the configuration was
    // deleted.
    let ignore = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]);
    stage.request(Method::PATCH, CONFIGURATION, Some(&ignore)).await.unwrap();
    for deleted in [false, true] {
        if deleted {
            stage.request(Method::DELETE, CONFIGURATION, None).await.unwrap();
        }
        let labelled = pod("p", "default", true);
        stage
            .until("nobody is asked any more", async || {
                let refused = stage.dry_run(&labelled).await;
                refused.is_err_and(|refused| refused.message.contains("KS720"))
            })
            .await;
        let mirror = with(
            labelled.clone(),
            "/metadata/annotations",
            json!({"kubernetes.io/config.mirror": "x"}),
        );
        let mirror = with(mirror, "/spec/nodeName", json!("node"));
        for (name, pod, refused) in [
            ("labelled, no token", labelled.clone(), true),
            (
                "labelled, only the API server's token",
                with(labelled.clone(), "/spec/volumes", json!([token_volume("token", None)])),
                true,
            ),
            (
                "labelled, only a mesh's token",
                with(
                    labelled.clone(),
                    "/spec/volumes",
                    json!([token_volume("istio-token", Some("istio-ca"))]),
                ),
                true,
            ),
            (
                "labelled, a token",
                with(
                    labelled.clone(),
                    "/spec/volumes",
                    json!([token_volume("token/azure-identity-token", Some("a"))]),
                ),
                false,
            ),
            (
                "labelled, a token as Azure Workload Identity v1.5 has it",
                with(
                    labelled,
                    "/spec/volumes",
                    json!([token_volume("azure-identity-token", Some("a"))]),
                ),
                false,
            ),
            ("mirror of a static pod", mirror, false),
            ("not labelled", pod("p", "default", false), false),
            (
                "labelled otherwise",
                with(
                    pod("p", "default", true),
                    "/metadata/labels",
                    json!({"azure.workload.identity/use": "false"}),
                ),
                false,
            ),
            ("labelled, in kube-system", pod("p", "kube-system", true), false),
            ("labelled, in our own namespace", pod("p", NAMESPACE, true), false),
        ] {
            match stage.dry_run(&pod).await {
                Ok(_) => assert!(!refused, "{name} was created (configuration deleted: {deleted})"),
                Err(error) => {
                    assert!(refused && error.code == 403, "{name}: {error:?}");
                    let expected = "KS720 a labelled pod has no identity token: no webhook saw it; \
                        hint: check that the webhook runs";
                    assert!(error.message.contains(expected), "{error:?}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn with_every_webhook_gone_the_cluster_still_starts() {
    let stage = Stage::open().await;
    stage.install().await;
    stage.tighten().await;
    let labelled = pod("p", "default", true);
    stage
        .until("the configuration is known", async || {
            stage
                .dry_run(&labelled)
                .await
                .is_err_and(|refused| refused.message.contains("failed calling webhook"))
        })
        .await;
    let install = manifest("webhook-config/install.yaml");
    let deployment = install.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let mut ours = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "ours", "namespace": NAMESPACE}});
    ours["metadata"]["labels"] = deployment["spec"]["template"]["metadata"]["labels"].clone();
    ours["spec"] = deployment["spec"]["template"]["spec"].clone();
    let csi =
        json!([{"name": "v", "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": true}}]);
    for (name, pod) in [
        ("ours", ours),
        ("of kube-system", pod("p", "kube-system", false)),
        ("of kube-system, labelled", pod("p", "kube-system", true)),
        ("any other", pod("p", "default", false)),
        (
            "with a CSI volume of whatever provider",
            with(pod("p", "default", false), "/spec/volumes", csi),
        ),
    ] {
        let created = stage.dry_run(&pod).await;
        assert!(created.is_ok(), "{name}: {created:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn a_webhook_that_adds_the_wrong_sidecar_is_stopped() {
    let stage = Stage::open().await;
    stage.install().await;
    for object in manifest("webhook-config/chart/crds/secretproviderclasses.yaml") {
        stage.create(&object).await.unwrap();
    }
    stage.until_guarded().await;
    let class = json!({
        "apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass",
        "metadata": {"name": "class", "namespace": "default"},
        "spec": {"provider": "azure",
            "parameters": {"keyvaultName": "vault",
            "clientID": "7d8cdf74-5a38-4b5e-9ee1-000000000001",
            "objects": "array:\n  - |\n    objectName: a\n    objectType: secret\n"}},
    });
    let classes = "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/default/secretproviderclasses";
    stage
        .until("the definition is served", async || {
            stage
                .request(Method::POST, classes, Some(&class))
                .await
                .map_or_else(|refused| refused.code == 409, |_| true)
        })
        .await;
    let volume = json!([{"name": "v",
        "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": true,
        "volumeAttributes": {"secretProviderClass": "class"}}}]);
    let mut asking = with(pod("p", "default", false), "/spec/volumes", volume);
    asking["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "v", "mountPath": "/mnt", "readOnly": true}]);
    let sidecar = |answer: &Value| {
        answer["spec"]["initContainers"][0]["image"].as_str().unwrap_or_default().to_owned()
    };
    {
        let webhook = stage.serve(&[]).await;
        let answer = stage.dry_run(&asking).await;
        let image = answer.as_ref().map(sidecar);
        assert!(
            image.as_ref().is_ok_and(|image| image.starts_with("ghcr.io/keysluice/injector:")),
            "{answer:?}\n{}",
            webhook.log()
        );
    }
    stage.request(Method::DELETE, CONFIGURATION, None).await.unwrap();
    stage.install().await;
    let _wrong = stage.serve(&["--injector-image", "evil.test/injector:1"]).await;
    stage
        .until("the wrong webhook is asked", async || {
            let answer = stage.dry_run(&asking).await;
            answer.is_err_and(|refused| {
                refused.message.contains("KS721 the container keysluice runs another image")
            })
        })
        .await;
}
