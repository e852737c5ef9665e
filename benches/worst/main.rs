//! Searches for the reviews that cost most: many shapes of pods at the size of the largest body,
//! each timed.
//!
//! `cargo bench --bench worst` prints the ten worst: bytes, CPU, peak memory, answer. `-- --all`
//! prints every one. It ends with 1 where one takes more than 20 ms, or an answer is larger than
//! etcd could store in base64.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

mod facts;
mod json;
mod shapes;

use facts::facts;
use json::{list, review};
use keysluice::admission;
use keysluice::cloud::Cloud;
use keysluice::mutate::Facts;
use keysluice::settings::Settings;
use shapes::{Shape, shapes};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The largest body, less the review around the pod.
const BODY_BYTES: usize = (7 << 20) - 1024;
/// What an API server reads of a request.
const REQUEST_BYTES: usize = (3 << 20) - 1024;
const BOUND: Duration = Duration::from_millis(20);

struct Cost {
    name: String,
    body_bytes: usize,
    time: Duration,
    peak_kib: u64,
    answer_bytes: usize,
    outcome: String,
}

/// Of this process, since it was last reset.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

fn cost(shape: &Shape, settings: &Settings, facts: &Facts) -> Cost {
    let decide = || match admission::read(&shape.body) {
        Ok(incoming) => {
            let _ = incoming.needs(settings);
            let answer = incoming.answer(settings, facts);
            let code = answer.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
            (answer.body.len(), format!("{}{code}", answer.outcome.as_str()))
        }
        Err(error) => (error.to_string().len(), format!("{error:.60}")),
    };
    // Resets the peak.
    if let Ok(mut file) = std::fs::File::options().write(true).open("/proc/self/clear_refs") {
        let _ = file.write_all(b"5");
    }
    let before = peak_kib();
    let (answer_bytes, outcome) = decide();
    let peak_kib = peak_kib().saturating_sub(before);
    let time = (0..5).map(|_| {
        let begun = Instant::now();
        std::hint::black_box(decide());
        begun.elapsed()
    });
    let time = time.min().unwrap_or_default();
    Cost {
        name: shape.name.clone(),
        body_bytes: shape.body.len(),
        time,
        peak_kib,
        answer_bytes,
        outcome,
    }
}

fn main() -> ExitCode {
    let mut settings =
        Settings::new(Cloud::well_known("AzurePublicCloud").expect("a name of Azure's"));
    settings.tenant_id = Some("4b7e2f2a-5c35-4b2a-9c60-0f7a1c2d3e4f".to_owned());
    let (facts, fat) = (facts(0), facts(200_000));
    let mut costs = Vec::new();
    for bytes in [REQUEST_BYTES, BODY_BYTES] {
        costs.extend(shapes(bytes).iter().map(|shape| cost(shape, &settings, &facts)));
    }
    let containers = list(|index| format!(r#"{{"name":"c{index}"}}"#), 1 << 20, 900);
    let body = review("u", "ns", "", &format!(r#""containers":[{containers}]"#));
    costs.push(cost(
        &Shape { name: "900 containers, a client id of 200 kB".to_owned(), body },
        &settings,
        &fat,
    ));
    costs.sort_by_key(|cost| std::cmp::Reverse(cost.time));
    let shown = if std::env::args().any(|argument| argument == "--all") { costs.len() } else { 10 };
    println!(
        "{:<60} {:>9} {:>9} {:>9} {:>9}  answer",
        "shape", "bytes", "µs", "peak KiB", "answer B"
    );
    for cost in &costs[..shown] {
        let Cost { name, body_bytes, time, peak_kib, answer_bytes, outcome } = cost;
        println!(
            "{name:<60} {body_bytes:>9} {:>9} {peak_kib:>9} {answer_bytes:>9}  {outcome}",
            time.as_micros()
        );
    }
    let is_bounded = costs.iter().all(|cost| cost.time <= BOUND && cost.answer_bytes <= 3 << 20);
    if is_bounded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
