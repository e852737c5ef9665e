//! Where the API server is and who asks it: kube's client of a kubeconfig or of the pod, made again
//! when a file it comes from changes.

use super::error::{ApiError, ClientError, plugin_of};
use super::place::{Place, without_user};
use super::transport::{CONNECT, Transport};
use http::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use kube::client::{Body, ConfigExt as _, Connection as WebSocket};
use kube::config::{Cluster, Config, Kubeconfig};
use secrecy::SecretString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tower::{BoxError, ServiceBuilder};

const POD_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
/// What a pod is told of its API server.
const POD_VARIABLES: [&str; 2] = ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"];
/// A file that changed this little before it was read may change again without another time of
/// change.
const SETTLED: Duration = Duration::from_secs(2);

/// Where the connection is described.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Kubeconfig(PathBuf),
    /// What the kubelet tells every pod.
    Pod,
}

/// The way to the API server.
pub(super) struct Connection {
    source: Source,
    current: Mutex<Arc<Connected>>,
    making: tokio::sync::Mutex<()>,
}

/// One client of kube, with its idle connections.
pub(super) struct Connected {
    client: kube::Client,
    config: Config,
    place: Arc<Place>,
    /// What the client was made from. The kubelet renews a token and a CA by swapping the file;
    /// others renew client certificates.
    files: Arc<Vec<File>>,
    /// Whether the API server refused its credential.
    is_refused: AtomicBool,
}

/// A file, its content, and what its metadata said before it was read; `None` where it cannot be
/// read, as of a context that is not used.
struct File {
    path: PathBuf,
    content: Option<Vec<u8>>,
    stamp: Option<Stamp>,
}

/// What differs after a file was written or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size_bytes: u64,
    changed: SystemTime,
}

impl Connection {
    /// Fails where something cannot be read, so that a wrong path is an error at start and not a
    /// retry for ever. An exec plug-in is run. Needs a runtime.
    pub(super) fn open(source: Source) -> Result<Self, ClientError> {
        let current = Mutex::new(Arc::new(Connected::new(&source)?));
        Ok(Self { source, current, making: tokio::sync::Mutex::default() })
    }

    /// The client of the files as they are now.
    pub(super) async fn current(&self) -> Result<Arc<Connected>, ClientError> {
        let known = Arc::clone(&self.lock());
        if known.is_current() {
            return Ok(known);
        }
        // One request makes the next client, and those that wait use it unless a file has changed
        // since: it may have been read before.
        let _making = self.making.lock().await;
        let last = Arc::clone(&self.lock());
        if last.is_current() {
            return Ok(last);
        }
        let source = self.source.clone();
        // An exec plug-in may ask somebody to log in.
        let next = tokio::task::spawn_blocking(move || {
            Connected::new(&source).or_else(|error| last.again().ok_or(error))
        });
        let next = next.await;
        let next = Arc::new(next.map_err(|error| ClientError::Setup(error.into()))??);
        *self.lock() = Arc::clone(&next);
        Ok(next)
    }

    /// Of the context.
    pub(super) fn default_namespace(&self) -> String {
        self.lock().config.default_namespace.clone()
    }

    /// Where the API server is, for messages.
    pub(super) fn place(&self) -> Arc<Place> {
        Arc::clone(&self.lock().place)
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Connected>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected {
    fn new(source: &Source) -> Result<Self, ClientError> {
        let (config, files) = match source {
            Source::Kubeconfig(path) => of_kubeconfig(path)?,
            Source::Pod => of_pod()?,
        };
        let place = Arc::new(Place::of(&config, source));
        Self::of(config, place, Arc::new(files))
    }

    fn of(config: Config, place: Arc<Place>, files: Arc<Vec<File>>) -> Result<Self, ClientError> {
        let client = client(config.clone());
        Ok(Self {
            client: client.map_err(|error| ClientError::setup(error, &config))?,
            config,
            place,
            files,
            is_refused: AtomicBool::new(false),
        })
    }

    /// The same once more, where the files are gone and nothing else is known.
    fn again(&self) -> Option<Self> {
        let is_known = !self.files.iter().any(File::has_changed);
        let (place, files) = (Arc::clone(&self.place), Arc::clone(&self.files));
        is_known.then(|| Self::of(self.config.clone(), place, files).ok()).flatten()
    }

    fn is_current(&self) -> bool {
        !self.is_refused.load(Ordering::Relaxed)
            && self
                .client
                .valid_until()
                .is_none_or(|until| SystemTime::from(until) > SystemTime::now())
            && !self.files.iter().any(File::has_changed)
    }

    pub(super) async fn send(&self, request: Request<Body>) -> kube::Result<Response<Body>> {
        let response = self.client.send(request).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            // An exec plug-in may have another credential by now: the next request asks for it.
            self.is_refused.store(true, Ordering::Relaxed);
        }
        Ok(response)
    }

    /// Why a request of this client failed.
    pub(super) fn failed(&self, error: kube::Error) -> ApiError {
        ApiError::failed(error, &plugin_of(&self.config)).at(&self.place)
    }

    /// A WebSocket, as for `pods/exec`.
    pub(super) async fn connect(&self, request: Request<Vec<u8>>) -> kube::Result<WebSocket> {
        self.client.connect(request).await
    }
}

impl File {
    fn read(path: &Path) -> Self {
        let stamp = Stamp::of(path).filter(Stamp::is_settled);
        Self { path: path.to_owned(), content: std::fs::read(path).ok(), stamp }
    }

