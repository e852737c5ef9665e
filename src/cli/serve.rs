//! `keysluice serve`: wiring, signals, and nothing else.

use super::Failure;
use super::options::Options;
use crate::admin;
use crate::cluster::Cluster;
use crate::cluster::api::{ApiServer, Client, Pace};
use crate::cluster::manifests::Manifests;
use crate::log;
use crate::metrics::Metrics;
use crate::server::handler::Load;
use crate::server::{self, CertificateSlot, Handler, Limits, MinVersion, tls};
use anyhow::Context as _;
use clap::Args;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Serve the admission webhook.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Where the API server calls.
    #[arg(long, env = "KEYSLUICE_LISTEN", default_value = "0.0.0.0:9443", value_name = "ADDR")]
    listen: SocketAddr,
    /// Plain listener for /livez and /readyz.
    #[arg(long, env = "KEYSLUICE_ADMIN_LISTEN", default_value = "0.0.0.0:9440", value_name = "ADDR")]
    admin_listen: SocketAddr,
    /// Directory with tls.crt and tls.key; without it our own CA makes a certificate.
    #[arg(long, env = "KEYSLUICE_TLS_DIR", value_name = "DIR")]
    tls_dir: Option<PathBuf>,
    /// Seconds between two looks at the files of --tls-dir.
    #[arg(long, env = "KEYSLUICE_TLS_POLL_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    tls_poll_seconds: u64,
    /// Name that our own certificate is for (repeatable).
    #[arg(long = "tls-name", env = "KEYSLUICE_TLS_NAME", value_delimiter = ',', default_values = ["localhost", "127.0.0.1"], value_name = "NAME", conflicts_with = "tls_dir")]
    tls_names: Vec<String>,
    /// Writes the PEM of our own CA (what `caBundle` takes) to a file.
    #[arg(long, env = "KEYSLUICE_CA_OUT", value_name = "FILE", conflicts_with = "tls_dir")]
    ca_out: Option<PathBuf>,
    /// Oldest TLS version that is spoken.
    #[arg(long, env = "KEYSLUICE_TLS_MIN_VERSION", default_value = "1.3", value_name = "1.2|1.3")]
    tls_min_version: MinVersion,
    /// Callers must show a certificate of one of these authorities (the API server's --proxy-client-cert-file or a kubeconfig's).
    #[arg(long, env = "KEYSLUICE_CLIENT_CA", value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// The API server to ask; without it and without --objects, the one of the cluster we run in.
    #[arg(long, env = "KEYSLUICE_KUBECONFIG", value_name = "FILE", conflicts_with = "objects")]
    kubeconfig: Option<PathBuf>,
    /// Manifests instead of an API server: files or directories (repeatable).
    #[arg(long = "objects", env = "KEYSLUICE_OBJECTS", value_delimiter = ',', value_name = "PATH")]
    objects: Vec<PathBuf>,
    /// Seconds a stopping server goes on accepting, while the endpoint is being taken away.
    #[arg(long, env = "KEYSLUICE_DRAIN_SECONDS", default_value_t = 10, value_name = "SECONDS")]
    drain_seconds: u64,
    /// What is logged; `PUT /log-level` changes it while it runs.
    #[arg(long, env = "KEYSLUICE_LOG_LEVEL", default_value = "info", value_name = "debug|info|warn")]
    log_level: log::Level,
    #[command(flatten)]
    options: Options,
}

impl Serve {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        log::set_level(self.log_level);
        let _written_at_the_end = log::start()?;
        // Everything but the webhook itself, which has a thread and a runtime of its own.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> Result<ExitCode, Failure> {
        if !self.objects.is_empty() {
            let cluster = Manifests::load(&self.objects)?;
            return self.serve_from(cluster, std::future::pending()).await;
        }
        let client = match &self.kubeconfig {
            Some(path) => Client::from_kubeconfig(path).map_err(Failure::usage)?,
            None => Client::in_cluster().map_err(Failure::usage)?,
        };
        let cluster = ApiServer::new(client);
        let watch = cluster.watch(Pace::default());
        self.serve_from(cluster, watch).await
    }

    /// `watch` keeps the cluster's caches; it never ends.
    async fn serve_from<C: Cluster>(
        self,
        cluster: C,
        watch: impl Future<Output = ()> + Send + 'static,
    ) -> Result<ExitCode, Failure> {
        let settings = self.options.settings()?;
        let slot = Arc::new(self.certificate()?);
        let tls = tls::config(Arc::clone(&slot), self.tls_min_version, self.client_ca.as_deref())?;
        let listener = bind(self.listen, "--listen").await?;
        let admin_listener = bind(self.admin_listen, "--admin-listen").await?;
        let metrics = Arc::new(Metrics::new(super::VERSION));
        let handler = Arc::new(Handler::new(settings, cluster, Arc::clone(&metrics), Load::default()));
        let mut certificate = match self.tls_dir.clone() {
            None => tokio::spawn(std::future::pending()),
            Some(directory) => {
                let interval = Duration::from_secs(self.tls_poll_seconds);
                tokio::spawn(tls::follow(directory, interval, slot, metrics))
            }
        };
        let limits = Limits { drain: Duration::from_secs(self.drain_seconds), ..Limits::default() };

        let (listen, admin_listen) = (listener.local_addr()?, admin_listener.local_addr()?);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut signalled = async move || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let mut server = server::spawn(listener.into_std()?, tls, Arc::clone(&handler), limits, stopped)?;
        let mut admin = tokio::spawn(admin::serve(admin_listener, handler));
        let mut watch = tokio::spawn(watch);
        tracing::info!(%listen, %admin_listen, version = super::VERSION, "serving");

        tokio::select! {
            () = signalled() => {}
            // A background task that dies ends the process: a half-dead webhook is worse than a restarted one.
            ended = &mut server => return Err(Failure::from(anyhow::anyhow!("the listener ended: {ended:?}"))),
            ended = &mut admin => return Err(Failure::from(anyhow::anyhow!("the admin listener ended: {ended:?}"))),
            ended = &mut certificate => {
                return Err(Failure::from(anyhow::anyhow!("the look at --tls-dir ended: {ended:?}")));
            }
            ended = &mut watch => return Err(Failure::from(anyhow::anyhow!("the watches ended: {ended:?}"))),
        }
        tracing::info!(seconds = self.drain_seconds, "draining");
        let _ = stop.send(());
        tokio::select! {
            ended = &mut server => ended.context("the listener panicked")?,
            () = signalled() => {
                tracing::warn!("second signal: stopping at once");
                return Ok(ExitCode::from(super::FAILED));
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn certificate(&self) -> Result<CertificateSlot, Failure> {
        if let Some(directory) = &self.tls_dir {
            return Ok(tls::from_directory(directory)?);
        }
        let (slot, ca) = tls::own(&self.tls_names)?;
        if let Some(path) = &self.ca_out {
            write_new(path, &ca).with_context(|| format!("--ca-out {}", path.display()))?;
        }
        Ok(slot)
    }
}

/// Writes beside the target and renames, so that a reader never sees half a file.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    std::fs::File::create(&partial)?.write_all(text.as_bytes())?;
    std::fs::rename(&partial, path)
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{flag} {address}"))
}
