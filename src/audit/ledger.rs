//! Counts the calls of a log: who read what, what is current, who could not be told.

use super::attribution::{Attribution, Reason};
use super::event::{Event, NoEvent};
use super::names::{Names, OTHERS};
use super::pods::Pods;
use keysluice_plan::Guid;
use serde::Serialize;
use std::collections::HashMap;

/// Of each of the tables below.
const MAX_ROWS: usize = 200_000;

/// From when to when records count, in microseconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub struct Period {
    /// The first moment.
    pub since: Option<i64>,
    /// The first moment after it.
    pub until: Option<i64>,
}

/// What a log tells of these pods.
#[derive(Debug)]
pub struct Ledger {
    pub(super) pods: Pods,
    period: Period,
    pub(super) totals: Totals,
    pub(super) first_malformed: Option<Malformed>,
    pub(super) workloads: Names,
    pub(super) operations: Names,
    pub(super) objects: Names,
    pub(super) versions: Names,
    addresses: Names,
    /// The number of each pod's workload.
    workload_of: Vec<u32>,
    pub(super) calls: HashMap<CallKey, Tally>,
    pub(super) readers: HashMap<(usize, u32), Reader>,
    pub(super) current: HashMap<u32, Current>,
    pub(super) strangers: HashMap<StrangerKey, Tally>,
    /// When each principal last had an object, for role assignments.
    pub(super) uses: HashMap<(Guid, u32), i64>,
}

/// How many records there are of each kind: all of them together are all records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// All.
    pub records: u64,
    /// Of a pod that is known.
    pub attributed: u64,
    /// Those of them whose identity is one of the pod's.
    pub checked: u64,
    /// Of nobody who could be told.
    pub unattributed: u64,
    /// Of another category of the log.
    pub other_category: u64,
    /// Before or after the period.
    pub outside_period: u64,
    /// Not readable.
    pub malformed: u64,
    /// Calls that are in no row because there are too many.
    pub left_out: u64,
    /// The first and the last moment, in microseconds since 1970.
    #[serde(skip)]
    pub span: Option<(i64, i64)>,
}

/// Where a record cannot be read.
#[derive(Debug, Clone, Serialize)]
pub struct Malformed {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong.
    pub problem: &'static str,
}

/// One row of who did what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CallKey {
    pub(super) workload: u32,
    pub(super) operation: u32,
    /// Vault and object.
    pub(super) object: u32,
    /// [`OTHERS`] where there is none.
    pub(super) version: u32,
    pub(super) is_pinned: bool,
}

/// Calls alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) first: i64,
    pub(super) last: i64,
    /// Of the last that succeeded.
    pub(super) last_success: Option<i64>,
}

/// The version that a pod had last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    pub(super) version: u32,
    pub(super) time: i64,
    pub(super) is_pinned: bool,
}

/// The version that is known to be the newest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Current {
    pub(super) version: u32,
    pub(super) since: i64,
    last: i64,
}

/// Callers who could not be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct StrangerKey {
    pub(super) reason: Reason,
    pub(super) app: Option<Guid>,
    pub(super) principal: Option<Guid>,
    pub(super) address: u32,
}

impl Ledger {
    /// An empty one.
    pub fn new(pods: Pods, period: Period) -> Self {
        let mut workloads = Names::default();
        let titles = (0..pods.len()).map(|index| pods.pod(index).record.title());
        let workload_of = titles.map(|title| workloads.number(&title)).collect();
        Self {
            pods,
            period,
            totals: Totals::default(),
            first_malformed: None,
            workloads,
            operations: Names::default(),
            objects: Names::default(),
            versions: Names::default(),
            addresses: Names::default(),
            workload_of,
            calls: HashMap::new(),
            readers: HashMap::new(),
            current: HashMap::new(),
            strangers: HashMap::new(),
            uses: HashMap::new(),
        }
    }

    /// Counts what is not a record.
    pub fn add_malformed(&mut self, file: &str, line: u64, problem: &'static str) {
        self.totals.records += 1;
        self.totals.malformed += 1;
        self.first_malformed.get_or_insert_with(|| Malformed {
            file: file.to_owned(),
            line,
            problem,
        });
    }

    /// Counts a record.
    pub fn add(&mut self, file: &str, line: u64, json: &[u8]) {
        match Event::read(json) {
            Err(NoEvent::Malformed(problem)) => self.add_malformed(file, line, problem),
            Err(NoEvent::OtherCategory) => {
                self.totals.records += 1;
                self.totals.other_category += 1;
            }
            Ok(event) => {
                self.totals.records += 1;
                self.count(&event);
            }
        }
    }

