//! `run`: performs what the [`Machine`] decides, until a signal.

use crate::clock::{Alarm, since_boot};
use crate::control::{self, Request, RunDirectory, Snapshot};
use crate::fault::{Class, Fault};
use crate::fetch::{Fetcher, Progress, seed};
use crate::item::Item;
use crate::log;
use crate::options::Options;
use crate::plan_source::below;
use crate::refresh::{Action, Event, Found, Machine, Report, Resumed, Settings, Swap, Written};
use crate::signals::Signals;
use crate::throttle::ThrottleState;
use crate::volume::{Volume, VolumeError};
use keysluice_plan::Plan;
use keysluice_plan::reason::KS608;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

/// How long a previous generation stays for readers that have it open.
const LINGER: Duration = Duration::from_secs(10);
/// How long clients of the control socket get to hear that it is over.
const FAREWELL: Duration = Duration::from_millis(20);
const THROTTLE_FILE: &str = "throttle.json";

/// Runs until SIGTERM (`Ok`) or until it gives up.
pub(crate) async fn run(plan: Plan, options: &Options) -> Result<(), Fault> {
    let mut signals = Signals::new()?;
    let run = RunDirectory::create(&below(&options.root, &plan.run_directory))?;
    let listener = run.listen()?;
    let (items, volumes) =
        (plan.volumes.iter().map(Item::count).sum::<usize>(), plan.volumes.len());
    log::info(&format!(
        "keysluice-injector {}: {items} items in {volumes} volumes",
        env!("CARGO_PKG_VERSION")
    ));
    let (snapshots, _) = watch::channel(Snapshot::default());
    let result = match Sidecar::new(plan, options, run, snapshots.clone()) {
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

struct Sidecar {
    plan: Arc<Plan>,
    options: Options,
    run: RunDirectory,
    fetcher: Arc<Fetcher>,
    throttle: ThrottleState,
    machine: Machine,
    volumes: Vec<Volume>,
    rounds: JoinSet<()>,
    tx: mpsc::UnboundedSender<Progress>,
    progress: mpsc::UnboundedReceiver<Progress>,
    waiters: Vec<oneshot::Sender<String>>,
    snapshots: watch::Sender<Snapshot>,
    alarm: Alarm,
}

impl Sidecar {
    fn new(
        plan: Plan,
        options: &Options,
        run: RunDirectory,
        snapshots: watch::Sender<Snapshot>,
    ) -> Result<Self, Fault> {
        let (plan, started) = (Arc::new(plan), since_boot());
        let throttle = ThrottleState::read(&run.read(THROTTLE_FILE));
        let fetcher = Arc::new(Fetcher::new(Arc::clone(&plan), &options.root, throttle.clone())?);
        let (mut volumes, mut found) = (Vec::new(), Vec::new());
        for volume in &plan.volumes {
            let mut opened = Volume::open(&below(&options.root, &volume.directory))
                .map_err(|error| error.fault())?;
            report_leftovers(&mut opened);
            found.push(resume(volume, &opened));
            volumes.push(opened);
        }
        let (tx, progress) = mpsc::unbounded_channel();
        let start_timeout = plan.start_timeout_seconds.map(Duration::from_secs);
        let settings = Settings { start_timeout, linger: LINGER, seed: seed() };
        Ok(Self {
            options: options.clone(),
            run,
            fetcher,
            throttle,
            machine: Machine::new(&plan, &settings, found, started),
            volumes,
            rounds: JoinSet::new(),
            tx,
            progress,
            waiters: Vec::new(),
            snapshots,
            alarm: Alarm::new(),
            plan,
        })
    }

    async fn serve(mut self, listener: &UnixListener, signals: &mut Signals) -> Result<(), Fault> {
        let (sender, mut requests) = mpsc::channel(4);
        let snapshots = self.snapshots.clone();
        let connections = control::accept(listener, &snapshots, &sender);
        tokio::pin!(connections);
        let mut event = Some(Event::Wake);
        loop {
            if let Some(event) = event.take() {
                self.step(event)?;
            }
            let wake = self.machine.wake_at();
            event = tokio::select! {
                // What came goes before what is due: the time this process itself took is not a
                // vault's silence.
                biased;
                Some(progress) = self.progress.recv() => Some(Event::Progress(progress)),
                Some(ended) = self.rounds.join_next() => {
                    ended.map_err(|error| task_died(&error))?;
                    None
                }
                () = self.alarm.at(wake.unwrap_or_default()), if wake.is_some() => {
                    self.due().await
                }
                Some(request) = requests.recv() => self.request(request),
                _ = signals.hangup.recv() => Some(Event::Refresh),
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
                Some(Event::Refresh)
            }
            Request::Status(answer) => {
                let _ = answer.send(self.machine.json(since_boot()));
                None
            }
        }
    }

    /// The alarm went off. An answer may have arrived that is not read yet: the first turn sees
    /// that it is here, the second reads it.
    async fn due(&mut self) -> Option<Event> {
        for _ in 0..2 {
            yield_now().await;
        }
        self.progress.is_empty().then_some(Event::Wake)
    }

    /// A pod that is stopped before it was ready leaves the reason behind.
    fn terminated(&self) {
        if let Some(fault) = self.machine.fault().filter(|_| !self.machine.is_ready()) {
            crate::termination::write(&self.options.termination_log, fault);
        }
    }

    /// Feeds the machine until it asks for nothing that can be done at once.
    fn step(&mut self, event: Event) -> Result<(), Fault> {
        for (vault, at) in self.fetcher.answers() {
            self.machine.heard(vault, at);
        }
        let has_progress = matches!(event, Event::Progress(_));
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let actions = self.machine.on(event, since_boot());
            self.show_reasons();
            for action in actions {
                events.extend(self.perform(action)?);
            }
        }
        if has_progress {
            self.keep_throttle();
        }
        Ok(())
    }

    /// Does what the machine wants; answers with what became of it, if it is known at once.
    fn perform(&mut self, action: Action) -> Result<Option<Event>, Fault> {
        match action {
            Action::Fetch { volume, items } => {
                // A list does not show what the volume has lost.
                let full = !self.volumes[volume].has(self.machine.standing(volume));
                let fetcher = Arc::clone(&self.fetcher);
                self.rounds.spawn(fetcher.round(volume, items, full, self.tx.clone()));
            }
            Action::Forget { volume, items } => self.fetcher.forget(volume, &items),
            Action::Commit { volume } => {
                let result = self.commit(volume).map_err(|error| error.fault());
                return Ok(Some(Event::Committed { volume, result }));
            }
            Action::RemovePrevious { volume } => {
                let result = self.volumes[volume].remove_previous();
                let result = result.map(drop).map_err(|error| error.fault());
                return Ok(Some(Event::Removed { volume, result }));
            }
            Action::Report(report) => match report {
                Report::Info(message) => log::info(&message),
                Report::Note(message) => log::note(&message),
                Report::Warn(fault) => log::warn(&fault),
            },
            Action::Ready => self.snapshots.send_modify(|snapshot| snapshot.ready = true),
            Action::Refreshed => {
                let answer = self.machine.json(since_boot());
                for waiter in self.waiters.drain(..) {
                    let _ = waiter.send(answer.clone());
                }
            }
            Action::GiveUp(fault) => return Err(fault),
        }
        Ok(None)
    }

    fn commit(&mut self, index: usize) -> Result<Written, VolumeError> {
        let volume = &mut self.volumes[index];
        let staged = volume.stage(&self.machine.entries(index), SystemTime::now());
        report_leftovers(volume);
        let staged = staged?;
        let version = |path| self.machine.version(index, path).unwrap_or("unknown");
        let changed: Vec<String> =
            staged.changed().iter().map(|path| format!("{path} {}", version(path))).collect();
        let unchanged = staged.is_unchanged();
        let lingers = volume.publish(staged)?;
        let generation = volume.generation();
        if !unchanged {
            log::info(&format!(
                "volume {:?}: generation {}: {}",
                self.plan.volumes[index].name,
                generation.as_deref().unwrap_or_default(),
                changed.join(", ")
            ));
        }
        Ok(Written { swap: if lingers { Swap::Lingers } else { Swap::Clean }, generation })
    }

    /// A gate that waits hears why.
    fn show_reasons(&self) {
        let reasons = self.machine.reasons();
        self.snapshots.send_if_modified(|snapshot| {
            let news = snapshot.reasons != reasons;
            snapshot.reasons = reasons;
            news
        });
    }

    /// A container that is restarted keeps the waits that vaults demanded.
    fn keep_throttle(&mut self) {
        let throttle = self.fetcher.throttle_state();
        if throttle != self.throttle {
            self.run.replace(THROTTLE_FILE, &serde_json::to_vec(&throttle).unwrap_or_default());
            self.throttle = throttle;
        }
    }
}

fn task_died(error: &tokio::task::JoinError) -> Fault {
    Fault::new(KS608, Class::Transient, format_args!("a task died: {error}"))
}

/// What an earlier run left in a volume.
fn resume(plan: &keysluice_plan::Volume, volume: &Volume) -> Found {
    Found::of(plan, volume.left().as_ref(), |outputs| {
        let paths = outputs.entries(plan).into_iter().map(|entry| entry.path);
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
