//! What the stand-in holds: objects, their history, and the faults to come.

use super::exec::Exec;
use rustls::ServerConfig;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub(crate) const SERVICE_ACCOUNTS: &str = "serviceaccounts";
pub(crate) const CLASSES: &str = "secretproviderclasses";
pub(crate) const DRIVERS: &str = "csidrivers";
pub(crate) const SECRETS: &str = "secrets";
pub(crate) const BINDINGS: &str = "validatingadmissionpolicybindings";
pub(crate) const CONFIGURATIONS: &str = "mutatingwebhookconfigurations";
pub(crate) const WORKLOADS: &str = "validatingwebhookconfigurations";

/// What goes wrong with the next list or watch of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Refused with this status; with Retry-After where it is 429.
    Status(u16),
    /// 404 by something in front of the API server.
    ProxyNotFound,
    /// The connection ends after so many bytes of the body, in the middle of whatever that is.
    CutAfter(usize),
    /// An error event with code 410 in place of the first change.
    GoneEvent,
    /// The body comes in pieces of so many bytes.
    Pieces(usize),
    /// The list is streamed, but nobody ever says that it is complete.
    NoInitialEnd,
}

/// One change of one resource.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) resource: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) object: Value,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) version: u64,
    objects: BTreeMap<(&'static str, String, String), Value>,
    pub(crate) history: Vec<Change>,
    /// Changes up to here are forgotten.
    pub(crate) compacted: u64,
    faults: HashMap<String, VecDeque<Fault>>,
    /// Whether it knows `sendInitialEvents`.
    pub(crate) streams_lists: bool,
    /// Whether the class's definition is installed.
    pub(crate) classes_installed: bool,
    /// Watches are told nothing while this is set.
    pub(crate) stalled: bool,
    /// What a GET of one object meets.
    pub(crate) get_fault: Option<GetFault>,
    /// What the next one meets, and no other.
    pub(crate) passing_get_fault: Option<GetFault>,
    /// How long the answer to a write takes once it is done.
    pub(crate) write_delay: Duration,
    /// The entry of the webhook configuration that a policy keeps at `Ignore`.
    pub(crate) kept_loose: Option<usize>,
    /// Other documents by their path.
    pub(crate) documents: HashMap<String, String>,
    /// The last body that was sent to a path of `documents`.
    pub(crate) bodies: HashMap<String, Value>,
    /// What commands in containers do, by the path of `pods/exec`.
    pub(crate) commands: HashMap<String, Exec>,
    /// Plurals of kinds that are refused with 403.
    pub(crate) forbidden: Vec<String>,
    /// Method-less: path and query of every request, in order.
    pub(crate) requests: Vec<String>,
    /// Their methods.
    pub(crate) methods: Vec<http::Method>,
    pub(crate) user_agents: Vec<String>,
    /// What a request must present; whoever does not meets 401.
    pub(crate) token: &'static str,
    /// TLS for connections from now on.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Connections so far.
    pub(crate) connections: usize,
    /// Requests on the first so many connections are never answered.
    pub(crate) dead_connections: usize,
    /// Counts up with every change of anything here.
    pulse: watch::Sender<u64>,
    /// Watches of an earlier epoch end.
    pub(crate) epoch: u64,
}

/// What goes wrong with reads of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GetFault {
    Status(u16),
    /// 404 by something in front of the API server.
    ProxyNotFound,
    /// Never answered.
    Hang,
    /// Answered only once the fault is taken away, with what was there when the request came.
    Hold,
}

impl Default for World {
    fn default() -> Self {
        Self {
            version: 100,
            objects: BTreeMap::new(),
            history: Vec::new(),
            compacted: 0,
            faults: HashMap::new(),
            streams_lists: true,
            classes_installed: true,
            stalled: false,
            get_fault: None,
            passing_get_fault: None,
            write_delay: Duration::ZERO,
            kept_loose: None,
            documents: HashMap::new(),
            bodies: HashMap::new(),
            commands: HashMap::new(),
            forbidden: Vec::new(),
            requests: Vec::new(),
            methods: Vec::new(),
            user_agents: Vec::new(),
            token: "t",
            tls: None,
            connections: 0,
            dead_connections: 0,
            pulse: watch::Sender::new(0),
            epoch: 0,
        }
    }
}

impl World {
    /// Creates or changes a ServiceAccount.
    pub(crate) fn put_account(&mut self, namespace: &str, name: &str, client_id: Option<&str>) {
        let mut metadata = json!({"namespace": namespace, "name": name, "uid": "u",
            "managedFields": [{"f": {"x": [1]}}]});
        if let Some(id) = client_id {
            metadata["annotations"] =
                json!({"other": "x\"\n", "azure.workload.identity/client-id": id});
        }
        self.put(SERVICE_ACCOUNTS, json!({"kind": "PartialObjectMetadata", "metadata": metadata}));
    }

