//! `run`: performs what the [`Refresh`] machine decides, until a signal.

use crate::clock::{Alarm, since_boot};
use crate::commands::Options;
use crate::control::{self, Request, RunDirectory, Snapshot};
use crate::fault::{Class, Fault};
use crate::fetch::{Fetcher, Progress, Results, seed};
use crate::item::Item;
use crate::log;
use crate::outputs::{Outputs, of_two_versions};
use crate::plan_source::below;
use crate::refresh::{Action, Event, Outcome, Refresh, Settings, Swap, Time, VolumeSpec};
use crate::signals::Signals;
use crate::status::Status;
use crate::throttle::ThrottleState;
use crate::volume::{Volume, VolumeError};
use keysluice_plan::Plan;
use keysluice_plan::reason::{KS603, KS608};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
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
    let (items, volumes) = (plan.volumes.iter().map(Item::count).sum::<usize>(), plan.volumes.len());
    log::info(&format!("keysluice-injector {}: {items} items in {volumes} volumes", env!("CARGO_PKG_VERSION")));
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
    machine: Refresh,
    volumes: Vec<Volume>,
    /// What the items have made; per volume.
    outputs: Vec<Outputs>,
    /// Of the rounds under way; per volume.
    outcomes: Vec<Vec<(usize, Outcome)>>,
    status: Status,
    rounds: JoinSet<()>,
    tell: mpsc::UnboundedSender<Progress>,
    progress: mpsc::UnboundedReceiver<Progress>,
    waiters: Vec<oneshot::Sender<String>>,
    snapshots: watch::Sender<Snapshot>,
    started: Time,
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
        let mut status = Status::new(Arc::clone(&plan));
        let (mut volumes, mut outputs, mut specs) = (Vec::new(), Vec::new(), Vec::new());
        for (index, volume) in plan.volumes.iter().enumerate() {
            let opened = Volume::open(&below(&options.root, &volume.directory)).map_err(|error| error.fault())?;
            let left = opened.left();
            let (made, complete) = Outputs::of(volume, &left.clone().unwrap_or_default());
            let paths = made.entries(volume).into_iter().map(|entry| entry.path);
            let complete = complete && left.is_some() && opened.resume(paths);
            if complete {
                status.committed(index, opened.generation(), &[]);
                // It was fetched then at the latest, unless the node's clock was set since.
                let age = opened.generation_time().and_then(|time| SystemTime::now().duration_since(time).ok());
                status.standing(index, started.saturating_sub(age.unwrap_or_default()));
            }
            let interval = Duration::from_secs(volume.refresh_interval_seconds);
            specs.push(VolumeSpec { files: Item::count(volume), interval, complete });
            outputs.push(made);
            volumes.push(opened);
        }
        let (tell, progress) = mpsc::unbounded_channel();
        let start_timeout = plan.start_timeout_seconds.map(Duration::from_secs);
        let settings = Settings { start_timeout, linger: LINGER, seed: seed() };
        Ok(Self {
            options: options.clone(),
            run,
            fetcher,
            throttle,
            machine: Refresh::new(&settings, &specs, started),
            outputs,
            outcomes: vec![Vec::new(); volumes.len()],
            volumes,
            status,
            rounds: JoinSet::new(),
            tell,
            progress,
            waiters: Vec::new(),
            snapshots,
            started,
            alarm: Alarm::new(),
            plan,
        })
    }

    async fn serve(mut self, listener: &UnixListener, signals: &mut Signals) -> Result<(), Fault> {
        let (sender, mut requests) = mpsc::channel(4);
        let snapshots = self.snapshots.clone();
        let connections = control::accept(listener, &snapshots, &sender);
        tokio::pin!(connections);
        let mut event = Event::Tick;
        loop {
            self.step(event)?;
            let wake = self.machine.wake_at();
            event = tokio::select! {
                Some(progress) = self.progress.recv() => match progress {
                    Progress::Items { volume, results } => self.fetched(volume, results),
                    Progress::Unchanged { volume, items, asked } => self.unchanged(volume, &items, asked),
                    Progress::Quiet { volume } | Progress::Over { volume } => self.outcomes(volume),
                },
                Some(ended) = self.rounds.join_next() => match ended {
                    Ok(()) => Event::Tick,
                    Err(error) => return Err(Fault::new(KS608, Class::Transient, format_args!("a task died: {error}"))),
                },
                () = self.alarm.at(wake.unwrap_or_default()), if wake.is_some() => Event::Tick,
                Some(request) = requests.recv() => match request {
                    Request::Refresh(answer) => {
                        self.waiters.push(answer);
                        Event::Refresh
                    }
                    Request::Status(answer) => {
                        let _ = answer.send(self.status.json(self.machine.is_ready(), since_boot()));
                        Event::Tick
                    }
                },
                _ = signals.hangup.recv() => Event::Refresh,
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                () = &mut connections => Event::Tick,
            };
        }
        self.terminated();
        Ok(())
    }

    /// A pod that is stopped before it was ready leaves the reason behind.
    fn terminated(&self) {
        if let Some(fault) = self.status.fault().filter(|_| !self.machine.is_ready()) {
            crate::termination::write(&self.options.termination_log, fault);
        }
    }

    /// Feeds the machine until it asks for nothing that can be done at once.
    fn step(&mut self, event: Event) -> Result<(), Fault> {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.machine.on(event, since_boot()) {
                match action {
                    Action::Fetch { volume, files } => {
                        // What the volume has lost no list tells.
                        let full = !self.volumes[volume].has(self.outputs[volume].standing());
                        self.rounds.spawn(Arc::clone(&self.fetcher).round(volume, files, full, self.tell.clone()));
                    }
                    Action::Commit { volume } => events.push(self.commit(volume)),
                    Action::RemovePrevious { volume } => {
                        if let Err(error) = self.volumes[volume].remove_previous() {
                            log::warn(&error.fault());
                            events.push(Event::NotRemoved { volume });
                        }
                    }
                    Action::Ready => {
                        log::info(&format!("ready after {} ms", since_boot().saturating_sub(self.started).as_millis()));
                        self.snapshots.send_modify(|snapshot| snapshot.ready = true);
                    }
                    Action::Refreshed => {
                        let answer = self.status.json(self.machine.is_ready(), since_boot());
                        for waiter in self.waiters.drain(..) {
                            let _ = waiter.send(answer.clone());
                        }
                    }
                    Action::GiveUp { permanent } => return Err(self.last_fault(permanent)),
                }
            }
        }
        Ok(())
    }

    fn fetched(&mut self, volume: usize, results: Results) -> Event {
        let now = since_boot();
        let mut event = Event::Tick;
        for (index, result) in results {
            let plan = &self.plan.volumes[volume];
            let accepted = result.and_then(|brought| {
                let files = &brought.fetched.files;
                let versions = files.iter().map(|file| (file.path.clone(), file.version.clone())).collect::<Vec<_>>();
                let kept: Vec<_> = brought.kept.iter().map(|(path, _)| path.clone()).collect();
                let warnings = brought.fetched.warnings.clone();
                let accepted = self.outputs[volume].accept(plan, index, brought);
                let fault = accepted.inspect_err(|_| self.fetcher.forget(volume, &[index]))?;
                self.status.fetched(volume, index, versions, &kept, now);
                Ok((warnings, fault))
            });
            let outcome = match accepted {
                Ok((warnings, fault)) => {
                    for warning in self.status.warned(volume, index, warnings) {
                        log::note(&warning);
                    }
                    match fault {
                        None => {
                            self.works(volume, index);
                            Outcome::Fetched
                        }
                        Some(fault) => {
                            if self.status.failed(volume, index, &fault, now) {
                                log::warn(&fault);
                            }
                            Outcome::Partly { class: fault.class, retry_after: fault.retry_after }
                        }
                    }
                }
                Err(fault) => {
                    if self.status.failed(volume, index, &fault, now) {
                        log::warn(&fault);
                    }
                    if fault.class == Class::Permanent {
                        event = Event::Hopeless { volume };
                    }
                    Outcome::of(&fault)
                }
            };
            self.outcomes[volume].push((index, outcome));
        }
        self.tell_reasons();
        let throttle = self.fetcher.throttle_state();
        if throttle != self.throttle {
            self.run.replace(THROTTLE_FILE, &serde_json::to_vec(&throttle).unwrap_or_default());
            self.throttle = throttle;
        }
        event
    }

    fn unchanged(&mut self, volume: usize, items: &[usize], asked: bool) -> Event {
        for &index in items {
            if asked {
                self.status.confirmed(volume, index, since_boot());
                self.works(volume, index);
            }
            self.outcomes[volume].push((index, Outcome::Unchanged));
        }
        Event::Tick
    }

    fn works(&mut self, volume: usize, index: usize) {
        if self.status.works(volume, index) {
            log::info(&format!("file {}: works again", Item::at(&self.plan.volumes[volume], index).path()));
        }
    }

    /// What is known since the last time. Files of one certificate that are of different versions, although none of them fails or
    /// is still under way, are fetched again.
    fn outcomes(&mut self, volume: usize) -> Event {
        let mut outcomes = std::mem::take(&mut self.outcomes[volume]);
        let settled = |item: &usize| match outcomes.iter().rev().find(|(index, _)| index == item) {
            Some((_, outcome)) => matches!(outcome, Outcome::Fetched | Outcome::Unchanged),
            None => self.machine.is_settled(volume, *item),
        };
        let disagreeing = self.outputs[volume].disagreeing().filter(|items| items.iter().all(settled));
        let disagreeing: Vec<Vec<usize>> = disagreeing.map(<[usize]>::to_vec).collect();
        for items in disagreeing {
            let fault = of_two_versions(&self.plan.volumes[volume], items[0]);
            for &item in &items {
                if self.status.failed(volume, item, &fault, since_boot()) {
                    log::warn(&fault);
                }
            }
            self.fetcher.forget(volume, &items);
            outcomes.retain(|(index, _)| !items.contains(index));
            outcomes.extend(items.into_iter().map(|item| (item, Outcome::Held)));
        }
        self.tell_reasons();
        Event::Fetched { volume, outcomes }
    }

    fn commit(&mut self, index: usize) -> Event {
        let result = match self.try_commit(index) {
            Ok(lingers) => {
                let items = self.outputs[index].committed();
                self.status.committed(index, self.volumes[index].generation(), &items);
                Ok(if lingers { Swap::Lingers } else { Swap::Clean })
            }
            Err(error) => {
                let fault = error.fault();
                if self.status.commit_failed(index, &fault, since_boot()) {
                    log::warn(&fault);
                }
                Err(fault.class)
            }
        };
        self.tell_reasons();
        Event::Committed { volume: index, result }
    }

    fn try_commit(&mut self, index: usize) -> Result<bool, VolumeError> {
        let plan = &self.plan.volumes[index];
        let outputs = &self.outputs[index];
        let volume = &mut self.volumes[index];
        let staged = volume.stage(&outputs.entries(plan), SystemTime::now())?;
        let version = |path| outputs.version(path).unwrap_or("unknown");
        let changed: Vec<String> = staged.changed().iter().map(|path| format!("{path} {}", version(path))).collect();
        let unchanged = staged.is_unchanged();
        let lingers = volume.publish(staged)?;
        if !unchanged {
            let generation = volume.generation().unwrap_or_default();
            log::info(&format!("volume {:?}: generation {generation}: {}", plan.name, changed.join(", ")));
        }
        Ok(lingers)
    }

    fn tell_reasons(&self) {
        let reasons = self.status.reasons();
        self.snapshots.send_if_modified(|snapshot| {
            let news = snapshot.reasons != reasons;
            snapshot.reasons = reasons;
            news
        });
    }

    fn last_fault(&self, permanent: bool) -> Fault {
        let seconds = self.plan.start_timeout_seconds.unwrap_or_default();
        match self.status.fault().cloned() {
            Some(fault) if permanent => fault,
            Some(fault) => {
                let message = format!("{} (gave up after {seconds} s)", fault.message);
                Fault { message, class: Class::Transient, ..fault }
            }
            None => Fault::new(KS603, Class::Transient, format_args!("no answer to any request within {seconds} s")),
        }
    }
}
