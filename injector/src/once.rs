//! `once`: fetch everything, then write everything, or nothing.

use crate::backoff::{self, Jitter, Stage};
use crate::commands::Options;
use crate::content::Fetched;
use crate::fault::{Class, Fault};
use crate::fetch::{Fetcher, seed};
use crate::log;
use crate::plan_source::below;
use crate::vault::ThrottleState;
use crate::volume::{Entry, Staged, Volume};
use keysluice_plan::Plan;
use keysluice_plan::reason::{KS603, KS608};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout_at};

/// A job in CI waits this long for transient failures when the Plan does not say.
const PATIENCE: Duration = Duration::from_secs(30);

type Contents = Vec<BTreeMap<usize, Fetched>>;

/// Fetches, writes, ends.
pub(crate) async fn once(plan: Plan, options: &Options) -> Result<(), Fault> {
    let mut terminate = signal(SignalKind::terminate())
        .map_err(|error| Fault::new(KS608, Class::Permanent, format_args!("signal handler: {error}")))?;
    let plan = Arc::new(plan);
    let fetcher = Arc::new(Fetcher::new(Arc::clone(&plan), &options.root, ThrottleState::default())?);
    let mut volumes = Vec::new();
    for volume in &plan.volumes {
        volumes.push(Volume::open(&below(&options.root, &volume.directory)).map_err(|error| error.fault())?);
    }
    let contents = tokio::select! {
        contents = fetch_all(&plan, &fetcher) => contents?,
        _ = terminate.recv() => return Err(Fault::new(KS608, Class::Transient, "ended by SIGTERM before all files were fetched")),
    };
    write_all(&plan, &mut volumes, &contents)
}

/// Transient failures are tried again until the patience ends; anything else ends it at once.
async fn fetch_all(plan: &Plan, fetcher: &Arc<Fetcher>) -> Result<Contents, Fault> {
    let patience = plan.start_timeout_seconds.map_or(PATIENCE, Duration::from_secs);
    let deadline = Instant::now() + patience;
    let mut jitter = Jitter::new(seed());
    let mut contents: Contents = plan.volumes.iter().map(|_| BTreeMap::new()).collect();
    let mut last: Option<Fault> = None;
    for failures in 1.. {
        let mut rounds = tokio::task::JoinSet::new();
        for (index, volume) in plan.volumes.iter().enumerate() {
            let missing: Vec<usize> =
                (0..volume.files.len()).filter(|file| !contents[index].contains_key(file)).collect();
            let round = Arc::clone(fetcher).round(index, missing);
            rounds.spawn(async move { (index, round.await) });
        }
        let mut fault: Option<Fault> = None;
        loop {
            match timeout_at(deadline, rounds.join_next()).await {
                Err(_) => return Err(gave_up(fault.or(last), patience)),
                Ok(None) => break,
                Ok(Some(Err(error))) => {
                    return Err(Fault::new(KS608, Class::Transient, format_args!("a task died: {error}")));
                }
                Ok(Some(Ok((volume, results)))) => {
                    for (file, result) in results {
                        match result {
                            Ok(new) => drop(contents[volume].insert(file, new)),
                            Err(new) if fault.as_ref().is_none_or(|known| new.class > known.class) => fault = Some(new),
                            Err(_) => {}
                        }
                    }
                }
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
        if last.as_ref().is_none_or(|last| last.reason != fault.reason) {
            log::warn(&fault);
        }
        last = Some(fault);
        sleep(delay).await;
    }
    Ok(contents)
}

fn gave_up(fault: Option<Fault>, patience: Duration) -> Fault {
    let seconds = patience.as_secs();
    match fault {
        Some(fault) => Fault { message: format!("{} (gave up within {seconds} s)", fault.message), ..fault },
        None => Fault::new(KS603, Class::Transient, format_args!("no answer to any request within {seconds} s")),
    }
}

/// Every volume is written before the first becomes visible.
fn write_all(plan: &Plan, volumes: &mut [Volume], contents: &Contents) -> Result<(), Fault> {
    let mut staged: Vec<Staged> = Vec::new();
    for ((volume, spec), fetched) in volumes.iter_mut().zip(&plan.volumes).zip(contents) {
        let entry = |(index, file): (usize, _)| {
            let file: &keysluice_plan::File = file;
            Entry { path: &file.path, mode: file.mode, content: fetched.get(&index).map(|fetched| &fetched.content) }
        };
        let entries: Vec<Entry<'_>> = spec.files.iter().enumerate().map(entry).collect();
        match volume.stage(&entries, SystemTime::now()) {
            Ok(new) => staged.push(new),
            Err(error) => {
                for (volume, staged) in volumes.iter().zip(staged) {
                    volume.discard(staged);
                }
                return Err(error.fault());
            }
        }
    }
    for ((volume, spec), staged) in volumes.iter_mut().zip(&plan.volumes).zip(staged) {
        let changed = staged.changed().len();
        volume.publish(staged).map_err(|error| error.fault())?;
        // Nobody stays who could remove it later.
        volume.remove_previous().map_err(|error| error.fault())?;
        log::info(&format!("volume {:?}: {} files, {changed} changed", spec.name, spec.files.len()));
    }
    Ok(())
}
