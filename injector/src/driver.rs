//! What `run` and `once` share: the machine, its fetches and its alarm.

use crate::clock::{Alarm, since_boot};
use crate::fault::{Class, Fault};
use crate::fetch::{Fetcher, Progress};
use crate::log;
use crate::react::{Attempt, Reactor};
use crate::refresh::{Action, Event, Machine, Report};
use crate::sync::{Data, Synced, Syncer};
use keysluice_plan::reason::KS608;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, yield_now};

/// The machine and what it has under way.
pub(crate) struct Driver {
    pub(crate) machine: Machine,
    pub(crate) fetcher: Arc<Fetcher>,
    rounds: JoinSet<()>,
    tx: mpsc::UnboundedSender<Progress>,
    progress: mpsc::UnboundedReceiver<Progress>,
    syncer: Option<Arc<Syncer>>,
    reactor: Option<Arc<Reactor>>,
    /// Of Secrets and reactions.
    event_tx: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
    alarm: Alarm,
}

impl Driver {
    pub(crate) fn new(machine: Machine, fetcher: Arc<Fetcher>) -> Self {
        let (tx, progress) = mpsc::unbounded_channel();
        let (event_tx, events) = mpsc::unbounded_channel();
        Self {
            machine,
            fetcher,
            rounds: JoinSet::new(),
            tx,
            progress,
            syncer: None,
            reactor: None,
            event_tx,
            events,
            alarm: Alarm::new(),
        }
    }

    /// Adds what makes Secrets, and what carries out the reaction.
    pub(crate) fn with(self, syncer: Option<Syncer>, reactor: Option<Reactor>) -> Self {
        Self { syncer: syncer.map(Arc::new), reactor: reactor.map(Arc::new), ..self }
    }

    /// Goes on with another Plan, once no round is under way.
    pub(crate) fn replan(&mut self, fetcher: Arc<Fetcher>, syncer: Option<Syncer>) {
        self.fetcher = fetcher;
        self.syncer = syncer.map(Arc::new);
    }

    /// Waits for what happens next; nothing is lost when the wait is dropped. `None` is nothing for
    /// the machine.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Fault> {
        let wake = self.machine.wake_at();
        tokio::select! {
            // What came goes before what is due: the time this process itself took is not a
            // vault's silence.
            biased;
            Some(progress) = self.progress.recv() => return Ok(Some(Event::Progress(progress))),
            Some(event) = self.events.recv() => return Ok(Some(event)),
            Some(ended) = self.rounds.join_next() => {
                return match ended {
                    Ok(()) => Ok(None),
                    Err(error) => {
                        let message = format_args!("a task died: {error}");
                        Err(Fault::new(KS608, Class::Transient, message))
                    }
                };
            }
            () = self.alarm.at(wake.unwrap_or_default()), if wake.is_some() => {}
        }
        // An answer may have arrived that is not read yet: the first turn sees that it is here, the
        // second reads it.
        for _ in 0..2 {
            yield_now().await;
        }
        Ok(self.progress.is_empty().then_some(Event::Wake))
    }

    /// Tells the machine; answers with what it wants done.
    pub(crate) fn on(&mut self, event: Event) -> Vec<Action> {
        for (vault, at) in self.fetcher.answers() {
            self.machine.answered(vault, at);
        }
        self.machine.on(event, since_boot())
    }

    /// Begins a round; with `full` it asks for every object.
    pub(crate) fn fetch(&mut self, volume: usize, items: Vec<usize>, full: bool) {
        let fetcher = Arc::clone(&self.fetcher);
        self.rounds.spawn(fetcher.round(volume, items, full, self.tx.clone()));
    }

    /// Begins to make a Secret of this content.
    pub(crate) fn sync(&mut self, secret: usize, data: Result<Data, Fault>) {
        let (tx, syncer) = (self.event_tx.clone(), self.syncer.clone());
        self.rounds.spawn(async move {
            let result = match (data, syncer) {
                (Ok(data), Some(syncer)) => syncer.sync(secret, &data).await,
                (Err(fault), _) => Err(fault),
                (Ok(_), None) => Ok(Synced::Unchanged),
            };
            // The receiver lives as long as this task.
            let _ = tx.send(Event::Synced { secret, result });
        });
    }

    /// Begins to tell the application.
    pub(crate) fn react(&mut self, attempt: Attempt) {
        let (tx, reactor) = (self.event_tx.clone(), self.reactor.clone());
        let newest = self.machine.newest();
        self.rounds.spawn(async move {
            let result = match reactor {
                Some(reactor) => reactor.react(attempt, newest).await,
                None => Ok("none".to_owned()),
            };
            let _ = tx.send(Event::Reacted(result));
        });
    }
}

/// Writes a report to the log.
pub(crate) fn report(report: &Report) {
    match report {
        Report::Info(message) => log::info(message),
        Report::Note(message) => log::note(message),
        Report::Warn(fault) => log::warn(fault),
    }
}
