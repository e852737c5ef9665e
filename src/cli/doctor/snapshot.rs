//! What is known of a cluster: objects as the API server gives them, and what could not be read.

use super::pre::{Fact, Unknown, items};
use super::status::Status;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// Which objects of a kind are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Those of the whole cluster.
    Cluster,
    /// Those of the namespace of the installation.
    Installation,
    /// Those of the namespace that is looked at.
    Workloads,
}

/// Objects of one kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    pub(super) scope: Scope,
    /// `/apis/apps/v1`.
    pub(super) root: &'static str,
    /// `deployments`.
    pub(super) resource: &'static str,
    pub(super) kind: &'static str,
    /// What is not checked without them.
    pub(super) purpose: &'static str,
}

const fn source(
    scope: Scope,
    root: &'static str,
    resource: &'static str,
    kind: &'static str,
    purpose: &'static str,
) -> Source {
    Source { scope, root, resource, kind, purpose }
}

const CORE: &str = "/api/v1";
const APPS: &str = "/apis/apps/v1";
const BATCH: &str = "/apis/batch/v1";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";
const STORE: &str = "/apis/secrets-store.csi.x-k8s.io/v1";

/// Everything that is listed, in this order. The configurations come first: they say where the
/// installation is.
pub(super) const SOURCES: [Source; 23] = [
    source(
        Scope::Cluster,
        ADMISSION,
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
        "the webhook's entries and certificate, and other webhooks",
    ),
    source(
        Scope::Installation,
        APPS,
        "deployments",
        "Deployment",
        "the webhook's replicas and settings",
    ),
    source(Scope::Installation, CORE, "pods", "Pod", "where the webhook's replicas run"),
    source(
        Scope::Cluster,
        "/apis/storage.k8s.io/v1",
        "csidrivers",
        "CSIDriver",
        "whether the Secrets Store CSI driver is installed",
    ),
    source(Scope::Cluster, RBAC, "clusterroles", "ClusterRole", "rights by ClusterRoles"),
    source(
        Scope::Cluster,
        RBAC,
        "clusterrolebindings",
        "ClusterRoleBinding",
        "rights by ClusterRoles",
    ),
    source(Scope::Workloads, APPS, "deployments", "Deployment", "Deployments"),
    source(Scope::Workloads, APPS, "statefulsets", "StatefulSet", "StatefulSets"),
    source(Scope::Workloads, APPS, "daemonsets", "DaemonSet", "DaemonSets"),
    source(Scope::Workloads, APPS, "replicasets", "ReplicaSet", "ReplicaSets"),
    source(Scope::Workloads, BATCH, "cronjobs", "CronJob", "CronJobs"),
    source(Scope::Workloads, BATCH, "jobs", "Job", "Jobs"),
    source(Scope::Workloads, CORE, "pods", "Pod", "pods, and what their sidecars say"),
    source(Scope::Workloads, CORE, "serviceaccounts", "ServiceAccount", "ServiceAccounts"),
    source(Scope::Workloads, STORE, "secretproviderclasses", CLASS, "SecretProviderClasses"),
    source(Scope::Workloads, CORE, "events", "Event", "why pods are not created or not started"),
    source(Scope::Workloads, CORE, "resourcequotas", "ResourceQuota", "quotas"),
    source(Scope::Workloads, CORE, "limitranges", "LimitRange", "LimitRanges"),
    source(
        Scope::Workloads,
        "/apis/networking.k8s.io/v1",
        "networkpolicies",
        "NetworkPolicy",
        "whether a NetworkPolicy stops egress",
    ),
    source(Scope::Workloads, RBAC, "roles", "Role", "rights to write Secrets and to react"),
    source(
        Scope::Workloads,
        RBAC,
        "rolebindings",
        "RoleBinding",
        "rights to write Secrets and to react",
    ),
    source(Scope::Cluster, CORE, "serviceaccounts", "ServiceAccount", ELSEWHERE),
    source(Scope::Cluster, STORE, "secretproviderclasses", CLASS, ELSEWHERE),
];
const CLASS: &str = "SecretProviderClass";
/// These two are read only where something is missing.
pub(super) const ELSEWHERE: &str = "whether what is missing is in another namespace";

