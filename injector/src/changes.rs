//! Which objects a refresh need not fetch, because a list of the vault shows them unchanged. Pure.
//!
//! A list costs one call for 25 objects and tells of each when it was `updated`, to the second. A
//! change of an object moves that time; two changes within one second do not. So an object is known
//! by its time only once that second, and two more for clocks that differ, have passed: until then
//! it is fetched again. Whatever a list does not tell (the object is not in it, a version was
//! pinned, a right was revoked) a GET does, at once or within the hour.

use crate::clock::Time;
use crate::vault::Object;
use keysluice_plan::{ObjectName, ObjectType, ObjectVersion, RelativePath, VaultUrl, Volume};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// An object that was updated so shortly before the answer may change again with the same time.
const UNSETTLED_SECONDS: i64 = 2;
/// Every object is fetched at least so often; and a vault that cannot be listed, or has too many
/// objects, is not asked sooner.
const FULL_EVERY: Duration = Duration::from_secs(3600);

/// When an object was updated, and when the answer that says so was made; seconds since 1970 by the
/// vault's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) updated: i64,
    pub(crate) date: i64,
}

/// Objects that one list holds: vault, kind, identity.
type Group = (VaultUrl, ObjectType, String);

/// A list worth its calls.
#[derive(Debug)]
pub(crate) struct List {
    /// One of the objects it is about.
    pub(crate) object: Object,
    /// With this many pages it costs less than the calls that it can save.
    pub(crate) most_pages: usize,
    /// The items that are fetched when there is no list.
    pub(crate) items: Vec<usize>,
    names: BTreeSet<String>,
}

impl List {
    /// Lower-case names of its objects.
    pub(crate) fn names(&self) -> &BTreeSet<String> {
        &self.names
    }
}

/// How a round goes about its items.
#[derive(Debug, Default)]
pub(crate) struct Start {
    /// Fetched without further questions.
    pub(crate) fetch: Vec<usize>,
    /// Of pinned versions that were fetched: they cannot change, and nobody is asked.
    pub(crate) pinned: Vec<usize>,
    /// To be asked first.
    pub(crate) lists: Vec<List>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    /// Of a pinned version: it was fetched.
    Fetched,
    /// Of the newest version, as a list told it or the object itself; no later change can have this
    /// time.
    Updated(i64),
}

/// The versions of a history, and the files that were made of them.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) versions: Vec<ObjectVersion>,
    pub(crate) paths: Vec<RelativePath>,
}

/// What is known of the items of one volume.
#[derive(Debug)]
pub(crate) struct ChangeTracker {
    known: Vec<Known>,
    /// Until when a list is not asked for, unless more pages than these are granted.
    backed_off: BTreeMap<Group, (Time, usize)>,
    /// Lists that failed last time.
    list_failed: BTreeSet<Group>,
    /// By index of the selection.
    selected: BTreeMap<usize, BTreeMap<ObjectName, i64>>,
    /// By index of the file.
    histories: BTreeMap<usize, History>,
    full_at: Time,
}

impl ChangeTracker {
    /// Nothing is known.
    pub(crate) fn new(items: usize) -> Self {
        Self {
            known: vec![Known::Nothing; items],
            backed_off: BTreeMap::new(),
            list_failed: BTreeSet::new(),
            selected: BTreeMap::new(),
            histories: BTreeMap::new(),
            full_at: Time::ZERO,
        }
    }

    /// The same for another Plan: for each item the one it was before.
    pub(crate) fn replanned(&self, same: &[Option<usize>]) -> Self {
        Self {
            known: same
                .iter()
                .map(|known| known.map_or(Known::Nothing, |index| self.known[index]))
                .collect(),
            backed_off: self.backed_off.clone(),
            list_failed: self.list_failed.clone(),
            selected: moved(&self.selected, same),
            histories: moved(&self.histories, same),
            full_at: self.full_at,
        }
    }

    /// Begins a round; with `full` everything is fetched.
    pub(crate) fn start(
        &mut self,
        volume: &Volume,
        items: &[usize],
        full: bool,
        now: Time,
    ) -> Start {
        if full || now >= self.full_at {
            self.known.fill(Known::Nothing);
            self.selected.clear();
            self.histories.clear();
            self.full_at = now + FULL_EVERY;
        }
        let mut start = Start::default();
        let mut groups = BTreeMap::<Group, Vec<(usize, Object)>>::new();
        for &index in items {
            match (object(volume, index), self.known[index]) {
                (_, Known::Fetched) => start.pinned.push(index),
                (Some(object), _) if object.version().is_none() => {
                    groups.entry(group(&object)).or_default().push((index, object));
                }
                _ => start.fetch.push(index),
            }
        }
        for (group, members) in groups {
            let names: BTreeSet<String> = members.iter().map(|(_, object)| name(object)).collect();
            let unchanged = members
                .iter()
                .filter(|(index, _)| matches!(self.known[*index], Known::Updated(_)))
                .map(|(_, object)| name(object))
                .collect::<BTreeSet<_>>()
                .len();
            let backed_off = self
                .backed_off
                .get(&group)
                .is_some_and(|(until, pages)| now < *until && unchanged <= *pages + 1);
            let items = members.iter().map(|(index, _)| *index).collect();
            match members.into_iter().next() {
                Some((_, object)) if unchanged >= 2 && !backed_off => {
                    start.lists.push(List { object, most_pages: unchanged - 1, items, names });
                }
                _ => start.fetch.extend(items),
            }
        }
        start
    }

