//! What the sidecar does after files have changed.

use crate::{Plan, PlanError, RelativePath, is_object_name};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Variable in the application's containers that tells the sidecar whose a process is.
pub const CONTAINER_ENV: &str = "KEYSLUICE_CONTAINER";
/// Annotation of a workload's pod template that a rollout changes: when the newest vault object was
/// updated, and a digest of all versions.
pub const ROLLOUT_ANNOTATION: &str = "keysluice.dev/secrets-updated";

/// What happens after a generation with changed files, and its Secrets, are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reaction {
    /// What is done.
    pub action: ReactionAction,
    /// Only if one of these files changed; empty means any file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of: Vec<RelativePath>,
    /// Replicas react within this time, each at another moment.
    pub spread_seconds: u64,
}

/// A way to tell the application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum ReactionAction {
    /// A signal to the first process of each of these containers.
    Signal {
        /// Which.
        signal: ReactionSignal,
        /// The value of [`CONTAINER_ENV`] in each container.
        containers: Vec<String>,
    },
    /// SIGTERM to these containers, which the kubelet starts again in place.
    Restart {
        /// The value of [`CONTAINER_ENV`] in each container.
        containers: Vec<String>,
    },
    /// A POST request to the application.
    Http {
        /// `http://127.0.0.1:PORT/path` or `http://[::1]:PORT/path`
        url: String,
    },
    /// The pod evicts itself, and its controller creates another one.
    Evict {},
    /// One change of the owner's pod template for all replicas.
    Rollout {
        /// The owner.
        workload: WorkloadReference,
    },
}

impl ReactionAction {
    /// Whether the sidecar needs the API server for it.
    pub fn needs_api(&self) -> bool {
        matches!(self, Self::Evict {} | Self::Rollout { .. })
    }

    /// Whether containers start again, so that they take their variables from Secrets anew.
    pub fn starts_containers(&self) -> bool {
        self.needs_api() || matches!(self, Self::Restart { .. })
    }
}

/// A workload whose pods are replaced when its template changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadReference {
    /// Its kind.
    pub resource: WorkloadResource,
    /// Its name.
    pub name: String,
}

/// As in the Role and in the URL: `deployments/web`.
impl fmt::Display for WorkloadReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.resource.as_str(), self.name)
    }
}

/// The resources of `apps/v1` that roll out a change of their template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadResource {
    /// A Deployment.
    Deployments,
    /// A StatefulSet.
    StatefulSets,
    /// A DaemonSet.
    DaemonSets,
}

impl WorkloadResource {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Deployments, Self::StatefulSets, Self::DaemonSets];

    /// As in a URL: `deployments`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployments => "deployments",
            Self::StatefulSets => "statefulsets",
            Self::DaemonSets => "daemonsets",
        }
    }

    /// `Deployment`
    pub fn kind(self) -> &'static str {
        match self {
            Self::Deployments => "Deployment",
            Self::StatefulSets => "StatefulSet",
            Self::DaemonSets => "DaemonSet",
        }
    }
}

/// A signal that applications reload on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ReactionSignal {
    /// SIGHUP
    Hup,
    /// SIGINT
    Int,
    /// SIGQUIT
    Quit,
    /// SIGTERM
    Term,
    /// SIGUSR1
    Usr1,
    /// SIGUSR2
    Usr2,
    /// SIGWINCH
    Winch,
}

impl ReactionSignal {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Hup, Self::Int, Self::Quit, Self::Term, Self::Usr1, Self::Usr2, Self::Winch];

    /// The name without `SIG`: `HUP`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Term => "TERM",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Winch => "WINCH",
        }
    }
}

