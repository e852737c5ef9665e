//! Whether network policies let a pod reach Entra and the vaults.

use super::finding::{Finding, Level};
use super::pre::items;
use super::snapshot::{Scope, Snapshot, name, text};
use crate::reason;
use serde_json::Value;

const CHECK: &str = "network";
const HTTPS: i64 = 443;
const DNS: i64 = 53;

/// What the policies of the namespace keep a pod from, if it fetches secrets. `is_blocked` says
/// that a sidecar of such a pod cannot reach something.
pub(super) fn egress(snapshot: &Snapshot, pod: &Value, is_blocked: bool) -> Vec<Finding> {
    let policies = snapshot.list(Scope::Workloads, "networkpolicies");
    let Some(blocked) = blocked(policies, &pod["metadata"]["labels"]) else { return Vec::new() };
    let level = if is_blocked { Level::Failed } else { Level::Warning };
    vec![blocked.finding(level, "the pod", &snapshot.namespace)]
}

/// What no policy allows, of those that restrict a pod.
#[derive(Debug)]
pub(super) struct Blocked<'p> {
    policies: Vec<&'p str>,
    missing: Vec<&'static str>,
}

/// `None` where pods with these labels may send what a sidecar sends.
pub(super) fn blocked<'p>(policies: &'p [Value], labels: &Value) -> Option<Blocked<'p>> {
    let selecting: Vec<&Value> = policies.iter().filter(|one| restricts(one, labels)).collect();
    if selecting.is_empty() {
        return None;
    }
    let rules: Vec<&Value> =
        selecting.iter().flat_map(|one| items(&one["spec"]["egress"])).collect();
    let can_leave = rules.iter().any(|rule| allows_port(rule, "TCP", HTTPS) && leads_outside(rule));
    let can_resolve = rules.iter().any(|rule| allows_port(rule, "UDP", DNS));
    let missing: Vec<&str> =
        [(can_leave, "TCP 443 to addresses outside the cluster"), (can_resolve, "UDP 53 for DNS")]
            .into_iter()
            .filter_map(|(is_allowed, what)| (!is_allowed).then_some(what))
            .collect();
    let policies = selecting.iter().map(|one| name(one)).collect();
    (!missing.is_empty()).then_some(Blocked { policies, missing })
}

impl Blocked<'_> {
    pub(super) fn finding(&self, level: Level, whom: &str, namespace: &str) -> Finding {
        let text = format!(
            "NetworkPolicy {} selects {whom}, and no policy allows {}; hint: {}",
            self.policies.join(", "),
            self.missing.join(", or "),
            reason::KS811.fix
        );
        Finding::new(CHECK, level, reason::KS811.code, text).run(format!(
            "kubectl -n {namespace} describe networkpolicy {}",
            self.policies.join(" ")
        ))
    }
}

/// Whether a policy is about what the pod sends.
fn restricts(policy: &Value, labels: &Value) -> bool {
    let spec = &policy["spec"];
    let types = items(&spec["policyTypes"]);
    let is_egress =
        types.iter().any(|one| one == "Egress") || types.is_empty() && !spec["egress"].is_null();
    is_egress && selects(&spec["podSelector"], labels)
}

/// A label selector.
pub(super) fn selects(selector: &Value, labels: &Value) -> bool {
    let by_label = selector["matchLabels"].as_object().into_iter().flatten();
    by_label.into_iter().all(|(key, value)| labels[key.as_str()] == *value)
        && items(&selector["matchExpressions"]).iter().all(|one| holds(one, labels))
}

fn holds(expression: &Value, labels: &Value) -> bool {
    let label = &labels[text(&expression["key"])];
    let is_among = items(&expression["values"]).contains(label);
    match text(&expression["operator"]) {
        "In" => is_among,
        "NotIn" => !is_among,
        "Exists" => !label.is_null(),
        "DoesNotExist" => label.is_null(),
        _ => false,
    }
}

fn allows_port(rule: &Value, protocol: &str, port: i64) -> bool {
    let ports = items(&rule["ports"]);
    ports.is_empty() || ports.iter().any(|one| is_port(one, protocol, port))
}

fn is_port(allowed: &Value, protocol: &str, port: i64) -> bool {
    let is_protocol = allowed["protocol"].as_str().unwrap_or("TCP") == protocol;
    let first = allowed["port"].as_i64();
    let last = allowed["endPort"].as_i64().or(first);
    // A port by name is one of a pod.
    let is_named = allowed["port"].is_string();
    let is_within = first.is_none_or(|first| first <= port) && last.is_none_or(|last| port <= last);
    is_protocol && !is_named && is_within
}

/// Whether a rule names addresses, or anything at all. An exception of it is not looked at.
fn leads_outside(rule: &Value) -> bool {
    let peers = items(&rule["to"]);
    peers.is_empty() || peers.iter().any(|peer| !peer["ipBlock"].is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::SystemTime;

    fn found(egress_rules: &Value, selector: &Value) -> Option<String> {
        let mut snapshot = Snapshot::new("shop", SystemTime::UNIX_EPOCH);
        let policy = json!({"metadata": {"name": "p"}, "spec": {"podSelector": selector,
            "policyTypes": ["Egress"], "egress": egress_rules}});
        let source = super::super::snapshot::SOURCES
            .iter()
            .find(|source| source.resource == "networkpolicies")
            .unwrap();
        snapshot.add(source, Ok(vec![policy]));
        let pod = json!({"metadata": {"labels": {"app": "web"}}});
        egress(&snapshot, &pod, false).pop().map(|finding| finding.text)
    }

    #[test]
    fn what_no_policy_allows_is_named() {
        let all = json!({});
        let dns = json!({"ports": [{"port": 53, "protocol": "UDP"}]});
        let https = json!({"ports": [{"port": 443}], "to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]});
        let inside = json!({"to": [{"podSelector": {}}]});
        let range = json!({"ports": [{"port": 400, "endPort": 500}]});
        for (rules, selector, expected) in [
            (json!([]), &all, Some("TCP 443 to addresses outside the cluster, or UDP 53")),
            (json!([{}]), &all, None),
            (json!([dns]), &all, Some("TCP 443")),
            (json!([https]), &all, Some("UDP 53")),
            (json!([https, dns]), &all, None),
            (json!([range, dns]), &all, None),
            (json!([inside]), &all, Some("TCP 443")),
            (json!([]), &json!({"matchLabels": {"app": "db"}}), None),
            (
                json!([]),
                &json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}),
                Some("TCP 443"),
            ),
        ] {
            let text = found(&rules, selector);
            assert_eq!(text.is_some(), expected.is_some(), "{rules} {text:?}");
            assert!(text.unwrap_or_default().contains(expected.unwrap_or_default()), "{rules}");
        }
    }
}
