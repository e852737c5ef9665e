//! What sidecars cost the webhook.

use super::Scene;
use super::hostile::{head, request, send};
use crate::suite::support::binaries;
use keysluice_demo::Binaries;
use std::time::Instant;

/// Ticks of the clock that the kernel counts a process's time in.
const TICKS: f64 = 100.0;

fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
    f64::from(ticks) / TICKS
}

/// Each poll is a connection of its own. `KEYSLUICE_MEASURED` names an optimised webhook.
#[tokio::test]
#[ignore = "a figure of an optimised binary, not a check"]
async fn five_thousand_polls_cost_the_webhook_less_than_two_percent_of_a_core() {
    let measured = std::env::var("KEYSLUICE_MEASURED").expect("KEYSLUICE_MEASURED=BINARY");
    let injector = binaries().injector;
    let scene = Scene::of(Binaries { keysluice: measured.into(), injector }).await;
    let body = request(&scene).await.to_string().into_bytes();
    let token = scene.token();
    let first = send(&scene, &head(&token, body.len(), ""), &body).await.unwrap();
    let etag = first.1.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let known = head(&token, body.len(), &format!("\r\nIf-None-Match: {etag}"));
    let pid = scene.webhook.process.id().unwrap();
    let (before, begun) = (cpu_seconds(pid), Instant::now());
    let mut unchanged = 0;
    while unchanged < 5000 {
        match send(&scene, &known, &body).await {
            Some((304, ..)) => unchanged += 1,
            Some((429, ..)) | None => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            Some(other) => panic!("{other:?}"),
        }
    }
    let spent = cpu_seconds(pid) - before;
    let share = spent / 120.0 * 100.0;
    println!(
        "5000 polls, each over a connection of its own: {spent:.2} CPU-seconds of the webhook in \
         {:.0} s; every two minutes that is {share:.2} % of a core",
        begun.elapsed().as_secs_f64()
    );
    assert!(share < 2.0, "{share}");
}
