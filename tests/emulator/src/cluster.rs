//! Pods and workloads that a test sets up and looks at.

use serde_json::Value;

use crate::server::Shared;

/// The cluster's pods and workloads.
#[allow(missing_debug_implementations)] // the state has keys and values
#[derive(Clone, Copy)]
pub struct Cluster<'a>(pub(crate) &'a Shared);

impl Cluster<'_> {
    /// Adds a pod of this uid.
    pub fn put_pod(&self, namespace: &str, name: &str, uid: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        self.0.lock().kubernetes.workloads.pods.insert(key, uid.to_owned());
    }

    /// The pods that were evicted, in order.
    pub fn evicted(&self) -> Vec<String> {
        self.0.lock().kubernetes.workloads.evicted.clone()
    }

    /// How many pods a budget lets be evicted from now on; `None` for no budget.
    pub fn set_budget(&self, allowed: Option<u32>) {
        self.0.lock().kubernetes.workloads.budget = allowed;
    }

    /// Whether evictions and patches of workloads are forbidden.
    pub fn forbid_reactions(&self, is_forbidden: bool) {
        self.0.lock().kubernetes.workloads.is_forbidden = is_forbidden;
    }

    /// Writes a workload: namespace, resource (`deployments`), name.
    pub fn put_workload(&self, place: [&str; 3], object: Value) {
        self.0.lock().kubernetes.workloads.put(place, object);
    }

    /// A workload.
    pub fn workload(&self, place: [&str; 3]) -> Option<Value> {
        self.0.lock().kubernetes.workloads.get(place)
    }

    /// Has somebody else change the workload before each of the next writes.
    pub fn contend(&self, writes: u32) {
        self.0.lock().kubernetes.workloads.contended = writes;
    }

    /// How many patches changed a workload.
    pub fn workload_writes(&self) -> u64 {
        self.0.lock().kubernetes.workloads.writes
    }
}
