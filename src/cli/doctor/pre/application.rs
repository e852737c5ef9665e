//! The checks of a namespace whose pods are to get a sidecar.

use super::super::finding::{API_SERVER, Finding, Level};
use super::super::network;
use super::super::snapshot::name;
use super::facts::{Application, Fact, Probed, Unknown, Wanted, items};
use super::image::not_run;
use super::probe::{has_tried, unanswered};
use crate::mutate::{LEAST_SIDECAR_MEMORY_BYTES, SIDECAR_MEMORY_REQUEST, USE_LABEL};
use crate::quantity::{nanos, of_bytes};
use crate::reason;
use serde_json::{Value, json};

pub(super) fn application(application: &Application) -> Vec<Finding> {
    let namespace = &application.namespace;
    if application.object == Ok(None) {
        let text = format!("namespace {namespace} does not exist; hint: {}", reason::KS817.fix);
        return vec![Finding::failed("namespace", reason::KS817.code, text)];
    }
    let sidecar = Sidecar::of(application);
    let (quotas, unread_quotas) = known(&application.quotas, "resourcequotas", namespace);
    let (ranges, unread_ranges) = known(&application.limit_ranges, "limitranges", namespace);
    let (policies, unread_policies) =
        known(&application.network_policies, "networkpolicies", namespace);
    let containers: Vec<&Value> = ranges
        .iter()
        .flat_map(|range| items(&range["spec"]["limits"]))
        .filter(|limit| limit["type"] == "Container")
        .collect();
    let mut findings: Vec<Finding> =
        quotas.iter().flat_map(|quota| sidecar.in_quota(quota, &containers, namespace)).collect();
    findings.extend(ranges.iter().flat_map(|range| sidecar.in_range(range, namespace)));
    let labels = json!({USE_LABEL: "true"});
    let blocked = network::blocked(policies, &labels);
    findings.extend(blocked.map(|blocked| {
        let whom = format!("labelled pods of namespace {namespace}");
        blocked.finding(Level::Warning, &whom, namespace)
    }));
    findings.extend([unread_quotas, unread_ranges, unread_policies].into_iter().flatten());
    if findings.is_empty() {
        let text = format!(
            "quotas, LimitRanges and NetworkPolicies of namespace {namespace} leave room for a \
             sidecar"
        );
        findings.push(Finding::good("application", text));
    }
    if let Some((wanted, probed)) = &application.probe {
        findings.insert(0, probe(namespace, wanted, probed));
    }
    findings
}

/// What a pod of the namespace met.
fn probe(namespace: &str, wanted: &Wanted, probed: &Fact<Probed>) -> Finding {
    const CHECK: &str = "probe";
    let container = match probed {
        Ok(Probed::Ran(container)) => container,
        Ok(Probed::Refused(message)) => {
            let text = format!(
                "a pod with the sidecar's image is refused in namespace {namespace}: {message}; \
                 hint: {}",
                reason::KS810.fix
            );
            return Finding::failed(CHECK, reason::KS810.code, text);
        }
        Err(Unknown { message, .. }) => {
            let text = format!("not checked: egress of namespace {namespace}: {message}");
            return Finding::skipped("rights-of-caller", text);
        }
    };
    if !has_tried(&container.state, wanted) {
        return not_run(CHECK, container, namespace);
    }
    let unanswered = unanswered(&container.state);
    if unanswered.is_empty() {
        return Finding::good(
            CHECK,
            format!(
                "in namespace {namespace} the sidecar's image was pulled, and these answer: {}",
                wanted.urls.join(", ")
            ),
        );
    }
    let text = format!(
        "from namespace {namespace} some services do not answer: {}; hint: {}",
        unanswered.join("; "),
        reason::KS820.fix
    );
    Finding::failed(CHECK, reason::KS820.code, text)
        .run(format!("kubectl -n {namespace} get networkpolicy"))
}

/// What was read, or why not.
fn known<'a>(
    fact: &'a Fact<Vec<Value>>,
    resource: &str,
    namespace: &str,
) -> (&'a [Value], Option<Finding>) {
    match fact {
        Ok(list) => (list, None),
        Err(Unknown { forbidden, message }) => {
            let finding = if *forbidden {
                let needs = format!("needs list {resource} in namespace {namespace}");
                Finding::skipped("rights-of-caller", format!("not checked: {resource}: {needs}"))
            } else {
                let text = format!("{resource} of namespace {namespace} cannot be read: {message}");
                Finding::failed(API_SERVER, reason::KS705.code, text)
            };
            (&[], Some(finding))
        }
    }
}

/// What the sidecar's container requests and may use.
struct Sidecar<'a> {
    cpu_request: &'a str,
    cpu_limit: Option<&'a str>,
    memory_request: &'a str,
    memory_limit: String,
}

impl<'a> Sidecar<'a> {
    fn of(application: &'a Application) -> Self {
        Self {
            cpu_request: &application.cpu_request,
            cpu_limit: application.cpu_limit.as_deref(),
            memory_request: SIDECAR_MEMORY_REQUEST,
            memory_limit: of_bytes(LEAST_SIDECAR_MEMORY_BYTES),
        }
    }

