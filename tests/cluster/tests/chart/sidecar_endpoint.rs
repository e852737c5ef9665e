//! The guard of the sidecar and the managed-identity endpoint: what the webhook makes passes, and
//! on the node's network nothing does.

use super::pods::{asking, explained, pod, with};
use super::sidecar_guard::{guarded, of_sidecar};
use serde_json::{Value, json};

fn annotated(mut pod: Value, value: &str) -> Value {
    pod["metadata"]["labels"] = json!({"azure.workload.identity/use": "true"});
    pod["metadata"]["annotations"] = json!({"keysluice.dev/managed-identity-endpoint": value});
    pod
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn an_endpoint_passes_in_a_network_of_the_pods_own_alone() {
    let stage = guarded().await;
    let mut managed = asking("managed");
    managed["spec"]["volumes"][0]["csi"]["volumeAttributes"]["secretProviderClass"] =
        json!("managed");
    let asked = [
        annotated(pod("alone", "default", true), "true"),
        annotated(asking("both"), "9000"),
        managed,
    ];
    let made = explained(stage.directory.path(), &asked, &[]);
    let on_node = |pod: &Value| with(pod.clone(), "/spec/hostNetwork", json!(true));
    for pod in &made {
        let created = stage.dry_run(pod).await;
        assert!(created.is_ok(), "{pod}: {created:?}");
    }
    // Its kind of credential has the same name as the endpoint's field.
    assert!(stage.dry_run(&on_node(&made[2])).await.is_ok());
    let plan = made[0].pointer(&of_sidecar("env/0/value")).and_then(Value::as_str).unwrap();
    for spelling in
        ["\"managedIdentity\":", "\"managedIdentity\" \n:", "\"\\u006danagedIdentity\":"]
    {
        let plan = plan.replace("\"managedIdentity\":", spelling);
        let forged = with(made[0].clone(), &of_sidecar("env/0/value"), json!(plan));
        assert!(stage.dry_run(&forged).await.is_ok(), "{spelling}");
        let refused = stage.dry_run(&on_node(&forged)).await;
        let is_refused = refused
            .as_ref()
            .is_err_and(|error| error.message.contains("KS721") && error.message.contains("node"));
        assert!(is_refused, "{spelling}: {refused:?}");
    }
    // A template may hold an escape that is text.
    let text = plan.replace("\"managedIdentity\":", "\"x\\\\u0041\":");
    let text = with(on_node(&made[0]), &of_sidecar("env/0/value"), json!(text));
    assert!(stage.dry_run(&text).await.is_ok());
}
