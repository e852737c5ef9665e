//! Workloads: objects with a template from which a controller makes pods.

use super::{Metadata, OwnerReference, Pod};
use crate::json::{Text, view};

view! {
    /// A workload of Kubernetes, as far as we look.
    pub struct Workload<'a> {
        /// `apps/v1`; absent in a list.
        "apiVersion" api_version: Option<Text<'a>>,
        /// `Deployment`.
        "kind" kind: Text<'a>,
        /// Name, labels, annotations: its own, not those of its pods.
        "metadata" metadata: Metadata<'a>,
        /// The template, at the place of its kind.
        "spec" spec: WorkloadSpec<'a>,
    }

    /// `spec`.
    pub struct WorkloadSpec<'a> {
        /// Of all kinds but a CronJob.
        "template" template: Option<Pod<'a>>,
        /// Of a CronJob.
        "jobTemplate" job_template: JobTemplate<'a>,
    }

    /// `spec.jobTemplate` of a CronJob.
    pub struct JobTemplate<'a> {
        /// As of a Job.
        "spec" spec: JobSpec<'a>,
    }

    /// `spec.jobTemplate.spec`.
    pub struct JobSpec<'a> {
        /// The template.
        "template" template: Option<Pod<'a>>,
    }
}

/// Label of a Deployment's pods: what the name of their ReplicaSet ends with.
pub const HASH_LABEL: &str = "pod-template-hash";
/// In place of the hash that a Deployment calculates.
pub const EXAMPLE_HASH: &str = "0000000000";
/// In place of the uid that the API server gives.
pub const EXAMPLE_UID: &str = "00000000-0000-0000-0000-000000000000";

/// What creates the pods of a workload: the controller in their `ownerReferences`.
#[derive(Debug, PartialEq, Eq)]
pub struct Controller<'a> {
    /// `apps/v1`
    pub api_version: &'a str,
    /// `ReplicaSet`
    pub kind: &'a str,
    /// Its name, with [`EXAMPLE_HASH`] where it ends with a hash.
    pub name: String,
    /// Whether its pods have the label [`HASH_LABEL`].
    pub has_hash: bool,
}

impl<'a> Controller<'a> {
    /// A Deployment's pods belong to a ReplicaSet, those of a CronJob to a Job, others to the
    /// workload itself. Without `api_version`, as in a list, the kinds of Kubernetes are meant.
    pub fn of(api_version: Option<&'a str>, kind: &'a str, name: &str) -> Self {
        let is_apps = api_version.is_none_or(|version| version.starts_with("apps/"));
        let is_batch = api_version.is_none_or(|version| version.starts_with("batch/"));
        let (api_version, kind, has_hash) = match kind {
            "Deployment" if is_apps => ("apps/v1", "ReplicaSet", true),
            "StatefulSet" | "DaemonSet" | "ReplicaSet" if is_apps => ("apps/v1", kind, false),
            "CronJob" | "Job" if is_batch => ("batch/v1", "Job", false),
            _ => (api_version.unwrap_or("v1"), kind, false),
        };
        let name = if has_hash { format!("{name}-{EXAMPLE_HASH}") } else { name.to_owned() };
        Self { api_version, kind, name, has_hash }
    }
}

/// Where the kinds of Kubernetes have their template, as a JSON pointer.
pub fn template_pointer(kind: &str) -> Option<&'static str> {
    match kind {
        "Deployment"
        | "StatefulSet"
        | "DaemonSet"
        | "ReplicaSet"
        | "ReplicationController"
        | "Job" => Some("/spec/template"),
        "CronJob" => Some("/spec/jobTemplate/spec/template"),
        "PodTemplate" => Some("/template"),
        _ => None,
    }
}

impl<'a> Workload<'a> {
    /// Its name, or the prefix of the name to come.
    pub fn name(&self) -> &str {
        let names = [&self.metadata.name, &self.metadata.generate_name];
        let mut names = names.into_iter().flatten().map(|name| &**name);
        names.find(|name| !name.is_empty()).unwrap_or_default()
    }

    /// Takes out a pod as its controller would create it: the template's metadata and spec, a
    /// generated name and an owner. `None` where there is no template.
    pub fn take_pod(&mut self) -> Option<Pod<'a>> {
        let template = match template_pointer(&self.kind) {
            Some("/spec/template") => self.spec.template.take(),
            Some("/spec/jobTemplate/spec/template") => self.spec.job_template.spec.template.take(),
            _ => None,
        };
        let mut pod = template?;
        let name = self.name();
        pod.metadata.name = None;
        pod.metadata.generate_name = Some(Text::from(format!("{name}-")));
        let controller = Controller::of(self.api_version.as_deref(), &self.kind, name);
        if controller.has_hash {
            pod.metadata.labels.put(HASH_LABEL, EXAMPLE_HASH);
        }
        pod.metadata.owner_references = Some(vec![OwnerReference {
            api_version: Text::from(controller.api_version.to_owned()),
            kind: Text::from(controller.kind.to_owned()),
            name: Text::from(controller.name),
            uid: Text::from(EXAMPLE_UID.to_owned()),
            controller: Some(true),
        }]);
        Some(pod)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use serde_json::{Value, json};

    fn pod_of(workload: &Value) -> Option<(String, String, String)> {
        let text = workload.to_string();
        let mut workload: Workload<'_> = json::from_slice(text.as_bytes()).unwrap();
        let pod = workload.take_pod()?;
        let owner = &pod.metadata.owner_references.as_ref().unwrap()[0];
        let owner = format!("{} {} {}", &*owner.api_version, &*owner.kind, &*owner.name);
        let hash = pod.metadata.labels.find(HASH_LABEL).unwrap_or_default().to_owned();
        Some((pod.display_name().into_owned(), owner, hash))
    }

    fn workload(api: &str, kind: &str, spec: &Value) -> Value {
        json!({"apiVersion": api, "kind": kind, "metadata": {"name": "web"}, "spec": spec})
    }

    #[test]
    fn a_pod_is_as_its_controller_creates_it() {
        let template = json!({"metadata": {"name": "ignored", "labels": {"a": "b"}},
            "spec": {"containers": []}});
        let plain = json!({"template": template});
        let nested = json!({"jobTemplate": {"spec": plain}});
        for (api, kind, spec, owner, hash) in [
            ("apps/v1", "Deployment", &plain, "apps/v1 ReplicaSet web-0000000000", EXAMPLE_HASH),
            ("apps/v1", "StatefulSet", &plain, "apps/v1 StatefulSet web", ""),
            ("apps/v1", "DaemonSet", &plain, "apps/v1 DaemonSet web", ""),
            ("apps/v1", "ReplicaSet", &plain, "apps/v1 ReplicaSet web", ""),
            ("batch/v1", "Job", &plain, "batch/v1 Job web", ""),
            ("batch/v1", "CronJob", &nested, "batch/v1 Job web", ""),
        ] {
            let workload = workload(api, kind, spec);
            let expected = ("web- (prefix)".to_owned(), owner.to_owned(), hash.to_owned());
            assert_eq!(pod_of(&workload), Some(expected), "{workload}");
        }
        for none in [
            workload("apps/v1", "Deployment", &json!({})),
            workload("batch/v1", "CronJob", &plain),
            workload("v1", "Service", &plain),
        ] {
            assert_eq!(pod_of(&none), None, "{none}");
        }
    }
}
