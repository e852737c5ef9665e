//! `keysluice serve`: wiring, signals, and nothing else.

use super::Failure;
use super::certificate_options::{CertificateOptions, Started};
use super::options::Options;
use super::plan_options::{PlanOptions, Wanted};
use super::tightening_options::TighteningOptions;
use crate::admin;
use crate::budget::Budget;
use crate::cluster::Cluster;
use crate::cluster::api::{ApiServer, Client, Pace};
use crate::cluster::manifests::Manifests;
use crate::log;
use crate::metrics::Metrics;

use crate::reason::KS718;
use crate::server::plans::{Plans, spawn_plans};
use crate::server::{
    self, CertificateSlot, ClientAuthorities, Handler, Limits, Load, MinVersion, tls,
};
use crate::settings::EndpointKey;
use anyhow::Context as _;
use clap::Args;
use keysluice_certs::PairFiles;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

/// Serve the admission webhook.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Address for the API server's requests.
    #[arg(long, env = "KEYSLUICE_LISTEN", default_value = "0.0.0.0:9443", value_name = "ADDR")]
    listen: SocketAddr,
    /// Address of the HTTP listener for probes and metrics.
    #[arg(
        long,
        env = "KEYSLUICE_ADMIN_LISTEN",
        default_value = "0.0.0.0:9440",
        value_name = "ADDR"
    )]
    admin_listen: SocketAddr,
    /// Minimum TLS version.
    #[arg(long, env = "KEYSLUICE_TLS_MIN_VERSION", default_value = "1.3", value_name = "1.2|1.3")]
    tls_min_version: MinVersion,
    /// Callers must present a certificate of one of these authorities (the API server's
    /// --proxy-client-cert-file or a kubeconfig's).
    #[arg(long, env = "KEYSLUICE_CLIENT_CA", value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Kubeconfig of the API server to ask; without it and without --objects, the API server of the
    /// cluster in which the webhook runs.
    #[arg(long, env = "KEYSLUICE_KUBECONFIG", value_name = "FILE", conflicts_with = "objects")]
    kubeconfig: Option<PathBuf>,
    /// Manifests instead of an API server: files or directories (repeatable).
    #[arg(long = "objects", env = "KEYSLUICE_OBJECTS", value_delimiter = ',', value_name = "PATH")]
    objects: Vec<PathBuf>,
    /// Seconds for which a stopping server accepts connections, while its endpoint is removed.
    #[arg(long, env = "KEYSLUICE_DRAIN_SECONDS", default_value_t = 10, value_name = "SECONDS")]
    drain_seconds: u64,
    /// Memory limit of the process, which bounds what it holds for callers: bytes, or 128Mi; at
    /// least 64Mi and at most 1Gi count. Without it the limit of the process's own cgroup is used.
    #[arg(long, env = "KEYSLUICE_MEMORY_LIMIT", value_name = "BYTES")]
    memory_limit: Option<Budget>,
    /// Level of the log; `PUT /log-level` changes it at run time.
    #[arg(
        long,
        env = "KEYSLUICE_LOG_LEVEL",
        default_value = "info",
        value_name = "debug|info|warn"
    )]
    log_level: log::Level,
    /// Format of the log: JSON lines, or text for people.
    #[arg(long, env = "KEYSLUICE_LOG_FORMAT", default_value = "json", value_name = "FORMAT")]
    log_format: log::Format,
    #[command(flatten, next_help_heading = "Certificate")]
    certificate: CertificateOptions,
    #[command(flatten, next_help_heading = "Webhook configuration")]
    tightening: TighteningOptions,
    #[command(flatten, next_help_heading = "Plans of running pods")]
    plans: PlanOptions,
    #[command(flatten, next_help_heading = "Pods")]
    options: Options,
}

/// Another one for each process: what an earlier one gave to pods stands in them.
fn endpoint_key() -> anyhow::Result<EndpointKey> {
    let mut bytes = [0; 32];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| anyhow::anyhow!("the random source failed"))?;
    Ok(EndpointKey::new(bytes))
}

