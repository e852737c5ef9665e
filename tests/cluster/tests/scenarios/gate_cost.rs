//! What holding the application back costs. Played alone: it measures.

use crate::scene::Scene;
use crate::world::{PATIENCE, until};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

crate::scenarios!(the_cost_of_the_gate);

/// Of each kind; enough to see that the idea works, and with `FIGURES=1` enough for a median.
fn pods() -> usize {
    if std::env::var_os("KEYSLUICE_FIGURES").is_some() { 30 } else { 10 }
}

const SECRETS: [&str; 5] = ["db", "one", "two", "three", "four"];
/// What the issue asks of the hook, above the same pod without Keysluice, at the median.
const TARGET: Duration = Duration::from_millis(500);

async fn the_cost_of_the_gate(scene: &Scene) -> anyhow::Result<()> {
    for name in SECRETS {
        scene.world.emulator.set_secret(&scene.vault, name, "first");
    }
    scene.class("five", &SECRETS, &json!({})).await?;
    scene.world.emulator.set_delay(Duration::from_millis(10));
    let measured = measure(scene).await;
    scene.world.emulator.set_delay(Duration::ZERO);
    let [without, hook, probe] = measured?;
    for (name, times) in [("without Keysluice", &without), ("hook", &hook), ("probe", &probe)] {
        scene.world.figure(format!(
            "pod created -> application, {name}: median {} ms ({}-{}) over {}",
            median(times).as_millis(),
            times[0].as_millis(),
            times[times.len() - 1].as_millis(),
            times.len()
        ));
    }
    let cost = median(&hook).saturating_sub(median(&without));
    scene.world.figure(format!(
        "cost of the gate (hook): {} ms, target {} ms",
        cost.as_millis(),
        TARGET.as_millis()
    ));
    // A shared machine is no stopwatch: fail where the idea is wrong, by a second and more; the
    // figure tells the rest.
    anyhow::ensure!(median(&hook) < median(&probe), "the hook is not faster than the probe");
    anyhow::ensure!(cost < TARGET * 4, "the gate costs {cost:?}");
    Ok(())
}

/// In turn, so that a slow minute of the machine befalls all.
async fn measure(scene: &Scene) -> anyhow::Result<[Vec<Duration>; 3]> {
    let mut times: [Vec<Duration>; 3] = Default::default();
    for number in 0..pods() {
        for (kind, times) in times.iter_mut().enumerate() {
            let name = format!("timed-{kind}-{number}");
            let mut pod = scene.pod(&name, "echo started; sleep infinity");
            pod["spec"]["terminationGracePeriodSeconds"] = json!(0);
            pod["spec"]["volumes"][0]["csi"]["volumeAttributes"]["secretProviderClass"] =
                json!("five");
            if kind == 0 {
                pod["metadata"]["labels"] = json!({});
                pod["spec"]["volumes"] =
                    json!([{"name": "secrets", "emptyDir": {"medium": "Memory"}}]);
            }
            if kind == 2 {
                pod["metadata"]["annotations"] = json!({"keysluice.dev/gate": "probe"});
            }
            // It stays: the end of one pod would slow the start of the next.
            times.push(start(scene, &name, &pod).await?);
        }
    }
    for times in &mut times {
        times.sort();
    }
    Ok(times)
}

/// From just before the creation to the first line of the application, by the runtime's clock,
/// which is ours.
async fn start(scene: &Scene, name: &str, pod: &Value) -> anyhow::Result<Duration> {
    let begun = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    scene.create("pods", pod).await?;
    let path = format!("{}/{name}/log?container=app&timestamps=true", scene.path("pods"));
    let line = until(&format!("{name} starts"), PATIENCE, async || {
        let log = scene.world.api.text(&path).await?;
        Ok(log.lines().next().map(str::to_owned))
    })
    .await?;
    let stamp = line.split(' ').next().context("no time")?;
    Ok(since_epoch(stamp)
        .with_context(|| format!("{stamp:?} is not a time"))?
        .saturating_sub(begun))
}

/// `2026-01-31T12:00:00.123456789Z`, today: only the time of the day counts, the day is the
/// clock's.
fn since_epoch(stamp: &str) -> Option<Duration> {
    let (date, time) = stamp.trim_end_matches('Z').split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    // Days since 1 March of year 0, so that a leap day is a year's last.
    let days = |year: u64, month: u64, day: u64| {
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day
    };
    let mut time = time.split(':');
    let (hours, minutes) = (time.next()?.parse::<u64>().ok()?, time.next()?.parse::<u64>().ok()?);
    let seconds: f64 = time.next()?.parse().ok()?;
    let whole = (days(year, month, day) - days(1970, 1, 1)) * 86400 + hours * 3600 + minutes * 60;
    Some(Duration::from_secs(whole) + Duration::from_secs_f64(seconds))
}

fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
