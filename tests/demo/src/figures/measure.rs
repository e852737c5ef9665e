//! The measurements. Counts and CPU time where possible: a busy machine changes neither.

use super::lab::{Lab, wait_until};
use super::{Kind, Limits, Table};
use anyhow::ensure;
use std::fs::File;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn float(value: u64) -> f64 {
    value as f64
}

/// From exec to ready with 20 secrets, and exactly the calls it takes.
pub(super) async fn starts(
    lab: &Lab,
    round_trip: Duration,
    starts: usize,
    table: &mut Table,
) -> anyhow::Result<()> {
    let plan = lab.plan(&Lab::secrets(20), HOUR);
    lab.emulator.set_delay(round_trip);
    let (mut times, mut cpu) = (Vec::new(), Vec::new());
    for start in 0..starts.max(1) {
        lab.emulator.reset_counts();
        let started = Instant::now();
        let sidecar = lab.ready(&format!("start-{start}"), &plan).await?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        cpu.push(float(sidecar.cpu()?) / 1e6);
        let counts = lab.emulator.counts();
        let calls = (counts.tokens, counts.secret_gets, counts.lists, counts.status_401);
        ensure!(calls == (1, 20, 0, 0), "calls of start {start}: {counts:?}");
        sidecar.end().await?;
    }
    lab.emulator.set_delay(Duration::ZERO);
    times.sort_by(f64::total_cmp);
    cpu.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    table.add("start, 20 secrets: token calls", "calls", 1.0, Some(1.0), Kind::Stable);
    table.add("start, 20 secrets: gets", "calls", 20.0, Some(20.0), Kind::Stable);
    table.add("start, 20 secrets: answers 401", "calls", 0.0, Some(0.0), Kind::Stable);
    table.add("exec to ready, 20 secrets, median", "ms", at(50), Some(150.0), Kind::Varies);
    table.add("exec to ready, 20 secrets, p99", "ms", at(99), Some(150.0), Kind::Varies);
    table.add(
        "exec to ready, 20 secrets, CPU time, median",
        "ms",
        cpu[cpu.len() / 2],
        None,
        Kind::Varies,
    );
    Ok(())
}

/// From exec to the first bytes on the wire, and to the first answer, which has the TLS handshake
/// and Entra's work in it: the first request is sent between the two.
pub(super) async fn first_request(lab: &Lab, table: &mut Table) -> anyhow::Result<()> {
    let (mut sent, mut cpu, mut answered) = (Vec::new(), Vec::new(), Vec::new());
    let millis = |started: Instant| started.elapsed().as_secs_f64() * 1000.0;
    // Nobody answers here, so what the sidecar has done by then is what it took.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let mut plan = lab.plan(&Lab::secrets(20), HOUR);
    let authority = format!("https://login.localhost:{}/", silent.local_addr()?.port());
    plan["identities"][0]["credential"]["authority"] = authority.into();
    for start in 0..20 {
        let started = Instant::now();
        let sidecar = lab.start(&format!("sent-{start}"), &plan)?;
        let (mut connection, _) = silent.accept()?;
        connection.read_exact(&mut [0; 64])?;
        sent.push(millis(started));
        cpu.push(float(sidecar.cpu()?) / 1e6);
        sidecar.end().await?;
    }
    let plan = lab.plan(&Lab::secrets(20), HOUR);
    for start in 0..20 {
        lab.emulator.reset_counts();
        let started = Instant::now();
        let sidecar = lab.start(&format!("answered-{start}"), &plan)?;
        wait_until("the first answer", || Ok(lab.emulator.counts().tokens > 0))?;
        answered.push(millis(started));
        sidecar.gate().await?;
        sidecar.end().await?;
    }
    for all in [&mut sent, &mut cpu, &mut answered] {
        all.sort_by(f64::total_cmp);
    }
    table.add("exec to first bytes sent, median", "ms", sent[10], Some(10.0), Kind::Varies);
    table.add(
        "exec to first bytes sent, CPU time, median",
        "ms",
        cpu[10],
        Some(10.0),
        Kind::Varies,
    );
    table.add(
        "exec to first request answered, median",
        "ms",
        answered[10],
        Some(10.0),
        Kind::Varies,
    );
    Ok(())
}