    /// Whether there is another content. A file that is gone has not changed: some make a token
    /// readable at start and remove it then.
    fn has_changed(&self) -> bool {
        let is_same = self.stamp.is_some() && self.stamp == Stamp::of(&self.path);
        !is_same && std::fs::read(&self.path).is_ok_and(|now| self.content.as_ref() != Some(&now))
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        let changed = metadata.modified().ok()?;
        Some(Self { inode: metadata.ino(), size_bytes: metadata.len(), changed })
    }

    fn is_settled(&self) -> bool {
        self.changed.elapsed().is_ok_and(|age| age > SETTLED)
    }
}

/// The current context of a kubeconfig, and all files it names.
fn of_kubeconfig(path: &Path) -> Result<(Config, Vec<File>), ClientError> {
    std::fs::File::open(path)
        .map_err(|source| ClientError::Read { path: path.to_owned(), source })?;
    let own = File::read(path);
    let kubeconfig = Kubeconfig::read_from(path).map_err(ClientError::kubeconfig(path))?;
    let mut files = vec![own];
    let clusters = kubeconfig.clusters.iter().filter_map(|named| named.cluster.as_ref());
    files.extend(
        clusters
            .filter_map(|cluster| cluster.certificate_authority.as_ref())
            .map(|path| File::read(Path::new(path))),
    );
    let users = kubeconfig.auth_infos.iter().filter_map(|named| named.auth_info.as_ref());
    files.extend(
        users
            .flat_map(|user| [&user.client_certificate, &user.client_key, &user.token_file])
            .flatten()
            .map(|path| File::read(Path::new(path))),
    );
    if let Some(cluster) = cluster_of(&kubeconfig) {
        check_urls(cluster, path)?;
    }
    let config = Config::try_from(kubeconfig).map_err(ClientError::kubeconfig(path))?;
    if config.accept_invalid_certs {
        let (field, problem) =
            ("insecure-skip-tls-verify", "is not supported; hint: set certificate-authority");
        return Err(ClientError::Field { path: path.to_owned(), field, problem });
    }
    Ok((with_token(config, &files)?, files))
}

/// The cluster of the current context.
fn cluster_of(kubeconfig: &Kubeconfig) -> Option<&Cluster> {
    let current = kubeconfig.current_context.as_ref()?;
    let context = kubeconfig.contexts.iter().find(|one| one.name == *current)?;
    let name = &context.context.as_ref()?.cluster;
    kubeconfig.clusters.iter().find(|one| one.name == *name)?.cluster.as_ref()
}

/// kube's errors do not say what is not a URL.
fn check_urls(cluster: &Cluster, path: &Path) -> Result<(), ClientError> {
    let server = ("server", &cluster.server, "https://HOST:PORT", &["http", "https"][..]);
    let proxy = ("proxy-url", &cluster.proxy_url, "http://HOST:PORT", &[][..]);
    for (field, value, example, schemes) in [server, proxy] {
        let Some(value) = value.as_deref().filter(|value| !value.is_empty()) else { continue };
        let is_url = value.parse::<Uri>().is_ok_and(|url| {
            let scheme = url.scheme_str();
            url.host().is_some_and(|host| !host.is_empty())
                && scheme.is_some_and(|one| schemes.is_empty() || schemes.contains(&one))
        });
        if !is_url {
            let (path, value) = (path.to_owned(), without_user(value));
            return Err(ClientError::Url { path, field, value, example });
        }
    }
    Ok(())
}

fn of_pod() -> Result<(Config, Vec<File>), ClientError> {
    if let Some(variable) =
        POD_VARIABLES.into_iter().find(|variable| std::env::var_os(variable).is_none())
    {
        return Err(ClientError::NotInCluster { variable });
    }
    let authority = File::read(Path::new(POD_CA));
    let mut config = Config::incluster()?;
    // The whole client is made again when the file changes.
    config.root_cert_file = None;
    let token = config.auth_info.token_file.iter().map(|path| File::read(Path::new(path)));
    let files: Vec<File> = std::iter::once(authority).chain(token).collect();
    Ok((with_token(config, &files)?, files))
}

/// Takes the token from its file as it was read: kube reads it once a minute, and takes its last
/// newline for a part of it.
fn with_token(mut config: Config, files: &[File]) -> Result<Config, ClientError> {
    let Some(path) = config.auth_info.token_file.take().map(PathBuf::from) else {
        return Ok(config);
    };
    let read = files.iter().find(|file| file.path == path).and_then(|file| file.content.as_deref());
    let token = match read {
        Some(read) => String::from_utf8_lossy(read).trim().to_owned(),
        None => {
            std::fs::read_to_string(&path).map_err(|source| ClientError::Read { path, source })?
        }
    };
    config.auth_info.token = Some(SecretString::from(token));
    Ok(config)
}

fn client(mut config: Config) -> Result<kube::Client, kube::Error> {
    config.connect_timeout = Some(CONNECT);
    // The callers know what may be repeated, and when.
    config.default_retry = false;
    if config.proxy_url.is_some() || config.auth_info.exec.is_some() {
        return kube::Client::try_from(config);
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    // A watch is silent for a minute at a time: without this a vanished API server looks like a
    // quiet one.
    tcp.set_keepalive(Some(Duration::from_secs(15)));
    tcp.set_keepalive_interval(Some(Duration::from_secs(5)));
    tcp.set_keepalive_retries(Some(3));
    let connector = config.rustls_https_connector_with_connector(tcp)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(Transport::new(connector));
    Ok(kube::Client::new(service, config.default_namespace))
}

#[cfg(test)]
mod tests;
