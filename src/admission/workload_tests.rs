use super::*;
use crate::cloud::Cloud;
use crate::mutate::{ClassFact, ServiceAccount};
use crate::provider_class::ProviderClass;
use serde_json::{Value, json};
use std::sync::Arc;

const CLIENT: &str = "8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8";

fn settings() -> Settings {
    let mut settings = Settings::new(Cloud::well_known("AzurePublicCloud").unwrap());
    settings.tenant_id = Some("cluster-tenant".to_owned());
    settings
}

/// An annotated ServiceAccount and the class `kv`.
fn facts() -> Facts {
    let objects = "array:\n  - |\n    objectName: db\n    objectType: secret\n";
    let class = json!({"kind": "SecretProviderClass",
        "metadata": {"name": "kv", "namespace": "shop"},
        "spec": {"provider": "azure",
            "parameters": {"keyvaultName": "vault-1", "objects": objects}}});
    let account = ServiceAccount::from_annotations([("azure.workload.identity/client-id", CLIENT)]);
    let mut facts = Facts { service_account: Some(account), ..Facts::default() };
    let class = ClassFact::Found(Arc::new(ProviderClass::from_value(&class).unwrap()));
    facts.classes.insert("kv".to_owned(), class);
    facts
}

const KINDS: [(&str, &str); 6] = [
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("apps", "ReplicaSet"),
    ("batch", "Job"),
    ("batch", "CronJob"),
];

fn template(class: &str) -> Value {
    let volume = json!({"name": "secrets", "csi": {"driver": "secrets-store.csi.k8s.io",
        "readOnly": true, "volumeAttributes": {"secretProviderClass": class}}});
    json!({"metadata": {"labels": {"azure.workload.identity/use": "true"}},
        "spec": {"serviceAccountName": "web", "volumes": [volume],
            "containers": [{"name": "app", "securityContext": {"runAsUser": 1000},
                "volumeMounts": [{"name": "secrets", "mountPath": "/mnt/secrets"}]}]}})
}

fn review((group, kind): (&str, &str), template: &Value, metadata: &Value) -> Value {
    let mut spec = json!({"template": template});
    if kind == "CronJob" {
        spec = json!({"schedule": "* * * * *", "jobTemplate": {"spec": spec}});
    }
    let object = json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": metadata,
        "spec": spec});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u-1", "kind": {"group": group, "version": "v1", "kind": kind},
        "namespace": "shop", "operation": "CREATE", "object": object}})
}

fn answer(review: &Value, facts: &Facts) -> Vec<String> {
    let body = review.to_string();
    let incoming = read(body.as_bytes()).unwrap();
    let warnings = incoming.warnings(&settings(), facts);
    let response: Value = serde_json::from_slice(&incoming.respond(&warnings)).unwrap();
    assert_eq!(response["response"]["allowed"], true);
    assert_eq!(response["response"]["uid"], "u-1");
    assert!(response["response"].get("patch").is_none());
    let told: Vec<String> =
        serde_json::from_value(response["response"]["warnings"].clone()).unwrap_or_default();
    assert_eq!(told, warnings);
    for one in &warnings {
        assert!(one.chars().count() <= MAX_WARNING_CHARS, "{}: {one}", one.len());
        assert!(one.starts_with("KS"), "{one}");
    }
    warnings
}

fn named() -> Value {
    json!({"name": "web", "namespace": "shop"})
}

#[test]
fn a_workload_whose_pods_are_fine_gets_no_warning() {
    for kind in KINDS {
        let review = review(kind, &template("kv"), &named());
        assert_eq!(answer(&review, &facts()), Vec::<String>::new(), "{kind:?}");
    }
}

#[test]
fn every_kind_is_looked_at_where_its_template_is() {
    let mut bad = template("kv");
    bad["metadata"]["annotations"] = json!({"keysluice.dev/gat": "none"});
    for kind in KINDS {
        let warnings = answer(&review(kind, &bad, &named()), &facts());
        let expected = format!(
            "KS210 pods of this {} are refused: annotation keysluice.dev/gat is unknown; hint: did \
             you mean keysluice.dev/gate?",
            kind.1
        );
        assert_eq!(warnings, [expected]);
    }
}

#[test]
fn what_a_later_object_may_bring_is_not_yet_there() {
    let review = review(KINDS[0], &template("kv"), &named());
    let without_account = Facts { service_account: None, ..facts() };
    let without_class = Facts { classes: [].into(), ..facts() };
    for (facts, expected) in [
        (without_account, "KS202 ServiceAccount shop/web is not yet there: until it is, pods of "),
        (
            without_class,
            "KS207 SecretProviderClass shop/kv is not yet there: until it is, pods of ",
        ),
    ] {
        let warnings = answer(&review, &facts);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with(expected), "{warnings:?}");
        assert!(warnings[0].contains("; hint: create "), "{warnings:?}");
    }
}