    /// A quota that keeps pods with a sidecar out. Those with a scope are for some pods only.
    fn in_quota(&self, quota: &Value, containers: &[&Value], namespace: &str) -> Vec<Finding> {
        let spec = &quota["spec"];
        if !items(&spec["scopes"]).is_empty() || !spec["scopeSelector"].is_null() {
            return Vec::new();
        }
        let has_default = containers
            .iter()
            .any(|limit| !limit["default"]["cpu"].is_null() || !limit["max"]["cpu"].is_null());
        let is_bounded = !spec["hard"]["limits.cpu"].is_null();
        let mut findings = Vec::new();
        if is_bounded && self.cpu_limit.is_none() && !has_default {
            let text = format!(
                "ResourceQuota {} of namespace {namespace} wants a CPU limit of every container, \
                 and the sidecar has none; hint: set injector.cpuLimit of the chart, or \
                 keysluice.dev/cpu-limit on the pods",
                name(quota)
            );
            findings.push(Finding::failed("quota", reason::KS808.code, text));
        }
        let wanted = [
            ("cpu", Some(self.cpu_request)),
            ("requests.cpu", Some(self.cpu_request)),
            ("limits.cpu", self.cpu_limit),
            ("memory", Some(self.memory_request)),
            ("requests.memory", Some(self.memory_request)),
            ("limits.memory", Some(&self.memory_limit)),
        ];
        let full: Vec<String> = wanted
            .into_iter()
            .filter_map(|(key, amount)| Some((key, amount?)))
            .filter(|(key, amount)| is_full(quota, key, amount) == Some(true))
            .map(|(key, amount)| format!("{key} ({amount})"))
            .collect();
        if !full.is_empty() {
            let text = format!(
                "ResourceQuota {} of namespace {namespace} has no room for a further sidecar: {}; \
                 hint: raise the quota",
                name(quota),
                full.join(", ")
            );
            let finding = Finding::warning("quota", reason::KS808.code, text);
            findings.push(
                finding.run(format!("kubectl -n {namespace} describe quota {}", name(quota))),
            );
        }
        findings
    }

    /// A LimitRange that refuses the sidecar's container.
    fn in_range(&self, range: &Value, namespace: &str) -> Vec<Finding> {
        let limits = items(&range["spec"]["limits"]).iter();
        let problems = limits
            .filter(|limit| limit["type"] == "Container")
            .flat_map(|limit| self.problems(limit));
        problems
            .map(|problem| {
                let text = format!(
                    "LimitRange {} of namespace {namespace} refuses the sidecar: {problem}",
                    name(range)
                );
                Finding::failed("limit-range", reason::KS808.code, text)
                    .run(format!("kubectl -n {namespace} describe limitrange {}", name(range)))
            })
            .collect()
    }

    fn problems(&self, limit: &Value) -> Vec<String> {
        const CPU: &str = "set injector.cpuRequest and injector.cpuLimit of the chart, or \
            keysluice.dev/cpu-request and cpu-limit on the pods";
        const MEMORY: &str = "change the LimitRange";
        // What the admission plug-in sets where a container has no limit.
        let default = limit["default"]["cpu"].as_str().or_else(|| limit["max"]["cpu"].as_str());
        let rows = [
            ("cpu", self.cpu_request, self.cpu_limit.or(default), CPU),
            ("memory", self.memory_request, Some(self.memory_limit.as_str()), MEMORY),
        ];
        let mut problems = Vec::new();
        for (resource, request, most, hint) in rows {
            if let Some(least) = limit["min"][resource].as_str()
                && is_below(request, least) == Some(true)
            {
                problems.push(format!(
                    "its {resource} request {request} is below the minimum {least}; hint: {hint}"
                ));
            }
            if let (Some(largest), Some(most)) = (limit["max"][resource].as_str(), most)
                && is_below(largest, most) == Some(true)
            {
                problems.push(format!(
                    "its {resource} limit {most} is above the maximum {largest}; hint: {hint}"
                ));
            }
            let largest_ratio = limit["maxLimitRequestRatio"][resource].as_str();
            if let (Some(ratio), Some(most)) = (largest_ratio, most)
                && is_ratio_above(most, request, ratio) == Some(true)
            {
                problems.push(format!(
                    "its {resource} limit {most} is more than {ratio} times its request \
                     {request}; hint: {hint}"
                ));
            }
        }
        problems
    }
}

/// Whether a quota has less than this amount left of a resource that it bounds.
fn is_full(quota: &Value, resource: &str, amount: &str) -> Option<bool> {
    let used = quota["status"]["used"][resource].as_str().and_then(nanos).unwrap_or_default();
    let left = nanos(quota["spec"]["hard"][resource].as_str()?)?.checked_sub(used)?;
    Some(nanos(amount)? > left)
}

fn is_below(amount: &str, bound: &str) -> Option<bool> {
    Some(nanos(amount)? < nanos(bound)?)
}

fn is_ratio_above(limit: &str, request: &str, ratio: &str) -> Option<bool> {
    const NANO: i128 = 1_000_000_000;
    let most = nanos(request)?.checked_mul(nanos(ratio)?)? / NANO;
    Some(nanos(limit)? > most)
}

#[cfg(test)]
#[path = "application_tests.rs"]
mod tests;
