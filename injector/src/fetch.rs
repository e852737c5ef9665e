//! One round: the items of a volume that are due, each object fetched once.

use crate::content::{self, Fetched};
use crate::fault::{Class, Fault};
use crate::http::{Environment, Http};
use crate::identity::TokenSource;
use crate::item::Item;
use crate::throttle::{Throttle, ThrottleState};
use crate::vault::{Object, VaultClient};
use keysluice_plan::Plan;
use keysluice_plan::reason::{KS601, KS608};
use secrecy::ExposeSecret;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

/// What came of the items of one object.
pub(crate) type Results = Vec<(usize, Result<Fetched, Fault>)>;

/// How a round goes on. An object is told as soon as it is known: the slowest of a round holds up no reason.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Some items of a volume are done.
    Items { volume: usize, results: Results },
    /// All of them are.
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
}

impl Fetcher {
    /// Checks what can be known before the first request.
    pub(crate) fn new(plan: Arc<Plan>, root: &Path, throttle: ThrottleState) -> Result<Self, Fault> {
        for item in plan.volumes.iter().flat_map(Item::all) {
            content::supported(item).map_err(|error| error.fault(&item.source()))?;
        }
        let http = Http::new(plan.trusted_ca.as_deref(), &Environment::of_process()).map_err(|error| error.fault())?;
        let (http, throttle) = (Arc::new(http), Arc::new(Throttle::new(throttle, seed())));
        let source = |identity: &keysluice_plan::Identity| {
            (
                identity.name.clone(),
                TokenSource::new(identity.clone(), root, Arc::clone(&http), Arc::clone(&throttle), seed()),
            )
        };
        let sources = plan.identities.iter().map(source).collect();
        let vaults = VaultClient::new(Arc::clone(&http), Arc::clone(&throttle));
        Ok(Self { plan, sources, vaults, throttle, http })
    }

    /// What we were told to wait.
    pub(crate) fn throttle_state(&self) -> ThrottleState {
        self.throttle.state()
    }

    /// Fetches these items of a volume; every one gets a result. Where nobody listens any more nothing is told.
    pub(crate) async fn round(self: Arc<Self>, volume: usize, items: Vec<usize>, tell: UnboundedSender<Progress>) {
        // Held until the end of the round: connections are shared within it, and closed after it.
        let client = self.http.client();
        let mut lost = items.clone();
        let mut objects = BTreeMap::<Object, Vec<usize>>::new();
        for index in items {
            if let Item::File(file) = Item::at(&self.plan.volumes[volume], index) {
                objects.entry(Object::of(file)).or_default().push(index);
            }
        }
        let mut tasks = JoinSet::new();
        for (object, items) in objects {
            tasks.spawn(Arc::clone(&self).object(volume, object, items));
        }
        while let Some(done) = tasks.join_next().await {
            let results = done.unwrap_or_default();
            lost.retain(|item| results.iter().all(|(index, _)| index != item));
            let _ = tell.send(Progress::Items { volume, results });
        }
        drop(client);
        // Only a task that panicked gives no result.
        let fault = || Fault::new(KS608, Class::Transient, "the fetch ended without a result");
        let results = lost.into_iter().map(|item| (item, Err(fault()))).collect();
        let _ = tell.send(Progress::Items { volume, results });
        let _ = tell.send(Progress::Over { volume });
    }

    async fn object(self: Arc<Self>, volume: usize, object: Object, items: Vec<usize>) -> Results {
        let answer = match self.sources.get(object.identity()) {
            Some(source) => self.vaults.get(&object, source).await,
            // `Plan::check` refuses such a Plan.
            None => Err(Fault::new(
                KS601,
                Class::Permanent,
                format_args!("identity {:?} is not defined", object.identity()),
            )),
        };
        let produce = |index: usize| match &answer {
            Err(fault) => Err(fault.clone()),
            Ok(body) => {
                let file = &self.plan.volumes[volume].files[index];
                content::produce(file, &file.path, body.expose_secret())
                    .map_err(|error| error.fault(&object.to_string()))
            }
        };
        items.into_iter().map(|index| (index, produce(index))).collect()
    }
}

/// Differs from process to process; spreads load, keeps nothing secret.
pub(crate) fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
