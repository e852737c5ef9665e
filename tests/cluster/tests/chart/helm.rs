//! `helm install`, `upgrade` and `uninstall` as the book has them.

use super::pods::with_sidecar;
use super::stage::{
    CONFIGURATION, IDENTITY_BINDING, NAMESPACE, SIDECAR_POLICY, Stage, certificate, environment,
    manifest, path,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::process::Command;

pub(crate) const CLASSES: &str = concat!(
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/",
    "secretproviderclasses.secrets-store.csi.x-k8s.io"
);
const SECRET: &str = "/api/v1/namespaces/keysluice-system/secrets/keysluice-tls";

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Stores the definition of classes, and waits until they are served.
pub(crate) async fn define_classes(stage: &Stage) {
    let definition = &manifest("webhook-config/chart/crds/secretproviderclasses.yaml")[0];
    stage.create(definition).await.unwrap();
    stage
        .until("classes are served", async || {
            let found = get(stage, CLASSES).await.unwrap_or_default();
            let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|one| one["type"] == "Established" && one["status"] == "True")
        })
        .await;
}

pub(crate) struct Helm {
    pub(crate) binary: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Helm {
    /// `make test-cluster` builds it.
    pub(crate) async fn of(stage: &Stage) -> Self {
        let (binary, home) = (environment("KEYSLUICE_HELM"), stage.directory.path().to_owned());
        Self { binary, kubeconfig: stage.admin_kubeconfig().await, home }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).args(["--namespace", NAMESPACE]).current_dir(root());
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HELM_CACHE_HOME", &self.home)
            .env("HELM_CONFIG_HOME", &self.home);
        command.kill_on_drop(true);
        command
    }

    /// Without the job before an installation: no controller makes its pod here.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        let mut command = self.command(arguments);
        if ["install", "upgrade", "rollback"].contains(&arguments[0]) {
            command.arg("--no-hooks");
        }
        let output = command.output().await.unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{arguments:?}: {text}");
        text
    }
}

pub(crate) async fn get(stage: &Stage, path: &str) -> Option<Value> {
    stage.request(Method::GET, path, None).await.ok()
}

