//! Grants without use. A pod that runs uses what it has read: the sidecar does not ask again for a
//! pinned version, nor for an object that a list shows to be unchanged.

use super::assignments::{Assignment, AssignmentUse};
use super::ledger::{Ledger, object_key};
use super::report::Moment;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

const DAY: i64 = 24 * 3600 * 1_000_000;

/// Grants that no call needed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unused {
    /// For so many days before the last record.
    pub days: u32,
    /// How many days the log covers: with fewer than `days` it cannot show that.
    pub covered_days: i64,
    /// Objects of the classes and annotations of workloads.
    pub objects: Vec<UnusedObject>,
    /// Sets of objects by prefix or tag, which are not judged.
    pub selections: usize,
    /// Role assignments, if they were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_assignments: Option<Vec<AssignmentUse>>,
}

impl Unused {
    /// Whether the log is long enough to show that a grant is unused.
    pub fn is_shown(&self) -> bool {
        self.covered_days >= i64::from(self.days)
    }
}

/// An object that a workload may read and does not.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnusedObject {
    /// `Deployment shop/web`.
    pub workload: String,
    /// `shop.vault.azure.net/secrets/db`.
    pub object: String,
    /// When it used the object last.
    pub last_use: Option<Moment>,
}

/// What the log shows of the use of objects, by workload.
struct Uses<'l> {
    /// When an object was last read, or its versions listed.
    objects: HashMap<(&'l str, &'l str), i64>,
    /// When a vault was last listed, by `kv.vault.azure.net/secrets`.
    lists: BTreeMap<(&'l str, String), i64>,
    /// What the pods that run have read.
    held: HashSet<(&'l str, &'l str)>,
}

impl Ledger {
    pub(super) fn unused(&self, days: u32, assignments: Option<&[Assignment]>) -> Unused {
        let (first, last) = self.totals.span.unwrap_or_default();
        let since = last.saturating_sub(i64::from(days) * DAY);
        let uses = self.uses_of_workloads();
        let (mut objects, mut selections) = (BTreeSet::new(), 0);
        for pod in self.pods.current() {
            selections += pod.selections;
            for one in &pod.objects {
                let (workload, object) =
                    (pod.title(), object_key(&one.vault, &one.kind, &one.name));
                let last = uses.last(&workload, &object, &format!("{}/{}", one.vault, one.kind));
                let is_held = uses.held.contains(&(workload.as_str(), object.as_str()));
                if !is_held && last.is_none_or(|last| last < since) {
                    objects.insert(UnusedObject { workload, object, last_use: last.map(Moment) });
                }
            }
        }
        let unused = assignments.map(|all| super::assignments::unused(self, all, since));
        Unused {
            days,
            covered_days: (last - first) / DAY,
            objects: objects.into_iter().collect(),
            selections,
            role_assignments: unused,
        }
    }

    fn uses_of_workloads(&self) -> Uses<'_> {
        let mut uses =
            Uses { objects: HashMap::new(), lists: BTreeMap::new(), held: HashSet::new() };
        for (key, tally) in &self.calls {
            let Some(last) = tally.last_success else { continue };
            let operation = self.operations.text(key.operation);
            let (workload, object) =
                (self.workloads.text(key.workload), self.objects.text(key.object));
            if operation.ends_with("Get") || operation.ends_with("ListVersions") {
                let known = uses.objects.entry((workload, object)).or_insert(last);
                *known = last.max(*known);
            } else if let Some(noun) = operation.strip_suffix("List") {
                let kind = format!("{object}/{}s", noun.to_ascii_lowercase());
                let known = uses.lists.entry((workload, kind)).or_insert(last);
                *known = last.max(*known);
            }
        }
        let running =
            self.readers.keys().filter(|(pod, _)| self.pods.is_running(*pod) == Some(true));
        uses.held.extend(running.map(|&(pod, object)| {
            (self.workloads.text(self.workload_of(pod)), self.objects.text(object))
        }));
        uses
    }
}

impl Uses<'_> {
    /// When a workload last used an object. A list shows that an object is unchanged to those who
    /// have read it.
    fn last(&self, workload: &str, object: &str, kind: &str) -> Option<i64> {
        let read = self.objects.get(&(workload, object)).copied()?;
        let listed = self.lists.get(&(workload, kind.to_owned())).copied();
        Some(listed.unwrap_or(read).max(read))
    }
}
