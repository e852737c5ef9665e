//! The pods of a workload: whether they were changed, whether their images arrive, what their
//! sidecars say.

use super::advice::{self, Subject};
use super::finding::{Finding, Level};
use super::network;
use super::pre::items;
use super::sidecar;
use super::snapshot::{Scope, Snapshot, name, named, text};
use super::workload::Judged;
use crate::admission::{Answer, Outcome};
use crate::cli::rbac_inputs::account_of;
use crate::mutate::{CSI_DRIVER, SIDECAR, USE_LABEL};
use crate::reason;
use keysluice_plan::Plan;
use serde_json::Value;
use std::collections::BTreeSet;

/// States of a container whose image does not arrive.
const PULL_FAILURES: [&str; 5] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
];
/// Pods that are named of those with one trouble.
const MAX_NAMED: usize = 3;

/// Findings of all pods; those that several pods share are said once.
pub(super) fn pods(snapshot: &Snapshot, judged: &Judged<'_>, audience: &str) -> Vec<Finding> {
    let mut found: Vec<(Finding, Vec<&str>)> = Vec::new();
    for (pod, answer) in &judged.live {
        for finding in of_pod(snapshot, judged, pod, answer, audience) {
            let same = found.iter_mut().find(|(one, _)| is_same(one, &finding));
            match same {
                Some((_, names)) => names.push(name(pod)),
                None => found.push((finding, vec![name(pod)])),
            }
        }
    }
    let is_bare = judged.pod.pointer.is_empty();
    let named = found.into_iter().map(|(mut finding, names)| {
        if !is_bare {
            finding.text = format!("{}: {}", listed(&names), finding.text);
        }
        finding
    });
    named.collect()
}

fn is_same(one: &Finding, other: &Finding) -> bool {
    one.check == other.check && one.code == other.code && one.level == other.level
}

fn listed(names: &[&str]) -> String {
    let first = names.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join(", ");
    let noun = if names.len() == 1 { "pod" } else { "pods" };
    match names.len().saturating_sub(MAX_NAMED) {
        0 => format!("{noun} {first}"),
        more => format!("{noun} {first} and {more} more"),
    }
}

fn of_pod(
    snapshot: &Snapshot,
    judged: &Judged<'_>,
    pod: &Value,
    answer: &Answer,
    audience: &str,
) -> Vec<Finding> {
    let subject = Subject {
        account: account_of(&judged.pod),
        plan: sidecar::plan_of(pod),
        audience,
        issuer: snapshot.issuer.as_deref(),
    };
    let mut findings = injection(snapshot, judged, pod, answer);
    findings.extend(images(snapshot, pod));
    if findings.is_empty() {
        findings.extend(volumes(snapshot, pod));
    }
    let failures = sidecar::failures(snapshot, pod, &subject);
    if subject.plan.is_some() {
        let is_blocked = sidecar::is_blocked(snapshot, pod);
        findings.extend(network::egress(snapshot, pod, is_blocked));
    }
    findings.extend(failures);
    findings.extend(sidecar::warnings(snapshot, pod, &subject));
    if let Some(Ok(status)) = snapshot.statuses.get(name(pod)) {
        findings.extend(status.expiring(snapshot.now));
    }
    findings
}

/// What the sidecar of one pod serves: those of the others serve the same.
pub(super) fn state(snapshot: &Snapshot, judged: &Judged<'_>) -> Option<Finding> {
    let (pod, status) = judged.live.iter().find_map(|(pod, _)| {
        let status = snapshot.statuses.get(name(pod))?.as_ref().ok()?;
        Some((pod, status))
    })?;
    let mut finding = status.summary();
    finding.text = format!("pod {}: {}", name(pod), finding.text);
    Some(finding)
}

