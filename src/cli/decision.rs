//! The webhook's answer about a pod of a manifest, and what only the manifest shows.

use super::Failure;
use super::manifest_pods::ManifestPod;
use super::misspelt;
use crate::admission::{self, Answer, Outcome};
use crate::cluster::manifests::{Document, Manifests, dotted, unquoted};
use crate::cluster::{self, Cluster as _};
use crate::mutate::{LabelPlaces, USE_LABEL};
use crate::patch::Patch;
use crate::reason;
use crate::settings::Settings;
use keysluice_plan::reason::Reason;
use serde_json::{Value, json};

/// Asks the webhook's own code, with the review that the API server would send. What the API server
/// would refuse before is refused.
pub(super) async fn decide(
    pod: &ManifestPod,
    document: &Document,
    settings: &Settings,
    cluster: &Manifests,
) -> Result<Answer, Failure> {
    let of_owner = ["/metadata", "/spec/selector"].into_iter().filter(|_| !pod.pointer.is_empty());
    let pointers: Vec<&str> = std::iter::once(pod.pointer.as_str()).chain(of_owner).collect();
    if let Some(faults) = unquoted(document, &pointers) {
        return Ok(denied(reason::KS201, format!("{} {faults}", reason::KS201)));
    }
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "explain", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": pod.namespace,
        "operation": "CREATE", "object": pod.pod}});
    let body = serde_json::to_vec(&review)?;
    let incoming = admission::read(&body)?;
    let needs = incoming.needs(settings);
    let has_driver = needs.csi_driver && cluster.csi_driver_installed().await?;
    let needs = needs.with_driver(has_driver);
    let accounts = needs.service_account.iter().map(|name| ("ServiceAccount", *name));
    let mut objects =
        accounts.chain(needs.classes.iter().map(|name| ("SecretProviderClass", *name)));
    if let Some(why) = objects.find_map(|(kind, name)| cluster.refused(kind, &pod.namespace, name))
    {
        return Ok(denied(reason::KS736, why.to_owned()));
    }
    let facts = cluster::facts(cluster, incoming.namespace(), needs.clone()).await?;
    let mut answer = incoming.answer(settings, &facts);
    let code = answer.reason.map(|reason| reason.code);
    if let Some(message) = &mut answer.message {
        if code == Some(reason::KS201.code) {
            *message = in_manifest(message, pod, document);
        } else if code == Some(reason::KS202.code) {
            let account = needs.service_account;
            let elsewhere = account
                .and_then(|name| elsewhere(pod, cluster.namespaces_of_service_account(name)));
            replace_hint(message, elsewhere);
        } else if code == Some(reason::KS207.code) {
            let mut missing = needs
                .classes
                .iter()
                .filter(|name| message.contains(&format!("/{name}: not found")));
            let elsewhere =
                missing.find_map(|name| elsewhere(pod, cluster.namespaces_of_class(name)));
            replace_hint(message, elsewhere);
        }
    }
    Ok(answer)
}

/// Why it ended so, in the webhook's words and ours.
pub(super) fn because(pod: &ManifestPod, document: &Document, answer: &Answer) -> Vec<String> {
    let mut because: Vec<String> = answer.notes.iter().map(ToString::to_string).collect();
    // A label that is in its place says by another value that the pod wants no identity; where the
    // pod is refused for something else, that is no cause.
    if answer.reason.is_none() || pod.pod["metadata"]["labels"].get(USE_LABEL).is_none() {
        because.extend(misplaced(pod, document).map(|text| format!("{} {text}", reason::KS814)));
    }
    because
}

/// Where the label is, if it is not where it selects the pod, and what to do.
pub(super) fn misplaced(pod: &ManifestPod, document: &Document) -> Option<String> {
    if pod.pod["metadata"]["labels"][USE_LABEL] == "true" {
        return None;
    }
    let (of_pod, of_owner) = (&pod.pod["metadata"], &document.value["metadata"]);
    let places = LabelPlaces {
        value: of_pod["labels"].get(USE_LABEL).map(Value::to_string),
        is_pod_annotation: of_pod["annotations"].get(USE_LABEL).is_some(),
        misspelt: misspelt::label(&pod.pod).map(str::to_owned),
        is_workload_label: of_owner["labels"].get(USE_LABEL).is_some(),
        is_workload_annotation: of_owner["annotations"].get(USE_LABEL).is_some(),
    };
    let kind = document.value["kind"].as_str().unwrap_or("object");
    places.text((!pod.pointer.is_empty()).then_some(kind))
}

/// The message without the review that only we made: the path is the manifest's.
fn in_manifest(message: &str, pod: &ManifestPod, document: &Document) -> String {
    let text = message.split(" at byte ").next().unwrap_or(message);
    let Some((_, rest)) = text.split_once("request.object.") else { return message.to_owned() };
    let place = dotted(&pod.pointer);
    let dot = if place.is_empty() { "" } else { "." };
    format!(
        "{} {place}{dot}{rest} ({}); hint: write what Kubernetes wants there",
        reason::KS201,
        document.origin
    )
}

/// Says in which namespaces an object of this name is.
fn elsewhere<'a>(pod: &ManifestPod, namespaces: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut namespaces: Vec<_> =
        namespaces.filter(|namespace| *namespace != pod.namespace).collect();
    namespaces.sort_unstable();
    let (first, list) = (*namespaces.first()?, namespaces.join(", "));
    Some(if pod.is_placed {
        format!("there is one in namespace {list}; the pod is in another one, {}", pod.namespace)
    } else {
        format!(
            "there is one in namespace {list}; the pod names no namespace: explain --namespace \
             {first}"
        )
    })
}

fn replace_hint(message: &mut String, hint: Option<String>) {
    if let (Some(hint), Some(at)) = (hint, message.find("; hint: ")) {
        message.truncate(at);
        *message += &format!("; hint: {hint}");
    }
}

fn denied(reason: Reason, message: String) -> Answer {
    Answer {
        body: Vec::new(),
        outcome: Outcome::Denied,
        reason: Some(reason),
        message: Some(message),
        warnings: Vec::new(),
        notes: Vec::new(),
        patch: Patch::default(),
    }
}
