//! One canonical failure, as its directory says it.

use crate::suite::support::api_server::Exec;
use keysluice_emulator::{Fault, Seed};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Namespace of all manifests.
pub(super) const NAMESPACE: &str = "shop";
/// The identity of ServiceAccount `web`.
pub(super) const CLIENT_ID: &str = "5d0e1f6a-0a4c-4d0e-9c53-1c2b3d4e5f60";

/// The file `case.yaml`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Case {
    /// What goes wrong, in a sentence.
    pub(super) title: String,
    /// What doctor is asked about.
    #[serde(default)]
    pub(super) target: Option<String>,
    /// Whether the API server took the manifests.
    #[serde(default = "yes")]
    pub(super) applied: bool,
    /// Why the API server asks no webhook about the workload and its pods.
    #[serde(default)]
    pub(super) unreviewed: Option<Unreviewed>,
    /// The pod of the workload.
    #[serde(default)]
    pub(super) pod: PodState,
    /// Merged into the status of the pod.
    #[serde(default)]
    pub(super) status: Value,
    /// JSON pointers of what another webhook removed from the pod.
    #[serde(default)]
    pub(super) removed: Vec<String>,
    /// Events of the namespace.
    #[serde(default)]
    pub(super) events: Vec<Event>,
    /// Plurals of the kinds that the user may not list.
    #[serde(default)]
    pub(super) forbidden: Vec<String>,
    /// Merged into the webhook's configuration, Deployment or namespace, by kind.
    #[serde(default)]
    pub(super) installation: BTreeMap<String, Value>,
    /// Other objects of the cluster.
    #[serde(default)]
    pub(super) objects: Vec<Value>,
    /// What the emulator has and does; without it no sidecar runs.
    #[serde(default)]
    pub(super) emulator: Option<Runtime>,
    /// What commands in containers do, by their paths.
    #[serde(skip)]
    pub(super) commands: Vec<(String, Exec)>,
    #[serde(skip)]
    pub(super) name: String,
    #[serde(skip)]
    pub(super) directory: PathBuf,
}

/// Why the API server does not ask the webhook.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Unreviewed {
    /// It does not reach it, or there is none.
    WebhookAway,
    /// The namespace is not one of the webhook's.
    NamespaceNotSelected,
}

impl Unreviewed {
    /// As the expected files have it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::WebhookAway => "webhook-away",
            Self::NamespaceNotSelected => "namespace-not-selected",
        }
    }
}

/// What became of the workload's template.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum PodState {
    /// No pod.
    #[default]
    None,
    /// A pod that the webhook did not see.
    AsWritten,
    /// A pod that the webhook changed.
    Mutated,
}

/// An event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Event {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) reason: String,
    pub(super) message: String,
}

/// What the emulator has and does.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Runtime {
    /// Merged into the identity of Entra, without a fault one that works.
    pub(super) app: Value,
    /// Merged into the vault.
    pub(super) vault: Value,
    /// Faults, as the emulator has them.
    pub(super) faults: Vec<Fault>,
    /// Fields of the cloud's definition; PORT is the emulator's.
    pub(super) cloud: BTreeMap<String, Value>,
    /// Lifetime of the projected token.
    pub(super) token_seconds: Option<u64>,
    /// Merged into the patched pod.
    pub(super) sidecar_environment: BTreeMap<String, String>,
    /// Whether the sidecar becomes ready in spite of it.
    pub(super) ready: bool,
    /// Kubernetes Secrets that the sidecar may write; all if missing.
    pub(super) secrets: Option<Vec<String>>,
}

fn yes() -> bool {
    true
}

impl Case {
    pub(super) fn read(directory: &Path) -> Self {
        let path = directory.join("case.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        let mut case: Self = serde_saphyr::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!case.title.is_empty(), "{}", path.display());
        case.name = directory.file_name().unwrap().to_string_lossy().into_owned();
        case.directory = directory.to_owned();
        case
    }

    pub(super) fn manifests_file(&self) -> String {
        self.directory.join("manifests.yaml").display().to_string()
    }

    /// The manifests of which the pod was made, if they were others.
    pub(super) fn earlier_file(&self) -> String {
        let earlier = self.directory.join("before.yaml");
        if earlier.is_file() { earlier.display().to_string() } else { self.manifests_file() }
    }

    /// The objects of the manifests.
    pub(super) fn manifests(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.manifests_file()).unwrap();
        serde_saphyr::from_multiple(&text).unwrap()
    }
}

impl Runtime {
    /// What the emulator knows.
    pub(super) fn seed(&self, issuer: &str) -> Seed {
        let tenant = keysluice_demo::TENANT;
        let mut app = json!({"clientId": CLIENT_ID, "tenantId": tenant,
            "federatedCredentials": [{"subject": "system:serviceaccount:shop:web"}]});
        json_merge(&mut app, &self.app);
        let mut vault = json!({"name": "shop-kv", "tenantId": tenant,
            "secrets": {"db-password": "first"},
            "roles": [{"clientId": CLIENT_ID, "secrets": ["get"], "certificates": ["get"]}]});
        json_merge(&mut vault, &self.vault);
        let seed = json!({"apps": [app], "vaults": [vault]}).to_string();
        serde_json::from_str(&seed.replace("ISSUER", issuer)).unwrap()
    }
}

/// A merge patch (RFC 7396).
pub(super) fn json_merge(target: &mut Value, patch: &Value) {
    match patch {
        Value::Null => {}
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::Null => drop(target.as_object_mut().unwrap().remove(key)),
                    Value::Object(_) if target[key.as_str()].is_object() => {
                        json_merge(&mut target[key.as_str()], value);
                    }
                    value => target[key.as_str()] = value.clone(),
                }
            }
        }
        other => *target = other.clone(),
    }
}
