//! Why the API server cannot be asked, or does not give what it is asked for.

use super::client::MAX_BODY_BYTES;
use super::place::{Place, origin};
use kube::client::AuthError;
use kube::config::{Config, InClusterError, KubeconfigError};
use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tower::BoxError;

/// Why there is no API server to ask.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A file cannot be read.
    #[error("KS705 cannot read {path}: {source}; hint: check the path and who may read the file")]
    Read {
        /// The kubeconfig, or a file it names.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// Not a kubeconfig that can be used.
    #[error(
        "KS705 {path}: {source}; hint: correct the kubeconfig; `kubectl config view --minify` \
         shows what is used of it"
    )]
    Kubeconfig {
        /// The kubeconfig.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// Something is missing, or not what it should be.
    #[error("KS705 {path}: {field} {problem}")]
    Field {
        /// The kubeconfig.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// The API server's or the proxy's URL.
    #[error("KS705 {path}: {field} {value:?} is not a URL; hint: write it as {example}")]
    Url {
        /// The kubeconfig.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What it holds, without a password.
        value: String,
        /// What it may look like.
        example: &'static str,
    },
    /// Not in a pod.
    #[error(
        "KS705 not in a cluster ({variable} is not set); hint: name an API server with \
         --kubeconfig FILE, or give serve manifests with --objects PATH"
    )]
    NotInCluster {
        /// What tells a pod of its API server.
        variable: &'static str,
    },
    /// What the kubelet mounts cannot be used.
    #[error(
        "KS705 the pod's ServiceAccount cannot be used: {0}; hint: let the pod have its token \
         (automountServiceAccountToken), or name an API server with --kubeconfig FILE"
    )]
    InCluster(#[from] InClusterError),
    /// The plug-in of the kubeconfig gave no credential. Neither its arguments nor its output is
    /// told: both may hold secrets.
    #[error(
        "KS705 the exec plug-in {command} of the kubeconfig failed ({status}); hint: sign in \
         again (for AKS: az login); `kubectl version` with the same kubeconfig runs the plug-in \
         too and shows what it says"
    )]
    Plugin {
        /// The command of the kubeconfig, without its arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The plug-in of the kubeconfig is not there.
    #[error(
        "KS705 the exec plug-in {command} of the kubeconfig cannot be started: {source}; hint: \
         install it and put it on the PATH (kubelogin: az aks install-cli), or sign in with a \
         kubeconfig that does not need it"
    )]
    PluginMissing {
        /// The command of the kubeconfig, without its arguments.
        command: String,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// Certificates, keys or credentials cannot be used.
    #[error(
        "KS705 the connection to the API server cannot be set up: {0}; hint: check the \
         certificates, keys, credentials and proxy of the kubeconfig"
    )]
    Setup(#[source] BoxError),
}

impl ClientError {
    pub(super) fn kubeconfig(path: &Path) -> impl FnOnce(KubeconfigError) -> Self {
        move |source| Self::Kubeconfig { path: path.to_owned(), source: Box::new(source) }
    }

    /// Why kube does not make a client of this configuration.
    pub(super) fn setup(error: kube::Error, config: &Config) -> Self {
        match error {
            kube::Error::Auth(error) => Self::auth(error, &plugin_of(config))
                .unwrap_or_else(|error| Self::Setup(kube::Error::Auth(error).into())),
            // kube's text has the URL with its password.
            kube::Error::ProxyProtocolUnsupported { proxy_url }
            | kube::Error::ProxyProtocolDisabled { proxy_url, .. } => {
                Self::Setup(format!("the proxy {} is not supported", origin(&proxy_url)).into())
            }
            error => Self::Setup(error.into()),
        }
    }

    /// What an exec plug-in printed may be a secret.
    fn auth(error: AuthError, plugin: &str) -> Result<Self, AuthError> {
        let command = plugin.to_owned();
        match error {
            AuthError::AuthExecRun { out, .. } => Ok(Self::Plugin { command, status: out.status }),
            AuthError::AuthExecStart(source) => Ok(Self::PluginMissing { command, source }),
            error => Err(error),
        }
    }
}

/// The command of the exec plug-in; its arguments may be secrets.
pub(super) fn plugin_of(config: &Config) -> String {
    let exec = config.auth_info.exec.as_ref();
    exec.and_then(|exec| exec.command.clone()).unwrap_or_default()
}