/// What was read.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The namespace that is looked at.
    pub(super) namespace: String,
    /// Namespace and name of the installation, if its configuration could be read.
    pub(super) installation: Option<(String, String)>,
    lists: BTreeMap<(Scope, &'static str), Fact<Vec<Value>>>,
    /// The namespace itself.
    pub(super) namespace_object: Fact<Option<Value>>,
    /// The end of the log of a pod's sidecar, by the pod's name.
    pub(super) logs: BTreeMap<String, Fact<String>>,
    /// What a pod's sidecar says of itself, by the pod's name.
    pub(super) statuses: BTreeMap<String, Fact<Status>>,
    /// The issuer of ServiceAccount tokens.
    pub(super) issuer: Option<String>,
    /// What else the API server did not give as it should, and why.
    pub(super) unread: Vec<(String, Unknown)>,
    pub(super) now: SystemTime,
}

impl Snapshot {
    pub(super) fn new(namespace: &str, now: SystemTime) -> Self {
        Self {
            namespace: namespace.to_owned(),
            installation: None,
            lists: BTreeMap::new(),
            namespace_object: Ok(None),
            logs: BTreeMap::new(),
            statuses: BTreeMap::new(),
            issuer: None,
            unread: Vec::new(),
            now,
        }
    }

    pub(super) fn add(&mut self, source: &Source, list: Fact<Vec<Value>>) {
        self.lists.insert((source.scope, source.resource), list);
    }

    /// The objects; none where they could not be read.
    pub(super) fn list(&self, scope: Scope, resource: &'static str) -> &[Value] {
        self.lists
            .get(&(scope, resource))
            .and_then(|list| list.as_ref().ok())
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Whether they could be read.
    pub(super) fn knows(&self, scope: Scope, resource: &'static str) -> bool {
        self.lists.get(&(scope, resource)).is_some_and(Result::is_ok)
    }

    /// What could not be read, and why.
    pub(super) fn unknown(&self) -> impl Iterator<Item = (&'static Source, &Unknown)> {
        SOURCES.iter().filter_map(|source| {
            let list = self.lists.get(&(source.scope, source.resource))?;
            Some((source, list.as_ref().err()?))
        })
    }

    /// Whether the API server did not give a list of these that the caller may read.
    pub(super) fn has_gaps(&self, scope: Scope) -> bool {
        self.unknown().any(|(source, why)| source.scope == scope && !why.forbidden)
    }

    /// Namespace in which a source is read.
    pub(super) fn namespace_of(&self, scope: Scope) -> Option<&str> {
        match scope {
            Scope::Cluster => None,
            Scope::Installation => {
                Some(self.installation.as_ref().map_or(INSTALLATION.0, |(namespace, _)| namespace))
            }
            Scope::Workloads => Some(&self.namespace),
        }
    }

    /// Name of the installation's objects.
    pub(super) fn installation_name(&self) -> &str {
        self.installation.as_ref().map_or(INSTALLATION.1, |(_, name)| name)
    }

    /// The Deployment of the webhook.
    pub(super) fn webhook(&self) -> Option<&Value> {
        let deployments = self.list(Scope::Installation, "deployments");
        deployments.iter().find(|one| one["metadata"]["name"] == self.installation_name())
    }

    /// The configuration of the webhook.
    pub(super) fn configuration(&self) -> Option<&Value> {
        let all = self.list(Scope::Cluster, "mutatingwebhookconfigurations");
        all.iter().find(|one| is_ours(one))
    }
}

/// Where an installation is whose configuration cannot be read.
const INSTALLATION: (&str, &str) = ("keysluice-system", "keysluice");
/// The entry that selects pods by their label.
pub(super) const LABEL_ENTRY: &str = "pods.keysluice.dev";

fn is_ours(configuration: &Value) -> bool {
    items(&configuration["webhooks"]).iter().any(|entry| entry["name"] == LABEL_ENTRY)
}

/// Namespace and name of the installation, from its configuration.
pub(super) fn installation(configurations: &[Value]) -> Option<(String, String)> {
    let ours = configurations.iter().find(|one| is_ours(one))?;
    let service = &items(&ours["webhooks"]).first()?["clientConfig"]["service"];
    let namespace = service["namespace"].as_str().unwrap_or(INSTALLATION.0);
    Some((namespace.to_owned(), text(&ours["metadata"]["name"]).to_owned()))
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(super) fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

/// The item of a list that has this name.
pub(super) fn named<'v>(list: &'v Value, name: &str) -> &'v Value {
    static NOTHING: Value = Value::Null;
    items(list).iter().find(|one| one["name"] == name).unwrap_or(&NOTHING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_grants_everything_that_is_read() {
        let page = include_str!("../../../docs/doctor.md");
        for source in SOURCES {
            assert!(page.contains(source.resource), "docs/doctor.md lacks {}", source.resource);
        }
        assert!(page.contains("pods/log") && page.contains("pods/exec"));
        assert!(page.contains("namespaces"));
    }
}
