//! Where the rendered certificate comes from: the webhook itself, cert-manager or given files.

use crate::suite::chart::helm::Helm;
use crate::suite::chart::manifests::find;
use crate::suite::support::data;
use serde_json::{Value, json};

#[test]
fn ca_bundle_and_path_are_written_by_one_alone() {
    let Some(helm) = Helm::find("ca_bundle_and_path_are_written_by_one_alone") else { return };
    let paths = |arguments: &[&str]| -> (Vec<Value>, Value) {
        let documents = helm.documents(arguments);
        let configuration = find(&documents, "MutatingWebhookConfiguration", "keysluice");
        let path = |entry: &Value| {
            entry["clientConfig"]["service"].get("path").cloned().unwrap_or_default()
        };
        let mark = configuration["metadata"]["annotations"]["keysluice.dev/path"].clone();
        (configuration["webhooks"].as_array().unwrap().iter().map(path).collect(), mark)
    };
    assert_eq!(paths(&[]), (vec![Value::Null; 3], json!("written-by-webhook")));
    assert_eq!(
        paths(&["--set", "certManager.enabled=true"]),
        (vec![json!("/mutate-v1-pod"); 3], Value::Null)
    );
    let bundles = |arguments: &[&str]| -> Vec<Value> {
        let documents = helm.documents(arguments);
        let configuration = find(&documents, "MutatingWebhookConfiguration", "keysluice");
        let bundle =
            |entry: &Value| entry["clientConfig"].get("caBundle").cloned().unwrap_or_default();
        configuration["webhooks"].as_array().unwrap().iter().map(bundle).collect()
    };
    // An upgrade leaves alone what neither the old nor the new manifest names; an empty text would
    // be a name.
    assert_eq!(bundles(&[]), [Value::Null, Value::Null, Value::Null]);
    assert_eq!(
        bundles(&["--set", "certManager.enabled=true"]),
        [Value::Null, Value::Null, Value::Null]
    );
    let values = data().join("chart/given-certificate.values.yaml");
    let given = bundles(&["--values", &values.display().to_string()]);
    assert!(
        given
            .iter()
            .all(|bundle| bundle.as_str().is_some_and(|text| text.starts_with("LS0tLS1CRUdJTi"))),
        "{given:?}"
    );
    // And the Secret that the webhook fills says nothing of its content.
    let documents = helm.documents(&[]);
    let secret = find(&documents, "Secret", "keysluice-tls").as_object().unwrap();
    assert!(!secret.contains_key("data") && !secret.contains_key("stringData"));
}

#[test]
fn without_own_certificates_there_are_only_the_rights_to_tighten() {
    let Some(helm) = Helm::find("without_own_certificates_there_are_only_the_rights_to_tighten")
    else {
        return;
    };
    for (values, expected) in [
        (
            "certManager.enabled=true",
            &["mutatingwebhookconfigurations/keysluice", "secrets/keysluice-guard"][..],
        ),
        (
            "certManager.enabled=true,guard.identity=false",
            &["mutatingwebhookconfigurations/keysluice"],
        ),
    ] {
        let documents = helm.documents(&["--set", values, "--no-hooks"]);
        let is_role = |document: &&Value| {
            document["kind"].as_str().is_some_and(|kind| kind.ends_with("Role"))
        };
        let rules =
            documents.iter().filter(is_role).flat_map(|role| role["rules"].as_array().unwrap());
        let (writing, reading): (Vec<&Value>, Vec<&Value>) =
            rules.partition(|rule| rule["verbs"] != json!(["get", "list", "watch"]));
        assert_eq!(reading.len(), 3, "{reading:?}");
        // The switches open nothing.
        let (switch, writing): (Vec<&Value>, Vec<&Value>) =
            writing.into_iter().partition(|rule| rule["apiGroups"] == json!(["keysluice.dev"]));
        assert_eq!(switch.len(), expected.len(), "one is the guard's: {switch:?}");
        let named = writing.iter().map(|rule| {
            format!(
                "{}/{}",
                rule["resources"][0].as_str().unwrap(),
                rule["resourceNames"][0].as_str().unwrap()
            )
        });
        assert_eq!(named.collect::<Vec<_>>(), expected);
        // And of the configuration it may change nothing else.
        let policy = find(&documents, "ValidatingAdmissionPolicy", "keysluice-own-configuration")
            .to_string();
        assert!(
            policy.contains("a.clientConfig == b.clientConfig") && !policy.contains("matches("),
            "{policy}"
        );
    }
}

/// cert-manager leaves its Secret behind, and Helm takes over nothing that it did not make: so one
/// name cannot serve both.
#[test]
fn the_secret_of_cert_manager_is_not_the_webhooks_own() {
    let Some(helm) = Helm::find("the_secret_of_cert_manager_is_not_the_webhooks_own") else {
        return;
    };
    let documents = helm.documents(&["--set", "certManager.enabled=true"]);
    let certificate = find(&documents, "Certificate", "keysluice");
    assert_eq!(certificate["spec"]["secretName"], "keysluice-cert-manager-tls");
    let volumes =
        &find(&documents, "Deployment", "keysluice")["spec"]["template"]["spec"]["volumes"];
    assert_eq!(volumes[0]["secret"]["secretName"], "keysluice-cert-manager-tls");
    find(&helm.documents(&[]), "Secret", "keysluice-tls");
}