/// Why the API server did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is no API server to ask, or no credential any more.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No connection, or it broke.
    #[error("no answer from the API server{}: {}", at(server.as_deref()), chain(&**source))]
    Unreachable {
        /// Where it was looked for.
        server: Option<Arc<Place>>,
        /// What happened.
        #[source]
        source: BoxError,
    },
    /// It took too long.
    #[error("no answer from the API server{} within {} s", at(server.as_deref()), waited.as_secs())]
    Timeout {
        /// Where it was looked for.
        server: Option<Arc<Place>>,
        /// How long we waited.
        waited: Duration,
    },
    /// It refused.
    #[error("the API server answered {status}: {message}{}", refused(*status, server.as_deref()))]
    Refused {
        /// Where it is.
        server: Option<Arc<Place>>,
        /// HTTP status, or the code of a Status in a watch.
        status: u16,
        /// The message of its Status.
        message: String,
        /// When to ask again.
        retry_after: Option<Duration>,
    },
    /// A proxy, a load balancer or a login page: whether there is such an object is not known.
    #[error("what answers{} is not an API server ({status}, {content})", at(server.as_deref()))]
    NotTheServer {
        /// Where it is.
        server: Option<Arc<Place>>,
        /// HTTP status.
        status: u16,
        /// What it answered.
        content: &'static str,
    },
    /// Not the JSON that was asked for.
    #[error("the API server's answer cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// JSON, but not a list as the API has them.
    #[error("the API server's answer for {path} is not a list: it has no items")]
    NotAList {
        /// What was asked for.
        path: String,
    },
    /// A list with something else than an object in it.
    #[error("the API server's list {path} cannot be read: item {index} is not an object")]
    NotAnObject {
        /// The list.
        path: String,
        /// Which item, from 0.
        index: usize,
    },
    /// JSON, but no object as the API has them.
    #[error("the object has a field of another type than the API gives it")]
    Unreadable,
    /// More than we take.
    #[error("the API server's response exceeds {MAX_BODY_BYTES} bytes")]
    TooLarge,
}

impl ApiError {
    /// The same, with the place that was asked.
    pub(super) fn at(mut self, place: &Arc<Place>) -> Self {
        if let Self::Unreachable { server, .. }
        | Self::Timeout { server, .. }
        | Self::Refused { server, .. }
        | Self::NotTheServer { server, .. } = &mut self
        {
            server.get_or_insert_with(|| Arc::clone(place));
        }
        self
    }

    /// kube wraps what happened in a text of its own. `plugin` is the command of the exec plug-in.
    pub(super) fn failed(error: kube::Error, plugin: &str) -> Self {
        match error {
            kube::Error::Service(source) => match source.downcast::<AuthError>() {
                Ok(error) => match ClientError::auth(*error, plugin) {
                    Ok(error) => error.into(),
                    Err(error) => Self::unreachable(error),
                },
                Err(source) => Self::unreachable(source),
            },
            // Only of a WebSocket; the status of other answers is looked at by the client.
            kube::Error::Api(status) => Self::Refused {
                server: None,
                status: status.code,
                message: status.message,
                retry_after: None,
            },
            error => Self::unreachable(error),
        }
    }

    pub(super) fn unreachable(error: impl Into<BoxError>) -> Self {
        Self::Unreachable { server: None, source: error.into() }
    }

    /// The status of a refusal.
    pub(super) fn status(&self) -> Option<u16> {
        if let Self::Refused { status, .. } = self { Some(*status) } else { None }
    }

    /// When the API server wants to be asked again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        if let Self::Refused { retry_after, .. } = self { *retry_after } else { None }
    }

    /// Whether the same request may succeed a moment later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Client(_)
            | Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::NotTheServer { .. } => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::Malformed(_)
            | Self::NotAList { .. }
            | Self::NotAnObject { .. }
            | Self::Unreadable
            | Self::TooLarge => false,
        }
    }

    /// What to do, for a user who asked the API server; `None` where the text says it all.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => Some(
                "check the address and the way to it (VPN, private cluster, proxy, certificate \
                 authority); `kubectl version` with the same kubeconfig asks it too",
            ),
            Self::Refused { status: 401, .. } => Some(
                "sign in again; for AKS: az aks get-credentials, then kubelogin convert-kubeconfig",
            ),
            Self::Refused { status, .. } if *status == 429 || *status >= 500 => Some(
                "run the command again in a moment; `kubectl get --raw '/readyz?verbose'` shows \
                 the health of the API server",
            ),
            Self::NotTheServer { .. } => Some(
                "a proxy or a login page may have answered: check the address of the API server \
                 and the proxy",
            ),
            Self::Malformed(_) | Self::NotAList { .. } | Self::NotAnObject { .. } => Some(
                "check what answers in place of the API server or changes its answers: a proxy, \
                 or an aggregated API",
            ),
            Self::Client(_) | Self::Refused { .. } | Self::Unreadable | Self::TooLarge => None,
        }
    }
}

impl From<super::lines::LineTooLong> for ApiError {
    fn from(_: super::lines::LineTooLong) -> Self {
        Self::TooLarge
    }
}

fn at(server: Option<&Place>) -> String {
    server.map(|server| format!(" at {server}")).unwrap_or_default()
}

fn refused(status: u16, server: Option<&Place>) -> String {
    let server = server.filter(|_| status == 401);
    server.map(|server| format!("; {server} refuses the credentials")).unwrap_or_default()
}

/// hyper's errors say "client error (Connect)"; the cause stands below.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}