    /// The first piece that is not a record.
    pub fn first_malformed(&self) -> Option<&Malformed> {
        self.first_malformed.as_ref()
    }

    /// What was counted.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    fn count(&mut self, event: &Event) {
        let Period { since, until } = self.period;
        if since.is_some_and(|since| event.time < since)
            || until.is_some_and(|until| event.time >= until)
        {
            self.totals.outside_period += 1;
            return;
        }
        let (first, last) = self.totals.span.unwrap_or((event.time, event.time));
        self.totals.span = Some((first.min(event.time), last.max(event.time)));
        let object = event.object.as_ref().map_or(OTHERS, |object| {
            self.objects.number(&object_key(&event.vault, object.kind, &object.name))
        });
        let version = event.version.as_deref();
        let version = version.map_or(OTHERS, |version| self.versions.number(version));
        if object != OTHERS && version != OTHERS && event.shows_newest() {
            self.note_current(object, version, event.time);
        }
        if let Some(principal) = event.principal.filter(|_| event.is_success()) {
            let place = if object == OTHERS { self.objects.number(&event.vault) } else { object };
            let last = entry(&mut self.uses, (principal, place), i64::MIN);
            match last {
                Some(last) => *last = event.time.max(*last),
                None => self.totals.left_out += 1,
            }
        }
        match Attribution::of(event, &self.pods) {
            Attribution::Pod { index, is_checked } => {
                self.totals.attributed += 1;
                self.totals.checked += u64::from(is_checked);
                self.attribute(event, index, object, version);
            }
            Attribution::None(reason) => {
                self.totals.unattributed += 1;
                let address = self.addresses.number(&event.address);
                let key =
                    StrangerKey { reason, app: event.app, principal: event.principal, address };
                let tally = entry(&mut self.strangers, key, Tally::new(event.time));
                self.totals.left_out += count_in(tally, event);
            }
        }
    }

    fn attribute(&mut self, event: &Event, pod: usize, object: u32, version: u32) {
        let place = if object == OTHERS { self.objects.number(&event.vault) } else { object };
        let key = CallKey {
            workload: self.workload_of[pod],
            operation: self.operations.number(&event.operation),
            object: place,
            version: if event.is_success() || event.is_pinned { version } else { OTHERS },
            is_pinned: event.is_pinned,
        };
        let tally = entry(&mut self.calls, key, Tally::new(event.time));
        self.totals.left_out += count_in(tally, event);
        if event.is_read() && object != OTHERS && version != OTHERS {
            let new = Reader { version, time: event.time, is_pinned: event.is_pinned };
            if let Some(reader) = entry(&mut self.readers, (pod, object), new)
                && reader.time <= event.time
            {
                *reader = new;
            }
        }
    }

    /// Evidence of a later moment counts.
    fn note_current(&mut self, object: u32, version: u32, time: i64) {
        let new = Current { version, since: time, last: time };
        let Some(current) = entry(&mut self.current, object, new) else { return };
        if current.version == version {
            current.since = current.since.min(time);
            current.last = current.last.max(time);
        } else if current.last <= time {
            *current = new;
        }
    }

    /// The number of a pod's workload.
    pub(super) fn workload_of(&self, pod: usize) -> u32 {
        self.workload_of[pod]
    }

    pub(super) fn address(&self, number: u32) -> &str {
        self.addresses.text(number)
    }
}

impl Tally {
    fn new(time: i64) -> Self {
        Self { calls: 0, failed: 0, first: time, last: time, last_success: None }
    }
}

/// `shop.vault.azure.net/secrets/db`.
pub(super) fn object_key(vault: &str, kind: &str, name: &str) -> String {
    format!("{vault}/{kind}/{name}")
}

/// The entry of a key; `None` for a new one in a table that is full.
fn entry<K: std::hash::Hash + Eq, V>(table: &mut HashMap<K, V>, key: K, new: V) -> Option<&mut V> {
    if table.len() >= MAX_ROWS && !table.contains_key(&key) {
        return None;
    }
    Some(table.entry(key).or_insert(new))
}

/// Counts a call in its row; how many calls have none.
fn count_in(tally: Option<&mut Tally>, event: &Event) -> u64 {
    let Some(tally) = tally else { return 1 };
    tally.calls += 1;
    tally.first = tally.first.min(event.time);
    tally.last = tally.last.max(event.time);
    if event.is_success() {
        tally.last_success = tally.last_success.max(Some(event.time));
    } else {
        tally.failed += 1;
    }
    0
}
