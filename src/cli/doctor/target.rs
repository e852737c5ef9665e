//! What is asked about: `pod/web-1`, `deploy/web`, `web`.

use super::snapshot::{name, text};
use super::workload::Workload;
use std::fmt;
use std::str::FromStr;

/// A kind, if one was written, and a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TargetName {
    kind: Option<&'static str>,
    name: String,
}

/// Kinds with the names that kubectl takes for them.
const KINDS: [(&str, &[&str]); 7] = [
    ("Pod", &["pod", "pods", "po"]),
    ("Deployment", &["deployment", "deployments", "deploy"]),
    ("StatefulSet", &["statefulset", "statefulsets", "sts"]),
    ("DaemonSet", &["daemonset", "daemonsets", "ds"]),
    ("ReplicaSet", &["replicaset", "replicasets", "rs"]),
    ("CronJob", &["cronjob", "cronjobs", "cj"]),
    ("Job", &["job", "jobs"]),
];

impl FromStr for TargetName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((kind, name)) = text.split_once('/') else {
            return Ok(Self { kind: None, name: crate::cli::object_name(text)? });
        };
        let wanted = kind.split('.').next().unwrap_or_default().to_ascii_lowercase();
        let known = KINDS.iter().find(|(_, names)| names.contains(&wanted.as_str()));
        let Some((kind, _)) = known else {
            return Err(format!(
                "{kind:?} is not a kind that makes pods; hint: write pod/NAME, deploy/NAME, \
                 sts/NAME, ds/NAME, rs/NAME, job/NAME or cronjob/NAME"
            ));
        };
        Ok(Self { kind: Some(kind), name: crate::cli::object_name(name)? })
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "{kind} {}", self.name),
            None => write!(f, "workload {}", self.name),
        }
    }
}

impl TargetName {
    /// Whether a workload is meant: itself, or something that it made.
    pub(super) fn is(&self, workload: &Workload<'_>) -> bool {
        match self.kind {
            Some(kind) => workload.family.contains(&(kind, self.name.as_str())),
            None => workload.family.iter().any(|(_, name)| *name == self.name),
        }
    }

    /// Leaves the pod that is asked about, if it is one that a workload made.
    pub(super) fn narrow(&self, workload: &mut Workload<'_>) {
        let is_named = workload.pods.iter().any(|pod| name(pod) == self.name);
        let is_own = text(&workload.object["kind"]) == "Pod";
        if self.kind.is_none_or(|kind| kind == "Pod") && is_named && !is_own {
            workload.pods.retain(|pod| name(pod) == self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_written_as_for_kubectl() {
        for (written, expected) in [
            ("deploy/web", Some("Deployment web")),
            ("deployments.apps/web", Some("Deployment web")),
            ("po/web-1", Some("Pod web-1")),
            ("web", Some("workload web")),
            ("svc/web", None),
            ("pod/", None),
            ("pod/../secrets", None),
        ] {
            let read = written.parse::<TargetName>().map(|target| target.to_string());
            assert_eq!(read.ok().as_deref(), expected, "{written}");
        }
    }
}