/// Whether a URL names the loopback address and a port literally, without user information.
pub fn is_loopback_url(url: &str) -> bool {
    let hosts = ["http://127.0.0.1:", "http://[::1]:"];
    let Some(rest) = hosts.iter().find_map(|host| url.strip_prefix(host)) else { return false };
    let (port, path) = rest.split_once('/').map_or((rest, ""), |(port, path)| (port, path));
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0);
    is_port && path.len() <= 1024 && path.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Plan {
    /// Whether the reaction can be carried out.
    pub(crate) fn check_reaction(&self) -> Result<(), PlanError> {
        let Some(reaction) = &self.reaction else { return Ok(()) };
        match &reaction.action {
            ReactionAction::Http { url } if !is_loopback_url(url) => {
                Err(PlanError::Reaction { problem: format!("url {url:?} is not on the loopback") })
            }
            ReactionAction::Signal { containers, .. } | ReactionAction::Restart { containers }
                if containers.is_empty() =>
            {
                Err(PlanError::Reaction { problem: "containers is empty".to_owned() })
            }
            action if action.needs_api() && self.kubernetes.is_none() => {
                let problem = "the plan has no field kubernetes".to_owned();
                Err(PlanError::Reaction { problem })
            }
            ReactionAction::Rollout { workload } if !is_object_name(&workload.name) => {
                let problem = format!("name {:?} is not a name of a workload", workload.name);
                Err(PlanError::Reaction { problem })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_literal_loopback_address_is_one() {
        for (url, expected) in [
            ("http://127.0.0.1:8080/reload", true),
            ("http://[::1]:80", true),
            ("http://127.0.0.1:8080/a?b=c", true),
            ("http://localhost:8080/reload", false),
            ("https://127.0.0.1:8080/reload", false),
            ("http://127.0.0.1/reload", false),
            ("http://127.0.0.1:0/reload", false),
            ("http://127.0.0.1:+80/", false),
            ("http://127.0.0.1:80@evil/", false),
            ("http://127.0.0.1:80:evil/", false),
            ("http://user@127.0.0.1:80/", false),
            ("http://127.0.0.1:80\\evil/", false),
            ("http://127.0.0.1:80/a b", false),
            ("http://127.0.0.1:99999/", false),
        ] {
            assert_eq!(is_loopback_url(url), expected, "{url}");
        }
    }

    /// A Plan with this reaction, with or without the API server.
    fn check(action: &serde_json::Value, kubernetes: bool) -> Result<Plan, String> {
        let mut plan = serde_json::json!({"schema": 1, "identities": [], "volumes": [],
            "reaction": {"action": action, "spreadSeconds": 1}});
        if kubernetes {
            plan["kubernetes"] = serde_json::json!({"directory": "/api"});
        }
        Plan::from_json(&plan.to_string()).map_err(|error| error.to_string())
    }

    fn rollout(name: &str) -> serde_json::Value {
        let workload = serde_json::json!({"resource": "deployments", "name": name});
        serde_json::json!({"kind": "rollout", "workload": workload})
    }

    #[test]
    fn an_eviction_and_a_rollout_need_the_api_server_and_a_valid_name() {
        for action in [serde_json::json!({"kind": "evict"}), rollout("web")] {
            let text = check(&action, false).unwrap_err();
            assert!(text.contains("no field kubernetes"), "{text}");
            let plan = check(&action, true).unwrap();
            let printed = serde_json::to_value(&plan.reaction.unwrap().action).unwrap();
            assert_eq!(printed, action);
        }
        for name in ["", "../pods/x", "Web", "web?dryRun=All"] {
            let text = check(&rollout(name), true).unwrap_err();
            assert!(text.contains("is not a name"), "{name}: {text}");
        }
        let mut job = rollout("x");
        job["workload"]["resource"] = "jobs".into();
        assert!(check(&job, true).is_err());
        assert!(check(&serde_json::json!({"kind": "evict", "x": 1}), true).is_err());
    }

    #[test]
    fn signals_have_the_names_that_they_are_written_with() {
        for signal in ReactionSignal::ALL {
            let text = serde_json::to_string(&signal).unwrap();
            assert_eq!(text, format!("{:?}", signal.as_str()));
        }
    }
}
