//! `run`: performs what the [`Refresh`] machine decides, until a signal.

mod rounds;

use crate::clock::{Alarm, since_boot};
use crate::control::{self, Request, RunDirectory, Snapshot};
use crate::fault::{Class, Fault};
use crate::fetch::{Fetcher, Progress, seed};
use crate::item::Item;
use crate::log;
use crate::options::Options;
use crate::outputs::Outputs;
use crate::plan_source::below;
use crate::refresh::{Action, Event, Refresh, Settings, Swap, Time, VolumeSpec};
use crate::signals::Signals;
use crate::status::Status;
use crate::throttle::ThrottleState;
use crate::volume::{Volume, VolumeError};
use keysluice_plan::Plan;
use keysluice_plan::reason::{KS603, KS608};
use rounds::News;
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
    machine: Refresh,
    volumes: Vec<Volume>,
    /// What the items have made; per volume.
    outputs: Vec<Outputs>,
    /// Of the rounds under way; per volume.
    news: Vec<News>,
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
            let mut opened = Volume::open(&below(&options.root, &volume.directory))
                .map_err(|error| error.fault())?;
            tell_news(&mut opened);
            let left = opened.left();
            let (made, complete) = Outputs::of(volume, &left.clone().unwrap_or_default());
            let paths = made.entries(volume).into_iter().map(|entry| entry.path);
            let complete = complete && left.is_some() && opened.resume(paths);
            if complete {
                status.committed(index, opened.generation(), &[]);
                // It was fetched then at the latest, unless the node's clock was set since.
                let age = opened
                    .generation_time()
                    .and_then(|time| SystemTime::now().duration_since(time).ok());
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
            news: volumes.iter().map(|_| News::default()).collect(),
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
            let wake = self.next_due().into_iter().chain(self.machine.wake_at()).min();
            event = tokio::select! {
                // What came goes before what is due: the time this process itself took is no
                // vault's silence.
                biased;
                Some(progress) = self.progress.recv() => match progress {
                    Progress::Items { volume, results } => self.fetched(volume, results),
                    Progress::Unchanged { volume, items, asked } => self.unchanged(volume, &items, asked),
                    Progress::Over { volume } => {
                        self.news[volume].rounds -= 1;
                        if self.news[volume].rounds == 0 { self.outcomes(volume) } else { Event::Tick }
                    }
                },
                Some(ended) = self.rounds.join_next() => match ended {
                    Ok(()) => Event::Tick,
                    Err(error) => return Err(Fault::new(KS608, Class::Transient, format_args!("a task died: {error}"))),
                },
                () = self.alarm.at(wake.unwrap_or_default()), if wake.is_some() => self.quiet().await,
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
                        self.news[volume].ask(&files);
                        self.rounds.spawn(Arc::clone(&self.fetcher).round(
                            volume,
                            files,
                            full,
                            self.tell.clone(),
                        ));
                    }
                    Action::Commit { volume } => events.push(self.commit(volume)),
                    Action::RemovePrevious { volume } => {
                        let removed = self.volumes[volume].remove_previous();
                        events.push(match &removed {
                            Ok(_) => Event::Removed { volume },
                            Err(_) => Event::NotRemoved { volume },
                        });
                        let fault = removed.err().map(|error| error.fault());
                        if let Some(fault) = self.status.removed(volume, fault) {
                            log::warn(&fault);
                        }
                    }
                    Action::Ready => {
                        log::info(&format!(
                            "ready after {} ms",
                            since_boot().saturating_sub(self.started).as_millis()
                        ));
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
        let staged = volume.stage(&outputs.entries(plan), SystemTime::now());
        tell_news(volume);
        let staged = staged?;
        let version = |path| outputs.version(path).unwrap_or("unknown");
        let changed: Vec<String> =
            staged.changed().iter().map(|path| format!("{path} {}", version(path))).collect();
        let unchanged = staged.is_unchanged();
        let lingers = volume.publish(staged)?;
        if !unchanged {
            let generation = volume.generation().unwrap_or_default();
            log::info(&format!(
                "volume {:?}: generation {generation}: {}",
                plan.name,
                changed.join(", ")
            ));
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
            None => Fault::new(
                KS603,
                Class::Transient,
                format_args!("no object was complete within {seconds} s"),
            ),
        }
    }
}

fn tell_news(volume: &mut Volume) {
    if let Some(error) = volume.news() {
        log::warn(&error.fault());
    }
}
