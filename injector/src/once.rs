//! `once`: fetch everything, then write everything, or nothing.

#![allow(clippy::disallowed_methods, reason = "this room hands the wall clock to the volume")]

use crate::clock::since_boot;
use crate::driver::{self, Driver};
use crate::fault::{Class, Fault};
use crate::fetch::{Fetcher, seed};
use crate::log;
use crate::options::Options;
use crate::plan_source::below;
use crate::program;
use crate::refresh::{Action, Event, Found, Machine, Policy, Settings};
use crate::signals::Signals;
use crate::sync::{self, Syncer};
use crate::templates::Rendered;
use crate::throttle::ThrottleState;
use crate::volume::{Staged, Volume, VolumeError};
use keysluice_plan::Plan;
use keysluice_plan::reason::{KS608, KS692};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A job in CI waits this long for transient failures when the Plan does not say.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fetches, writes, ends.
pub(crate) async fn once(plan: Plan, options: &Options) -> Result<(), Fault> {
    if plan.managed_identity.is_some() {
        let message = "the Plan has managedIdentity, and once ends";
        return Err(Fault::new(KS692, Class::Permanent, message));
    }
    let mut signals = Signals::new()?;
    program::install(&plan, &options.root)?;
    let plan = Arc::new(plan);
    let fetcher =
        Arc::new(Fetcher::new(Arc::clone(&plan), &options.root, ThrottleState::default())?);
    let mut volumes = Vec::new();
    for volume in &plan.volumes {
        let path = below(&options.root, &volume.directory);
        // In a pod a missing directory is a missing mount; in a pipeline there is nobody else to
        // create it.
        let created = std::fs::create_dir_all(&path)
            .map_err(|error| VolumeError::Directory { path: path.clone(), error });
        volumes.push(created.and_then(|()| Volume::open(&path)).map_err(|error| error.fault())?);
    }
    let syncer = Syncer::new(&options.root, &plan)?;
    tokio::select! {
        result = fetch_and_write(&plan, &mut volumes, fetcher, syncer) => result,
        _ = signals.terminate.recv() => Err(ended_by("SIGTERM")),
        _ = signals.interrupt.recv() => Err(ended_by("SIGINT")),
        _ = signals.hangup.recv() => Err(ended_by("SIGHUP")),
    }
}

fn ended_by(signal: &str) -> Fault {
    Fault::new(
        KS608,
        Class::Transient,
        format_args!("ended by {signal} before all files were fetched"),
    )
}

/// Transient failures are tried again until the patience ends; anything else ends it at once. The
/// Secrets of the Plan are made when all files are written.
async fn fetch_and_write(
    plan: &Arc<Plan>,
    volumes: &mut [Volume],
    fetcher: Arc<Fetcher>,
    syncer: Option<Syncer>,
) -> Result<(), Fault> {
    let patience = plan.start_timeout_seconds.map_or(PATIENCE, Duration::from_secs);
    let settings = Settings { start_timeout: Some(patience), linger: Duration::ZERO, seed: seed() };
    // Nothing of an earlier run is kept: all or nothing.
    let found = plan.volumes.iter().map(|volume| Found::of(volume, None, |_| None)).collect();
    let machine = Machine::new(plan, Policy::AllOrNothing, &settings, found, since_boot());
    let mut driver = Driver::new(machine, fetcher).with(syncer, None);
    let mut event = Some(Event::Wake);
    loop {
        let actions = event.take().map(|event| driver.on(event)).unwrap_or_default();
        for action in actions {
            match action {
                Action::Fetch { volume, items } => driver.fetch(volume, items, true),
                Action::Forget { volume, items } => driver.fetcher.forget(volume, &items),
                Action::Report(report) => driver::report(&report),
                Action::CommitAll => {
                    write_all(plan, volumes, &driver.machine)?;
                    event = Some(Event::CommittedAll);
                }
                Action::Sync { secret } => {
                    driver.sync(secret, sync::data_of(plan, volumes, secret));
                }
                Action::Ready => return Ok(()),
                Action::GiveUp(fault) => return Err(fault),
                // Only `run` has these.
                Action::Commit { .. }
                | Action::RemovePrevious { .. }
                | Action::React { .. }
                | Action::Refreshed => {}
            }
        }
        if event.is_none() {
            event = driver.next().await?;
        }
    }
}

/// Every volume is written before the first becomes visible.
fn write_all(plan: &Plan, volumes: &mut [Volume], machine: &Machine) -> Result<(), Fault> {
    let mut staged: Vec<Staged> = Vec::new();
    for (index, volume) in volumes.iter_mut().enumerate() {
        match stage(plan, index, volume, machine) {
            Ok(new) => staged.push(new),
            Err(fault) => {
                for (volume, staged) in volumes.iter_mut().zip(staged) {
                    volume.discard(staged);
                }
                return Err(fault);
            }
        }
    }
    let changed: Vec<usize> = staged.iter().map(|staged| staged.changed().len()).collect();
    publish_all(volumes, staged).map_err(|error| error.fault())?;
    let mut left = Ok(());
    for (index, (volume, changed)) in volumes.iter_mut().zip(changed).enumerate() {
        // This process does not stay to remove it later.
        let removed = volume.remove_previous_at_once().map_err(|error| error.fault());
        left = left.and_then(|()| removed.map(drop));
        let planned = &plan.volumes[index];
        let (name, files) = (&planned.name, machine.entries(index).len() + planned.templates.len());
        log::info(&format!("volume {name:?}: {files} files, {changed} changed"));
    }
    left
}

fn stage(
    plan: &Plan,
    index: usize,
    volume: &mut Volume,
    machine: &Machine,
) -> Result<Staged, Fault> {
    let mut entries = machine.entries(index);
    let mut rendered = Rendered::of(&plan.volumes[index].templates, &entries, volume)?;
    if let Some(fault) = rendered.fault.take() {
        return Err(fault);
    }
    entries.extend(rendered.entries());
    volume.stage(&entries, SystemTime::now()).map_err(|error| error.fault())
}

/// When one volume cannot be published the ones before it go back.
fn publish_all(volumes: &mut [Volume], staged: Vec<Staged>) -> Result<(), VolumeError> {
    let mut published: Vec<(usize, bool)> = Vec::new();
    let mut staged = staged.into_iter().enumerate();
    while let Some((index, new)) = staged.next() {
        let unchanged = new.is_unchanged();
        match volumes[index].publish(new) {
            Ok(_) if unchanged => {}
            Ok(lingers) => published.push((index, lingers)),
            Err(error) => {
                for (index, unseen) in staged {
                    volumes[index].discard(unseen);
                }
                for (index, lingers) in published {
                    volumes[index].withdraw(lingers);
                }
                return Err(error);
            }
        }
    }
    Ok(())
}
