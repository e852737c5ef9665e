//! What is known of a cluster, and how it is read from the API server's JSON.

use super::super::snapshot::named;
use crate::settings::CsiVolumes;
use serde_json::Value;
use std::time::Duration;

/// A fact, or why it is not known.
pub(in super::super) type Fact<T> = Result<T, Unknown>;

/// Why a fact is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Unknown {
    /// Whether the API server refused it.
    pub(in super::super) forbidden: bool,
    /// What it said.
    pub(in super::super) message: String,
}

/// Everything the checks look at.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) installation: Installation,
    pub(super) version: Fact<Version>,
    /// Resources of `admissionregistration.k8s.io/v1`.
    pub(super) admission_resources: Fact<Vec<String>>,
    pub(super) configurations: Fact<Vec<Configuration>>,
    pub(super) policies: Fact<Vec<Policy>>,
    pub(super) has_csi_driver: Fact<bool>,
    pub(super) csi_volumes: CsiVolumes,
    /// The container with the sidecar's image, where there is one to look at.
    pub(super) injector: Option<Fact<Container>>,
    pub(super) pull_secrets: bool,
    /// Where pods are to get a sidecar, if that is asked about.
    pub(super) application: Option<Application>,
}

/// A namespace with pods that are to get a sidecar.
#[derive(Debug)]
pub(super) struct Application {
    pub(super) namespace: String,
    /// The namespace itself.
    pub(super) object: Fact<Option<Value>>,
    pub(super) quotas: Fact<Vec<Value>>,
    pub(super) limit_ranges: Fact<Vec<Value>>,
    pub(super) network_policies: Fact<Vec<Value>>,
    /// CPU that the sidecar requests and may use.
    pub(super) cpu_request: String,
    pub(super) cpu_limit: Option<String>,
    /// What a pod there met, if one was asked for.
    pub(super) probe: Option<(Wanted, Fact<Probed>)>,
}

/// What the pod of `--probe` is to try.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) image: String,
    pub(super) urls: Vec<String>,
    pub(super) patience: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Probed {
    /// The API server did not take the pod.
    Refused(String),
    /// What became of its container.
    Ran(Container),
}

/// The one that is to be made or changed.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// Version of the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) major: u32,
    pub(super) minor: u32,
}

/// A `MutatingWebhookConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Configuration {
    pub(super) name: String,
    /// Names of its entries.
    pub(super) entries: Vec<String>,
    /// Namespace of the Service that it leads to.
    pub(super) namespace: Option<String>,
    /// What AKS's admissions enforcer does with it.
    pub(super) enforcer: Enforcer,
}

/// AKS keeps its own namespaces out of the selectors of webhook configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Enforcer {
    /// Not seen.
    Unknown,
    /// It has changed the configuration.
    Changes,
    /// A label or an annotation keeps it from that.
    Disabled,
}

/// A `ValidatingAdmissionPolicy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) messages: Vec<String>,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) image: String,
    pub(super) state: State,
}

/// What the kubelet says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing yet, or it is being made.
    Pending,
    /// The kubelet does not get the image, or cannot make a container of it.
    Waiting { reason: String, message: String },
    /// It ran and ended.
    Ended { exit_code: i64, message: String },
}

impl State {
    /// Whether waiting longer can change it; a pull is repeated by the kubelet.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Pending => false,
            Self::Waiting { reason, .. } => {
                matches!(reason.as_str(), "InvalidImageName" | "ErrImageNeverPull")
            }
            Self::Ended { .. } => true,
        }
    }
}

impl Version {
    /// From `/version`; some clouds write `30+`.
    pub(super) fn read(answer: &Value) -> Option<Self> {
        Some(Self { major: number(&answer["major"])?, minor: number(&answer["minor"])? })
    }
}

impl Configuration {
    pub(super) fn read(object: &Value) -> Self {
        let entries = items(&object["webhooks"]);
        Self {
            name: text(&object["metadata"]["name"]),
            entries: entries.iter().map(|entry| text(&entry["name"])).collect(),
            namespace: entries.iter().find_map(|entry| {
                entry["clientConfig"]["service"]["namespace"].as_str().map(str::to_owned)
            }),
            enforcer: Enforcer::of(&object["metadata"]),
        }
    }
}

impl Enforcer {
    const DISABLED: &str = "admissions.enforcer/disabled";
    const MANAGER: &str = "admissionsenforcer";

    fn of(metadata: &Value) -> Self {
        if ["labels", "annotations"].iter().any(|map| metadata[map][Self::DISABLED] == "true") {
            return Self::Disabled;
        }
        let managers = items(&metadata["managedFields"]);
        let is_changed = managers.iter().any(|one| one["manager"] == Self::MANAGER);
        if is_changed { Self::Changes } else { Self::Unknown }
    }
}

impl Policy {
    pub(super) fn read(object: &Value) -> Self {
        let validations = items(&object["spec"]["validations"]);
        Self {
            name: text(&object["metadata"]["name"]),
            messages: validations.iter().map(|validation| text(&validation["message"])).collect(),
        }
    }
}

impl Container {
    /// The container `name` of a pod.
    pub(super) fn read(pod: &Value, name: &str) -> Self {
        let status = named(&pod["status"]["containerStatuses"], name);
        let waiting = &status["state"]["waiting"];
        let ended = &status["state"]["terminated"];
        let state = if let Some(exit_code) = ended["exitCode"].as_i64() {
            // What could not be started has a reason, and a message of the runtime's.
            State::Ended { exit_code, message: text(&ended["message"]) }
        } else {
            match waiting["reason"].as_str() {
                None | Some("ContainerCreating" | "PodInitializing") => State::Pending,
                Some(reason) => {
                    State::Waiting { reason: reason.to_owned(), message: text(&waiting["message"]) }
                }
            }
        };
        Self { image: text(&named(&pod["spec"]["containers"], name)["image"]), state }
    }
}

pub(in super::super) fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The number that a text begins with.
fn number(text: &Value) -> Option<u32> {
    let digits: String = text.as_str()?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
