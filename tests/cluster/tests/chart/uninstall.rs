//! An uninstall may end at any step, no pod of ours need run for it, and pods must still be
//! created.

use super::helm::Helm;
use super::pods::pod;
use super::stage::{CONFIGURATION, GUARD_SWITCH, NAMESPACE, SWITCH, Stage, manifest, path};
use reqwest::Method;
use serde_json::Value;

/// Helm's order: rights first, kinds that it does not know last.
const ORDER: [&str; 13] = [
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
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
];

/// Creates labelled pods for as long as `removal` takes: how many were mutated, and how many were
/// not. None is refused. Helm creates the switch anew for a moment: a guard that came back with it
/// would refuse the pod that was sent to no webhook before, and is looked at in that moment.
async fn creations_during(stage: &Stage, removal: impl Future<Output = ()>) -> (u32, u32) {
    let labelled = pod("p", "default", true);
    let (mut mutated, mut plain) = (0_u32, 0_u32);
    let mut removal = std::pin::pin!(removal);
    loop {
        let created = tokio::select! {
            biased;
            () = &mut removal => return (mutated, plain),
            created = stage.dry_run(&labelled) => created,
        };
        let created =
            created.unwrap_or_else(|error| panic!("after {mutated} and {plain} pods: {error:?}"));
        if created["spec"]["containers"][0]["env"].is_array() {
            mutated += 1;
        } else {
            plain += 1;
            let guard = stage.request(Method::GET, GUARD_SWITCH, None).await;
            assert!(guard.is_err() || guard.is_ok_and(|found| found["subjects"].is_null()));
        }
    }
}

/// No image can be pulled, and the webhook is gone before anything else: nothing that is left
/// refuses a pod.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn no_pod_is_refused_while_helm_uninstalls() {
    let stage = Stage::open().await;
    let helm = Helm::of(&stage).await;
    helm.run(&["install", "keysluice", "webhook-config/chart"]).await;
    stage.until_guarded().await;
    let _webhook = stage.serve(&[]).await;
    let (mutated, plain) = creations_during(&stage, async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        helm.run(&["uninstall", "keysluice"]).await;
        // For as long as a binding can be remembered.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    })
    .await;
    println!("{mutated} pods mutated, then {plain} not, none refused");
    assert!(mutated > 5 && plain > 5, "{mutated}, {plain}");
    let gone = stage.request(Method::GET, CONFIGURATION, None).await;
    assert!(gone.is_err_and(|refused| refused.code == 404));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn pods_are_created_after_every_step_of_an_uninstall() {
    let stage = Stage::open().await;
    stage.install().await;
    stage.until_guarded().await;
    let labelled = pod("p", "default", true);
    let works = async |step: &str| {
        let created = stage.dry_run(&labelled).await;
        assert!(created.is_ok(), "{step}: {created:?}");
        created.unwrap()["spec"]["containers"][0]["env"].is_array()
    };
    let webhook = stage.serve(&[]).await;
    assert!(works("installed").await, "mutated: {}", webhook.log());
    // What Helm's hook deletes first, or an operator by hand: the webhook is not called any more,
    // and the guard is out of force.
    stage.request(Method::DELETE, SWITCH, None).await.unwrap();
    stage.until("the switch is known", async || !works("the switch is off").await).await;
    drop(webhook);
    assert!(!works("the webhook is gone").await);

    let mut left: Vec<Value> = manifest("webhook-config/install.yaml");
    left.retain(|object| object["kind"] != "Namespace");
    left.sort_by_key(|object| {
        ORDER.iter().position(|kind| object["kind"] == *kind).unwrap_or(ORDER.len())
    });
    for object in left {
        let step = path(&object);
        let removed = stage.request(Method::DELETE, &step, None).await;
        assert!(
            removed.is_ok() || removed.as_ref().is_err_and(|refused| refused.code == 404),
            "{step}: {removed:?}"
        );
        assert!(!works(&step).await);
    }
    let namespaced = stage
        .request(Method::GET, &format!("/api/v1/namespaces/{NAMESPACE}/secrets"), None)
        .await
        .unwrap();
    assert_eq!(namespaced["items"], Value::Array(Vec::new()), "our keys go with us");
}

/// The switch goes both ways, at once, and is one object.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn the_switch_takes_webhook_and_guard_out_of_force_and_back() {
    let stage = Stage::open().await;
    stage.install().await;
    stage.until_guarded().await;
    let labelled = pod("p", "default", true);
    // Nobody serves: `Fail` refuses, whatever pods.
    let refused = async |word: &str| {
        stage.dry_run(&labelled).await.is_err_and(|refused| refused.message.contains(word))
    };
    stage.fail_closed().await;
    stage.until("the webhook is asked", async || refused("failed calling webhook").await).await;
    let binding = stage.request(Method::GET, SWITCH, None).await.unwrap();
    stage.request(Method::DELETE, SWITCH, None).await.unwrap();
    stage.until("off", async || stage.dry_run(&labelled).await.is_ok()).await;
    let mut again = binding.clone();
    for field in ["resourceVersion", "uid", "creationTimestamp", "managedFields"] {
        again["metadata"].as_object_mut().unwrap().remove(field);
    }
    stage.create(&again).await.unwrap();
    stage.until("on", async || refused("failed calling webhook").await).await;
}