fn policies(configuration: &Value) -> Vec<&str> {
    configuration["webhooks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["failurePolicy"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn an_upgrade_keeps_what_the_webhook_wrote_and_brings_back_what_is_missing() {
    let stage = Stage::open().await;
    let helm = Helm::of(&stage).await;
    let notes = helm.run(&["install", "keysluice", "webhook-config/chart"]).await;
    assert!(notes.contains("azureTenantID is not set"), "{notes}");
    let installed = get(&stage, CONFIGURATION).await.unwrap();
    assert_eq!(
        policies(&installed),
        ["Ignore", "Ignore", "Ignore"],
        "nobody is harmed by a first installation"
    );
    let deployment = "/apis/apps/v1/namespaces/keysluice-system/deployments/keysluice";
    let wanted = async |entry: &str| {
        let deployment = get(&stage, deployment).await.unwrap();
        let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
            .as_array()
            .unwrap()
            .clone();
        env.iter().find(|variable| variable["name"] == entry).unwrap()["value"].clone()
    };
    assert_eq!(wanted("KEYSLUICE_CSI_FAILURE_POLICY").await, "Fail", "no CSI driver is there");

    // What the webhook writes.
    let bundle = certificate();
    let write = |index: usize| {
        json!({"op": "add",
        "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": bundle})
    };
    stage
        .request(Method::PATCH, CONFIGURATION, Some(&json!([write(0), write(1), write(2)])))
        .await
        .unwrap();
    let fail = |index: usize| {
        json!({"op": "replace",
        "path": format!("/webhooks/{index}/failurePolicy"), "value": "Fail"})
    };
    stage.request(Method::PATCH, CONFIGURATION, Some(&json!([fail(0), fail(1)]))).await.unwrap();
    let data = json!([{"op": "add", "path": "/data", "value": {"tls.crt": "Yg=="}}]);
    stage.request(Method::PATCH, SECRET, Some(&data)).await.unwrap();
    // What somebody else has: a definition that is not ours, and a CSI driver.
    let label = json!([{"op": "add", "path": "/metadata/labels", "value": {"from": "another"}}]);
    stage.request(Method::PATCH, CLASSES, Some(&label)).await.unwrap();
    let driver = json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver",
        "metadata": {"name": "secrets-store.csi.k8s.io"}, "spec": {"attachRequired": false}});
    stage.create(&driver).await.unwrap();
    // And what an operator took away in need.
    stage.request(Method::DELETE, IDENTITY_BINDING, None).await.unwrap();

    helm.run(&[
        "upgrade",
        "keysluice",
        "webhook-config/chart",
        "--reset-then-reuse-values",
        "--set",
        "azureTenantID=t",
    ])
    .await;
    let upgraded = get(&stage, CONFIGURATION).await.unwrap();
    for entry in upgraded["webhooks"].as_array().unwrap() {
        assert_eq!(entry["clientConfig"]["caBundle"], bundle, "{}", entry["name"]);
    }
    assert_eq!(
        policies(&upgraded),
        ["Fail", "Ignore", "Ignore"],
        "other providers' pods must not wait for us"
    );
    assert_eq!(wanted("KEYSLUICE_CSI_FAILURE_POLICY").await, "Ignore");
    assert_eq!(get(&stage, SECRET).await.unwrap()["data"], json!({"tls.crt": "Yg=="}));
    assert_eq!(
        get(&stage, CLASSES).await.unwrap()["metadata"]["labels"],
        json!({"from": "another"})
    );
    assert!(get(&stage, IDENTITY_BINDING).await.is_some());

    helm.run(&["rollback", "keysluice"]).await;
    assert_eq!(
        get(&stage, CONFIGURATION).await.unwrap()["webhooks"][0]["clientConfig"]["caBundle"],
        bundle
    );

    // Once more with the whole configuration gone.
    stage.request(Method::DELETE, CONFIGURATION, None).await.unwrap();
    helm.run(&["upgrade", "keysluice", "webhook-config/chart", "--reuse-values"]).await;
    assert!(get(&stage, CONFIGURATION).await.is_some());
}

