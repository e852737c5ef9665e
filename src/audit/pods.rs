//! The pods that calls are attributed to: those of a cluster, and those of a record.

use super::names::plain;
use keysluice_plan::{Credential, Guid, ObjectType, Plan};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Of a cluster and of its records; a pod takes about 400 bytes.
const MAX_PODS: usize = 500_000;

/// A pod, as a line of a record. It holds names alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodRecord {
    /// Its uid.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// What made it: `Deployment/web`; `Pod/web` where nothing did.
    pub workload: String,
    /// Its ServiceAccount.
    pub service_account: String,
    /// When it was created, RFC 3339.
    pub created: String,
    /// The client ids with which its sidecar signs in.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub client_ids: BTreeSet<String>,
    /// Whether the sidecar also signs in with an identity that the pod does not name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub other_identity: bool,
    /// What its sidecar reads.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub objects: BTreeSet<ObjectRecord>,
    /// How many sets of objects it reads by prefix or tag.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub selections: usize,
}

/// An object that a pod reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Host of the vault.
    pub vault: String,
    /// `secrets`, `keys` or `certificates`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The pinned version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl PodRecord {
    /// What the Plan of its sidecar tells.
    pub fn add_plan(&mut self, plan: &Plan) {
        for identity in &plan.identities {
            match &identity.credential {
                Credential::Federated { client_id, .. }
                | Credential::ManagedIdentity { client_id: Some(client_id), .. } => {
                    self.client_ids.insert(client_id.to_ascii_lowercase());
                }
                Credential::ManagedIdentity { .. } | Credential::ServicePrincipal { .. } => {
                    self.other_identity = true;
                }
            }
        }
        for volume in &plan.volumes {
            self.selections += volume.selections.len();
            self.objects.extend(volume.files.iter().map(|file| ObjectRecord {
                vault: host_of(file.vault.as_str()),
                kind: kind_of(file.object_type).to_owned(),
                name: file.name.as_str().to_ascii_lowercase(),
                version: file.version.as_ref().map(|version| version.as_str().to_lowercase()),
            }));
        }
    }
}

/// Host and port of `https://shop.vault.azure.net/`.
fn host_of(url: &str) -> String {
    url.trim_start_matches("https://").trim_end_matches('/').trim_end_matches(":443").to_owned()
}

fn kind_of(kind: ObjectType) -> &'static str {
    match kind {
        ObjectType::Secret => "secrets",
        ObjectType::Key => "keys",
        ObjectType::Cert => "certificates",
    }
}

/// All pods that are known.
#[derive(Debug, Default)]
pub struct Pods {
    all: Vec<Known>,
    by_uid: HashMap<Guid, usize>,
    by_prefix: HashMap<u128, Prefix>,
    cluster: Cluster,
    /// How many are left out, as there are too many.
    pub left_out: usize,
}

/// What of a cluster was read.
#[derive(Debug, Default)]
enum Cluster {
    #[default]
    Nothing,
    Namespace(String),
    All,
}

/// A pod, and what is calculated of it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) record: PodRecord,
    client_ids: Vec<Guid>,
    is_running: bool,
}

/// The pods whose uids begin alike.
#[derive(Debug, Clone, Copy)]
enum Prefix {
    One(usize),
    Several,
}

/// What an id leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Pod(usize),
    Several,
    None,
}

impl Pods {
    /// Adds a pod that runs, or one that ended or may have. A uid that is not a GUID has no calls.
    pub fn add(&mut self, record: PodRecord, is_running: bool) {
        let record = record.plain();
        let Ok(uid) = record.uid.parse::<Guid>() else { return };
        if let Some(&index) = self.by_uid.get(&uid) {
            self.all[index].is_running |= is_running;
            return;
        }
        if self.all.len() >= MAX_PODS {
            self.left_out += 1;
            return;
        }
        let index = self.all.len();
        let client_ids = record.client_ids.iter().filter_map(|id| id.parse().ok()).collect();
        self.all.push(Known { record, client_ids, is_running });
        self.by_uid.insert(uid, index);
        let prefix = self.by_prefix.entry(uid.prefix());
        prefix.and_modify(|prefix| *prefix = Prefix::Several).or_insert(Prefix::One(index));
    }

