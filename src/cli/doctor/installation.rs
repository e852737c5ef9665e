//! The webhook itself: whether the API server can call it, and what happens if it cannot.

use super::finding::Finding;
use super::network::selects;
use super::pre::{Unknown, items};
use super::snapshot::{LABEL_ENTRY, Scope, Snapshot, named, text};
use crate::reason;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keysluice_certs::{Certificate, Published, ResourceVersion};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(7 * 24 * 3600);
const AZURE_WORKLOAD_IDENTITY: &str = "mutation.azure-workload-identity.io";

/// All checks of the installation.
pub(super) fn installation(snapshot: &Snapshot) -> Vec<Finding> {
    if !snapshot.knows(Scope::Cluster, "mutatingwebhookconfigurations") {
        return replicas(snapshot);
    }
    let Some(configuration) = snapshot.configuration() else {
        let text = format!(
            "no MutatingWebhookConfiguration has the entry {LABEL_ENTRY}: Keysluice is not \
             installed; hint: docs/install.md has the steps"
        );
        let finding = Finding::failed("installation", reason::KS816.code, text);
        return vec![finding.run("keysluice doctor --pre --kubeconfig FILE")];
    };
    let mut findings = replicas(snapshot);
    findings.extend(certificate(snapshot, configuration));
    findings.extend(failure_policy(snapshot, configuration));
    findings.extend(namespace(snapshot, configuration));
    findings.extend(azure_workload_identity(snapshot));
    findings
}

fn replicas(snapshot: &Snapshot) -> Vec<Finding> {
    const CHECK: &str = "replicas";
    if !snapshot.knows(Scope::Installation, "deployments") {
        return Vec::new();
    }
    let namespace = snapshot.namespace_of(Scope::Installation).unwrap_or_default();
    let own_name = snapshot.installation_name();
    let look = format!("kubectl -n {namespace} get pods,endpointslices");
    let Some(deployment) = snapshot.webhook() else {
        let text = format!(
            "Deployment {namespace}/{own_name}, to which the webhook configuration leads, does \
             not exist; hint: install the chart again, or delete the configuration: until then \
             the API server refuses labelled pods"
        );
        return vec![
            Finding::failed(CHECK, reason::KS801.code, text)
                .run(format!("kubectl delete mutatingwebhookconfiguration {own_name}")),
        ];
    };
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    let ready = deployment["status"]["readyReplicas"].as_u64().unwrap_or_default();
    if ready == 0 {
        let text = format!(
            "none of {wanted} replicas of the webhook is ready; hint: {}",
            reason::KS801.fix
        );
        let finding = Finding::failed(CHECK, reason::KS801.code, text).run(look);
        return vec![
            finding.run(format!("kubectl -n {namespace} logs deploy/{own_name} --tail=50")),
        ];
    }
    let nodes = nodes(snapshot);
    if ready < wanted {
        let text = format!(
            "{ready} of {wanted} replicas of the webhook are ready; hint: look at the others"
        );
        return vec![Finding::warning(CHECK, reason::KS802.code, text).run(look)];
    }
    if wanted == 1 || nodes.len() == 1 {
        let where_ = nodes.first().map(|node| format!(" on node {node}")).unwrap_or_default();
        let text = format!(
            "{ready} replica(s) of the webhook{where_}: labelled pods are refused while that is \
             away; hint: {}",
            reason::KS802.fix
        );
        return vec![Finding::warning(CHECK, reason::KS802.code, text)];
    }
    vec![Finding::good(CHECK, format!("{ready} replicas of the webhook are ready{}", on(&nodes)))]
}

fn on(nodes: &BTreeSet<&str>) -> String {
    if nodes.is_empty() { String::new() } else { format!(", on {} nodes", nodes.len()) }
}

/// Where the replicas run.
fn nodes(snapshot: &Snapshot) -> BTreeSet<&str> {
    let pods = snapshot.list(Scope::Installation, "pods").iter();
    let of_webhook = pods.filter(|pod| {
        pod["metadata"]["labels"]["app.kubernetes.io/component"] == "webhook"
            && pod["status"]["phase"] == "Running"
    });
    of_webhook.filter_map(|pod| pod["spec"]["nodeName"].as_str()).collect()
}