    /// Creates or changes a class.
    pub(crate) fn put_class(&mut self, namespace: &str, name: &str, vault: &str) {
        let spec = json!({"provider": "azure", "parameters": {"keyvaultName": vault}});
        self.put(
            CLASSES,
            json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec}),
        );
    }

    /// Creates or changes a class with this content.
    pub(crate) fn put_spec(&mut self, namespace: &str, name: &str, spec: &Value) {
        let metadata = json!({"namespace": namespace, "name": name});
        self.put(CLASSES, json!({"metadata": metadata, "spec": spec}));
    }

    /// Deletes a class.
    pub(crate) fn delete_class(&mut self, namespace: &str, name: &str) {
        self.delete(CLASSES, namespace, name);
    }

    pub(crate) fn put_driver(&mut self) {
        self.put(DRIVERS, json!({"metadata": {"name": "secrets-store.csi.k8s.io"}}));
    }

    /// Creates or changes our webhook configuration: one `caBundle` for each entry, as it is
    /// written (base64).
    pub(crate) fn put_configuration(&mut self, name: &str, bundles: &[&str]) {
        let entry = |bundle: &&str| {
            json!({"name": "e",
            "clientConfig": {"service": {"name": "s"}, "caBundle": bundle}})
        };
        let webhooks: Vec<Value> = bundles.iter().map(entry).collect();
        self.put(CONFIGURATIONS, json!({"metadata": {"name": name}, "webhooks": webhooks}));
    }

    /// Creates or changes our webhook configuration as the chart has it: the entry for labelled
    /// pods and the one for CSI volumes, both `Ignore`; without a path if `path` is `None`, and
    /// with the `caBundle` that is there.
    pub(crate) fn put_entries(&mut self, name: &str, path: Option<&str>, is_marked: bool) {
        let before = self.find(CONFIGURATIONS, "", name).cloned().unwrap_or_default();
        let entry = |(index, entry): (usize, &str)| {
            let mut one = json!({"name": entry, "failurePolicy": "Ignore",
                "clientConfig": {"service": {"name": "s"}}});
            if let Some(path) = path {
                one["clientConfig"]["service"]["path"] = json!(path);
            }
            if let Some(bundle) = before["webhooks"][index]["clientConfig"].get("caBundle") {
                one["clientConfig"]["caBundle"] = bundle.clone();
            }
            one
        };
        let webhooks: Vec<Value> = ["pods.keysluice.dev", "csi-volumes.keysluice.dev"]
            .into_iter()
            .enumerate()
            .map(entry)
            .collect();
        let mark =
            if is_marked { json!({"keysluice.dev/path": "written-by-webhook"}) } else { json!({}) };
        self.put(
            CONFIGURATIONS,
            json!({"metadata": {"name": name, "annotations": mark}, "webhooks": webhooks}),
        );
    }

    /// Creates or changes our configuration for workloads, with this in its `clientConfig`.
    pub(crate) fn put_workloads(&mut self, name: &str, client_config: &Value) {
        let entry = json!({"name": "workloads.keysluice.dev", "failurePolicy": "Ignore",
            "clientConfig": client_config});
        self.put(WORKLOADS, json!({"metadata": {"name": name}, "webhooks": [entry]}));
    }

    /// Creates or changes an object that may have any shape, as long as nothing sets its version.
    pub(crate) fn put_hostile(
        &mut self,
        resource: &'static str,
        namespace: &str,
        name: &str,
        object: Value,
    ) {
        self.version += 1;
        let key = (resource, namespace.to_owned(), name.to_owned());
        let known = self.objects.insert(key, object.clone()).is_some();
        self.record(resource, if known { "MODIFIED" } else { "ADDED" }, object);
    }

    /// Creates or changes an object that came whole.
    pub(crate) fn put(&mut self, resource: &'static str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let known = self.objects.insert(key(resource, &object), object.clone()).is_some();
        self.record(resource, if known { "MODIFIED" } else { "ADDED" }, object);
    }

    /// Deletes an object if it is there.
    pub(crate) fn delete(&mut self, resource: &'static str, namespace: &str, name: &str) {
        if let Some(mut object) =
            self.objects.remove(&(resource, namespace.to_owned(), name.to_owned()))
        {
            self.version += 1;
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.record(resource, "DELETED", object);
        }
    }

    fn record(&mut self, resource: &'static str, kind: &'static str, object: Value) {
        self.history.push(Change { version: self.version, resource, kind, object });
        self.pulse();
    }

    /// Something changed: whoever waits looks again.
    pub(crate) fn pulse(&mut self) {
        self.pulse.send_modify(|count| *count += 1);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.pulse.subscribe()
    }

    /// Forgets all history: whoever comes back with an old version meets 410. Who is connected
    /// misses nothing.
    pub(crate) fn compact(&mut self) {
        self.version += 1;
        self.compacted = self.version;
    }

    /// Ends every watch, politely.
    pub(crate) fn disconnect(&mut self) {
        self.epoch += 1;
        self.pulse();
    }

    /// The next requests for `resource` meet these.
    pub(crate) fn fail(&mut self, resource: &str, faults: impl IntoIterator<Item = Fault>) {
        self.faults.entry(resource.to_owned()).or_default().extend(faults);
    }

    /// No more faults.
    pub(crate) fn forgive(&mut self) {
        self.faults.clear();
    }

    pub(crate) fn next_fault(&mut self, resource: &str) -> Option<Fault> {
        self.faults.get_mut(resource).and_then(VecDeque::pop_front)
    }

    pub(crate) fn all(&self, resource: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |((of, ..), _)| *of == resource).map(|(_, object)| object)
    }

    pub(crate) fn find(
        &self,
        resource: &'static str,
        namespace: &str,
        name: &str,
    ) -> Option<&Value> {
        self.objects.get(&(resource, namespace.to_owned(), name.to_owned()))
    }

    /// The requests for one resource so far.
    pub(crate) fn requests_for(&self, part: &str) -> Vec<String> {
        self.requests.iter().filter(|request| request.contains(part)).cloned().collect()
    }
}

fn key(resource: &'static str, object: &Value) -> (&'static str, String, String) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (resource, text("namespace"), text("name"))
}
