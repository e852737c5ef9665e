//! A class is edited, broken and repaired while the sidecar runs.

use super::{FILE, Scene, VAULT, has_file, refreshed_until, spec, start_webhook};
use crate::suite::support::metrics::assert_documented;
use serde_json::json;
use std::time::Duration;

const ANOTHER: &str = "/mnt/secrets-store/Another";

#[tokio::test]
async fn an_edited_class_reaches_a_running_pod_and_a_broken_one_leaves_its_plan() {
    let scene = Scene::open().await;
    let mut pod = scene.start("edited", &scene.review().await);
    pod.wait_until_ready().await.unwrap();
    scene.emulator.reset_counts();

    scene.edit(&["MyApplicationSecret", "Another"]);
    let report = refreshed_until(&pod, |report| has_file(report, "Another")).await;
    assert_eq!(pod.read(ANOTHER).unwrap(), "another value");
    assert_eq!(report["plan"]["error"], json!(null), "{report}");
    assert_eq!(scene.emulator.counts().tokens, 0, "the token outlives the Plan");

    // Broken: the old Plan goes on, also for what is rotated meanwhile.
    scene.server.world().put_spec(
        "default",
        super::CLASS,
        &json!({"provider": "azure",
        "parameters": {"keyvaultName": VAULT, "objects": "array: ["}}),
    );
    let failing = |report: &serde_json::Value| report["plan"]["error"]["code"] == "KS663";
    let report = refreshed_until(&pod, failing).await;
    let message = report["plan"]["error"]["message"].as_str().unwrap();
    assert!(message.contains("KS106"), "{message}");
    assert_eq!(report["failing"], 1);
    scene.emulator.set_secret(VAULT, "MyApplicationSecret", "rotated");
    refreshed_until(&pod, |_| pod.read(FILE).is_ok_and(|content| content == "rotated")).await;
    assert_eq!(pod.read(ANOTHER).unwrap(), "another value");
    let metrics = pod.execute(&["status", "--output", "metrics"]).await.unwrap();
    let metrics = String::from_utf8(metrics.stdout).unwrap();
    assert!(metrics.contains("keysluice_plan_failing{code=\"KS663\"} 1"), "{metrics}");
    assert_documented(&metrics);

    // Gone, then repaired with another content.
    scene.server.world().delete_class("default", super::CLASS);
    let gone = |report: &serde_json::Value| {
        report["plan"]["error"]["message"].as_str().is_some_and(|text| text.contains("KS515"))
    };
    refreshed_until(&pod, gone).await;
    scene.edit(&["Another"]);
    let repaired = |report: &serde_json::Value| {
        report["plan"]["error"].is_null() && !has_file(report, "MyApplicationSecret")
    };
    refreshed_until(&pod, repaired).await;
    assert!(pod.locate(FILE).is_ok_and(|path| !path.exists()));
    assert_eq!(pod.read(ANOTHER).unwrap(), "another value");

    // What a running pod cannot get.
    let mut wide = spec(&["Another"]);
    wide["secretObjects"] = json!([{"secretName": "made", "type": "Opaque",
        "data": [{"objectName": "Another", "key": "k"}]}]);
    scene.server.world().put_spec("default", super::CLASS, &wide);
    let report = refreshed_until(&pod, failing).await;
    let message = report["plan"]["error"]["message"].as_str().unwrap();
    assert!(message.contains("KS514") && message.contains("next pod"), "{message}");
    assert!(pod.sidecar.terminate(Duration::from_secs(5)).await.unwrap().success());
}

#[tokio::test]
async fn a_restarted_sidecar_keeps_its_plan_without_the_webhook_and_a_new_setting_changes_nothing()
{
    let mut scene = Scene::open().await;
    let reviewed = scene.review().await;
    let mut pod = scene.start("kept", &reviewed);
    pod.wait_until_ready().await.unwrap();
    scene.edit(&["MyApplicationSecret", "Another"]);
    refreshed_until(&pod, |report| has_file(report, "Another")).await;
    assert!(pod.sidecar.terminate(Duration::from_secs(5)).await.unwrap().success());
    assert!(scene.webhook.process.terminate(Duration::from_secs(20)).await.unwrap().success());

    let pod = scene.start("kept", &reviewed);
    let unreachable = |report: &serde_json::Value| report["plan"]["error"]["code"] == "KS661";
    let report = refreshed_until(&pod, unreachable).await;
    assert!(has_file(&report, "Another"), "{report}");

    // Another authority, as after an upgrade that lost it: the pod goes on, and says so.
    let scratch = scene.stage.path();
    let webhook =
        start_webhook(&scene.binaries, &scene.server, &scene.emulator, scratch, scene.port).await;
    let report = refreshed_until(&pod, |report| report["plan"]["error"].is_object()).await;
    assert!(has_file(&report, "Another") && has_file(&report, "MyApplicationSecret"), "{report}");
    drop(webhook);
}
