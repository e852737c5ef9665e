//! An uninstall may end at any step, and pods must still be created.

use super::pods::pod;
use super::stage::{CONFIGURATION, NAMESPACE, Stage, environment, manifest, path};
use reqwest::Method;
use serde_json::Value;
use tokio::process::Command;

/// Helm's order: rights first, policies (of a kind it does not know) last.
const ORDER: [&str; 12] = [
    "MutatingWebhookConfiguration",
    "Service",
    "Deployment",
    "RoleBinding",
    "Role",
    "ClusterRoleBinding",
    "ClusterRole",
    "Secret",
    "ServiceAccount",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "ValidatingAdmissionPolicy",
];

const GUARDS: [&str; 2] = ["keysluice-guard-identity", "keysluice-guard-sidecar"];

async fn cleanup(stage: &Stage) {
    // With the rights of the hook, no more.
    let kubeconfig = stage.kubeconfig("keysluice-cleanup").await;
    let mut command = Command::new(environment("KEYSLUICE_BINARY"));
    command
        .args(["cleanup", "--within-seconds", "30", "--webhook-configuration", "keysluice", "--kubeconfig"])
        .arg(kubeconfig);
    command.args(GUARDS.map(|name| format!("--policy-binding={name}")));
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn install_with_job(stage: &Stage) {
    stage.install().await;
    // The job's objects, as the chart renders them.
    for object in manifest("tests/data/chart/everything.golden.yaml") {
        let hook = object["metadata"]["annotations"]["helm.sh/hook"].is_string();
        if hook && object["kind"] != "Job" {
            stage.create(&object).await.unwrap();
        }
    }
    stage.until_guarded().await;
    stage.tighten().await;
}

/// An API server forgets a configuration at once and a binding within a second: between the two the guard must not refuse.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn no_pod_is_refused_while_guard_and_configuration_are_removed() {
    let stage = Stage::open().await;
    install_with_job(&stage).await;
    let labelled = pod("p", "default", true);
    let _webhook = stage.serve(&[]).await;
    let (mut mutated, mut plain) = (0_u32, 0_u32);
    {
        let mut removal = std::pin::pin!(async {
            cleanup(&stage).await;
            // For as long as a binding can be remembered.
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        });
        loop {
            let created = tokio::select! {
                biased;
                () = &mut removal => break,
                created = stage.dry_run(&labelled) => created,
            };
            let created = created.unwrap_or_else(|error| panic!("after {mutated} and {plain} pods: {error:?}"));
            *(if created["spec"]["containers"][0]["env"].is_array() { &mut mutated } else { &mut plain }) += 1;
        }
    }
    println!("{mutated} pods mutated, then {plain} not, none refused");
    assert!(mutated > 20 && plain > 20, "{mutated}, {plain}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn pods_are_created_after_every_step_of_an_uninstall() {
    let stage = Stage::open().await;
    install_with_job(&stage).await;
    let labelled = pod("p", "default", true);
    let works = async |step: &str| {
        let created = stage.dry_run(&labelled).await;
        assert!(created.is_ok(), "{step}: {created:?}");
        created.unwrap()["spec"]["containers"][0]["env"].is_array()
    };
    let webhook = stage.serve(&[]).await;
    assert!(works("installed").await, "mutated: {}", webhook.log());

    // The hook, interrupted after each of its steps.
    let binding = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
    for guard in GUARDS {
        stage.request(Method::DELETE, &format!("{binding}/{guard}"), None).await.unwrap();
        assert!(works(&format!("{guard} is gone")).await);
    }
    // And run again to its end.
    cleanup(&stage).await;
    let gone = stage.request(Method::GET, CONFIGURATION, None).await;
    assert!(gone.is_err_and(|refused| refused.code == 404));
    drop(webhook);
    assert!(!works("the configuration is gone").await);
    // Once more, as a repeated `helm uninstall` has it.
    cleanup(&stage).await;

    let mut left: Vec<Value> = manifest("webhook-config/install.yaml");
    left.retain(|object| object["kind"] != "Namespace");
    left.sort_by_key(|object| ORDER.iter().position(|kind| object["kind"] == *kind).unwrap_or(ORDER.len()));
    for object in left {
        let step = path(&object);
        let removed = stage.request(Method::DELETE, &step, None).await;
        assert!(removed.is_ok() || removed.as_ref().is_err_and(|refused| refused.code == 404), "{step}: {removed:?}");
        assert!(!works(&step).await);
    }
    let namespaced =
        stage.request(Method::GET, &format!("/api/v1/namespaces/{NAMESPACE}/secrets"), None).await.unwrap();
    assert_eq!(namespaced["items"], Value::Array(Vec::new()), "our keys go with us");
}