/// Replicas of before go on injecting their sidecar until they are gone; no controller is there, so
/// the test says what runs.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn sidecars_of_replicas_that_are_still_there_pass_the_guard_of_another_repository() {
    let stage = Stage::open().await;
    let helm = Helm::of(&stage).await;
    helm.run(&["install", "keysluice", "webhook-config/chart"]).await;
    let deployment = get(&stage, "/apis/apps/v1/namespaces/keysluice-system/deployments/keysluice")
        .await
        .unwrap();
    let mut of_old = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "keysluice-old", "namespace": NAMESPACE}});
    of_old["metadata"]["labels"] = deployment["spec"]["template"]["metadata"]["labels"].clone();
    of_old["spec"] = json!({"replicas": 1, "selector": deployment["spec"]["selector"],
        "template": deployment["spec"]["template"]});
    stage.create(&of_old).await.unwrap();
    let run = async |replicas: u32| {
        let status = json!({"status": {"replicas": replicas}});
        stage
            .request(Method::PATCH, &format!("{}/status", path(&of_old)), Some(&status))
            .await
            .unwrap();
    };
    let allowed = async || {
        let policy = get(&stage, SIDECAR_POLICY).await.unwrap();
        let variables = policy["spec"]["variables"].as_array().unwrap().clone();
        variables.iter().find(|one| one["name"] == "repositories").unwrap()["expression"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    run(1).await;
    let upgrade =
        ["upgrade", "keysluice", "webhook-config/chart", "--reset-then-reuse-values", "--set"];
    let to = "injector.image.repository=mirror.test:5000/injector";
    helm.run(&[&upgrade[..], &[to]].concat()).await;
    assert_eq!(allowed().await, "['mirror.test:5000/injector','ghcr.io/keysluice/injector']");
    // Both are let in, and no third: by the API server, not by the text.
    stage.request(Method::DELETE, CONFIGURATION, None).await.unwrap();
    let of_image = |image: &str| {
        let mut pod = with_sidecar(stage.directory.path());
        pod["spec"]["initContainers"][0]["image"] = json!(image);
        pod
    };
    let new = of_image("mirror.test:5000/injector:1");
    stage
        .until("nobody is asked any more, and the policy is known", async || {
            stage.dry_run(&new).await.is_ok()
        })
        .await;
    for (image, is_allowed) in [
        ("mirror.test:5000/injector:1", true),
        ("ghcr.io/keysluice/injector:1", true),
        ("evil.test/injector:1", false),
    ] {
        let created = stage.dry_run(&of_image(image)).await;
        assert_eq!(created.is_ok(), is_allowed, "{image}: {created:?}");
    }
    run(0).await;
    helm.run(&[&upgrade[..], &["azureTenantID=t"]].concat()).await;
    assert_eq!(allowed().await, "['mirror.test:5000/injector']", "the old ones are gone");
}

/// Two would call two webhooks for each pod, and each guard refuses the other's sidecar.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn a_second_installation_is_refused() {
    let stage = Stage::open().await;
    let helm = Helm::of(&stage).await;
    helm.run(&["install", "keysluice", "webhook-config/chart"]).await;
    let refused = async |arguments: &[&str]| {
        let output = helm.command(arguments).arg("--no-hooks").output().await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains("KS729"), "{arguments:?}: {error}");
        error
    };
    let second = ["install", "second", "webhook-config/chart", "--set", "fullnameOverride=sluice"];
    let error = refused(&second).await;
    assert!(error.contains("of the release keysluice in namespace keysluice-system"), "{error}");
    // Only the guard of the first is left; then one without a release.
    stage.request(Method::DELETE, CONFIGURATION, None).await.unwrap();
    let error = refused(&second).await;
    assert!(error.contains("ValidatingAdmissionPolicy keysluice-guard-"), "{error}");
    helm.run(&["uninstall", "keysluice"]).await;
    stage.install().await;
    refused(&second).await;
    for object in manifest("webhook-config/install.yaml") {
        if object["kind"] != "Namespace" {
            stage.request(Method::DELETE, &path(&object), None).await.unwrap();
        }
    }
    // What this release made itself under another name goes with the upgrade.
    helm.run(&["install", "keysluice", "webhook-config/chart"]).await;
    helm.run(&["upgrade", "keysluice", "webhook-config/chart", "--set", "fullnameOverride=sluice"])
        .await;
    assert!(get(&stage, CONFIGURATION).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn an_uninstall_needs_no_pod_and_leaves_only_the_classes() {
    let stage = Stage::open().await;
    let helm = Helm::of(&stage).await;
    helm.run(&["install", "keysluice", "webhook-config/chart"]).await;
    // Nothing runs a pod here, and no image is there.
    helm.run(&["uninstall", "keysluice", "--timeout", "30s"]).await;
    let mut objects = manifest("webhook-config/install.yaml");
    objects.extend(manifest("tests/data/chart/everything.golden.yaml"));
    objects.retain(|object| {
        object["kind"] != "Namespace"
            && !["keysluice-secret-types", "keysluice-evictions", "keysluice-rollouts"]
                .contains(&object["metadata"]["name"].as_str().unwrap())
            && !object["apiVersion"].as_str().unwrap().starts_with("monitoring.")
    });
    for object in objects {
        assert!(get(&stage, &path(&object)).await.is_none(), "{}", path(&object));
    }
    assert!(get(&stage, CLASSES).await.is_some(), "everybody's classes would go with it");
}
