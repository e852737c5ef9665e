//! Why a controller could not create a pod: what the API server said, in the events of a
//! ReplicaSet, a StatefulSet or a Job.

use super::finding::{Finding, Level};
use super::snapshot::{Snapshot, text};
use super::workload::{Judged, object_of};
use crate::reason;
use serde_json::Value;

const CHECK: &str = "creation";
const OUR_ENTRIES: &str = "keysluice.dev\"";

/// The last refusal of a pod that is still missing. A new ReplicaSet may lack its pods while those
/// of the old one run.
pub(super) fn creation(snapshot: &Snapshot, judged: &Judged<'_>) -> Vec<Finding> {
    let workload = &judged.workload;
    let events = workload.events(snapshot);
    let refused = events.iter().rfind(|event| {
        event["reason"] == "FailedCreate" && object_of(snapshot, event).is_some_and(lacks_pods)
    });
    let Some(event) = refused else { return Vec::new() };
    let finding = refusal(snapshot, text(&event["message"]));
    // The webhook's own code says the same of the template.
    if finding.code == judged.answer.reason.map(|reason| reason.code) {
        return Vec::new();
    }
    vec![finding]
}

/// Whether a controller has fewer pods than it should.
fn lacks_pods(object: &Value) -> bool {
    let (spec, status) = (&object["spec"], &object["status"]);
    match text(&object["kind"]) {
        "DaemonSet" => {
            count(&status["currentNumberScheduled"]) < count(&status["desiredNumberScheduled"])
        }
        "Job" => count(&status["active"]) + count(&status["succeeded"]) == 0,
        _ => count(&status["replicas"]) < spec["replicas"].as_u64().unwrap_or(1),
    }
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// What a refusal means.
fn refusal(snapshot: &Snapshot, message: &str) -> Finding {
    let namespace = &snapshot.namespace;
    let said = said(message);
    if let Some(code) = code_in(message) {
        return Finding::failed(CHECK, code, format!("pods are not created: {said}"));
    }
    if message.contains("failed calling webhook") {
        return webhook_failed(snapshot, message);
    }
    if message.contains("exceeded quota") || message.contains("failed quota") {
        let hint = if message.contains("must specify limits") {
            "this quota wants limits of every container: set injector.cpuLimit of the chart, or \
             the annotation keysluice.dev/cpu-limit on the pod template, to 100m for example"
        } else {
            "raise the quota, or lower the requests of the pod"
        };
        return Finding::failed(
            CHECK,
            reason::KS808.code,
            format!("a ResourceQuota refuses the pods: {said}; hint: {hint}"),
        )
        .run(format!("kubectl -n {namespace} describe resourcequota"));
    }
    if message.contains("usage per Container") || message.contains("usage per Pod") {
        return Finding::failed(
            CHECK,
            reason::KS808.code,
            format!(
                "a LimitRange refuses the pods: {said}; hint: set keysluice.dev/cpu-request or \
                 keysluice.dev/size-limit on the pod template, or change the LimitRange"
            ),
        )
        .run(format!("kubectl -n {namespace} describe limitrange"));
    }
    if message.contains("violates PodSecurity") {
        return Finding::failed(
            CHECK,
            reason::KS809.code,
            format!(
                "the namespace's Pod Security level refuses the pods: {said}; hint: the sidecar \
                 meets level restricted, so change the containers that the message names"
            ),
        )
        .run(format!("kubectl get namespace {namespace} --show-labels"));
    }
    let finding = Finding::failed(
        CHECK,
        reason::KS810.code,
        format!("pods are not created: {said}; hint: {}", reason::KS810.fix),
    );
    finding.run(format!("kubectl -n {namespace} get events --field-selector reason=FailedCreate"))
}

fn webhook_failed(snapshot: &Snapshot, message: &str) -> Finding {
    let said = said(message);
    if !message.contains(OUR_ENTRIES) {
        return Finding::failed(
            CHECK,
            reason::KS810.code,
            format!("a webhook of another product stops the pods: {said}; hint: repair that one"),
        );
    }
    let namespace = snapshot.namespace_of(super::snapshot::Scope::Installation).unwrap_or_default();
    if message.contains("x509") || message.contains("certificate") {
        let deployment = snapshot.installation_name();
        return Finding::failed(
            CHECK,
            reason::KS803.code,
            format!(
                "the API server does not accept the webhook's certificate: {said}; hint: {}",
                reason::KS803.fix
            ),
        )
        .run(format!("kubectl -n {namespace} logs deploy/{deployment} --tail=50"));
    }
    Finding::new(
        CHECK,
        Level::Failed,
        reason::KS801.code,
        format!("the API server cannot reach the webhook: {said}; hint: {}", reason::KS801.fix),
    )
    .run(format!("kubectl -n {namespace} get pods,endpointslices"))
}

/// A code of ours in a text.
pub(super) fn code_in(message: &str) -> Option<&'static str> {
    let starts = message.match_indices("KS").map(|(at, _)| at);
    let mut codes = starts.filter_map(|at| message.get(at..at + 5));
    codes.find_map(|code| Some(reason::find(code)?.code))
}

/// The message from where it says something: before that stands the pod's name.
fn said(message: &str) -> String {
    let rest = message.strip_prefix("Error creating: ").unwrap_or(message);
    let rest = match rest.split_once("denied the request: ") {
        Some((_, rest)) => rest,
        None => rest,
    };
    let rest = match rest.split_once(" is forbidden: ") {
        Some((_, rest)) => rest,
        None => rest,
    };
    rest.trim().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn failed_call(webhook: &str, problem: &str) -> String {
        format!(
            "Error creating: Internal error occurred: failed calling webhook \"{webhook}\": \
             {problem}"
        )
    }

    #[test]
    fn each_refusal_has_its_code() {
        let snapshot = Snapshot::new("shop", SystemTime::UNIX_EPOCH);
        for (message, expected) in [
            (failed_call("pods.keysluice.dev", "x509: certificate has expired"), "KS803"),
            (failed_call("pods.keysluice.dev", "no endpoints available for service"), "KS801"),
            (failed_call("x.example.com", "no endpoints available for service"), "KS810"),
            (
                "Error creating: pods \"w\" is forbidden: exceeded quota: q, requested".to_owned(),
                "KS808",
            ),
            (
                "Error creating: pods \"w\" is forbidden: minimum cpu usage per Container is 10m"
                    .to_owned(),
                "KS808",
            ),
            (
                "Error creating: pods \"w\" is forbidden: violates PodSecurity \"restricted\""
                    .to_owned(),
                "KS809",
            ),
            (
                "Error creating: admission webhook \"pods.keysluice.dev\" denied the request: \
                 KS207 SecretProviderClass shop/kv: not found"
                    .to_owned(),
                "KS207",
            ),
            ("Error creating: something else".to_owned(), "KS810"),
        ] {
            let finding = refusal(&snapshot, &message);
            assert_eq!(finding.code, Some(expected), "{message}: {finding:?}");
        }
    }
}
