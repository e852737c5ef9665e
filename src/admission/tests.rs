use super::*;
use crate::cloud::Cloud;
use crate::mutate::WithoutDriver;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

fn settings() -> Settings {
    Settings::new(Cloud::well_known("AzurePublicCloud").unwrap())
}

fn facts() -> Facts {
    Facts { service_account: Some(mutate::ServiceAccount::default()), ..Facts::default() }
}

fn review(request: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
}

fn answer(request: &Value) -> Value {
    let body = review(request).to_string();
    serde_json::from_slice(&read(body.as_bytes()).unwrap().answer(&settings(), &facts()).body)
        .unwrap()
}

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "labels": {"azure.workload.identity/use": "true"}},
        "spec": {"containers": [{"name": "c"}]}})
}

#[test]
fn a_labelled_pod_gets_a_base64_patch() {
    let response = &answer(
        &json!({"uid": "u-1", "operation": "CREATE", "namespace": "n", "object": pod()}),
    )["response"];
    assert_eq!((&response["uid"], &response["allowed"]), (&json!("u-1"), &json!(true)));
    let patch: Value = serde_json::from_slice(
        &BASE64_STANDARD.decode(response["patch"].as_str().unwrap()).unwrap(),
    )
    .unwrap();
    assert_eq!(patch[0]["path"], "/spec/containers/0/env");
}

#[test]
fn updates_other_kinds_and_subresources_are_let_through_untouched() {
    for change in [
        json!({"operation": "UPDATE"}),
        json!({"kind": {"group": "", "version": "v1", "kind": "Secret"}}),
        json!({"kind": {"group": "apps", "version": "v1", "kind": "Pod"}}),
        json!({"subResource": "ephemeralcontainers"}),
        json!({"object": {"kind": "Service"}}),
    ] {
        let mut request = json!({"uid": "u", "operation": "CREATE", "object": pod()});
        request.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(answer(&request)["response"], json!({"uid": "u", "allowed": true}), "{change}");
    }
}

#[test]
fn an_unreadable_pod_is_denied_with_the_uid_and_the_place() {
    for (object, expected) in [
        (json!(null), "there is no content to decode"),
        (json!({"metadata": {}}), "couldn't get version/kind"),
        (
            json!({"kind": "Pod", "spec": {"containers": "x"}}),
            "request.object.spec.containers: invalid type: string, expected a list",
        ),
        (json!([]), "request.object"),
    ] {
        let response =
            &answer(&json!({"uid": "u", "operation": "CREATE", "object": object}))["response"];
        assert_eq!(
            (&response["uid"], &response["allowed"], &response["status"]["code"]),
            (&json!("u"), &json!(false), &json!(400))
        );
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.starts_with("KS201 ") && message.contains(expected), "{message}");
    }
}

#[test]
fn v1beta1_is_echoed() {
    let mut review = review(&json!({"uid": "u", "operation": "CREATE", "object": pod()}));
    review["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let body = review.to_string();
    let response: Value =
        serde_json::from_slice(&read(body.as_bytes()).unwrap().answer(&settings(), &facts()).body)
            .unwrap();
    assert_eq!(response["apiVersion"], "admission.k8s.io/v1beta1");
}

#[test]
fn what_is_no_review_is_an_error_with_the_reason() {
    for (body, expected) in [
        ("", "the request has no body"),
        ("{", "the body is not an AdmissionReview: unexpected end"),
        ("[]", "the body is not an AdmissionReview"),
        (r#"{"apiVersion":"v1","kind":"Pod"}"#, "\"Pod\" of \"v1\""),
        (r#"{"apiVersion":"admission.k8s.io/v2","kind":"AdmissionReview"}"#, "admission.k8s.io/v2"),
        (r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#, "has no request"),
        (
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{}}"#,
            "missing field `uid`",
        ),
    ] {
        let error = read(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_needs_of_a_pod_are_its_account_and_its_classes() {
    let mut with_volume = pod();
    with_volume["spec"]["serviceAccountName"] = json!("sa");
    with_volume["spec"]["volumes"] = json!([{"name": "v", "csi": {
        "driver": "secrets-store.csi.k8s.io", "volumeAttributes": {"secretProviderClass": "kv"}}}]);
    let body =
        review(&json!({"uid": "u", "operation": "CREATE", "object": with_volume})).to_string();
    let incoming = read(body.as_bytes()).unwrap();
    assert_eq!(
        incoming.needs(&settings()),
        Needs {
            service_account: Some("sa"),
            csi_driver: true,
            without_driver: WithoutDriver { service_account: Some("sa"), classes: vec!["kv"] },
            ..Needs::default()
        }
    );
    assert_eq!(incoming.namespace(), "default");
}

#[expect(clippy::disallowed_methods, reason = "it measures time")]
#[test]
fn names_of_any_length_cost_neither_time_nor_a_long_message() {
    let mut pod = pod();
    pod["metadata"]["annotations"] =
        json!({format!("keysluice.dev/{}", "a".repeat(3_000_000)): "x"});
    let start = std::time::Instant::now();
    let response = &answer(&json!({"uid": "u", "operation": "CREATE", "object": pod}))["response"];
    assert!(start.elapsed().as_secs() < 30);
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.starts_with("KS210") && message.len() < 2100, "{}", message.len());
}

/// A review of a pod that is created.
fn creation(uid: &str, namespace: &str, pod: &Value) -> String {
    review(&json!({"uid": uid, "operation": "CREATE", "namespace": namespace, "object": pod}))
        .to_string()
}

#[test]
fn what_would_be_echoed_has_a_length_that_an_api_server_gives_it() {
    let long = "u".repeat(6_000_000);
    let error = read(creation(&long, "n", &pod()).as_bytes()).unwrap_err().to_string();
    assert_eq!(error, "request.uid has 6000000 bytes, an API server's has 36");
    assert!(read(creation(&long[..256], "n", &pod()).as_bytes()).is_ok());
    let kind = json!({"apiVersion": long, "kind": long}).to_string();
    assert!(read(kind.as_bytes()).unwrap_err().to_string().len() < 400);
    let body = creation("u", &long, &pod());
    let incoming = read(body.as_bytes()).unwrap();
    assert_eq!(incoming.needs(&settings()), Needs::default());
    let answer = incoming.answer(&settings(), &facts());
    assert!(answer.message.unwrap().starts_with("KS222 request.namespace has 6000000 bytes"));
    assert!(answer.body.len() < 1000);
}

/// Why nothing happens to this pod where the driver is installed.
fn because(pod: &Value) -> Option<String> {
    let body = creation("u", "n", pod);
    let facts = Facts { csi_driver_installed: true, ..facts() };
    read(body.as_bytes()).unwrap().answer(&settings(), &facts).because()
}

#[test]
fn a_pod_that_is_left_alone_says_why() {
    let mut left = pod();
    left["spec"]["volumes"] = json!([{"name": "v", "csi": {
        "driver": "secrets-store.csi.k8s.io", "volumeAttributes": {"secretProviderClass": "kv"}}}]);
    assert!(
        because(&left).unwrap().starts_with(
            "KS288 volume v: left to the Secrets Store CSI driver, which is installed"
        )
    );
    left["metadata"]["labels"] = json!({});
    assert!(because(&left).unwrap().starts_with("KS288 volume v: left"));
    assert_eq!(because(&pod()), None);
}