/// Memory over many refreshes of 50 secrets, calls of one in which nothing changed, CPU time of
/// each and of idleness.
pub(super) async fn refreshes(
    lab: &Lab,
    refreshes: usize,
    idle: Duration,
    limits: &Limits,
    table: &mut Table,
) -> anyhow::Result<()> {
    let sidecar = lab.ready("refreshes", &lab.plan(&Lab::secrets(50), HOUR)).await?;
    let memory = |field: &str| sidecar.process()?.memory_kib(field);
    let many = |count: usize| {
        for refresh in 0..count {
            // One in ten finds something new.
            if refresh % 10 == 0 {
                lab.set(
                    &format!("secret-{}", refresh / 10 % 50),
                    format!("value of refresh {refresh}"),
                );
            }
            sidecar.refresh()?;
        }
        anyhow::Ok(())
    };
    // The heap finds its shape first. Generations linger for 10 s; what they cost is on the volume.
    many(refreshes.min(1000))?;
    let before = memory("RssAnon")?;
    many(refreshes)?;
    let (resident, anonymous) = (memory("VmRSS")?, memory("RssAnon")?);
    table.add(
        "resident, 50 secrets, after all refreshes",
        "KiB",
        float(resident),
        Some(limits.resident),
        Kind::Stable,
    );
    table.add(
        "anonymous, 50 secrets, after all refreshes",
        "KiB",
        float(anonymous),
        limits.anonymous,
        Kind::Stable,
    );
    let growth = float(anonymous.saturating_sub(before));
    println!("  ({refreshes} refreshes, one in ten with a change)");
    table.add("anonymous, growth over all refreshes", "KiB", growth, Some(64.0), Kind::Bounded);

    // Until every time of a change is settled.
    tokio::time::sleep(Duration::from_secs(4)).await;
    sidecar.refresh()?;
    lab.emulator.reset_counts();
    let (cpu, rounds) = (sidecar.cpu()?, 100);
    for _ in 0..rounds {
        sidecar.refresh()?;
    }
    let (counts, cpu) = (lab.emulator.counts(), sidecar.cpu()? - cpu);
    let each = |count: u64| float(count) / float(rounds);
    table.add(
        "refresh of 50 of 50 secrets: pages of lists",
        "calls",
        each(counts.lists),
        Some(2.0),
        Kind::Stable,
    );
    table.add(
        "refresh of 50 of 50 secrets: gets",
        "calls",
        each(counts.secret_gets),
        Some(0.0),
        Kind::Stable,
    );
    let refresh = each(cpu) / 1e6;
    table.add("CPU time of one refresh", "ms", refresh, None, Kind::Varies);

    // Until the generations of all those changes are gone, 10 s after the last.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let (cpu, started) = (sidecar.cpu()?, Instant::now());
    tokio::time::sleep(idle).await;
    let idle = float(sidecar.cpu()? - cpu) / 1e9 / started.elapsed().as_secs_f64() * 1000.0;
    table.add("idle CPU", "millicores", idle, Some(0.1), Kind::Bounded);
    table.add(
        "CPU with a refresh every 2 minutes",
        "millicores",
        idle + refresh / 120.0,
        Some(0.1),
        Kind::Varies,
    );
    table.add("threads when idle", "threads", float(sidecar.threads()?), Some(1.0), Kind::Stable);
    sidecar.end().await
}

/// Threads while names are looked up.
pub(super) async fn look_ups(lab: &Lab, table: &mut Table) -> anyhow::Result<()> {
    let mut plan = lab.plan(&Lab::secrets(8), HOUR);
    plan["identities"][0]["credential"]["authority"] = "https://login.example.invalid/".into();
    let sidecar = lab.start("look-ups", &plan)?;
    let mut most = 0;
    wait_until("a look-up that fails", || {
        most = most.max(sidecar.threads()?);
        Ok(sidecar.process()?.log().contains("KS312"))
    })?;
    table.add(
        "threads while a name resolves, at most",
        "threads",
        float(most),
        Some(2.0),
        Kind::Bounded,
    );
    sidecar.end().await
}

