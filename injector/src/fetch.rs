//! One round: the items of a volume that are due, each object fetched once.

#![allow(clippy::disallowed_methods, reason = "this room draws the id of requests")]

mod history;
mod making;
mod replanned;
mod selected;
mod stood;
mod unchanged;

use crate::changes::{ChangeTracker, Seen, Start};
use crate::clock::{Time, since_boot};
use crate::content::{self, Fetched};
use crate::fault::{Class, Fault, FaultKind};
use crate::http::{Environment, Http};
use crate::identity::{TokenCache, TokenSource};
use crate::item::Item;
use crate::room::Room;
use crate::throttle::{Throttle, ThrottleState};
use crate::vault::{Object, VaultClient, of_object};
use keysluice_plan::reason::{KS601, KS608};
use keysluice_plan::{Plan, RelativePath, VaultUrl, Volume};
use making::{Job, Place};
use secrecy::ExposeSecret;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex};
use stood::Stood;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use unchanged::Listing;

/// What came of the items of one object.
pub(crate) type Results = Vec<(usize, Result<ItemUpdate, Fault>)>;

/// What an item has now.
#[derive(Debug, Default)]
pub(crate) struct ItemUpdate {
    /// New files.
    pub(crate) fetched: Fetched,
    /// Its earlier files that stay as they are, and why their objects gave none.
    pub(crate) kept: Vec<(RelativePath, Option<Fault>)>,
}

impl From<Fetched> for ItemUpdate {
    fn from(fetched: Fetched) -> Self {
        Self { fetched, kept: Vec::new() }
    }
}

/// How a round goes on. An object is told as soon as it is known: the slowest of a round holds up
/// no reason.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Some items of a volume are done.
    Items { volume: usize, results: Results },
    /// Some items of a volume are what they were, as a list told, or (`asked` is false) as pinned
    /// versions are.
    Unchanged { volume: usize, items: Vec<usize>, asked: bool },
    /// A round is over: all of its items are.
    Over { volume: usize },
}

/// Everything that talks to the network.
#[derive(Debug)]
pub(crate) struct Fetcher {
    plan: Arc<Plan>,
    sources: BTreeMap<String, TokenSource>,
    vaults: VaultClient,
    throttle: Arc<Throttle>,
    http: Arc<Http>,
    tokens: Arc<TokenCache>,
    /// For what is fetched and not written yet.
    room: Arc<Room>,
    /// One answer at a time is taken apart beside the one thread.
    making: Semaphore,
    /// What is known of changes; per volume.
    trackers: Vec<Mutex<ChangeTracker>>,
    /// Of selections.
    stood: Stood,
}

/// What outlives a Plan.
struct Parts {
    http: Arc<Http>,
    throttle: Arc<Throttle>,
    tokens: Arc<TokenCache>,
    trackers: Vec<Mutex<ChangeTracker>>,
}

impl Fetcher {
    /// The HTTP client, for other requests of this process.
    pub(crate) fn http(&self) -> Arc<Http> {
        Arc::clone(&self.http)
    }

    /// The waits that Entra and vaults demand.
    pub(crate) fn throttle(&self) -> Arc<Throttle> {
        Arc::clone(&self.throttle)
    }

    /// Checks what can be known before the first request.
    pub(crate) fn new(
        plan: Arc<Plan>,
        root: &Path,
        throttle: ThrottleState,
    ) -> Result<Self, Fault> {
        for item in plan.volumes.iter().flat_map(Item::all) {
            content::supported(item).map_err(|error| error.fault(&item.source()))?;
        }
        let http = Http::new(plan.trusted_ca.as_deref(), &Environment::of_process())
            .map_err(|error| error.fault())?;
        let (http, throttle) = (Arc::new(http), Arc::new(Throttle::new(throttle, seed())));
        let tokens = Arc::new(TokenCache::new(Arc::clone(&http), Arc::clone(&throttle), seed()));
        let trackers = plan
            .volumes
            .iter()
            .map(|volume| Mutex::new(ChangeTracker::new(Item::count(volume))))
            .collect();
        Ok(Self::with(plan, root, Parts { http, throttle, tokens, trackers }))
    }