/// Whether the webhook would still change the pod: then it was away, or another webhook undid it.
fn injection(
    snapshot: &Snapshot,
    judged: &Judged<'_>,
    pod: &Value,
    answer: &Answer,
) -> Vec<Finding> {
    const CHECK: &str = "injection";
    let again = restart(snapshot, judged, pod);
    if answer.outcome == Outcome::Mutated && !answer.patch.is_empty() {
        let wants_sidecar = current_plan(judged).is_some();
        if !is_touched(pod, wants_sidecar) {
            let text = format!(
                "created without the webhook, or under other settings of it: identity or secrets \
                 are missing; hint: {}",
                reason::KS805.fix
            );
            return vec![Finding::failed(CHECK, reason::KS805.code, text).run(again)];
        }
        let others = other_webhooks(snapshot);
        let whose = if others.is_empty() {
            String::new()
        } else {
            format!(" (webhooks for pods that run after it: {})", others.join(", "))
        };
        let text = format!(
            "something changed what the webhook had added{whose}; hint: {}",
            reason::KS807.fix
        );
        return vec![Finding::failed(CHECK, reason::KS807.code, text).run(again)];
    }
    let (Some(own), Some(current)) = (sidecar::plan_of(pod), current_plan(judged)) else {
        return Vec::new();
    };
    if own.source.is_some() || files(&own) == files(&current) {
        return Vec::new();
    }
    let text = format!(
        "runs with what an older SecretProviderClass or annotation said; hint: {}",
        reason::KS806.fix
    );
    vec![Finding::warning(CHECK, reason::KS806.code, text).run(again)]
}

/// Whether the webhook has changed the pod: its sidecar is there, or the token volume where the
/// pod needs no sidecar.
fn is_touched(pod: &Value, wants_sidecar: bool) -> bool {
    let spec = &pod["spec"];
    let has_sidecar = !named(&spec["initContainers"], SIDECAR).is_null();
    let has_token = items(&spec["volumes"]).iter().any(|volume| {
        text(&volume["name"]).starts_with("azure-") && !volume["projected"].is_null()
    });
    has_sidecar || !wants_sidecar && has_token
}

/// The Plan that a new pod of the workload would get.
fn current_plan(judged: &Judged<'_>) -> Option<Plan> {
    let mut pod = judged.pod.pod.clone();
    json_patch::patch(&mut pod, &judged.answer.patch.to_json_patch()).ok()?;
    sidecar::plan_of(&pod)
}

/// What a Plan fetches and where it goes. URLs are left out: a cloud that is defined in a file of
/// the webhook is not known here.
fn files(plan: &Plan) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for volume in &plan.volumes {
        for file in &volume.files {
            let version = file.version.as_ref().map(ToString::to_string).unwrap_or_default();
            files.insert(format!(
                "{} {} {} {} {} {version}",
                volume.directory,
                file.path,
                advice::vault_name(&file.vault),
                file.object_type.as_str(),
                file.name
            ));
        }
        for template in &volume.templates {
            files.insert(format!("{} {} {:?}", volume.directory, template.path, template.template));
        }
        for one in &volume.selections {
            files.insert(format!("{} {:?} {:?}", volume.directory, one.name_prefix, one.tags));
        }
    }
    files
}

fn restart(snapshot: &Snapshot, judged: &Judged<'_>, pod: &Value) -> String {
    let namespace = &snapshot.namespace;
    let kind = text(&judged.workload.object["kind"]);
    if ["Deployment", "StatefulSet", "DaemonSet"].contains(&kind) {
        return format!("kubectl -n {namespace} rollout restart {}", judged.workload.reference());
    }
    format!("kubectl -n {namespace} delete pod {}", name(pod))
}

/// Webhooks for pods that the API server calls after ours.
fn other_webhooks(snapshot: &Snapshot) -> Vec<&str> {
    let all = snapshot.list(Scope::Cluster, "mutatingwebhookconfigurations");
    let own = snapshot.installation_name();
    all.iter().filter(|one| name(one) > own && is_for_pods(one)).map(name).collect()
}

/// Whether a webhook configuration has a rule for pods.
fn is_for_pods(configuration: &Value) -> bool {
    let rules = items(&configuration["webhooks"]).iter().flat_map(|entry| items(&entry["rules"]));
    let mut resources = rules.flat_map(|rule| items(&rule["resources"]));
    resources.any(|one| one == "pods" || one == "*" || one == "*/*")
}