/// From a new version in the vault to the new file, with an interval of a second.
pub(super) async fn rotations(lab: &Lab, table: &mut Table) -> anyhow::Result<()> {
    let interval = Duration::from_secs(1);
    let sidecar = lab.ready("rotations", &lab.plan(&Lab::secrets(50), interval)).await?;
    let mut longest = Duration::ZERO;
    for rotation in 0..20 {
        let value = format!("rotation {rotation}");
        lab.set("secret-7", value.clone());
        let path = sidecar.volume().join("secret-7");
        longest = longest
            .max(wait_until("the new file", || Ok(std::fs::read_to_string(&path)? == value))?);
    }
    let bound = interval.as_secs_f64() * 1.1 + 1.0;
    table.add(
        "rotation visible, interval 1 s, longest of 20",
        "s",
        longest.as_secs_f64(),
        Some(bound),
        Kind::Varies,
    );
    sidecar.end().await
}

/// Reads that are torn while the sidecar rotates 100 times.
pub(super) async fn reads(lab: &Lab, wanted: u64, table: &mut Table) -> anyhow::Result<()> {
    const ROTATIONS: u64 = 100;
    const LENGTH: usize = 6000;
    let content = |rotation: u64| format!("{rotation:03}").repeat(LENGTH / 3);
    lab.set("secret-0", content(0));
    // Two files of one object: within a generation they are equal.
    let files = ["a", "d/b"].map(|path| (path.to_owned(), "secret-0".to_owned()));
    let sidecar = lab.ready("reads", &lab.plan(&files, HOUR)).await?;
    let (reads, torn, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let volume = sidecar.volume();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut first, mut second) = (Vec::new(), Vec::new());
                while !over.load(Ordering::Relaxed) {
                    let whole =
                        read_both(&volume, &mut first, &mut second, LENGTH).unwrap_or(false);
                    torn.fetch_add(u64::from(!whole), Ordering::Relaxed);
                    reads.fetch_add(2, Ordering::Relaxed);
                }
            });
        }
        let rotate = || {
            for rotation in 1..=ROTATIONS {
                while reads.load(Ordering::Relaxed) < rotation * wanted / ROTATIONS {
                    std::thread::sleep(Duration::from_micros(100));
                }
                lab.set("secret-0", content(rotation));
                sidecar.refresh()?;
                ensure!(
                    std::fs::read_to_string(volume.join("a"))? == content(rotation),
                    "rotation {rotation} is not there"
                );
            }
            Ok(())
        };
        let result = rotate();
        over.store(true, Ordering::Relaxed);
        result
    })?;
    println!("  ({} reads across {ROTATIONS} rotations)", reads.into_inner());
    table.add("torn reads", "reads", float(torn.into_inner()), Some(0.0), Kind::Stable);
    sidecar.end().await
}

/// Reads both files of one generation; whether they are whole and of one piece.
fn read_both(
    volume: &Path,
    first: &mut Vec<u8>,
    second: &mut Vec<u8>,
    length: usize,
) -> std::io::Result<bool> {
    let data = File::open(volume.join("..data"))?;
    let read = |name: &str, bytes: &mut Vec<u8>| {
        bytes.clear();
        File::open(format!("/proc/self/fd/{}/{name}", data.as_raw_fd()))?.read_to_end(bytes)
    };
    match (read("a", first), read("d/b", second)) {
        (Ok(_), Ok(_)) => Ok(first == second
            && first.len() == length
            && first.chunks(3).all(|part| part == &first[..3])),
        // A reader that slept for 10 s: its generation went. The current one never does.
        _ => Ok(std::fs::metadata(volume.join("..data"))?.ino() != data.metadata()?.ino()),
    }
}
