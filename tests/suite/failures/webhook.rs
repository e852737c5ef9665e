//! The real webhook, asked about the workload of a failure and about its pod as an API server asks.

use super::case::{Case, NAMESPACE, PodState};
use super::cluster::workload;
use crate::suite::support::binaries;
use keysluice_demo::{Stage, Webhook};
use serde_json::{Value, json};
use std::io::Write as _;

const USE_LABEL: &str = "azure.workload.identity/use";
const CSI_DRIVER: &str = "secrets-store.csi.k8s.io";

/// What the webhook said, or why it was not asked.
#[derive(Debug)]
pub(super) struct Said {
    /// As `kubectl apply` prints it.
    pub(super) apply: String,
    /// Names and labels of the series that tell of it.
    pub(super) series: Vec<String>,
    /// The word for no series.
    pub(super) silence: &'static str,
}

impl Said {
    fn nothing(why: &'static str) -> Self {
        Self { apply: none(why), series: Vec::new(), silence: why }
    }
}

/// The content of a file that says that there is nothing, and why.
pub(super) fn none(why: &str) -> String {
    format!("none: {why}\n")
}

pub(super) async fn ask(case: &Case) -> Said {
    if let Some(why) = case.unreviewed {
        return Said::nothing(why.word());
    }
    let objects = objects(case);
    let Some(workload) = workload(&objects) else { return Said::nothing("not-applied") };
    let stage = Stage::new().unwrap();
    let webhook = start(case, &objects, &stage).await;
    let of_workload =
        if is_asked(workload) { apply(&webhook, workload).await } else { Err("not-selected") };
    let silence = if is_pod_asked(case, &workload["spec"]["template"]) {
        let _ = webhook.review(NAMESPACE, &pod(workload)).await.unwrap();
        "admitted"
    } else {
        "not-selected"
    };
    let series = series(&webhook).await;
    let apply = of_workload.unwrap_or_else(none);
    Said { apply, series, silence }
}

/// What is in the cluster, with its namespace.
fn objects(case: &Case) -> Vec<Value> {
    let mut objects = if case.applied { case.manifests() } else { Vec::new() };
    objects.extend(case.objects.iter().cloned());
    for object in &mut objects {
        if object["metadata"]["namespace"].is_null() {
            object["metadata"]["namespace"] = NAMESPACE.into();
        }
    }
    objects
}

async fn start(case: &Case, objects: &[Value], stage: &Stage) -> Webhook {
    let file = stage.path().join("objects.yaml");
    let known = ["ServiceAccount", "SecretProviderClass"];
    let documents: Vec<String> = objects
        .iter()
        .filter(|one| known.contains(&one["kind"].as_str().unwrap_or_default()))
        .map(Value::to_string)
        .collect();
    // A file without any object is refused.
    let none = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    let text = [documents, vec![none.to_string()]].concat().join("\n---\n");
    std::fs::File::create(&file).unwrap().write_all(text.as_bytes()).unwrap();
    let tenant = keysluice_demo::TENANT;
    let arguments = ["--tenant-id", tenant, "--objects", file.to_str().unwrap()];
    Webhook::start(&binaries().keysluice, &arguments.map(str::to_owned), stage.path())
        .await
        .unwrap_or_else(|error| panic!("{}: {error}", case.name))
}

/// As the match conditions of the entry for workloads have it.
fn is_asked(workload: &Value) -> bool {
    let has = |map: &Value, ours: fn(&str) -> bool| {
        map.as_object().is_some_and(|map| map.keys().any(|key| ours(key)))
    };
    let template = &workload["spec"]["template"];
    let (label, annotation): (fn(&str) -> bool, fn(&str) -> bool) =
        (|key| key == USE_LABEL, |key| key == USE_LABEL || key.starts_with("keysluice.dev/"));
    let has_controller =
        list(&workload["metadata"]["ownerReferences"]).any(|owner| owner["controller"] == true);
    let is_ours = [&workload["metadata"], &template["metadata"]]
        .into_iter()
        .any(|of| has(&of["labels"], label) || has(&of["annotations"], annotation));
    !has_controller && (is_ours || has_csi_volume(template))
}

/// As the selectors of the entries for pods have it.
fn is_pod_asked(case: &Case, template: &Value) -> bool {
    let is_made = case.applied || case.pod != PodState::None || !case.objects.is_empty();
    let is_labelled = template["metadata"]["labels"][USE_LABEL] == "true";
    is_made && (is_labelled || has_csi_volume(template))
}

fn has_csi_volume(template: &Value) -> bool {
    list(&template["spec"]["volumes"]).any(|volume| volume["csi"]["driver"] == CSI_DRIVER)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The warnings about the workload.
async fn apply(webhook: &Webhook, workload: &Value) -> Result<String, &'static str> {
    let (group, version) = workload["apiVersion"].as_str().unwrap().split_once('/').unwrap();
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "kind": {"group": group, "version": version, "kind": workload["kind"]},
        "namespace": NAMESPACE, "operation": "CREATE", "object": workload}});
    let (status, answer) =
        webhook.post("/validate", review.to_string().into_bytes()).await.unwrap();
    assert_eq!((status, &answer["response"]["allowed"]), (200, &json!(true)), "{answer}");
    let warnings = list(&answer["response"]["warnings"]).filter_map(Value::as_str);
    let text = warnings.fold(String::new(), |text, one| text + "Warning: " + one + "\n");
    if text.is_empty() { Err("nothing-wrong") } else { Ok(text) }
}

/// The pod as the controller of the workload makes it.
fn pod(workload: &Value) -> Value {
    let mut pod = workload["spec"]["template"].clone();
    let name = workload["metadata"]["name"].as_str().unwrap();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["generateName"] = format!("{name}-1-").into();
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "uid": "u",
        "name": format!("{name}-1"), "controller": true});
    pod["metadata"]["ownerReferences"] = json!([owner]);
    pod
}

/// Counters of pods that were refused and of workloads that were warned of.
async fn series(webhook: &Webhook) -> Vec<String> {
    let text = webhook.metrics().await.unwrap();
    let tells = [
        "keysluice_reviews_total{outcome=\"denied\"",
        "keysluice_workload_reviews_total{outcome=\"warned\"",
    ];
    let counted = text.lines().filter_map(|line| line.rsplit_once(' '));
    counted
        .filter(|(series, count)| {
            *count != "0" && tells.iter().any(|start| series.starts_with(start))
        })
        .map(|(series, _)| series.to_owned())
        .collect()
}
