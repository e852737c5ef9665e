//! From an answer to the files of all its items. It is read once, and what may take long is done
//! beside the one thread, so that `status`, a signal and the bound of the start never wait for it.

use super::{Fetcher, no_result};
use crate::content::{Fetched, Reading, is_heavy};
use crate::fault::{Class, Fault};
use crate::item::Item;
use crate::room::Room;
use crate::vault::{Answer, Object};
use keysluice_plan::reason::{KS433, KS601};
use keysluice_plan::{Plan, RelativePath};
use secrecy::ExposeSecret;
use std::sync::Arc;

/// What came of each of an answer's items.
pub(super) type FetchedItems = Vec<(usize, Result<Fetched, Fault>)>;

/// An answer and what is to be made of it.
pub(super) struct Job {
    pub(super) volume: usize,
    pub(super) items: Vec<usize>,
    /// For messages.
    pub(super) object: Object,
    pub(super) place: Place,
    /// Held until it is done: not more answers are in hand than requests may be under way.
    pub(super) answer: Answer,
}

/// Where its files go.
pub(super) enum Place {
    /// Where the item says.
    Own,
    /// Of a history: the number below that.
    Version(usize),
    /// Of a selection.
    At(RelativePath),
}

impl Fetcher {
    /// Makes the files.
    pub(super) async fn make(&self, job: Job) -> FetchedItems {
        let (plan, room) = (Arc::clone(&self.plan), Arc::clone(&self.room));
        let volume = &self.plan.volumes[job.volume];
        let items = job.items.iter().map(|&index| Item::at(volume, index));
        if !is_heavy(items, job.answer.body.expose_secret()) {
            return job.run(&plan, &room);
        }
        // One at a time: a second thread would not make it faster.
        let _turn = self.making.acquire().await;
        let items = job.items.clone();
        let made = tokio::task::spawn_blocking(move || job.run(&plan, &room)).await;
        made.unwrap_or_else(|_| {
            let fault = no_result("making of files");
            items.into_iter().map(|index| (index, Err(fault.clone()))).collect()
        })
    }
}

impl Job {
    fn run(&self, plan: &Plan, room: &Arc<Room>) -> FetchedItems {
        let mut reading = Reading::new(self.answer.body.expose_secret());
        self.items.iter().map(|&index| (index, self.one(plan, index, &mut reading, room))).collect()
    }

    fn one(
        &self,
        plan: &Plan,
        index: usize,
        reading: &mut Reading<'_>,
        room: &Arc<Room>,
    ) -> Result<Fetched, Fault> {
        let object = &self.object;
        let item = Item::at(&plan.volumes[self.volume], index);
        let path = match &self.place {
            Place::At(path) => Ok(path.clone()),
            Place::Own => item.path().parse(),
            Place::Version(number) => format!("{}/{number}", item.path()).parse(),
        };
        // Such a path is refused with the Plan, unless it is a few bytes below what a file system
        // takes.
        let path = path.map_err(|error| {
            Fault::new(KS601, Class::Permanent, format_args!("{object}: {error}"))
        })?;
        let fetched = match item {
            Item::File(file) => reading.file(file, &path),
            Item::Selection(selection) => reading.selected(selection, &path),
        };
        let mut fetched = fetched.map_err(|error| error.fault(&object.to_string()))?;
        for output in &mut fetched.files {
            if !output.content.charge(room) {
                let most = room.most() >> 20;
                let message = format_args!(
                    "{object}: with it more than {most} MiB of files wait to be written"
                );
                return Err(Fault::new(KS433, Class::Slow, message));
            }
        }
        Ok(fetched)
    }
}