fn certificate(snapshot: &Snapshot, configuration: &Value) -> Vec<Finding> {
    const CHECK: &str = "certificate";
    let entry = named(&configuration["webhooks"], LABEL_ENTRY);
    let pem = STANDARD.decode(text(&entry["clientConfig"]["caBundle"])).unwrap_or_default();
    let certificates = Published::read([pem.as_slice()], ResourceVersion::from("")).certificates();
    let namespace = snapshot.namespace_of(Scope::Installation).unwrap_or_default();
    let look =
        format!("kubectl -n {namespace} logs deploy/{} --tail=50", snapshot.installation_name());
    let Some(last) = certificates.iter().map(Certificate::not_after).max() else {
        let text = format!(
            "caBundle of the webhook configuration has no certificate: the API server cannot call \
             the webhook; hint: {}",
            reason::KS803.fix
        );
        return vec![Finding::failed(CHECK, reason::KS803.code, text).run(look)];
    };
    let day = last.date();
    if last < snapshot.now {
        let text =
            format!("the certificate in caBundle expired on {day}; hint: {}", reason::KS803.fix);
        return vec![Finding::failed(CHECK, reason::KS803.code, text).run(look)];
    }
    if last < snapshot.now + SOON {
        let text = format!(
            "the certificate in caBundle expires on {day} and was not renewed; hint: {}",
            reason::KS803.fix
        );
        return vec![Finding::warning(CHECK, reason::KS803.code, text).run(look)];
    }
    vec![Finding::good(CHECK, format!("caBundle is valid until {day}"))]
}

fn failure_policy(snapshot: &Snapshot, configuration: &Value) -> Vec<Finding> {
    const CHECK: &str = "failure-policy";
    let entry = named(&configuration["webhooks"], LABEL_ENTRY);
    if entry["failurePolicy"] != "Ignore" {
        return vec![Finding::good(
            CHECK,
            "failurePolicy Fail: no labelled pod is created without the webhook",
        )];
    }
    let text =
        format!("failurePolicy is Ignore: {}; hint: {}", reason::KS804.cause, reason::KS804.fix);
    let own_name = snapshot.installation_name();
    vec![
        Finding::warning(CHECK, reason::KS804.code, text)
            .run(format!("kubectl get mutatingwebhookconfiguration {own_name} --output yaml")),
    ]
}

/// Whether the webhook's selector takes the namespace.
fn namespace(snapshot: &Snapshot, configuration: &Value) -> Vec<Finding> {
    const CHECK: &str = "namespace";
    let namespace = &snapshot.namespace;
    let object = match &snapshot.namespace_object {
        Ok(Some(object)) => object,
        Ok(None) => {
            let text = format!("namespace {namespace} does not exist; hint: {}", reason::KS817.fix);
            return vec![Finding::failed(CHECK, reason::KS817.code, text)];
        }
        Err(Unknown { .. }) => return Vec::new(),
    };
    let selector = &named(&configuration["webhooks"], LABEL_ENTRY)["namespaceSelector"];
    if selects(selector, &object["metadata"]["labels"]) {
        return Vec::new();
    }
    let text = format!(
        "the webhook does not look at pods of namespace {namespace}; hint: {}",
        reason::KS815.fix
    );
    let own_name = snapshot.installation_name();
    vec![Finding::failed(CHECK, reason::KS815.code, text).run(format!(
        "kubectl get mutatingwebhookconfiguration {own_name} --output \
         jsonpath='{{.webhooks[0].namespaceSelector}}'"
    ))]
}

fn azure_workload_identity(snapshot: &Snapshot) -> Vec<Finding> {
    let all = snapshot.list(Scope::Cluster, "mutatingwebhookconfigurations");
    let theirs = all.iter().find(|one| {
        items(&one["webhooks"]).iter().any(|entry| entry["name"] == AZURE_WORKLOAD_IDENTITY)
    });
    let Some(theirs) = theirs else { return Vec::new() };
    let text = format!(
        "Azure Workload Identity's webhook is there too ({}): both change labelled pods; hint: \
         docs/azure-workload-identity.md has the steps from one to the other",
        super::snapshot::name(theirs)
    );
    vec![Finding::warning("azure-workload-identity", reason::KS732.code, text)]
}
