//! The runner: both servers in turn under the same load, and the table.

use crate::load::{self, Load};
use crate::server::Server;
use std::path::Path;
use std::time::Duration;

struct Scenario {
    name: &'static str,
    body: Vec<u8>,
    keep_alive: bool,
    /// Share of the echo server's reviews per CPU-second to reach, in percent.
    goal: Option<f64>,
}

/// CPU time of one server for one request, beside what the client saw.
struct Cost {
    micros: f64,
    load: Load,
}

/// Prints the table.
pub(crate) fn run(
    bin_dir: &Path,
    time: Duration,
    rounds: usize,
    arguments: &[String],
) -> anyhow::Result<()> {
    let review = |bytes| keysluice_bench::review(&keysluice_bench::pod(bytes));
    let with_class = |bytes| keysluice_bench::review(&keysluice_bench::pod_with_class(bytes));
    let scenarios = [
        Scenario {
            name: "4 KB, keep-alive",
            body: review(4096),
            keep_alive: true,
            goal: Some(70.0),
        },
        Scenario {
            name: "20 KB, keep-alive",
            body: review(20_480),
            keep_alive: true,
            goal: Some(50.0),
        },
        Scenario {
            name: "4 KB, new connections",
            body: review(4096),
            keep_alive: false,
            goal: Some(90.0),
        },
        Scenario {
            name: "4 KB with a class",
            body: with_class(4096),
            keep_alive: true,
            goal: None,
        },
    ];
    let scratch = tempfile::tempdir()?;
    let echo = Server::echo(scratch.path())?;
    let webhook = Server::webhook(&bin_dir.join("keysluice"), scratch.path(), arguments)?;
    let idle = webhook.memory_mib("VmRSS")?;
    let client = if load::has_wrk() { "wrk" } else { "own client" };
    println!(
        "TLS 1.3, {client}, 16 connections, {rounds} x {} s each; CPU time of the server, median\n",
        time.as_secs()
    );
    println!(
        "{:<22} {:>11} {:>11} {:>7} {:>6} {:>9} {:>8} {:>8}",
        "pod", "echo us", "webhook us", "ratio", "goal", "reviews/s", "p50 us", "p99 us"
    );
    for scenario in &scenarios {
        let (mut echoes, mut webhooks) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            echoes.push(measure(&echo, scenario, time, scratch.path())?);
            webhooks.push(measure(&webhook, scenario, time, scratch.path())?);
        }
        let (echo, webhook) = (median(echoes), median(webhooks));
        println!(
            "{:<22} {:>11.1} {:>11.1} {:>6.0}% {:>6} {:>9.0} {:>8} {:>8}",
            scenario.name,
            echo.micros,
            webhook.micros,
            100.0 * echo.micros / webhook.micros,
            scenario.goal.map(|goal| format!("{goal:.0}%")).unwrap_or_default(),
            webhook.load.requests / time.as_secs_f64(),
            webhook.load.p50.as_micros(),
            webhook.load.p99.as_micros(),
        );
    }
    println!(
        "\nresident: {idle:.1} MiB idle, {:.1} MiB at most under this load",
        webhook.memory_mib("VmHWM")?
    );
    Ok(())
}

fn measure(
    server: &Server,
    scenario: &Scenario,
    time: Duration,
    scratch: &Path,
) -> anyhow::Result<Cost> {
    let before = server.cpu_seconds()?;
    let load = load::run(server.address, &scenario.body, scenario.keep_alive, time, scratch)?;
    let micros = (server.cpu_seconds()? - before) * 1e6 / load.requests;
    Ok(Cost { micros, load })
}

fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by(|a, b| a.micros.total_cmp(&b.micros));
    let middle = costs.len() / 2;
    costs.swap_remove(middle)
}