impl Serve {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        log::set_level(self.log_level);
        log::set_format(self.log_format);
        let _written_at_the_end = log::start()?;
        allow_all_files();
        keep_memory_private()?;
        // Everything but the webhook itself, which has a thread and a runtime of its own.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.serve())
    }

    fn budget(&self) -> Budget {
        self.memory_limit.unwrap_or_else(Budget::of_this_process)
    }

    async fn serve(self) -> Result<ExitCode, Failure> {
        if !self.objects.is_empty() {
            let (cluster, notes) = Manifests::load(&self.objects, None)?;
            for note in notes {
                tracing::warn!("{note}");
            }
            return self.serve_from(cluster, None, std::future::pending()).await;
        }
        let client = Client::connect(self.kubeconfig.as_deref()).map_err(Failure::usage)?;
        let cluster = ApiServer::new(client.clone(), self.budget());
        let watch = cluster.watch(Pace::default());
        self.serve_from(cluster, Some(client), watch).await
    }

    /// `watch` keeps the cluster's caches; it never ends.
    async fn serve_from<C: Cluster>(
        self,
        cluster: C,
        client: Option<Client>,
        watch: impl Future<Output = ()> + Send + 'static,
    ) -> Result<ExitCode, Failure> {
        let mut settings = self.options.settings()?;
        settings.endpoint_key = endpoint_key()?;
        let metrics = Arc::new(Metrics::new(super::VERSION));
        let Started { slot, paths, authorities, keeper } =
            self.certificate.start(&self.tightening, client.as_ref(), &metrics)?;
        let clients =
            self.client_ca.as_deref().map(ClientAuthorities::load).transpose()?.map(Arc::new);
        let tls = tls::config(Arc::clone(&slot), self.tls_min_version, clients.clone())?;
        let plans = self.plans.wanted(client.as_ref(), &authorities)?;
        settings.live_plans = plans.as_ref().map(|plans| plans.live.clone());
        let plans = plans
            .map(|plans| Ok::<_, Failure>((bind(plans.listen, "--plan-listen")?, plans)))
            .transpose()?;
        let listener = bind(self.listen, "--listen")?;
        let admin_listener = bind(self.admin_listen, "--admin-listen")?;
        let follow =
            clients.map(|clients| clients.follow(PairFiles::INTERVAL, Arc::clone(&metrics)));
        let mut certificate = tokio::spawn(async {
            match follow {
                None => keeper.await,
                Some(follow) => drop(tokio::join!(keeper, follow)),
            }
        });
        let budget = self.budget();
        let handler =
            Arc::new(Handler::new(settings, cluster, metrics, Load::of(budget)).with_paths(paths));
        let limits =
            Limits { drain: Duration::from_secs(self.drain_seconds), ..Limits::of(budget) };

        let (listen, admin_listen) = (listener.local_addr()?, admin_listener.local_addr()?);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut signalled =
            async move || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let mut server =
            server::spawn(listener.into_std()?, tls, Arc::clone(&handler), limits, stopped)?;
        let mut plans = Box::pin(serve_plans(plans, &handler, &slot, budget)?);
        let mut admin = tokio::spawn(admin::serve(admin_listener, handler, slot));
        let mut watch = tokio::spawn(watch);
        tracing::info!(%listen, %admin_listen, version = super::VERSION,
            memory_limit = budget.limit_bytes(), "serving");

        tokio::select! {
            () = signalled() => {}
            // A background task that dies ends the process: a half-dead webhook is worse than a
            // restarted one.
            ended = &mut server => {
                return Err(anyhow::anyhow!("the listener ended: {ended:?}").into());
            }
            () = &mut plans => {
                return Err(anyhow::anyhow!("the listener for Plans ended").into());
            }
            ended = &mut admin => {
                return Err(anyhow::anyhow!("the admin listener ended: {ended:?}").into());
            }
            ended = &mut certificate => {
                return Err(Failure::from(anyhow::anyhow!("what keeps the certificate ended: \
                    {ended:?}")));
            }
            ended = &mut watch => {
                return Err(anyhow::anyhow!("the watches ended: {ended:?}").into());
            }
        }
        tracing::info!(seconds = self.drain_seconds, "draining");
        let _ = stop.send(());
        tokio::select! {
            ended = &mut server => ended.context("the listener panicked")?,
            () = signalled() => {
                tracing::info!("second signal: stopping at once");
                return Ok(ExitCode::from(super::FAILED));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Starts the listener for Plans, if one is wanted; it ends only by a bug. It stops with the
/// process: a sidecar that meets no answer keeps its Plan.
fn serve_plans<C: Cluster>(
    plans: Option<(TcpListener, Wanted)>,
    handler: &Arc<Handler<C>>,
    slot: &Arc<CertificateSlot>,
    budget: Budget,
) -> anyhow::Result<impl Future<Output = ()> + use<C>> {
    let ended = match plans {
        None => None,
        Some((listener, Wanted { keys, live, .. })) => {
            let plan_listen = listener.local_addr()?;
            let tls = tls::config(Arc::clone(slot), MinVersion::Tls13, None)?;
            let plans = Plans::new(Arc::clone(handler), live.authorities, keys, budget);
            let (listener, plans) = (listener.into_std()?, Arc::new(plans));
            tracing::info!(%plan_listen, "serving Plans");
            Some(spawn_plans(listener, tls, plans, budget, std::future::pending())?)
        }
    };
    Ok(async {
        match ended {
            Some(ended) => drop(ended.await),
            None => std::future::pending().await,
        }
    })
}

/// A connection is a file, and the soft limit is often 1,024: raised as far as we may. (It is low
/// for the sake of `select`, which nobody here calls.)
fn allow_all_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, soft = limit.current, "{KS718} the limit of open files stays as it \
            is");
    }
}

/// The authority's key is in this memory: it goes into no core file, and no other process of the
/// user reads it.
fn keep_memory_private() -> anyhow::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .context("no core files")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .context("making the process's memory unreadable for others")
}

/// What the kernel keeps of a connection that is not read, or not taken, counts to the process's
/// memory: less than it does by itself.
const SOCKET_BYTES: u32 = 64 << 10;

fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    listener_on(address).with_context(|| format!("{flag} {address}"))
}

fn listener_on(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_recv_buffer_size(SOCKET_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BYTES)?;
    socket.bind(address)?;
    socket.listen(1024)
}
