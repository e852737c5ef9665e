//! `run`: performs what the [`Machine`] decides, until a signal.

#![allow(clippy::disallowed_methods, reason = "this room hands the wall clock to the volume")]

mod following;

use crate::clock::since_boot;
use crate::control::{self, Request, RunDirectory, Snapshot};
use crate::driver::{self, Driver};
use crate::exporter;
use crate::fault::Fault;
use crate::fetch::{Fetcher, seed};
use crate::item::Item;
use crate::live::{self, Follower};
use crate::log;
use crate::managed_identity::Endpoint;
use crate::options::Options;
use crate::plan_source::below;
use crate::program;
use crate::react::Reactor;
use crate::refresh::{Action, Event, Found, Machine, Policy, Resumed, Settings, Swap, Written};
use crate::signals::Signals;
use crate::sync::{self, Syncer};
use crate::templates::Rendered;
use crate::throttle::ThrottleState;
use crate::volume::Volume;
use keysluice_plan::Plan;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// How long a previous generation stays for readers that have it open.
const LINGER: Duration = Duration::from_secs(10);
/// How long clients of the control socket get to hear that it is over.
const FAREWELL: Duration = Duration::from_millis(20);
const THROTTLE_FILE: &str = "throttle.json";
const SECRETS_FILE: &str = "secrets.json";
const REACTION_FILE: &str = "reaction";

/// Runs until SIGTERM (`Ok`) or until it gives up.
pub(crate) async fn run(plan: Plan, options: &Options) -> Result<(), Fault> {
    let mut signals = Signals::new()?;
    let run = RunDirectory::create(&below(&options.root, &plan.run_directory))?;
    let listener = run.listen()?;
    let (plan, etag, base) = live::resume(plan, &run);
    let origin = Origin { etag, base };
    program::install(&plan, &options.root)?;
    let (items, volumes) =
        (plan.volumes.iter().map(Item::count).sum::<usize>(), plan.volumes.len());
    log::info(&format!(
        "keysluice-injector {}: {items} items in {volumes} volumes",
        env!("CARGO_PKG_VERSION")
    ));
    let (snapshots, _) = watch::channel(Snapshot::default());
    let result = match Sidecar::new(plan, origin, options, run, snapshots.clone()) {
        Ok(sidecar) => sidecar.serve(&listener, &mut signals).await,
        Err(fault) => Err(fault),
    };
    if let Err(fault) = &result {
        snapshots.send_modify(|snapshot| snapshot.ended = Some(fault.to_string()));
        // A gate that connects in this moment hears the reason too.
        let (requests, _) = mpsc::channel(1);
        let _ = timeout(FAREWELL, control::accept(&listener, &snapshots, &requests)).await;
    }
    result
}

/// Of the Plan: its entity tag, and the hash of the environment's that it came from.
struct Origin {
    etag: Option<String>,
    base: u64,
}

struct Sidecar {
    plan: Arc<Plan>,
    base: u64,
    follower: Follower,
    /// The current Plan, while rounds of the one in force are under way.
    next_plan: Option<Arc<Plan>>,
    /// Somebody asked for a refresh, which waits for the current Plan.
    awaits_plan: bool,
    options: Options,
    run: RunDirectory,
    throttle: ThrottleState,
    /// How many Secrets were made at least once.
    made_secrets: usize,
    /// Whether a reaction is to come.
    owes_reaction: bool,
    driver: Driver,
    volumes: Vec<Volume>,
    waiters: Vec<oneshot::Sender<String>>,
    snapshots: watch::Sender<Snapshot>,
}

