//! The command line.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use keysluice_emulator::{Config, Emulator, Seed};
use tokio::signal::unix::{SignalKind, signal};

/// A local stand-in for Entra, Azure Key Vault, IMDS and a cluster's OIDC issuer.
#[derive(Debug, Parser)]
#[command(name = "keysluice-emulator", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Command {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Args)]
struct Serve {
    /// Address of Entra, the vaults and the issuer (TLS).
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8443",
        env = "KEYSLUICE_EMULATOR_LISTEN"
    )]
    listen: SocketAddr,
    /// Address of IMDS and the control interface (plain HTTP).
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        env = "KEYSLUICE_EMULATOR_HTTP_LISTEN"
    )]
    http_listen: SocketAddr,
    /// What exists at start: tenants, apps, vaults (JSON; repeatable).
    #[arg(long, value_name = "FILE")]
    seed: Vec<PathBuf>,
    /// Writes ca.crt, cloud.json, issuer.txt and, last, an empty file `ready`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Prints a ServiceAccount token of a running emulator.
    MintToken(MintToken),
}

#[derive(Debug, Args)]
struct MintToken {
    /// Plain HTTP address of the emulator.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        env = "KEYSLUICE_EMULATOR_HTTP_LISTEN"
    )]
    control: SocketAddr,
    /// Namespace of the ServiceAccount.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: String,
    /// Name of the ServiceAccount.
    #[arg(long, value_name = "NAME")]
    service_account: String,
    /// Audience of the token.
    #[arg(long, value_name = "AUD", default_value = "api://AzureADTokenExchange")]
    audience: String,
    /// Lifetime of the token in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    lifetime_seconds: u64,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command.action {
        Some(Action::MintToken(mint)) => mint_token(&mint),
        None => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?
            .block_on(serve(command.serve)),
    }
}

async fn serve(args: Serve) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let seeds = args.seed.iter().map(|path| read_seed(path)).collect::<anyhow::Result<Vec<_>>>()?;

    if let Some(directory) = &args.out {
        forget_ready(directory)?;
    }
    let config =
        Config { https_addr: args.listen, http_addr: args.http_listen, seed: Seed::default() };
    let emulator = Emulator::start(config).await?;
    for (seed, path) in seeds.into_iter().zip(&args.seed) {
        emulator.seed(seed).with_context(|| path.display().to_string())?;
    }
    if let Some(directory) = &args.out {
        write_out(directory, &emulator)?;
    }
    announce(&emulator)?;

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    emulator.shutdown().await;
    Ok(())
}

fn read_seed(path: &Path) -> anyhow::Result<Seed> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a seed", path.display()))
}

/// Whoever waits for `ready` must not find the one of an earlier run.
fn forget_ready(directory: &Path) -> anyhow::Result<()> {
    let path = directory.join("ready");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// `ready` comes last: whoever waits for it finds the others whole.
fn write_out(directory: &Path, emulator: &Emulator) -> anyhow::Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let files = [
        ("ca.crt", emulator.ca_pem().to_owned()),
        ("cloud.json", emulator.cloud_json()),
        ("issuer.txt", emulator.issuer() + "\n"),
        ("ready", String::new()),
    ];
    for (name, text) in files {
        let path = directory.join(name);
        File::create(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn announce(emulator: &Emulator) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "entra    {}", emulator.authority())?;
    writeln!(out, "vaults   {}", emulator.vault_url("NAME"))?;
    writeln!(out, "issuer   {}", emulator.issuer())?;
    writeln!(out, "imds     {}metadata/identity/oauth2/token", emulator.imds_url())?;
    writeln!(out, "control  {}control/", emulator.imds_url())?;
    out.flush()
}

/// Asks the running emulator, because only that has the key. HTTP/1.0, so that the body ends with
/// the connection.
fn mint_token(args: &MintToken) -> anyhow::Result<()> {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("namespace", &args.namespace)
        .append_pair("serviceAccount", &args.service_account)
        .append_pair("audience", &args.audience)
        .append_pair("lifetimeSeconds", &args.lifetime_seconds.to_string())
        .finish();
    let unreachable = || {
        format!(
            "no emulator answers at {}; hint: start one, or name it with --control",
            args.control
        )
    };
    let mut stream = TcpStream::connect_timeout(&args.control, Duration::from_secs(5))
        .with_context(unreachable)?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).with_context(unreachable)?;
    write!(stream, "GET /control/token?{query} HTTP/1.0\r\nHost: {}\r\n\r\n", args.control)
        .with_context(unreachable)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(unreachable)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body))
            if head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200") =>
        {
            writeln!(io::stdout(), "{body}").context("cannot write the token")
        }
        Some((_, body)) => bail!("the emulator refused: {body}"),
        None => bail!("{} is no emulator", args.control),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }
}
