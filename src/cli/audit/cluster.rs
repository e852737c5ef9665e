//! The pods of a live cluster that have a sidecar. Pods are listed, and Jobs looked up by name;
//! nothing else is read.

use super::object_name;
use crate::audit::PodRecord;
use crate::cli::Failure;
use crate::cli::kubeconfig;
use crate::cluster::api::{ApiError, Client, get_metadata, list};
use crate::mutate::SIDECAR;
use crate::plan;
use crate::pod::HASH_LABEL;
use clap::Args;
use keysluice_plan::PLAN_ENV;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tokio::runtime::Runtime;

/// Which pods of which cluster.
#[derive(Debug, Args)]
pub(super) struct ClusterOptions {
    /// Reads the pods of all namespaces of a live cluster. Nothing is changed there.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Reads the pods of this namespace of a live cluster.
    #[arg(short = 'n', long, value_name = "NS", value_parser = object_name)]
    namespace: Option<String>,
    /// Kubeconfig of the API server to ask (default: KUBECONFIG, then ~/.kube/config, then the API
    /// server of the cluster in which the command runs).
    #[arg(long, env = "KEYSLUICE_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

impl ClusterOptions {
    /// Whether a cluster is to be read.
    pub(super) fn is_given(&self) -> bool {
        self.all_namespaces || self.namespace.is_some()
    }

    /// The namespace, if not all are to be read.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// A client, and the runtime that its connections need.
    pub(super) fn connect(&self) -> Result<(Runtime, Client), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let kubeconfig = kubeconfig::find(self.kubeconfig.clone())?;
        let client = Client::connect(kubeconfig.as_deref()).map_err(Failure::usage)?;
        drop(entered);
        Ok((runtime, client))
    }

    /// Gives each pod, and whether it runs.
    pub(super) fn each(&self, take: impl FnMut(PodRecord, bool)) -> Result<(), Failure> {
        let (runtime, client) = self.connect()?;
        runtime.block_on(self.list(&client, take))?;
        Ok(())
    }

    /// Gives each pod, and whether it runs.
    pub(super) async fn list(
        &self,
        client: &Client,
        mut take: impl FnMut(PodRecord, bool),
    ) -> Result<(), ApiError> {
        let path = match &self.namespace {
            Some(namespace) => format!("/api/v1/namespaces/{namespace}/pods"),
            None => "/api/v1/pods".to_owned(),
        };
        let mut of_jobs = Vec::new();
        list(client, &path, |pod| {
            let Some((record, is_running)) = record(&pod) else { return };
            if record.workload.starts_with("Job/") {
                of_jobs.push((record, is_running));
            } else {
                take(record, is_running);
            }
        })
        .await?;
        let mut owners = BTreeMap::<(String, String), Option<String>>::new();
        for (mut pod, is_running) in of_jobs {
            let job = (pod.namespace.clone(), pod.workload.clone());
            let owner = match owners.get(&job) {
                Some(owner) => owner.clone(),
                None => cron_job(client, &job.0, &job.1).await?,
            };
            if let Some(owner) = &owner {
                pod.workload.clone_from(owner);
            }
            owners.insert(job, owner);
            take(pod, is_running);
        }
        Ok(())
    }
}

/// The CronJob of `Job/web-29`, if there is one that may be read.
async fn cron_job(
    client: &Client,
    namespace: &str,
    workload: &str,
) -> Result<Option<String>, ApiError> {
    let job = workload.trim_start_matches("Job/");
    if object_name(namespace).is_err() || object_name(job).is_err() {
        return Ok(None);
    }
    let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs/{job}");
    match get_metadata(client, &path).await {
        Ok(job) => Ok(job.as_ref().and_then(controller).map(|(kind, name)| [kind, name].join("/"))),
        Err(ApiError::Refused { status: 403, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is known of a pod, and whether it runs; `None` without a sidecar.
fn record(pod: &Value) -> Option<(PodRecord, bool)> {
    let containers = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
    let mut containers = containers.into_iter().flatten().flatten();
    let sidecar = containers.find(|container| container["name"] == SIDECAR)?;
    let variables = sidecar["env"].as_array()?;
    let variable = variables.iter().find(|entry| entry["name"] == PLAN_ENV)?;
    let metadata = &pod["metadata"];
    let mut record = PodRecord {
        uid: text(&metadata["uid"]),
        namespace: text(&metadata["namespace"]),
        pod: text(&metadata["name"]),
        workload: workload(pod),
        service_account: text(&pod["spec"]["serviceAccountName"]),
        created: text(&metadata["creationTimestamp"]),
        ..PodRecord::default()
    };
    // A Plan of another version tells nothing, and its identity is not known.
    match variable["value"].as_str().and_then(plan::from_variable) {
        Some(plan) => record.add_plan(&plan),
        None => record.other_identity = true,
    }
    let has_ended = pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed";
    Some((record, !has_ended))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// `Deployment/web`: what made the pod, and what made that where the name tells. The name of a
/// ReplicaSet of a Deployment ends with the pod's label.
fn workload(pod: &Value) -> String {
    let own = pod["metadata"]["name"].as_str().unwrap_or_default();
    let Some((kind, name)) = controller(pod) else { return format!("Pod/{own}") };
    let hash = pod["metadata"]["labels"][HASH_LABEL].as_str().filter(|hash| !hash.is_empty());
    let deployment = hash
        .filter(|_| kind == "ReplicaSet")
        .and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'));
    match deployment {
        Some(deployment) => format!("Deployment/{deployment}"),
        None => format!("{kind}/{name}"),
    }
}

/// Kind and name of what made an object.
fn controller(object: &Value) -> Option<(&str, &str)> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    Some((owner["kind"].as_str()?, owner["name"].as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn made_by(kind: &str, name: &str, hash: &str) -> Value {
        json!({"metadata": {"name": "p-1", "labels": {"pod-template-hash": hash},
            "ownerReferences": [{"kind": "Other", "name": "x"},
                {"kind": kind, "name": name, "controller": true}]}})
    }

    #[test]
    fn a_pod_belongs_to_what_made_its_controller() {
        for (pod, expected) in [
            (made_by("ReplicaSet", "web-5d4f8", "5d4f8"), "Deployment/web"),
            (made_by("ReplicaSet", "web", "5d4f8"), "ReplicaSet/web"),
            (made_by("ReplicaSet", "web-5d4f8", ""), "ReplicaSet/web-5d4f8"),
            (made_by("StatefulSet", "db", "5d4f8"), "StatefulSet/db"),
            (made_by("Job", "import-29", ""), "Job/import-29"),
            (json!({"metadata": {"name": "bare"}}), "Pod/bare"),
        ] {
            assert_eq!(workload(&pod), expected);
        }
    }

    #[test]
    fn a_pod_without_a_sidecar_is_left_out_and_a_plan_of_another_version_tells_nothing() {
        assert_eq!(record(&json!({"spec": {"containers": [{"name": "app"}]}})), None);
        let mut pod = json!({"metadata": {"uid": "u", "name": "p", "namespace": "shop"},
            "spec": {"initContainers": [{"name": "keysluice", "env": []}],
                "containers": [{"name": "app"}]}, "status": {"phase": "Succeeded"}});
        assert_eq!(record(&pod), None);
        pod["spec"]["initContainers"][0]["env"] =
            json!([{"name": "KEYSLUICE_PLAN", "value": "{\"schema\":9}"}]);
        let (found, is_running) = record(&pod).unwrap();
        assert!(found.other_identity && found.objects.is_empty() && !is_running);
        assert_eq!(found.workload, "Pod/p");
    }
}
