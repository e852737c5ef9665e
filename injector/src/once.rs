//! `once`: fetch everything, then write everything, or nothing.

use crate::backoff::{self, Jitter, Stage};
use crate::fault::{Class, Fault};
use crate::fetch::{Fetcher, Progress, seed};
use crate::item::Item;
use crate::log;
use crate::options::Options;
use crate::plan_source::below;
use crate::refresh::{Outputs, of_two_versions};
use crate::signals::Signals;
use crate::throttle::ThrottleState;
use crate::volume::{Staged, Volume, VolumeError};
use keysluice_plan::Plan;
use keysluice_plan::reason::{KS603, KS608};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

/// A job in CI waits this long for transient failures when the Plan does not say.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fetches, writes, ends.
pub(crate) async fn once(plan: Plan, options: &Options) -> Result<(), Fault> {
    let mut signals = Signals::new()?;
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
    let outputs = tokio::select! {
        outputs = fetch_all(&plan, &fetcher) => outputs?,
        _ = signals.terminate.recv() => return Err(ended_by("SIGTERM")),
        _ = signals.interrupt.recv() => return Err(ended_by("SIGINT")),
        _ = signals.hangup.recv() => return Err(ended_by("SIGHUP")),
    };
    write_all(&plan, &mut volumes, &outputs)
}

fn ended_by(signal: &str) -> Fault {
    Fault::new(
        KS608,
        Class::Transient,
        format_args!("ended by {signal} before all files were fetched"),
    )
}

/// Transient failures are tried again until the patience ends; anything else ends it at once.
async fn fetch_all(plan: &Plan, fetcher: &Arc<Fetcher>) -> Result<Vec<Outputs>, Fault> {
    let patience = plan.start_timeout_seconds.map_or(PATIENCE, Duration::from_secs);
    let deadline = Instant::now() + patience;
    let mut jitter = Jitter::new(seed());
    // Nothing of an earlier run is kept: all or nothing.
    let mut outputs: Vec<Outputs> =
        plan.volumes.iter().map(|volume| Outputs::of(volume, &BTreeSet::new()).0).collect();
    let mut last: Option<Fault> = None;
    for failures in 1.. {
        let (tell, mut progress) = mpsc::unbounded_channel();
        let mut rounds = JoinSet::new();
        for (index, volume) in plan.volumes.iter().enumerate() {
            let missing: Vec<usize> =
                (0..Item::count(volume)).filter(|&item| !outputs[index].is_pending(item)).collect();
            rounds.spawn(Arc::clone(fetcher).round(index, missing, true, tell.clone()));
        }
        drop(tell);
        let mut fault: Option<Fault> = None;
        loop {
            match timeout_at(deadline, progress.recv()).await {
                Err(_) => return Err(gave_up(fault.or(last), patience)),
                Ok(None) => break,
                Ok(Some(Progress::Over { .. } | Progress::Unchanged { .. })) => {}
                Ok(Some(Progress::Items { volume, results })) => {
                    for (item, result) in results {
                        let accepted = result.and_then(|new| {
                            new.fetched.warnings.iter().for_each(|warning| log::note(warning));
                            outputs[volume].accept(&plan.volumes[volume], item, new)
                        });
                        match accepted {
                            Err(new) if new.class == Class::Permanent => return Err(new),
                            Err(new)
                                if fault.as_ref().is_none_or(|known| new.class > known.class) =>
                            {
                                fault = Some(new);
                            }
                            Ok(None) | Err(_) => {}
                            Ok(Some(new)) => {
                                outputs[volume].forget(item);
                                fault = Some(new);
                            }
                        }
                    }
                }
            }
        }
        while let Some(ended) = rounds.join_next().await {
            ended.map_err(|error| {
                Fault::new(KS608, Class::Transient, format_args!("a task died: {error}"))
            })?;
        }
        for (outputs, volume) in outputs.iter_mut().zip(&plan.volumes) {
            let disagreeing: Vec<usize> = outputs.disagreeing().flatten().copied().collect();
            for item in disagreeing {
                outputs.forget(item);
                fault = fault.or_else(|| Some(of_two_versions(volume, item)));
            }
        }
        let Some(fault) = fault else { break };
        if fault.class != Class::Transient {
            return Err(fault);
        }
        let delay = jitter
            .spread(backoff::delay(Stage::Start, fault.class, failures))
            .max(fault.retry_after.unwrap_or_default());
        if Instant::now() + delay >= deadline {
            return Err(gave_up(Some(fault), patience));
        }
        if last.as_ref().is_none_or(|last| !last.reads_like(&fault)) {
            log::warn(&fault);
        }
        last = Some(fault);
        sleep(delay).await;
    }
    Ok(outputs)
}

fn gave_up(fault: Option<Fault>, patience: Duration) -> Fault {
    let seconds = patience.as_secs();
    match fault {
        Some(fault) => {
            Fault { message: format!("{} (gave up within {seconds} s)", fault.message), ..fault }
        }
        None => Fault::new(
            KS603,
            Class::Transient,
            format_args!("no object was complete within {seconds} s"),
        ),
    }
}

/// Every volume is written before the first becomes visible.
fn write_all(plan: &Plan, volumes: &mut [Volume], outputs: &[Outputs]) -> Result<(), Fault> {
    let mut staged: Vec<Staged> = Vec::new();
    for ((volume, spec), outputs) in volumes.iter_mut().zip(&plan.volumes).zip(outputs) {
        match volume.stage(&outputs.entries(spec), SystemTime::now()) {
            Ok(new) => staged.push(new),
            Err(error) => {
                for (volume, staged) in volumes.iter_mut().zip(staged) {
                    volume.discard(staged);
                }
                return Err(error.fault());
            }
        }
    }
    let changed: Vec<usize> = staged.iter().map(|staged| staged.changed().len()).collect();
    publish_all(volumes, staged).map_err(|error| error.fault())?;
    for (((volume, spec), changed), outputs) in
        volumes.iter_mut().zip(&plan.volumes).zip(changed).zip(outputs)
    {
        // Nobody stays who could remove it later.
        volume.remove_previous().map_err(|error| error.fault())?;
        let files = outputs.entries(spec).len();
        log::info(&format!("volume {:?}: {files} files, {changed} changed", spec.name));
    }
    Ok(())
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