impl Sidecar {
    fn new(
        plan: Plan,
        origin: Origin,
        options: &Options,
        run: RunDirectory,
        snapshots: watch::Sender<Snapshot>,
    ) -> Result<Self, Fault> {
        let (plan, started) = (Arc::new(plan), since_boot());
        let throttle = ThrottleState::read(&run.read(THROTTLE_FILE));
        let fetcher = Arc::new(Fetcher::new(Arc::clone(&plan), &options.root, throttle.clone())?);
        let (http, endpoint_throttle) = (fetcher.http(), fetcher.throttle());
        if let Some(endpoint) = Endpoint::open(&plan, &options.root, http, endpoint_throttle)? {
            endpoint.start();
        }
        let (mut volumes, mut found) = (Vec::new(), Vec::new());
        for volume in &plan.volumes {
            let mut opened = Volume::open(&below(&options.root, &volume.directory))
                .map_err(|error| error.fault())?;
            report_leftovers(&mut opened);
            found.push(resume(volume, &opened));
            volumes.push(opened);
        }
        let start_timeout = plan.start_timeout_seconds.map(Duration::from_secs);
        let settings = Settings { start_timeout, linger: LINGER, seed: seed() };
        let mut machine = Machine::new(&plan, Policy::KeepFresh, &settings, found, started);
        machine.resume_secrets(made_secrets(&run));
        if !run.read(REACTION_FILE).is_empty() {
            machine.resume_reaction(started);
        }
        let syncer = Syncer::new(&options.root, &plan)?;
        let reactor = Reactor::open(&options.root, &plan, || fetcher.http())?;
        let Origin { etag, base } = origin;
        let follower = Follower::new(&plan, etag, &options.root, started);
        Ok(Self {
            base,
            follower,
            next_plan: None,
            awaits_plan: false,
            options: options.clone(),
            run,
            throttle,
            made_secrets: 0,
            owes_reaction: false,
            driver: Driver::new(machine, fetcher).with(syncer, reactor),
            volumes,
            waiters: Vec::new(),
            snapshots,
            plan,
        })
    }

    async fn serve(mut self, listener: &UnixListener, signals: &mut Signals) -> Result<(), Fault> {
        let (sender, mut requests) = mpsc::channel(4);
        if let Some(port) = self.plan.metrics_port {
            exporter::start(port, sender.clone())?;
        }
        let snapshots = self.snapshots.clone();
        let connections = control::accept(listener, &snapshots, &sender);
        tokio::pin!(connections);
        let mut event = Some(Event::Wake);
        loop {
            if let Some(event) = event.take() {
                self.step(event)?;
                self.take_next_plan()?;
            }
            event = tokio::select! {
                biased;
                event = self.driver.next() => event?,
                answer = self.follower.next() => Some(self.answered(answer)),
                Some(request) = requests.recv() => self.request(request),
                _ = signals.hangup.recv() => self.refresh(),
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                () = &mut connections => None,
            };
        }
        self.terminated();
        Ok(())
    }

    fn request(&mut self, request: Request) -> Option<Event> {
        match request {
            Request::Refresh(answer) => {
                self.waiters.push(answer);
                self.refresh()
            }
            Request::Status(answer) => {
                let _ = answer.send(self.driver.machine.json(since_boot()));
                None
            }
        }
    }

    /// A pod that is stopped before it was ready leaves the reason behind.
    fn terminated(&self) {
        if let Some(fault) = self.driver.machine.fault().filter(|_| !self.driver.machine.is_ready())
        {
            crate::termination::write(&self.options.termination_log, fault);
        }
    }

