//! Which items of a round a list shows unchanged.

use super::{Fetcher, Results};
use crate::changes::{ChangeTracker, List, Seen, name};
use crate::clock::since_boot;
use crate::fault::{Fault, FaultKind};
use crate::log;
use crate::vault::{Object, Updates};
use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

/// What a list led to.
#[derive(Default)]
pub(super) struct Listing {
    /// Items that have their result.
    pub(super) results: Results,
    /// Items that are what they were.
    pub(super) unchanged: Vec<usize>,
    /// Items to be fetched.
    pub(super) fetch: Vec<usize>,
    /// What it tells of their objects.
    pub(super) seen: BTreeMap<Object, Seen>,
}

impl Fetcher {
    /// Asks for a list. Without a token there is nothing to be fetched either: then the results are
    /// the error.
    pub(super) async fn listed(&self, volume: usize, list: List) -> Listing {
        let plan = &self.plan.volumes[volume];
        let answer = match self.source(list.object.identity()) {
            Ok(source) => {
                self.vaults.updates(&list.object, source, list.most_pages, list.names()).await
            }
            Err(fault) => Err(fault),
        };
        let (why, refused) = match answer {
            Ok(Updates::Known(known)) => {
                let mut seen = BTreeMap::new();
                for object in list.items.iter().map(|&index| Object::of(&plan.files[index])) {
                    if let Some(update) = known.get(&name(&object)) {
                        seen.insert(object, *update);
                    }
                }
                let (unchanged, fetch) = self.tracker(volume).listed(plan, list, &known);
                return Listing { unchanged, fetch, seen, ..Listing::default() };
            }
            Ok(Updates::TooMany) => {
                ("it has more pages than there are objects to spare".to_owned(), false)
            }
            Err(fault) if fault.kind == FaultKind::NoToken => {
                let results =
                    list.items.into_iter().map(|index| (index, Err(fault.clone()))).collect();
                return Listing { results, ..Listing::default() };
            }
            Err(fault) if is_refused(&fault) => (fault.to_string(), true),
            Err(fault) => {
                let (failed, fetch) =
                    self.tracker(volume).list_failed(list, fault.kind == FaultKind::Throttled);
                let results = failed.into_iter().map(|index| (index, Err(fault.clone()))).collect();
                return Listing { results, fetch, ..Listing::default() };
            }
        };
        let vault = list.object.vault().clone();
        let (fetch, is_first) = self.tracker(volume).not_listed(list, refused, since_boot());
        if is_first {
            log::info(&format!(
                "{vault}: objects are asked for one by one, the list again in an hour: {why}"
            ));
        }
        Listing { fetch, ..Listing::default() }
    }

    pub(super) fn tracker(&self, volume: usize) -> MutexGuard<'_, ChangeTracker> {
        self.trackers[volume].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The list is not to be had at all: asking again soon gives the same answer.
fn is_refused(fault: &Fault) -> bool {
    use FaultKind::{BadList, BadRequest, Forbidden, NotFound};
    matches!(fault.kind, BadList | BadRequest | Forbidden | NotFound)
}
