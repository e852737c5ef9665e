//! What the webhook may do: the list that the API server itself gives, and the bounds that RBAC
//! cannot express.

use super::stage::{CONFIGURATION, IDENTITY_BINDING, NAMESPACE, Stage, WEBHOOK, certificate};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const PATH: &str = "clientConfig/service/path";
const OURS: &str = "/mutate/abcdefghijklmnopqrstuvwxyz012345";
const SECRETS: &str = "/api/v1/namespaces/keysluice-system/secrets";

/// `verb resource[/name]`, as `kubectl auth can-i --list` has it, without what every account may.
async fn rights(stage: &Stage, user: &str, namespace: &str) -> BTreeSet<String> {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let answer = stage.act_as(user, Method::POST, path, Some(&review)).await.unwrap();
    let words = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    };
    let mut found = BTreeSet::new();
    for rule in answer["status"]["resourceRules"].as_array().unwrap() {
        for resource in words(&rule["resources"]) {
            let names = words(&rule["resourceNames"]);
            let names = if names.is_empty() {
                vec![String::new()]
            } else {
                names.iter().map(|name| format!("/{name}")).collect()
            };
            for (verb, name) in words(&rule["verbs"])
                .iter()
                .flat_map(|verb| names.iter().map(move |name| (verb, name)))
            {
                found.insert(format!("{verb} {resource}{name}"));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn the_webhook_may_do_exactly_this() {
    let stage = Stage::open().await;
    stage.install().await;
    let reading = ["get", "list", "watch"];
    let mut cluster: BTreeSet<String> = BTreeSet::new();
    for resource in ["serviceaccounts", "secretproviderclasses", "csidrivers"] {
        cluster.extend(reading.map(|verb| format!("{verb} {resource}")));
    }
    let configurations = [
        "mutatingwebhookconfigurations/keysluice",
        "validatingwebhookconfigurations/keysluice-workloads",
    ];
    for configuration in configurations {
        cluster.extend(["get", "watch", "patch"].map(|verb| format!("{verb} {configuration}")));
    }
    let mut own = cluster.clone();
    own.extend(["get", "patch"].map(|verb| format!("{verb} secrets/keysluice-tls")));
    own.insert("create secrets".to_owned());
    // The switches: match conditions ask for them, and nothing else does.
    own.extend(["enforce", "guard"].map(|verb| format!("{verb} admission")));
    stage
        .until("the roles are known", async || {
            rights(&stage, WEBHOOK, NAMESPACE).await.len() >= own.len()
        })
        .await;
    let everybody = rights(&stage, "system:serviceaccount:default:nobody", "default").await;
    for (namespace, expected) in [(NAMESPACE, own), ("default", cluster)] {
        let found: BTreeSet<String> =
            rights(&stage, WEBHOOK, namespace).await.difference(&everybody).cloned().collect();
        assert_eq!(found, expected, "{namespace}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn of_its_configuration_it_changes_nothing_but_ca_bundle_its_path_and_failure_policy_to_fail()
{
    let stage = Stage::open().await;
    stage.install().await;
    stage.until_guarded().await;
    let patch = async |operations: Value| {
        stage.act_as(WEBHOOK, Method::PATCH, CONFIGURATION, Some(&operations)).await
    };
    let bundle = |index: usize, text: &str| {
        json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"),
    "value": text})
    };
    let certificate = certificate();
    let written =
        patch(json!([bundle(0, &certificate), bundle(1, &certificate), bundle(2, &certificate)]))
            .await;
    assert!(written.is_ok(), "{written:?}");
    let set = |index: usize, field: &str, value: &str| {
        json!([{"op": "add", "path": format!("/webhooks/{index}/{field}"),
    "value": value}])
    };
    for (name, operations) in [
        ("a path", set(0, PATH, OURS)),
        ("another one", set(0, PATH, "/mutate/00000000000000000000000000000000")),
        ("Fail", set(0, "failurePolicy", "Fail")),
    ] {
        let written = patch(operations).await;
        assert!(written.is_ok(), "{name}: {written:?}");
    }
    let entry = |field: &str, value: Value| {
        json!([bundle(0, &certificate),
    {"op": "add", "path": format!("/webhooks/0/{field}"), "value": value}])
    };
    let everything = json!([{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"],
        "resources": ["*/*"]}]);
    let mut configuration = stage.request(Method::GET, CONFIGURATION, None).await.unwrap();
    assert_eq!(configuration["webhooks"][0]["failurePolicy"], "Fail");
    let mut added = configuration["webhooks"][0].clone();
    added["name"] = json!("another.keysluice.dev");
    for (name, operations) in [
        ("rules", entry("rules", everything)),
        ("objectSelector", entry("objectSelector", json!({}))),
        ("namespaceSelector", entry("namespaceSelector", json!({}))),
        (
            "matchConditions taken away",
            json!([{"op": "remove", "path": "/webhooks/1/matchConditions"}]),
        ),
        (
            "matchConditions added",
            entry("matchConditions", json!([{"name": "n", "expression": "true"}])),
        ),
        ("failurePolicy, back", set(0, "failurePolicy", "Ignore")),
        (
            "failurePolicy of an entry that ignores by the chart's values",
            set(1, "failurePolicy", "Fail"),
        ),
        ("failurePolicy of ephemeral containers", set(2, "failurePolicy", "Fail")),
        ("timeoutSeconds", entry("timeoutSeconds", json!(30))),
        ("reinvocationPolicy", entry("reinvocationPolicy", json!("Never"))),
        ("matchPolicy", entry("matchPolicy", json!("Exact"))),
        ("sideEffects", entry("sideEffects", json!("NoneOnDryRun"))),
        ("admissionReviewVersions", entry("admissionReviewVersions", json!(["v1"]))),
        ("the Service", entry("clientConfig/service/name", json!("evil"))),
        ("its namespace", entry("clientConfig/service/namespace", json!("default"))),
        ("its port", entry("clientConfig/service/port", json!(8443))),
        ("its path", set(0, PATH, "/evil")),
        ("a path that everybody knows", set(0, PATH, "/mutate-v1-pod")),
        ("a short path", set(0, PATH, &OURS[..39])),
        ("a long path", set(0, PATH, &format!("{OURS}6"))),
        ("a path below a path", set(0, PATH, &format!("{OURS}/x"))),
        ("a path of other letters", set(0, PATH, &OURS.replace('b', "-"))),
        ("no path", json!([{"op": "remove", "path": format!("/webhooks/0/{PATH}")}])),
        (
            "a url",
            json!([{"op": "remove", "path": "/webhooks/0/clientConfig/service"},
            {"op": "add", "path": "/webhooks/0/clientConfig/url", "value": "https://evil.test/"}]),
        ),
        ("an entry's name", entry("name", json!("other.keysluice.dev"))),
        ("a further entry", json!([{"op": "add", "path": "/webhooks/-", "value": added}])),
        ("an entry less", json!([{"op": "remove", "path": "/webhooks/1"}])),
        ("no entry", json!([{"op": "remove", "path": "/webhooks"}])),
        ("a label", json!([{"op": "add", "path": "/metadata/labels/a", "value": "b"}])),
        (
            "an annotation",
            json!([{"op": "add", "path": "/metadata/annotations",
                "value": {"cert-manager.io/inject-ca-from": "a/b"}}]),
        ),
        (
            "an owner, so that it goes with it",
            json!([{"op": "add", "path": "/metadata/ownerReferences",
            "value": [{"apiVersion": "v1", "kind": "Namespace", "name": "n", "uid": "u"}]}]),
        ),
        (
            "a finalizer",
            json!([{"op": "add", "path": "/metadata/finalizers", "value": ["a.test/b"]}]),
        ),
    ] {
        let refused = patch(operations).await.expect_err(name);
        assert!(refused.message.contains("KS722"), "{name}: {refused:?}");
    }
    let after = stage.request(Method::GET, CONFIGURATION, None).await.unwrap();
    for entry in 0..3 {
        configuration["webhooks"][entry]["clientConfig"]["caBundle"] =
            after["webhooks"][entry]["clientConfig"]["caBundle"].clone();
    }
    assert_eq!(after["webhooks"], configuration["webhooks"]);
    // What RBAC says no to already.
    let mut other = json!({"apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration"});
    other["metadata"] = json!({"name": "other"});
    let collection = CONFIGURATION.strip_suffix("/keysluice").unwrap();
    for (name, method, path, body) in [
        ("create", Method::POST, collection, Some(&other)),
        ("replace", Method::PUT, CONFIGURATION, Some(&after)),
        ("delete", Method::DELETE, CONFIGURATION, None),
        // No policy could bound this one, so there is no right at all.
        (
            "the guard's binding",
            Method::PATCH,
            IDENTITY_BINDING,
            Some(
                &json!([{"op": "replace", "path": "/spec/validationActions", "value": ["Audit"]}]),
            ),
        ),
    ] {
        let refused = stage.act_as(WEBHOOK, method, path, body).await.expect_err(name);
        assert!(refused.code == 403 && refused.message.contains("cannot"), "{name}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn of_secrets_it_writes_its_own_alone() {
    let stage = Stage::open().await;
    stage.install().await;
    stage.until_guarded().await;
    let secret = |name: &str, kind: &str| {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "type": kind,
            "metadata": {"name": name, "namespace": NAMESPACE}, "data": {}});
        if kind == "kubernetes.io/service-account-token" {
            secret["metadata"]["annotations"] =
                json!({"kubernetes.io/service-account.name": "default"});
        }
        secret
    };
    let own = format!("{SECRETS}/keysluice-tls");
    let data = json!([{"op": "add", "path": "/data", "value": {"a": "Yg=="}}]);
    stage.act_as(WEBHOOK, Method::PATCH, &own, Some(&data)).await.unwrap();
    let guard = json!([{"op": "add", "path": "/data/guard", "value": "RGVueQ=="}]);
    stage.act_as(WEBHOOK, Method::PATCH, &own, Some(&guard)).await.unwrap();
    // What would outlive the token.
    let owner = json!([{"apiVersion": "v1", "kind": "Namespace", "name": NAMESPACE, "uid": "u"}]);
    let hostile = [
        ("immutable", "/immutable", json!(true)),
        ("finalizers", "/metadata/finalizers", json!(["a.test/b"])),
        ("owners", "/metadata/ownerReferences", owner),
        ("labels", "/metadata/labels", json!({})),
        ("a label", "/metadata/labels/a", json!("b")),
        ("annotations", "/metadata/annotations", json!({"a": "b"})),
        ("a guard that lets pass again", "/data", json!({"a": "Yg=="})),
    ];
    for (name, at, value) in &hostile {
        let operations = json!([{"op": "add", "path": at, "value": value}]);
        let refused =
            stage.act_as(WEBHOOK, Method::PATCH, &own, Some(&operations)).await.expect_err(name);
        assert!(refused.message.contains("KS723"), "{name}: {refused:?}");
    }
    stage.request(Method::DELETE, &own, None).await.unwrap();
    for (name, at, value) in &hostile[..6] {
        if *name == "labels" {
            continue;
        }
        let mut object = secret("keysluice-tls", "Opaque");
        object["metadata"]["labels"] = json!({"app.kubernetes.io/name": "keysluice"});
        let mut object = super::pods::with(object, at, value.clone());
        object["kind"] = json!("Secret");
        let refused =
            stage.act_as(WEBHOOK, Method::POST, SECRETS, Some(&object)).await.expect_err(name);
        assert!(refused.message.contains("KS723"), "{name}: {refused:?}");
    }
    let token = "kubernetes.io/service-account-token";
    for (name, object, code) in [
        ("another name", secret("other", "Opaque"), "KS723"),
        (
            "a name made by the API server",
            json!({"apiVersion": "v1", "kind": "Secret",
                "metadata": {"generateName": "keysluice-tls", "namespace": NAMESPACE}}),
            "KS723",
        ),
        ("a token of another account under our name", secret("keysluice-tls", token), "KS723"),
        (
            "another type under our name",
            secret("keysluice-tls", "bootstrap.kubernetes.io/token"),
            "KS723",
        ),
    ] {
        let refused =
            stage.act_as(WEBHOOK, Method::POST, SECRETS, Some(&object)).await.expect_err(name);
        assert!(refused.message.contains(code), "{name}: {refused:?}");
    }
    let created = stage
        .act_as(WEBHOOK, Method::POST, SECRETS, Some(&secret("keysluice-tls", "Opaque")))
        .await;
    assert!(created.is_ok(), "{created:?}");
    stage.create(&secret("other", "Opaque")).await.unwrap();
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let elsewhere = SECRETS.replace(NAMESPACE, "default");
    for (name, method, path, body) in [
        ("read another", Method::GET, format!("{SECRETS}/other"), None),
        ("list all", Method::GET, SECRETS.to_owned(), None),
        ("change another", Method::PATCH, format!("{SECRETS}/other"), Some(&data)),
        ("delete its own", Method::DELETE, own.clone(), None),
        ("create one elsewhere", Method::POST, elsewhere, Some(&secret("keysluice-tls", "Opaque"))),
        (
            "ask for a token",
            Method::POST,
            format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default/token"),
            Some(&request),
        ),
        ("read pods", Method::GET, "/api/v1/pods".to_owned(), None),
    ] {
        let refused = stage.act_as(WEBHOOK, method, &path, body).await.expect_err(name);
        assert_eq!(refused.code, 403, "{name}: {refused:?}");
    }
}
