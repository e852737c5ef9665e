//! The workloads of a namespace with their pods, and what the webhook's own code says of them.

use super::pre::items;
use super::snapshot::{Scope, Snapshot, name, text};
use crate::admission::Answer;
use crate::cli::Failure;
use crate::cli::decision;
use crate::cli::manifest_pods::{ManifestPod, pods_of};
use crate::cluster::manifests::{Document, Manifests};
use crate::settings::Settings;
use serde_json::Value;
use std::collections::BTreeSet;

/// Kinds that make pods, and bare pods.
const OWNERS: [&str; 7] =
    ["deployments", "statefulsets", "daemonsets", "replicasets", "cronjobs", "jobs", "pods"];

/// A workload: what a user wrote, and what came of it.
#[derive(Debug)]
pub(super) struct Workload<'s> {
    /// `Deployment shop/web`.
    pub(super) title: String,
    pub(super) object: &'s Value,
    pub(super) document: Document,
    pub(super) pods: Vec<&'s Value>,
    /// Kind and name of the workload and of everything below it.
    pub(super) family: BTreeSet<(&'s str, &'s str)>,
}

/// A workload, and what the webhook would answer.
#[derive(Debug)]
pub(super) struct Judged<'s> {
    pub(super) workload: Workload<'s>,
    /// Its template as a pod.
    pub(super) pod: ManifestPod,
    pub(super) answer: Answer,
    /// Where the label is, if it is in the wrong place.
    pub(super) misplaced: Option<String>,
    /// What the webhook would do with each of its pods as it is now.
    pub(super) live: Vec<(&'s Value, Answer)>,
}

/// Everything of the namespace that makes pods and that none of the others made: what a user
/// wrote, or what a controller of another kind made.
pub(super) fn workloads(snapshot: &Snapshot) -> Vec<Workload<'_>> {
    let all: Vec<&Value> = objects(snapshot).collect();
    let known: BTreeSet<_> = all.iter().map(|one| (text(&one["kind"]), name(one))).collect();
    all.iter()
        .filter(|object| controller(object).is_none_or(|owner| !known.contains(&owner)))
        .map(|object| Workload::new(snapshot, object))
        .collect()
}

/// The object that an event is about.
pub(super) fn object_of<'s>(snapshot: &'s Snapshot, event: &Value) -> Option<&'s Value> {
    let about = &event["involvedObject"];
    objects(snapshot).find(|one| one["kind"] == about["kind"] && name(one) == about["name"])
}

fn objects(snapshot: &Snapshot) -> impl Iterator<Item = &Value> {
    OWNERS.iter().flat_map(|resource| snapshot.list(Scope::Workloads, resource))
}

/// The objects that the webhook's decisions depend on.
pub(super) fn manifests(snapshot: &Snapshot) -> Manifests {
    let mut manifests = Manifests::default();
    let kinds = [
        (Scope::Cluster, "serviceaccounts"),
        (Scope::Cluster, "secretproviderclasses"),
        (Scope::Workloads, "serviceaccounts"),
        (Scope::Workloads, "secretproviderclasses"),
        (Scope::Cluster, "csidrivers"),
        (Scope::Cluster, "clusterroles"),
        (Scope::Cluster, "clusterrolebindings"),
        (Scope::Workloads, "roles"),
        (Scope::Workloads, "rolebindings"),
    ];
    for (scope, resource) in kinds {
        for object in snapshot.list(scope, resource) {
            manifests.add(&Document { value: object.clone(), ..Document::default() });
        }
    }
    manifests
}

impl<'s> Workload<'s> {
    fn new(snapshot: &'s Snapshot, object: &'s Value) -> Self {
        let (kind, own_name) = (text(&object["kind"]), name(object));
        let mut family = BTreeSet::from([(kind, own_name)]);
        // A CronJob's Jobs, a Deployment's ReplicaSets; then their pods.
        for resource in ["replicasets", "jobs"] {
            let below = snapshot.list(Scope::Workloads, resource);
            let below = below.iter().filter(|one| is_in(&family, one));
            let below: Vec<_> = below.map(|one| (text(&one["kind"]), name(one))).collect();
            family.extend(below);
        }
        let all = snapshot.list(Scope::Workloads, "pods").iter();
        let pods: Vec<&Value> = match kind {
            "Pod" => vec![object],
            _ => all.filter(|pod| is_in(&family, pod)).collect(),
        };
        family.extend(pods.iter().map(|pod| ("Pod", name(pod))));
        Self {
            title: format!("{kind} {}/{own_name}", snapshot.namespace),
            document: Document {
                origin: "the API server".to_owned(),
                value: object.clone(),
                ..Document::default()
            },
            object,
            pods,
            family,
        }
    }

    /// As `kubectl` names it: `deploy/web`, `pod/web`.
    pub(super) fn reference(&self) -> String {
        let kind = text(&self.object["kind"]).to_ascii_lowercase();
        format!("{kind}/{}", name(self.object))
    }

    /// Events about the workload or anything below it, the latest last.
    pub(super) fn events(&self, snapshot: &'s Snapshot) -> Vec<&'s Value> {
        let all = snapshot.list(Scope::Workloads, "events").iter();
        let mut events: Vec<&Value> = all.filter(|event| self.is_about(event)).collect();
        events.sort_by_key(|event| last_seen(event));
        events
    }

    fn is_about(&self, event: &Value) -> bool {
        let object = &event["involvedObject"];
        self.family.contains(&(text(&object["kind"]), text(&object["name"])))
    }

    /// Judges the template, and each pod as it is.
    ///
    /// # Errors
    /// Never for objects that the API server has.
    pub(super) async fn judge(
        self,
        settings: &Settings,
        cluster: &Manifests,
    ) -> Result<Option<Judged<'s>>, Failure> {
        let Some(pod) = pods_of(&self.document).pods.into_iter().next() else { return Ok(None) };
        let answer = decision::decide(&pod, &self.document, settings, cluster).await?;
        let misplaced = decision::misplaced(&pod, &self.document);
        let mut live = Vec::new();
        for object in self.pods.iter().copied().filter(|pod| is_alive(pod)) {
            let document = Document { value: object.clone(), ..Document::default() };
            for pod in pods_of(&document).pods {
                let answer = decision::decide(&pod, &document, settings, cluster).await?;
                live.push((object, answer));
            }
        }
        Ok(Some(Judged { workload: self, pod, answer, misplaced, live }))
    }
}

/// Kind and name of what made an object.
fn controller(object: &Value) -> Option<(&str, &str)> {
    let owners = items(&object["metadata"]["ownerReferences"]);
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    Some((text(&owner["kind"]), text(&owner["name"])))
}

fn is_in(family: &BTreeSet<(&str, &str)>, object: &Value) -> bool {
    controller(object).is_some_and(|owner| family.contains(&owner))
}

/// Neither ended nor about to be removed.
fn is_alive(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
        && !["Succeeded", "Failed"].contains(&text(&pod["status"]["phase"]))
}

fn last_seen(event: &Value) -> &str {
    let times =
        [&event["series"]["lastObservedTime"], &event["lastTimestamp"], &event["eventTime"]];
    times.into_iter().find_map(Value::as_str).unwrap_or_default()
}
