//! The Secret of a service principal in the sidecar, and who else would like it.

use super::pods::{asking, explained, with};
use super::sidecar_guard::{guarded, of_sidecar};
use serde_json::{Value, json};

/// Position of what the webhook adds.
fn position(list: &Value, name: &str) -> usize {
    let list = list.as_array().unwrap();
    list.iter().position(|entry| entry["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn the_sidecar_alone_mounts_the_secret_of_a_service_principal_where_it_belongs() {
    let stage = guarded().await;
    let principal = json!({"name": "creds"});
    let asking = with(asking("app"), "/spec/volumes/0/csi/nodePublishSecretRef", principal);
    let good = explained(stage.directory.path(), &[asking], &[]).remove(0);
    let created = stage.dry_run(&good).await;
    assert!(created.is_ok(), "{created:?}");
    let proxied = |name: &str, value: &str| {
        with(good.clone(), &of_sidecar("env/-"), json!({"name": name, "value": value}))
    };
    for (name, value) in [("HTTPS_PROXY", "http://proxy.test:3128"), ("NO_PROXY", "10.0.0.0/8")] {
        let created = stage.dry_run(&proxied(name, value)).await;
        assert!(created.is_ok(), "{name}: {created:?}");
    }

    let name = "keysluice-principal-0";
    let mounts = good.pointer(&of_sidecar("volumeMounts")).unwrap();
    let mount = of_sidecar(&format!("volumeMounts/{}", position(mounts, name)));
    let volume = format!("/spec/volumes/{}", position(&good["spec"]["volumes"], name));
    let at = |field: &str, value: Value| with(good.clone(), &format!("{mount}/{field}"), value);
    let other = |secret: &str| {
        let entry = json!({"name": "other", "secret": {"secretName": secret}});
        let pod = with(good.clone(), "/spec/volumes/-", entry);
        let path = "/var/run/secrets/keysluice.dev-principal/creds2";
        let mount = json!({"name": "other", "mountPath": path, "readOnly": true});
        with(pod, &of_sidecar("volumeMounts/-"), mount)
    };
    let in_app = json!({"name": name, "mountPath": "/creds", "readOnly": true});
    let scratch = json!({"name": name, "emptyDir": {}});
    for (what, pod) in [
        ("another place", at("mountPath", json!("/etc/creds"))),
        (
            "another Secret's place",
            at("mountPath", json!("/var/run/secrets/keysluice.dev-principal/other")),
        ),
        (
            "below the place",
            at("mountPath", json!("/var/run/secrets/keysluice.dev-principal/creds/x")),
        ),
        ("writable", at("readOnly", json!(false))),
        ("a part", at("subPath", json!("clientid"))),
        ("another Secret", with(good.clone(), &format!("{volume}/secret/secretName"), json!("x"))),
        ("not a Secret", with(good.clone(), &volume, scratch)),
        ("a Secret of another name", other("creds2")),
        ("in the application", with(good.clone(), "/spec/containers/0/volumeMounts/-", in_app)),
        ("authorities", proxied("SSL_CERT_FILE", "/etc/ssl/certs/x")),
    ] {
        let refused = stage.dry_run(&pod).await;
        let is_refused = refused.as_ref().is_err_and(|error| error.message.contains("KS721"));
        assert!(is_refused, "{what}: {refused:?}");
    }
}