/// Images that do not arrive or do not run.
fn images(snapshot: &Snapshot, pod: &Value) -> Vec<Finding> {
    const CHECK: &str = "image";
    let lists = ["initContainerStatuses", "containerStatuses"];
    let statuses = lists.iter().flat_map(|list| items(&pod["status"][list]));
    let mut findings = Vec::new();
    for status in statuses {
        let (container, image) = (text(&status["name"]), text(&status["image"]));
        let waiting = &status["state"]["waiting"];
        let (why, message) = (text(&waiting["reason"]), text(&waiting["message"]));
        let is_ours = container == SIDECAR;
        if PULL_FAILURES.contains(&why) {
            findings.push(pull_failure(snapshot, pod, container, image, why, message));
            continue;
        }
        let ended = ["state", "lastState"].map(|state| &status[state]["terminated"]);
        let is_foreign =
            ended.iter().any(|end| text(&end["message"]).contains("exec format error"))
                || message.contains("exec format error");
        if is_foreign && is_ours {
            let text = format!(
                "the sidecar's image {image} is not built for the architecture of node {}; hint: \
                 use an image of several architectures in injector.image of the chart",
                text(&pod["spec"]["nodeName"])
            );
            let finding = Finding::failed(CHECK, reason::KS731.code, text);
            findings.push(finding.run(
                "kubectl get nodes --output \
                 custom-columns=NAME:.metadata.name,ARCH:.status.nodeInfo.architecture",
            ));
        }
    }
    findings
}

fn pull_failure(
    snapshot: &Snapshot,
    pod: &Value,
    container: &str,
    image: &str,
    why: &str,
    message: &str,
) -> Finding {
    const CHECK: &str = "image";
    let namespace = &snapshot.namespace;
    let denied = ["unauthorized", "denied", "401", "403", "authentication required"];
    let is_denied = denied.iter().any(|word| message.contains(word));
    if container != SIDECAR {
        let text = format!(
            "the image {image} of container {container} cannot be pulled: {why}: {message}; hint: \
             correct the image of the container"
        );
        return Finding::new(CHECK, Level::Failed, reason::KS812.code, text);
    }
    let has_secret = !items(&pod["spec"]["imagePullSecrets"]).is_empty();
    if is_denied && !has_secret {
        let text = format!(
            "the sidecar's image {image} cannot be pulled in namespace {namespace}: {why}: \
             {message}; hint: the registry wants a pull secret: create one in this namespace and \
             name it in imagePullSecrets of the ServiceAccount, or let the nodes pull (az aks \
             update --attach-acr)"
        );
        let account = text_or(&pod["spec"]["serviceAccountName"], "default");
        return Finding::failed(CHECK, reason::KS730.code, text).run_all([
            format!(
                "kubectl -n {namespace} create secret docker-registry PULL_SECRET \
                 --docker-server=REGISTRY --docker-username=USER --docker-password=PASSWORD"
            ),
            format!(
                "kubectl -n {namespace} patch serviceaccount {account} --patch \
                 '{{\"imagePullSecrets\":[{{\"name\":\"PULL_SECRET\"}}]}}'"
            ),
            format!("kubectl -n {namespace} delete pod {}", name(pod)),
        ]);
    }
    let text = format!(
        "the sidecar's image {image} cannot be pulled: {why}: {message}; hint: {}",
        reason::KS730.fix
    );
    Finding::failed(CHECK, reason::KS730.code, text)
}

fn text_or<'v>(value: &'v Value, other: &'v str) -> &'v str {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or(other)
}

/// Volumes of a CSI driver that is not there.
fn volumes(snapshot: &Snapshot, pod: &Value) -> Vec<Finding> {
    const CHECK: &str = "injection";
    let left: Vec<&str> = items(&pod["spec"]["volumes"])
        .iter()
        .filter(|volume| volume["csi"]["driver"] == CSI_DRIVER)
        .map(|volume| text(&volume["name"]))
        .collect();
    let knows = snapshot.knows(Scope::Cluster, "csidrivers");
    let drivers = snapshot.list(Scope::Cluster, "csidrivers");
    let is_labelled = pod["metadata"]["labels"][USE_LABEL] == "true";
    if left.is_empty() || !knows || drivers.iter().any(|driver| name(driver) == CSI_DRIVER) {
        return Vec::new();
    }
    let why = if is_labelled { " although the pod has the label" } else { "" };
    let text = format!(
        "volume {} waits for the Secrets Store CSI driver, which is not installed{why}; hint: {}",
        left.join(", "),
        reason::KS813.fix
    );
    vec![Finding::failed(CHECK, reason::KS813.code, text)]
}
