//! Another Plan.

use super::{Fetcher, Parts};
use crate::content;
use crate::fault::Fault;
use crate::item::{Item, unchanged_items};
use keysluice_plan::Plan;
use std::path::Path;
use std::sync::{Arc, Mutex};

impl Fetcher {
    /// The same for another Plan, once no round is under way: tokens, waits and what is known of
    /// unchanged items stay.
    ///
    /// # Errors
    /// What [`Fetcher::new`] finds in the Plan.
    pub(crate) fn replanned(&self, plan: Arc<Plan>, root: &Path) -> Result<Self, Fault> {
        if plan.trusted_ca != self.plan.trusted_ca {
            return Self::new(plan, root, self.throttle.state());
        }
        for item in plan.volumes.iter().flat_map(Item::all) {
            content::supported(item).map_err(|error| error.fault(&item.source()))?;
        }
        let trackers = (0..plan.volumes.len()).map(|index| {
            let same = unchanged_items(&self.plan, &plan, index);
            Mutex::new(self.tracker(index).replanned(&same))
        });
        let trackers = trackers.collect();
        let (http, throttle) = (Arc::clone(&self.http), Arc::clone(&self.throttle));
        let tokens = Arc::clone(&self.tokens);
        Ok(Self::with(plan, root, Parts { http, throttle, tokens, trackers }))
    }
}