    /// Says that a namespace of a cluster was read, or all of them: a pod that does not run there
    /// has ended.
    pub fn have_cluster(&mut self, namespace: Option<&str>) {
        self.cluster = namespace.map_or(Cluster::All, |name| Cluster::Namespace(name.to_owned()));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The pod of a uid.
    pub(super) fn of_uid(&self, uid: Guid) -> Found {
        self.by_uid.get(&uid).map_or(Found::None, |index| Found::Pod(*index))
    }

    /// The pod whose uid begins like a request id.
    pub(super) fn of_request(&self, id: Guid) -> Found {
        match self.by_prefix.get(&id.prefix()) {
            None => Found::None,
            Some(Prefix::Several) => Found::Several,
            Some(Prefix::One(index)) => Found::Pod(*index),
        }
    }

    pub(super) fn pod(&self, index: usize) -> &Known {
        &self.all[index]
    }

    /// Whether the pod runs; `None` where its namespace was not read.
    pub(super) fn is_running(&self, index: usize) -> Option<bool> {
        let pod = &self.all[index];
        let is_read = match &self.cluster {
            Cluster::Nothing => false,
            Cluster::Namespace(name) => *name == pod.record.namespace,
            Cluster::All => true,
        };
        is_read.then_some(pod.is_running)
    }

    /// The pods that stand for the workloads as they are now: those that run, and where that is not
    /// known the one of each workload that was created last.
    pub(super) fn current(&self) -> Vec<&PodRecord> {
        let mut current = Vec::new();
        let mut latest = BTreeMap::<String, &PodRecord>::new();
        for (index, Known { record, .. }) in self.all.iter().enumerate() {
            match self.is_running(index) {
                Some(true) => current.push(record),
                Some(false) => {}
                None => {
                    let entry = latest.entry(record.title()).or_insert(record);
                    if record.created > entry.created {
                        *entry = record;
                    }
                }
            }
        }
        current.extend(latest.into_values());
        current
    }

    /// The workloads whose sidecars sign in with each client id.
    pub(super) fn users(&self) -> HashMap<Guid, BTreeSet<String>> {
        let mut users = HashMap::<Guid, BTreeSet<String>>::new();
        for pod in &self.all {
            for id in &pod.client_ids {
                users.entry(*id).or_default().insert(pod.record.title());
            }
        }
        users
    }
}

impl PodRecord {
    /// Without characters that a terminal obeys: a record is a file of anybody.
    fn plain(self) -> Self {
        Self {
            uid: plain_field(&self.uid),
            namespace: plain_field(&self.namespace),
            pod: plain_field(&self.pod),
            workload: plain_field(&self.workload),
            service_account: plain_field(&self.service_account),
            created: plain_field(&self.created),
            client_ids: self.client_ids.iter().map(|id| plain_field(id)).collect(),
            objects: self.objects.iter().map(ObjectRecord::plain).collect(),
            ..self
        }
    }

    /// `Deployment shop/web`.
    pub(super) fn title(&self) -> String {
        let (kind, name) = self.workload.split_once('/').unwrap_or(("Pod", &self.workload));
        format!("{kind} {}/{name}", self.namespace)
    }
}

impl ObjectRecord {
    fn plain(&self) -> Self {
        Self {
            vault: plain_field(&self.vault),
            kind: plain_field(&self.kind),
            name: plain_field(&self.name),
            version: self.version.as_deref().map(plain_field),
        }
    }
}

/// A field of a record, cut at the longest name that Kubernetes allows.
fn plain_field(text: &str) -> String {
    plain(text, 253)
}

impl Known {
    /// Whether it signs in with this client id; `None` where that cannot be known.
    pub(super) fn signs_in_with(&self, app: Option<Guid>) -> Option<bool> {
        let app = app?;
        if self.client_ids.contains(&app) {
            return Some(true);
        }
        (!self.record.other_identity && !self.client_ids.is_empty()).then_some(false)
    }
}