    #[expect(clippy::similar_names, reason = "the root of the paths, and the room for answers")]
    fn with(plan: Arc<Plan>, root: &Path, parts: Parts) -> Self {
        let Parts { http, throttle, tokens, trackers } = parts;
        let mut sources = BTreeMap::new();
        for identity in &plan.identities {
            let source = TokenSource::new(identity, root, Arc::clone(&tokens));
            sources.insert(identity.name.clone(), source);
        }
        let vaults = VaultClient::new(
            Arc::clone(&http),
            Arc::clone(&throttle),
            plan.volumes.iter().flat_map(vaults),
        );
        let making = Semaphore::new(1);
        let (room, stood) = (Room::of_this_process(), Stood::new(root));
        Self { plan, sources, vaults, throttle, http, tokens, room, making, trackers, stood }
    }

    /// Has these items fetched the next time, whatever a list tells.
    pub(crate) fn forget(&self, volume: usize, items: &[usize]) {
        let mut tracker = self.tracker(volume);
        for &item in items {
            tracker.failed(item);
        }
    }

    /// When each vault gave its last complete answer.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (&VaultUrl, Time)> {
        self.vaults.answers()
    }

    /// What we were told to wait.
    pub(crate) fn throttle_state(&self) -> ThrottleState {
        self.throttle.state()
    }

    /// Has these items of a volume as the vault has them; every one gets a result. With `full` all
    /// are fetched, otherwise those that a list does not show unchanged. Where nobody listens any
    /// more nothing is told.
    pub(crate) async fn round(
        self: Arc<Self>,
        volume: usize,
        items: Vec<usize>,
        full: bool,
        tx: UnboundedSender<Progress>,
    ) {
        // Held until the end of the round: connections are shared within it, and closed after it.
        let client = self.http.client();
        let Start { fetch, pinned, lists } =
            self.tracker(volume).start(&self.plan.volumes[volume], &items, full, since_boot());
        let _ = tx.send(Progress::Unchanged { volume, items: pinned, asked: false });
        let mut lost: BTreeSet<usize> = fetch.iter().copied().collect();
        let mut tasks = JoinSet::new();
        for list in lists {
            lost.extend(&list.items);
            let fetcher = Arc::clone(&self);
            tasks.spawn(async move { Step::Listed(fetcher.listed(volume, list).await) });
        }
        self.ask(&mut tasks, volume, fetch, &Arc::default());
        while let Some(done) = tasks.join_next().await {
            match done.unwrap_or(Step::Done(Vec::new())) {
                Step::Listed(Listing { results, unchanged, fetch, seen }) => {
                    self.ask(&mut tasks, volume, fetch, &Arc::new(seen));
                    lost.retain(|item| {
                        !unchanged.contains(item) && results.iter().all(|(index, _)| index != item)
                    });
                    let _ = tx.send(Progress::Unchanged { volume, items: unchanged, asked: true });
                    let _ = tx.send(Progress::Items { volume, results });
                }
                Step::Done(results) => {
                    lost.retain(|item| results.iter().all(|(index, _)| index != item));
                    let _ = tx.send(Progress::Items { volume, results });
                }
            }
        }
        drop(client);
        // Only a task that panicked gives no result.
        let results = lost.into_iter().map(|item| (item, Err(no_result("fetch")))).collect();
        let _ = tx.send(Progress::Items { volume, results });
        let _ = tx.send(Progress::Over { volume });
    }

    /// Asks for what these items come from.
    fn ask(
        self: &Arc<Self>,
        tasks: &mut JoinSet<Step>,
        volume: usize,
        items: Vec<usize>,
        seen: &Arc<BTreeMap<Object, Seen>>,
    ) {
        let mut asks = BTreeMap::<Ask, Vec<usize>>::new();
        for index in items {
            asks.entry(Ask::of(&self.plan.volumes[volume], index)).or_default().push(index);
        }
        for (ask, items) in asks {
            let (fetcher, seen) = (Arc::clone(self), Arc::clone(seen));
            tasks.spawn(async move {
                Step::Done(match ask {
                    Ask::Object(object) => {
                        fetcher.object(volume, &object, seen.get(&object).copied(), items).await
                    }
                    Ask::History(object, count) => {
                        fetcher.history(volume, &object, count, items).await
                    }
                    Ask::Selection(index) => vec![(index, fetcher.selection(volume, index).await)],
                })
            });
        }
    }

    async fn object(
        &self,
        volume: usize,
        object: &Object,
        listed: Option<Seen>,
        items: Vec<usize>,
    ) -> Results {
        let answer = match self.source(object.identity()) {
            Ok(source) => self.vaults.get(object, source).await,
            Err(fault) => Err(fault),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(fault) => return self.failed(volume, items, &fault),
        };
        let (seen, lifetime) = of_object(answer.body.expose_secret(), answer.date);
        let made = self
            .make(Job { volume, items, object: object.clone(), place: Place::Own, answer })
            .await;
        let plan = &self.plan.volumes[volume];
        let mut tracker = self.tracker(volume);
        let noted = made.into_iter().map(|(index, made)| {
            tracker.failed(index);
            let made = made.map(|mut fetched| {
                tracker.fetched(plan, index, listed, seen);
                fetched.updated = seen.map(|seen| seen.updated);
                fetched.lifetime = lifetime.clone();
                fetched.into()
            });
            (index, made)
        });
        noted.collect()
    }

    /// The object of these items was not to be had.
    fn failed(&self, volume: usize, items: Vec<usize>, fault: &Fault) -> Results {
        let failed = items.into_iter().map(|index| {
            self.tracker(volume).failed(index);
            (index, self.optional(volume, index, fault.clone()))
        });
        failed.collect()
    }

    /// `Plan::check` refuses a Plan with an identity that is not defined.
    fn source(&self, identity: &str) -> Result<&TokenSource, Fault> {
        self.sources.get(identity).ok_or_else(|| {
            let message = format_args!("identity {identity:?} is not defined");
            Fault::new(KS601, Class::Permanent, message)
        })
    }

    /// An object that is not there is no failure of an optional file.
    fn optional(&self, volume: usize, index: usize, fault: Fault) -> Result<ItemUpdate, Fault> {
        let file = &self.plan.volumes[volume].files[index];
        if file.optional && fault.kind == FaultKind::NotFound {
            Ok(Fetched::missing(file).into())
        } else {
            Err(fault)
        }
    }
}

/// A task of a round panicked.
fn no_result(task: &str) -> Fault {
    Fault::new(KS608, Class::Transient, format_args!("the {task} ended without a result"))
}

/// A task of a round ended.
enum Step {
    Listed(Listing),
    Done(Results),
}

/// What one or several requests bring for some items.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ask {
    Object(Object),
    /// The newest version that counts, and how many.
    History(Object, u32),
    /// By index of the item.
    Selection(usize),
}

impl Ask {
    fn of(volume: &Volume, index: usize) -> Self {
        match Item::at(volume, index) {
            Item::Selection(_) => Self::Selection(index),
            Item::File(file) => match file.history {
                None => Self::Object(Object::of(file)),
                Some(count) => Self::History(Object::of(file), count),
            },
        }
    }
}

fn vaults(volume: &Volume) -> impl Iterator<Item = &VaultUrl> {
    let selections = volume.selections.iter().map(|selection| &selection.vault);
    volume.files.iter().map(|file| &file.vault).chain(selections)
}

/// Differs from process to process; spreads load, keeps nothing secret.
pub(crate) fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
