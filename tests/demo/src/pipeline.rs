//! A step of a pipeline: `keysluice fetch` with the token of a job of GitHub Actions.

use super::teller::Teller;
use anyhow::ensure;
use keysluice_demo::{Binaries, Stage, TENANT};
use keysluice_emulator::pipeline::{BEARER, GITHUB_SUBJECT};
use keysluice_emulator::{CallKind, Emulator};
use serde_json::json;
use std::path::Path;

const CLIENT: &str = "c1c1c1c1-0000-4000-8000-000000000001";
const VALUE: &str = "deploy-with-this";
const COMMAND: &str = "echo \"the step has ${#DEPLOY_KEY} characters\"";

pub(crate) async fn play(
    tell: Teller,
    emulator: &Emulator,
    binaries: &Binaries,
    stage: &Stage,
    cloud: &Path,
) -> anyhow::Result<()> {
    tell.chapter("A pipeline step: the token of the job, and no secret of Azure in the pipeline");
    emulator.seed(serde_json::from_value(json!({
        "apps": [{"clientId": CLIENT, "tenantId": TENANT,
            "federatedCredentials": [{"subject": GITHUB_SUBJECT}]}],
        "vaults": [{"name": "ci-demo", "tenantId": TENANT, "secrets": {"deploy-key": VALUE},
            "roles": [{"clientId": CLIENT, "secrets": ["get"]}]}]
    }))?)?;
    emulator.reset_counts();
    let memory = stage.path().join("runner");
    std::fs::create_dir(&memory)?;
    let vault = emulator.vault_url("ci-demo");
    let host = vault.trim_start_matches("https://").trim_end_matches('/');
    let reference = format!("kv://{host}/secrets/deploy-key");
    let service =
        format!("http://127.0.0.1:{}/pipelines/github/token?api-version=2.0", emulator.http_port());
    tell.detail(&format!("ACTIONS_ID_TOKEN_REQUEST_URL={service}"));
    tell.command(&format!("keysluice fetch {reference} --exec -- sh -c '{COMMAND}'"));

    let mut command = tokio::process::Command::new(&binaries.keysluice);
    command.args(["fetch", &reference, "--exec", "--", "sh", "-c", COMMAND]).env_clear();
    command
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("KEYSLUICE_INJECTOR", &binaries.injector)
        .env("KEYSLUICE_CLOUD", cloud)
        .env("XDG_RUNTIME_DIR", &memory)
        .env("AZURE_CLIENT_ID", CLIENT)
        .env("AZURE_TENANT_ID", TENANT)
        .env("GITHUB_ACTIONS", "true")
        .env("ACTIONS_ID_TOKEN_REQUEST_URL", service)
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", BEARER);
    let output = command.kill_on_drop(true).output().await?;
    let (said, log) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    ensure!(output.status.success(), "keysluice fetch: {log}");
    for line in said.lines() {
        tell.command(line);
    }
    tell.detail(&log);
    let expected = format!("::add-mask::{VALUE}\nthe step has {} characters\n", VALUE.len());
    ensure!(said == expected, "the step printed {said:?}");
    let requests = emulator.requests();
    let asked = requests.iter().any(|request| request.kind == CallKind::PipelineToken);
    let counts = emulator.counts();
    ensure!(asked && (counts.tokens, counts.secret_gets) == (1, 1), "calls: {counts:?}");
    ensure!(std::fs::read_dir(&memory)?.next().is_none(), "the step left files behind");
    tell.good(&format!(
        "{GITHUB_SUBJECT}: 1 token of GitHub, 1 of Entra, 1 secret; nothing left behind"
    ));
    Ok(())
}
