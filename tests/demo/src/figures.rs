//! `make bench`: what the sidecar costs, measured on its released binary.

use anyhow::{Context as _, ensure};
use keysluice_demo::{Binaries, Process, Stage, TENANT};
use keysluice_emulator::{Config, Emulator};
use serde_json::json;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::Command;

const SECRETS: usize = 20;
const CLIENT: &str = "8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8";

/// Times `starts` starts with 20 secrets, and reads size and memory.
pub(super) async fn print(binaries: &Binaries, round_trip: Duration, starts: usize) -> anyhow::Result<()> {
    keysluice_demo::install_crypto_provider();
    let stage = Stage::new()?;
    let emulator = Emulator::start(Config::default()).await?;
    let secrets: serde_json::Map<_, _> =
        (0..SECRETS).map(|i| (format!("secret-{i}"), json!(format!("value-{i}")))).collect();
    let seed = json!({
        "apps": [{"clientId": CLIENT, "tenantId": TENANT, "federatedCredentials": [{"subject": "system:serviceaccount:bench:bench"}]}],
        "vaults": [{"name": "bench", "tenantId": TENANT, "secrets": secrets, "roles": [{"clientId": CLIENT, "secrets": ["get"]}]}]});
    emulator.seed(serde_json::from_value(seed)?)?;
    emulator.set_delay(round_trip);
    let token = stage.path().join("token");
    let minted = emulator.mint_token("bench", "bench", "api://AzureADTokenExchange", Duration::from_secs(3600));
    std::fs::File::create(&token)?.write_all(minted.as_bytes())?;

    let mut times = Vec::new();
    let (mut resident, mut anonymous) = (0, 0);
    for start in 0..starts.max(1) {
        let root = stage.path().join(format!("start-{start}"));
        for directory in ["run/keysluice", "mnt/volume"] {
            std::fs::create_dir_all(root.join(directory))?;
        }
        std::fs::copy(&token, root.join("token"))?;
        let plan = root.join("plan.json");
        std::fs::File::create(&plan)?.write_all(&plan_json(&emulator)?)?;
        emulator.reset_counts();
        let (elapsed, mut sidecar) = start_once(binaries, &root, &plan).await?;
        let counts = emulator.counts();
        ensure!((counts.tokens, counts.secret_gets, counts.status_401) == (1, 20, 0), "calls: {counts:?}");
        times.push(elapsed);
        (resident, anonymous) = (sidecar.memory_kib("VmRSS")?, sidecar.memory_kib("RssAnon")?);
        sidecar.terminate(Duration::from_secs(5)).await?;
        std::fs::remove_dir_all(&root)?;
    }
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    println!(
        "sidecar binary                                   {:>10} bytes",
        std::fs::metadata(&binaries.injector)?.len()
    );
    println!("sidecar resident after {SECRETS} secrets                 {resident:>10} KiB ({anonymous} KiB anonymous)");
    let trip = round_trip.as_millis();
    println!(
        "exec to ready, {SECRETS} secrets, {trip} ms round trip       {:>10.1} ms median, {:.1} ms p99, {} starts",
        at(50),
        at(99),
        times.len()
    );
    println!("calls                                            1 token, {SECRETS} gets, 0 x 401 at every start");
    emulator.shutdown().await;
    Ok(())
}

async fn start_once(binaries: &Binaries, root: &Path, plan: &Path) -> anyhow::Result<(Duration, Process)> {
    let command = |name: &str| {
        let mut command = Command::new(&binaries.injector);
        command.arg(name).arg("--plan").arg(plan).arg("--root").arg(root).env_clear();
        command
    };
    let started = Instant::now();
    let sidecar = Process::start(command("run"), "the sidecar", &root.join("log"))?;
    let gate = command("ready").output().await.context("running the gate")?;
    let elapsed = started.elapsed();
    ensure!(gate.status.success(), "{}\n{}", String::from_utf8_lossy(&gate.stderr), sidecar.log());
    Ok((elapsed, sidecar))
}

fn plan_json(emulator: &Emulator) -> anyhow::Result<Vec<u8>> {
    let files: Vec<_> = (0..SECRETS)
        .map(|i| {
            json!({"path": format!("secret-{i}"), "mode": "0644", "identity": "a", "vault": emulator.vault_url("bench"),
            "type": "secret", "name": format!("secret-{i}")})
        })
        .collect();
    let plan = json!({"schema": 1, "startTimeoutSeconds": 30, "trustedCa": emulator.ca_pem(),
        "identities": [{"name": "a", "scope": "https://vault.localhost/.default", "credential": {"kind": "federated",
            "clientId": CLIENT, "tenantId": TENANT, "tokenFile": "/token", "authority": emulator.authority()}}],
        "volumes": [{"name": "volume", "directory": "/mnt/volume", "refreshIntervalSeconds": 120, "files": files}]});
    Ok(serde_json::to_vec(&plan)?)
}
