//! `make bench`: what the sidecar costs, measured on its released binary; `make figures`: whether
//! that is still so.

mod baseline;
mod lab;
mod measure;

use anyhow::{Context as _, ensure};
use baseline::Baseline;
use clap::Args;
use lab::Lab;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How much is measured.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Print the sidecar's figures instead: sizes, memory, times, calls.
    #[arg(long)]
    pub(super) figures: bool,
    /// The sidecar to measure; that of --bin-dir otherwise.
    #[arg(long, value_name = "FILE")]
    pub(super) injector: Option<PathBuf>,
    /// Starts that are timed.
    #[arg(long, default_value_t = 200)]
    starts: usize,
    /// Refreshes of 50 secrets between two looks at the memory.
    #[arg(long, default_value_t = 10_000)]
    refreshes: usize,
    /// Seconds of idleness that are measured.
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// Concurrent reads across 100 rotations.
    #[arg(long, default_value_t = 1_000_000)]
    reads: u64,
    /// Fail when a figure is more than 15 % above that of this file.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    /// Its name in the baseline.
    name: &'static str,
    unit: &'static str,
    value: f64,
    /// What it must not exceed.
    bound: Option<f64>,
    kind: Kind,
}

/// What another run on another machine has to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The same everywhere: sizes, calls, memory.
    Stable,
    /// Differs from run to run, and never passes its bound.
    Bounded,
    /// Depends on how busy the machine is, or on chance: only a multiple of the bound says
    /// something.
    Varies,
}

/// What a static binary of each C library may cost.
struct Limits {
    binary: f64,
    compressed: Option<f64>,
    resident: f64,
    anonymous: Option<f64>,
}

const MIB: f64 = 1024.0 * 1024.0;

/// Measures, prints, compares.
pub(super) async fn print(
    injector: &Path,
    round_trip: Duration,
    options: &Options,
) -> anyhow::Result<()> {
    keysluice_demo::install_crypto_provider();
    let version =
        Command::new(injector).arg("--version").output().context("running the sidecar")?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let target =
        version.rsplit("target ").next().unwrap_or_default().trim_end_matches(')').to_owned();
    println!("{version}\n");
    let limits = if target.ends_with("musl") {
        Limits {
            binary: 4.0 * MIB,
            compressed: Some(2.0 * MIB),
            resident: 4096.0,
            anonymous: Some(1024.0),
        }
    } else {
        Limits { binary: 4.6 * MIB, compressed: None, resident: 5120.0, anonymous: None }
    };
    let mut table = Table::default();
    table.add("binary", "bytes", size(injector)?, Some(limits.binary), Kind::Stable);
    table.add(
        "binary, compressed",
        "bytes",
        compressed(injector)?,
        limits.compressed,
        Kind::Stable,
    );

    let lab = Lab::open(injector).await?;
    measure::starts(&lab, round_trip, options.starts, &mut table).await?;
    measure::first_request(&lab, &mut table).await?;
    measure::refreshes(
        &lab,
        options.refreshes,
        Duration::from_secs(options.idle),
        &limits,
        &mut table,
    )
    .await?;
    measure::look_ups(&lab, &mut table).await?;
    measure::rotations(&lab, &mut table).await?;
    measure::reads(&lab, options.reads, &mut table).await?;
    lab.close().await;

    let known = options
        .baseline
        .as_deref()
        .map(|path| Baseline::read(path, &target))
        .transpose()?
        .flatten();
    let complaints = baseline::complaints(&table.0, known.as_ref());
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    match (&options.baseline, &known) {
        (Some(path), Some(_)) => println!("\nno figure is more than 15 % above {}", path.display()),
        (Some(path), None) => {
            println!("\nNOT COMPARED: {} has no figures of {target}", path.display());
        }
        (None, _) => {}
    }
    Ok(())
}

/// Prints a figure as soon as it is known.
#[derive(Debug, Default)]
struct Table(Vec<Figure>);

impl Table {
    fn add(
        &mut self,
        name: &'static str,
        unit: &'static str,
        value: f64,
        bound: Option<f64>,
        kind: Kind,
    ) {
        let shown = |value: f64| {
            if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.3}") }
        };
        let at_most = bound.map(|bound| format!("at most {bound:.1}")).unwrap_or_default();
        println!("{name:<52} {:>12} {unit:<11} {at_most}", shown(value));
        self.0.push(Figure { name, unit, value, bound, kind });
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures of this size are exact")]
fn size(path: &Path) -> anyhow::Result<f64> {
    Ok(std::fs::metadata(path)?.len() as f64)
}

/// What a layer of an image takes on the way to a node.
#[expect(clippy::cast_precision_loss, reason = "figures of this size are exact")]
fn compressed(path: &Path) -> anyhow::Result<f64> {
    let output =
        Command::new("gzip").args(["-9", "--stdout"]).arg(path).output().context("running gzip")?;
    ensure!(output.status.success(), "gzip failed");
    Ok(output.stdout.len() as f64)
}