    /// Feeds the machine until it asks for nothing that can be done at once.
    fn step(&mut self, event: Event) -> Result<(), Fault> {
        let has_progress = matches!(event, Event::Progress(_));
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let actions = self.driver.on(event);
            self.show_reasons();
            for action in actions {
                events.extend(self.perform(action)?);
            }
        }
        if has_progress {
            self.keep_throttle();
        }
        self.keep_made_secrets();
        self.keep_reaction();
        Ok(())
    }

    /// Does what the machine wants; answers with what became of it, if it is known at once.
    fn perform(&mut self, action: Action) -> Result<Option<Event>, Fault> {
        match action {
            Action::Fetch { volume, items } => {
                // A list does not show what the volume has lost.
                let templates = &self.plan.volumes[volume].templates;
                let templates = templates.iter().map(|file| &file.path);
                let standing = self.driver.machine.standing(volume).chain(templates);
                let full = !self.volumes[volume].has(standing);
                self.driver.fetch(volume, items, full);
            }
            Action::Forget { volume, items } => self.driver.fetcher.forget(volume, &items),
            Action::Commit { volume } => {
                let result = self.commit(volume);
                return Ok(Some(Event::Committed { volume, result }));
            }
            Action::RemovePrevious { volume } => {
                let result = self.volumes[volume].remove_previous();
                let result = result.map(drop).map_err(|error| error.fault());
                return Ok(Some(Event::Removed { volume, result }));
            }
            Action::Sync { secret } => {
                self.driver.sync(secret, sync::data_of(&self.plan, &self.volumes, secret));
            }
            Action::React { attempt } => self.driver.react(attempt),
            // Only `once` has it.
            Action::CommitAll => {}
            Action::Report(report) => driver::report(&report),
            Action::Ready => self.snapshots.send_modify(|snapshot| snapshot.ready = true),
            Action::Refreshed => {
                let answer = self.driver.machine.json(since_boot());
                for waiter in self.waiters.drain(..) {
                    let _ = waiter.send(answer.clone());
                }
            }
            Action::GiveUp(fault) => return Err(fault),
        }
        Ok(None)
    }

    fn commit(&mut self, index: usize) -> Result<Written, Fault> {
        let volume = &mut self.volumes[index];
        let mut entries = self.driver.machine.entries(index);
        let rendered = Rendered::of(&self.plan.volumes[index].templates, &entries, volume)?;
        entries.extend(rendered.entries());
        let staged = volume.stage(&entries, SystemTime::now());
        report_leftovers(volume);
        let staged = staged.map_err(|error| error.fault())?;
        let changed = staged.changed().iter().map(|path| {
            let version = match self.driver.machine.version(index, path) {
                None if rendered.has(path) => "from a template",
                version => version.unwrap_or("unknown"),
            };
            format!("{path} {version}")
        });
        let removed = staged.removed().iter().map(|path| format!("{path} removed"));
        let changed: Vec<String> = changed.chain(removed).collect();
        let unchanged = staged.is_unchanged();
        let paths = staged.changed().iter().chain(staged.removed()).cloned().collect();
        let lingers = volume.publish(staged).map_err(|error| error.fault())?;
        let generation = volume.generation();
        if !unchanged {
            let name = &self.plan.volumes[index].name;
            let shown = generation.as_deref().unwrap_or_default();
            log::info(&format!("volume {name:?}: generation {shown}: {}", changed.join(", ")));
        }
        let swap = if lingers { Swap::Lingers } else { Swap::Clean };
        Ok(Written { swap, generation, changed: paths, fault: rendered.fault })
    }

    /// A container that is restarted while the API server is lost opens its gate all the same.
    fn keep_made_secrets(&mut self) {
        let made: Vec<usize> = self.driver.machine.made_secrets().collect();
        if made.len() != self.made_secrets {
            self.run.replace(SECRETS_FILE, &serde_json::to_vec(&made).unwrap_or_default());
            self.made_secrets = made.len();
        }
    }

    /// A container that is restarted carries out the reaction that it owes.
    fn keep_reaction(&mut self) {
        let owes = self.driver.machine.has_reaction();
        if owes != self.owes_reaction {
            self.run.replace(REACTION_FILE, if owes { b"owed" } else { b"" });
            self.owes_reaction = owes;
        }
    }

    /// A gate that waits hears why.
    fn show_reasons(&self) {
        let reasons = self.driver.machine.reasons();
        self.snapshots.send_if_modified(|snapshot| {
            let news = snapshot.reasons != reasons;
            snapshot.reasons = reasons;
            news
        });
    }

    /// A container that is restarted keeps the waits that vaults demanded.
    fn keep_throttle(&mut self) {
        let throttle = self.driver.fetcher.throttle_state();
        if throttle != self.throttle {
            self.run.replace(THROTTLE_FILE, &serde_json::to_vec(&throttle).unwrap_or_default());
            self.throttle = throttle;
        }
    }
}

/// The Secrets that an earlier run has made.
fn made_secrets(run: &RunDirectory) -> Vec<usize> {
    serde_json::from_slice(&run.read(SECRETS_FILE)).unwrap_or_default()
}

/// What an earlier run left in a volume.
fn resume(plan: &keysluice_plan::Volume, volume: &Volume) -> Found {
    Found::of(plan, volume.left().as_ref(), |outputs| {
        let made = plan.templates.iter().map(|made| &made.path);
        let paths = outputs.entries(plan).into_iter().map(|entry| entry.path).chain(made);
        // It was fetched then at the latest, unless the node's clock was set since.
        let written = volume.generation_time();
        let age = written.and_then(|time| SystemTime::now().duration_since(time).ok());
        let (generation, age) = (volume.generation(), age.unwrap_or_default());
        volume.resume(paths).then_some(Resumed { generation, age })
    })
}

fn report_leftovers(volume: &mut Volume) {
    if let Some(error) = volume.news() {
        log::warn(&error.fault());
    }
}