    /// A list came: the items that are unchanged, and those to be fetched.
    pub(crate) fn listed(
        &mut self,
        volume: &Volume,
        list: List,
        seen: &BTreeMap<String, Seen>,
    ) -> (Vec<usize>, Vec<usize>) {
        self.list_failed.remove(&group(&list.object));
        list.items.into_iter().partition(|&index| {
            let seen = object(volume, index).and_then(|object| seen.get(&name(&object)));
            seen.is_some_and(|seen| self.known[index] == Known::Updated(seen.updated))
        })
    }

    /// A list is not to be had at all, or has more pages than it was granted: not asked for so many
    /// again for a while. The items to be fetched, and whether this is the first time.
    pub(crate) fn not_listed(
        &mut self,
        list: List,
        refused: bool,
        now: Time,
    ) -> (Vec<usize>, bool) {
        let pages = if refused { usize::MAX - 1 } else { list.most_pages };
        let known = self.backed_off.insert(group(&list.object), (now + FULL_EVERY, pages));
        (list.items, known.is_none())
    }

    /// A list failed, which may pass: the items that fail with it, and those to be fetched. A vault
    /// that has trouble is not asked for all that the list could have saved; only when the list
    /// fails again do the objects have to tell, unless the vault `throttles`.
    pub(crate) fn list_failed(&mut self, list: List, throttles: bool) -> (Vec<usize>, Vec<usize>) {
        let first = self.list_failed.insert(group(&list.object));
        list.items.into_iter().partition(|index| {
            (first || throttles) && matches!(self.known[*index], Known::Updated(_))
        })
    }

    /// An item was made from what a GET told. `listed` is what a list told of its object before.
    pub(crate) fn fetched(
        &mut self,
        volume: &Volume,
        index: usize,
        listed: Option<Seen>,
        got: Option<Seen>,
    ) {
        let Some(object) = object(volume, index) else { return };
        self.known[index] = match object.version() {
            Some(_) => Known::Fetched,
            None => settled(listed, got).map_or(Known::Nothing, Known::Updated),
        };
    }

    /// When the secrets of a selection were updated, of which its files are.
    pub(crate) fn selected(&self, index: usize) -> BTreeMap<ObjectName, i64> {
        self.selected.get(&index).cloned().unwrap_or_default()
    }

    /// The same after a fetch of them.
    pub(crate) fn set_selected(&mut self, index: usize, known: BTreeMap<ObjectName, i64>) {
        self.selected.insert(index, known);
    }

    /// What a history's files are of.
    pub(crate) fn history(&self, index: usize) -> Option<History> {
        self.histories.get(&index).cloned()
    }

    /// The same after a fetch of it.
    pub(crate) fn set_history(&mut self, index: usize, history: History) {
        self.histories.insert(index, history);
    }

    /// An item could not be made.
    pub(crate) fn failed(&mut self, index: usize) {
        self.known[index] = Known::Nothing;
        self.selected.remove(&index);
        self.histories.remove(&index);
    }
}

/// What is known of items, by their positions in the new plan.
fn moved<T: Clone>(known: &BTreeMap<usize, T>, same: &[Option<usize>]) -> BTreeMap<usize, T> {
    let moved = known.iter().filter_map(|(index, known)| {
        let now = same.iter().position(|old| *old == Some(*index))?;
        Some((now, known.clone()))
    });
    moved.collect()
}

/// The time by which an object is known that a GET told, and perhaps a list before it.
pub(crate) fn settled(listed: Option<Seen>, got: Option<Seen>) -> Option<i64> {
    let seen = match (listed, got) {
        // A change after the list shows in the next one; so the list's own word is as good, and the
        // same words are compared.
        (Some(listed), Some(got)) if got.updated >= listed.updated => Some(listed),
        // An answer that is older than the list, from a replica that lags behind.
        (Some(_), _) => None,
        (None, got) => got,
    };
    seen.filter(|seen| seen.updated + UNSETTLED_SECONDS < seen.date).map(|seen| seen.updated)
}

/// Key Vault's names are the same in any case.
pub(crate) fn name(object: &Object) -> String {
    object.name().as_str().to_ascii_lowercase()
}

/// The one object an item comes from; a history or a selection comes from several.
fn object(volume: &Volume, index: usize) -> Option<Object> {
    volume.files.get(index).filter(|file| file.history.is_none()).map(Object::of)
}

fn group(object: &Object) -> Group {
    (object.vault().clone(), object.kind(), object.identity().to_owned())
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