#[test]
fn warnings_of_pods_are_passed_on_as_they_are() {
    let unannotated = Facts { service_account: Some(ServiceAccount::default()), ..facts() };
    let mut plain = template("kv");
    plain["spec"].as_object_mut().unwrap().remove("volumes");
    plain["spec"]["containers"] = json!([{"name": "app"}]);
    let warnings = answer(&review(KINDS[0], &plain, &named()), &unannotated);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("KS250 "), "{warnings:?}");
}

/// A template without volumes.
fn template_with_labels(labels: &Value) -> Value {
    json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app"}]}})
}

/// The metadata of a workload with one label or annotation.
fn named_with(field: &str, key: &str, value: &str) -> Value {
    let mut metadata = named();
    metadata[field] = json!({ key: value });
    metadata
}

#[test]
fn a_label_or_annotation_in_the_wrong_place_is_named() {
    let label = "azure.workload.identity/use";
    for (template, metadata, expected) in [
        (
            template_with_labels(&json!({})),
            named_with("labels", label, "true"),
            "KS814 azure.workload.identity/use is \
            among the labels of the Deployment, not of its pod template; hint: ",
        ),
        (
            template_with_labels(&json!({})),
            named_with("annotations", label, "true"),
            "KS814 azure.workload.identity/\
            use is among the annotations of the Deployment",
        ),
        (
            template_with_labels(&json!({label: "True"})),
            named(),
            "KS814 azure.workload.identity/use is \"True\" \
            here, not \"true\"",
        ),
        (
            template("kv"),
            named_with("annotations", "keysluice.dev/gate", "none"),
            "KS291 annotation \
            keysluice.dev/gate is on the Deployment itself, not on its pod template",
        ),
        (template_with_labels(&json!({label: "false"})), named_with("labels", label, "true"), ""),
        (template_with_labels(&json!({})), named(), ""),
    ] {
        let warnings = answer(&review(KINDS[0], &template, &metadata), &facts());
        let first = warnings.first().map_or("", String::as_str);
        assert!(
            first.starts_with(expected) && warnings.len() == usize::from(!expected.is_empty()),
            "{warnings:?}"
        );
    }
}

/// Without the label the API server sends no pod to the webhook: it is created without the files.
#[test]
fn pods_that_do_not_reach_the_webhook_are_not_said_to_be_refused() {
    let template = json!({"metadata": {"annotations": {"keysluice.dev/file.a": "kv://v/secrets/a"}},
        "spec": {"containers": [{"name": "app"}]}});
    let warnings = answer(&review(KINDS[0], &template, &named()), &facts());
    assert!(
        warnings[0].starts_with("KS262 pods of this Deployment do not reach the webhook: "),
        "{warnings:?}"
    );
}

#[test]
fn what_is_no_workload_of_ours_passes_without_a_word() {
    for (kind, object) in [
        (json!({"group": "", "version": "v1", "kind": "Pod"}), json!({"kind": "Pod"})),
        (json!({"group": "apps", "version": "v1", "kind": "Deployment"}), json!({})),
        (json!({"group": "apps", "version": "v1", "kind": "Deployment"}), json!(null)),
        (json!({"group": "x", "version": "v1", "kind": "Y"}), json!({"kind": "Y", "spec": {}})),
    ] {
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {"uid": "u-1", "kind": kind, "namespace": "shop", "object": object}});
        assert_eq!(answer(&review, &facts()), Vec::<String>::new(), "{review}");
    }
    assert!(read(b"").is_err() && read(b"{}").is_err());
    let outline = outline(
        br#"{"apiVersion":"admission.k8s.io/v1","request":{"uid":"u-2",
        "object":{"spec":7}}}"#,
    );
    let response: Value = serde_json::from_slice(&outline.unwrap().respond()).unwrap();
    assert_eq!(response["response"], json!({"uid": "u-2", "allowed": true}));
}

#[test]
fn a_long_message_keeps_code_cause_and_hint() {
    let (cause, hint) = ("c ".repeat(400), "first do this, ".repeat(30));
    let text = fitted(&format!("KS999 {cause}; hint: {hint}"), "pods are refused: ");
    assert_eq!(text.chars().count().min(240), 240, "{text}");
    assert!(text.chars().count() <= MAX_WARNING_CHARS, "{text}");
    assert!(text.starts_with("KS999 pods are refused: c c "), "{text}");
    assert!(text.contains("…; hint: first do this, "), "{text}");
    let short = "KS999 é is not ß; hint: ü";
    assert_eq!(fitted(short, ""), short);
    assert_eq!(fitted("KS999 alone", ""), "KS999 alone");
    let long_hint = fitted(&format!("KS999 short; hint: {hint}"), "");
    assert!(long_hint.starts_with("KS999 short; hint: first do this, first do this, first do"));
}

#[test]
fn all_warnings_together_leave_room_for_those_of_others() {
    let warnings = within_all(vec!["KS250 ".to_owned() + &"x".repeat(250); 40]);
    let all: usize = warnings.iter().map(|one| one.chars().count()).sum();
    assert!(all <= MAX_ALL_CHARS, "{all}");
    assert_eq!(warnings.len(), 12);
    assert!(warnings[11].starts_with("KS296 29 more warnings"), "{}", warnings[11]);
}
